//! Every key is documented and none is invented; so are defaults, what is refused, what needs a restart.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::{code, read};

/// The keys of `config.toml` with its settings uncommented. That it has every key that is read is held by a test of
/// its own (`uncommented_it_is_right_and_has_every_key`).
fn keys_of_example() -> BTreeSet<String> {
    let setting = |line: &str| {
        let rest = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || "[{]".contains(c)));
        rest.unwrap_or(line).to_owned()
    };
    let text = read("config.toml");
    let text = text.lines().map(setting).collect::<Vec<_>>().join("\n");
    let table = DeTable::parse(&text).expect("the example is TOML");
    let mut keys = BTreeSet::new();
    collect(&DeValue::Table(table.into_inner()), "", &mut keys);
    keys.into_iter().filter_map(|key| shortened(&key)).collect()
}

/// Tables whose keys are names of the user's choice.
fn has_names(table: &str) -> bool {
    let last = table.rsplit('.').next().unwrap_or(table);
    let names = [
        "answer", "capture", "clients", "derive", "form", "headers", "params", "secrets",
        "session", "values",
    ];
    names.contains(&last) || table.ends_with("capture[].request")
}

fn collect(value: &DeValue<'_>, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                let (key, value) = (key.get_ref().as_ref(), value.get_ref());
                let name = if has_names(path) { "NAME" } else { key };
                let below = if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                };
                keys.insert(below.clone());
                // Below these stands another system's, or no key at all.
                if !below.ends_with("].json")
                    && !below.ends_with("request.json")
                    && key != "resolve"
                {
                    collect(value, &below, keys);
                }
            }
        }
        DeValue::Array(items) => {
            for item in items {
                collect(item.get_ref(), &format!("{path}[]"), keys);
            }
        }
        _ => {}
    }
}

/// Returns the key as the page has it: targets and places are described once; tables have sections.
fn shortened(key: &str) -> Option<String> {
    const TARGET: [&str; 5] = ["host", "port", "scheme", "path", "methods"];
    let (before, last) = key.rsplit_once('.')?;
    if before.ends_with(".match") || before == "session.NAME.bind[]" && TARGET.contains(&last) {
        return Some(format!("TARGET.{last}"));
    }
    if before.ends_with("capture.NAME") || before.ends_with("answer.NAME") {
        return Some(format!("PLACE.{last}"));
    }
    if before.ends_with("].request.NAME") {
        return Some(format!("SPOT.{last}"));
    }
    let of_place = [".capture.NAME", ".answer.NAME", ".request.NAME"]
        .iter()
        .any(|end| key.ends_with(&format!("]{end}")));
    let section = matches!(key, "clients.NAME" | "session.NAME");
    (!of_place && !section).then(|| key.to_owned())
}

/// The keys in the first column of the page's tables, each behind the table that its heading names.
fn keys_of_page() -> BTreeSet<String> {
    let page = read("docs/configuration.md");
    let mut keys = BTreeSet::new();
    let mut section = None;
    for line in page.lines() {
        if line.starts_with('#') {
            section = code(line).map(|table| match table.strip_prefix("[[") {
                Some(list) => format!("{}[]", list.trim_end_matches(']')),
                None => table.trim_matches(['[', ']']).to_owned(),
            });
        } else if let Some(table) = &section
            && let Some(key) = line
                .strip_prefix("| `")
                .and_then(|rest| rest.split('`').next())
        {
            assert!(
                keys.insert(format!("{table}.{key}")),
                "{table}.{key} is there twice"
            );
        }
    }
    keys
}

/// Every key that the configuration accepts is described, and every described key is accepted.
#[test]
fn keys_are_documented() {
    let (read, written) = (keys_of_example(), keys_of_page());
    assert!(read.len() > 100, "{read:?}");
    let missing: Vec<_> = read.difference(&written).collect();
    let invented: Vec<_> = written.difference(&read).collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:#?}"
    );
    assert!(
        invented.is_empty(),
        "in docs/configuration.md only: {invented:#?}"
    );
}

/// The defaults of limits that the page names are those of `config.toml`, which are held to the code.
#[test]
fn limits_have_their_defaults() {
    let plain = |text: &str| text.replace([',', '"', '#'], "").trim().to_owned();
    let page = read("docs/configuration.md");
    let (_, limits) = page
        .split_once("## `[limits]`")
        .expect("a section on limits");
    let example = read("config.toml");
    let (_, defaults) = example
        .split_once("#[limits]")
        .expect("limits in the example");
    let mut seen = 0;
    for (key, value) in defaults.lines().filter_map(|line| line.split_once(" = ")) {
        let key = plain(key);
        let row = limits
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` ")));
        let default = row.and_then(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
        assert_eq!(default.map(plain), Some(plain(value)), "{key}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// What is refused as not supported yet is named, and so is what a reload cannot take up.
#[test]
fn refused_keys_and_restarts_are_documented() {
    let page = read("docs/configuration.md");
    let (before, unsupported) = page
        .split_once("## Not supported yet")
        .expect("the section");
    let (_, reload) = before.split_once("## Reload").expect("the section");
    let quoted = |source: &str, markers: [&str; 2]| -> Vec<String> {
        let text = read(source)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let found = markers.iter().flat_map(|marker| {
            let all = text.match_indices(marker).map(|(at, _)| at + marker.len());
            all.filter_map(|at| Some(text[at..].split('"').next()?.to_owned()))
        });
        let keys = found
            .filter(|key| key.contains(['.', '*']) || ["limits", "notify"].contains(&key.as_str()));
        keys.collect::<Vec<_>>()
    };
    let keys = quoted("src/config/unsupported.rs", ["key(\"", "pattern: \""]);
    assert!(!keys.is_empty());
    for key in keys {
        let named = unsupported.contains(&format!("`{key}`"))
            || unsupported.contains(&format!("`{key} = "));
        assert!(named, "{key} is not under \"Not supported yet\"");
    }
    let keys = quoted("src/config/reload.rs", ["(\"", "( \""]);
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        assert!(
            reload.contains(&format!("`{key}`")),
            "{key} is not under \"Reload\""
        );
    }
}
