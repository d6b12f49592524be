//! `export`: the file that is kept up to date.

use std::path::{Component, PathBuf};

use crate::{
    config::read::Keys,
    export::Kind,
    rule::{Export, Recipe},
};

/// Kinds of cookies that end up in a file.
const KINDS: &[(&str, Kind)] = &[
    ("cookies-txt", Kind::CookiesTxt),
    ("json", Kind::Json),
    ("cookies-json", Kind::CookiesJson),
    ("storage-state", Kind::StorageState),
];

pub(super) fn read(keys: &Keys<'_>) -> Option<Export> {
    const HINT: &str = "export = { to = \"cookies-txt\", file = \"cookies.txt\" }";
    let to = keys.need("to", HINT).and_then(|at| {
        at.choice(KINDS)?;
        at.text().map(str::to_owned)
    });
    let file = keys.need("file", HINT).and_then(|at| {
        let mut parts = std::path::Path::new(at.text()?).components();
        let alone = matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        );
        if !at.faults.programs.get() && !alone {
            at.fault(
                "a configuration found in the current folder may write no file elsewhere",
                "a name without a folder; or, if the file is yours, name it: --config config.toml",
            );
        }
        at.get::<PathBuf>()
    });
    Some(Export {
        to: to?,
        file: file?,
    })
}

/// Notes what does not go together with a file.
pub(super) fn check(keys: &Keys<'_>, recipe: &Recipe) {
    if recipe.export.is_none() {
        return;
    }
    let fault = |message: &str, hint: &str| keys.fault("export", message, hint);
    if !recipe.persist {
        fault(
            "a file of a session that is to leave none (`persist = false`)",
            "leave one of the two out",
        );
    }
    if recipe.per_client {
        fault(
            "one file for a session of which every client has its own (`per_client`)",
            "leave one of the two out",
        );
    }
    if !recipe.cookies.enabled {
        fault("the session keeps no cookies", "add [session.NAME.cookies]");
    }
}
