//! What is written holds: the pages of the project against its code.

/// Ranks, tests, errors.
mod code;
/// The configuration's keys.
mod keys;
/// Links and examples.
mod pages;
/// The table of tools.
mod tools;
/// The worked examples, done.
mod worked;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages of the project, as paths from its root.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "certs"];
    let mut pages: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .map(|path| path.strip_prefix(root()).expect("below").to_owned())
        .collect();
    pages.sort();
    assert!(pages.len() >= 5, "{pages:?}");
    pages
}

/// The text in the first pair of backticks.
fn code(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// The words in backticks.
fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
