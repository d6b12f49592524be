//! `refresh.kind = "import"`: which browser or file is read again.

use crate::{
    config::{
        nearest::nearest,
        read::{At, Keys},
        tree::{Node, Value},
    },
    import::{From, browser},
    origin::Host,
    rule::Import,
};

/// Notes what a configuration found in the current folder may not: bind hosts of its choice, take what a person holds for
/// one of them elsewhere, and put it on another. Where it goes must be a built-in provider's to say.
pub(super) fn trusted(keys: &Keys<'_>) {
    let built_in = |node: &Node| {
        let files = keys.at.faults.built_in.borrow();
        files.contains(&node.span.file)
    };
    let Some(refresh) = keys.at("refresh") else {
        return;
    };
    let of_refresh = |key: &str| match &refresh.node.value {
        Value::Table(table) => table.get(key).map(|entry| built_in(&entry.node)),
        _ => None,
    };
    let by_provider = keys.at("bind").is_some_and(|bind| built_in(bind.node))
        && of_refresh("kind") == Some(true)
        && of_refresh("domain") != Some(false);
    if !by_provider && !keys.at.faults.programs.get() {
        refresh.table_fault(
            "from",
            "a configuration found in the current folder may read nothing of a person's",
            "if the file is yours, name it: --config config.toml, or $STAYSIGNED_CONFIG",
        );
    }
}

/// Reads the keys around `from`.
pub(super) fn read(keys: &Keys<'_>, at: &At<'_>) -> Option<Import> {
    let text = at.text()?;
    let from = match text.parse::<From>() {
        Ok(from) => from,
        Err(error) => {
            let browsers = browser::ALL.iter().map(|(name, _)| *name);
            let hint = match nearest(text, browsers) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => error.hint().unwrap_or_default().to_owned(),
            };
            at.fault(error.to_string(), hint);
            return None;
        }
    };
    let is_browser = matches!(from, From::Browser(_));
    let (others, what) = match is_browser {
        true => (&["file"][..], "a browser has profiles, not a file"),
        false => (
            &["profile", "container"][..],
            "only browsers have profiles and containers",
        ),
    };
    for key in others {
        if keys.has(key) {
            keys.fault(key, what, "leave it out");
        }
    }
    let file = match is_browser {
        true => None,
        false => Some(keys.need("file", "file = \"cookies.txt\"")?.get()?),
    };
    // A path is relative to the configuration, as all are.
    let profile = keys
        .get::<String>("profile")
        .map(|name| match name.contains('/') {
            true => at.faults.folder.borrow().join(name).display().to_string(),
            false => name,
        });
    Some(Import {
        from: text.to_owned(),
        profile,
        container: keys.get("container"),
        file,
        domain: keys
            .at("domain")
            .and_then(|at| at.parse::<Host>("a host", "domain = \"example.com\"")),
    })
}
