//! The architecture holds: modules use lower ranks only, and files are small.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The ranks of `src/lib.rs`, from the bottom up; the pure rules have an order among themselves.
const RANKS: &[&[&str]] = &[
    &["origin", "secret", "env", "backoff", "limits"],
    &["grant", "jar", "message"],
    &["rule"],
    &["auth", "life", "provider"],
    &["store", "http1", "http2"],
    &["ca", "upstream"],
    &["import", "export"],
    &["session"],
    &["proxy"],
    &["config"],
    &["admin"],
    &["server"],
    &["cli"],
];

/// Where the pure rules are: no I/O, no clock, no randomness (rank 0 has the words for these).
const PURE: std::ops::RangeInclusive<usize> = 1..=3;

/// What the pure rules do without.
const EFFECTS: &[&str] = &[
    "tokio::",
    "std::net::Tcp",
    "std::fs",
    "SystemTime::now",
    "Instant::now",
    "rand::fill",
];

const LINES: usize = 400;

/// Files that may be longer; the list only shrinks.
const LONG: &[&str] = &[];

fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("read the folder") {
            let path = entry.expect("entry").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() {
                if name != "node_modules" && name != "data" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("read");
                found.insert(path.strip_prefix(root).expect("below").to_owned(), text);
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

/// The module of the first level that a source file belongs to.
fn module(path: &Path) -> &str {
    let mut parts = path
        .components()
        .skip(1)
        .map(|part| part.as_os_str().to_str().expect("UTF-8"));
    parts
        .next()
        .expect("a file below src")
        .trim_end_matches(".rs")
}

/// Modules named behind `crate::`, in paths and in `use crate::{a, b::c}`.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, marker) in text.match_indices("crate::") {
        // `$crate::`, `other_crate::` and the like are not ours.
        if text[..at]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$')
        {
            continue;
        }
        let rest = &text[at + marker.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ if start && depth == 0 && letter.is_alphabetic() => {
                    found.push(word(&group[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

/// Whether a file holds nothing but tests; these may look at more than what they test.
fn is_tests(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

/// The text without its tests and without comments: words in prose import nothing.
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A module uses modules of a lower rank and its own, nothing else.
#[test]
fn imports_go_one_way() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let own = module(&path).to_owned();
        if matches!(own.as_str(), "lib" | "main") || is_tests(&path) {
            continue;
        }
        let Some(from) = rank(&own) else {
            faults.push(format!("{}: module {own} has no rank", path.display()));
            continue;
        };
        for used in uses(&code(&text)) {
            match rank(&used) {
                _ if used == own => {}
                Some(to) if to < from => {}
                Some(_) => faults.push(format!("{}: {own} may not use {used}", path.display())),
                // An item of the crate's root.
                None => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rules of rank 1 are pure: no tokio, no I/O, no clock, no randomness, outside of their tests.
#[test]
fn rules_are_pure() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let pure = rank(module(&path)).is_some_and(|rank| PURE.contains(&rank));
        if !pure || is_tests(&path) {
            continue;
        }
        let code = code(&text);
        for effect in EFFECTS.iter().filter(|effect| code.contains(**effect)) {
            faults.push(format!("{}: {effect}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One file, one idea, few lines.
#[test]
fn files_are_small() {
    let mut faults = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        let name = path.to_str().expect("UTF-8");
        match (lines > LINES, LONG.contains(&name)) {
            (true, false) => faults.push(format!("{name}: {lines} lines, more than {LINES}")),
            (false, true) => faults.push(format!("{name}: small again, take it off the list")),
            _ => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every module says first what it is.
#[test]
fn modules_open_with_a_sentence() {
    let bad: Vec<String> = sources("src")
        .into_iter()
        .filter(|(path, text)| {
            !text.starts_with("//!") && !path.ends_with("tests.rs") && !path.ends_with("main.rs")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(bad.is_empty(), "no `//!` at the top of: {}", bad.join(", "));
}
