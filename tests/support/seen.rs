//! What was seen to work with which real tool: a table in the documentation that the tests hold, and write with
//! `UPDATE=1`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use super::tool::feed;

/// What stands above the rows.
pub const HEAD: &str = "| provider | tool | version | what was seen |\n| --- | --- | --- | --- |\n";

/// How long a program may take to say its version on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The version of a tool, and whose it is.
pub struct Version {
    number: String,
    /// It is the tests' own: the table must have just this one.
    pinned: bool,
}

/// The version of a Python package that a file of `tests/python` says.
pub fn python(file: &str, package: &str) -> Version {
    let path = root().join("tests/python").join(file);
    let text = std::fs::read_to_string(&path).expect("requirements");
    let mut lines = text.lines().filter_map(|line| line.split_once("=="));
    let (_, number) = lines
        .find(|(name, _)| name.split('[').next() == Some(package))
        .unwrap_or_else(|| panic!("{} has no {package}", path.display()));
    Version::pinned(number)
}

/// The version of an npm package that the lock file says.
pub fn npm(package: &str) -> Version {
    let path = root().join("tests/node/package-lock.json");
    let text = std::fs::read_to_string(&path).expect("a lock file");
    let lock: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let number = lock["packages"][format!("node_modules/{package}")]["version"].as_str();
    Version::pinned(number.unwrap_or_else(|| panic!("{} has no {package}", path.display())))
}

/// The version that a program of this machine says.
pub fn installed(program: impl AsRef<OsStr>) -> Version {
    let mut command = Command::new(program);
    command.arg("--version");
    let line = format!("{command:?}");
    let output = feed(command, "", PATIENCE);
    let text = String::from_utf8_lossy(&output.stdout);
    let pattern = regex::Regex::new(r"\d+(\.\d+)+").expect("a pattern");
    let number = pattern.find(&text);
    let number = number.unwrap_or_else(|| panic!("{line}: {output:?}"));
    Version {
        number: number.as_str().to_owned(),
        pinned: false,
    }
}

impl Version {
    fn pinned(number: &str) -> Self {
        Self {
            number: number.trim().to_owned(),
            pinned: true,
        }
    }
}

/// Notes that a tool was seen to work: the table has it, in this version if it is pinned, else in whatever version it was
/// seen elsewhere.
pub fn saw(provider: &str, tool: &str, version: &Version, what: &str) {
    static TABLE: Mutex<()> = Mutex::new(());
    let _one = TABLE.lock().expect("no panic while held");
    let path = root().join("docs/providers.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, table, after) = split(&page);
    let Version { number, pinned } = version;
    let row = format!("| {provider} | {tool} | {number} | {what} |");
    let mut rows: Vec<&str> = table.lines().collect();
    let known = |known: &&str| {
        let cells = cells(known);
        [cells[0], cells[1], cells[3]] == [provider, tool, what] && (!pinned || cells[2] == number)
    };
    let place = rows.iter().position(known);
    if std::env::var_os("UPDATE").is_none() {
        assert!(
            place.is_some(),
            "docs/providers.md lacks the row (UPDATE=1 writes it):\n{row}"
        );
        return;
    }
    match place {
        Some(place) => rows[place] = &row,
        None => rows.push(&row),
    }
    rows.sort_unstable();
    let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, format!("{before}{HEAD}{table}{after}")).expect("write the page");
}

/// The page before the table's rows, the rows, and what follows them.
pub fn split(page: &str) -> (&str, &str, &str) {
    let (before, rest) = page.split_once(HEAD).expect("the table");
    let end = rest.find("\n\n").expect("its end") + 1;
    let (table, after) = rest.split_at(end);
    (before, table, after)
}

/// The four cells of a row.
pub fn cells(row: &str) -> [&str; 4] {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    cells.try_into().expect("a row has four cells")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
