//! What the pages say of the code: its ranks, its tests, its errors.

use std::{collections::BTreeSet, fs, path::Path};

use regex::Regex;

use super::{codes, pages, read, root};

/// The modules of each rank as the page has them, and those of each step within the ranks.
fn ranks_of_page(page: &str) -> (Vec<BTreeSet<&str>>, Vec<Vec<&str>>) {
    let (_, rest) = page.split_once("## Ranks").expect("the section");
    let (section, _) = rest.split_once("\n## ").expect("another follows");
    let rows = section.lines().filter(|line| {
        let number = line.strip_prefix("| ");
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(2)).collect();
    let ranks = cells.iter().map(|cell| codes(cell).into_iter().collect());
    let steps = cells.iter().flat_map(|cell| cell.split('→')).map(codes);
    (ranks.collect(), steps.collect())
}

/// The page's ranks are those of `src/lib.rs`, and agree with the order that `tests/layering.rs` holds.
#[test]
fn ranks_are_documented() {
    let page = read("docs/architecture.md");
    let (ranks, steps) = ranks_of_page(&page);
    let map = read("src/lib.rs");
    let rows = map.lines().filter(|line| line.starts_with("//! - rank "));
    let own: Vec<BTreeSet<&str>> = rows.map(|row| codes(row).into_iter().collect()).collect();
    let bare = |set: &BTreeSet<&str>| -> BTreeSet<String> {
        set.iter()
            .map(|name| name.trim_matches(['[', ']']).to_owned())
            .collect()
    };
    let (page, own): (Vec<_>, Vec<_>) = (
        ranks.iter().map(bare).collect(),
        own.iter().map(bare).collect(),
    );
    assert_eq!(page, own, "docs/architecture.md and src/lib.rs");

    let layering = read("tests/layering.rs");
    let (_, rest) = layering.split_once("const RANKS").expect("the table");
    let (table, _) = rest.split_once("];").expect("its end");
    let held: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('"').skip(1).step_by(2).collect())
        .filter(|row: &Vec<_>| !row.is_empty())
        .collect();
    let step = |module: &str| steps.iter().position(|step| step.contains(&module));
    let mut lowest = 0;
    for row in held {
        let places: Vec<_> = row
            .iter()
            .map(|module| {
                step(module).unwrap_or_else(|| panic!("{module} has no rank on the page"))
            })
            .collect();
        let first = places.iter().min().expect("a row has modules");
        assert!(*first >= lowest, "{row:?} stand below what they may use");
        lowest = *places.iter().max().expect("a row has modules");
    }
}

/// The sources below a folder, joined.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(path).expect("a source"));
        }
    }
}

/// Every test that is named for an invariant is there.
#[test]
fn tests_that_are_named_exist() {
    let mut all = String::new();
    sources(&root().join("src"), &mut all);
    sources(&root().join("tests"), &mut all);
    let page = read("docs/architecture.md");
    let (_, rest) = page.split_once("## Invariants").expect("the section");
    let (section, _) = rest.split_once("\n## ").expect("another follows");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let names: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(codes)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !all.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Every source that a page names is there.
#[test]
fn files_that_are_named_exist() {
    let mut seen = 0;
    for page in pages() {
        let page = page.to_str().expect("UTF-8");
        let text = read(page);
        let paths = codes(&text).into_iter().filter(|code| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
            code.ends_with(".rs") && code.contains('/') && code.chars().all(plain)
        });
        for path in paths {
            let there = root().join(path).exists() || root().join("src").join(path).exists();
            assert!(there, "{page} names {path}");
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen}");
}

/// Every answer that is the proxy's own stands in the table of what to do about it.
#[test]
fn errors_are_documented() {
    let source = read("src/proxy/answer.rs");
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = read("docs/operations.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let fixed = r#"\( (Client|Upstream|Proxy), (\d+), "(\w+)", "([^"]+)","#;
    let own = r#"status: StatusCode::(\w+), error: "(\w+)", message: (?:format!\()?"([^"{]+)"#;
    let (fixed, own) = (
        Regex::new(fixed).expect("a pattern"),
        Regex::new(own).expect("a pattern"),
    );
    let mut wanted: Vec<(String, String, String)> = Vec::new();
    for found in fixed.captures_iter(&source) {
        let [_, status, error, message] = found.extract().1;
        wanted.push((status.to_owned(), error.to_owned(), message.to_owned()));
    }
    for found in own.captures_iter(&source) {
        let [status, error, message] = found.extract().1;
        let status = match status {
            "NETWORK_AUTHENTICATION_REQUIRED" => "511",
            "SERVICE_UNAVAILABLE" => "503",
            "BAD_GATEWAY" => "502",
            other => panic!("{other}: say its number here"),
        };
        wanted.push((
            status.to_owned(),
            error.to_owned(),
            message.trim().to_owned(),
        ));
    }
    assert!(wanted.len() > 25, "{wanted:#?}");
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(status, error, message)| {
            let is_it = |row: &&str| {
                row.starts_with(&format!("| {status} | `{error}` |"))
                    && row.contains(message.as_str())
            };
            !rows.iter().any(is_it)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/operations.md: {missing:#?}"
    );
}

// === Admin side ===

/// Every call of the API and every event is described.
#[test]
fn the_api_is_documented() {
    let page = read("docs/operations.md");
    let routes = read("src/admin/routes.rs");
    let call = Regex::new(r#"\.(get|post|put|delete)\(\s*"(/api/[^"]+)""#).expect("a pattern");
    let mut calls = 0;
    for found in call.captures_iter(&routes) {
        let [method, path] = found.extract().1;
        let shown = format!("| `{} {path}` |", method.to_uppercase());
        assert!(
            page.contains(&shown),
            "{shown} is not in docs/operations.md"
        );
        calls += 1;
    }
    assert!(calls > 10, "{calls}");
    let names = read("src/session/history.rs");
    let event = Regex::new(r#"pub const \w+: &str = "([a-z_.]+)""#).expect("a pattern");
    let events: Vec<_> = event
        .captures_iter(&names)
        .map(|found| found.extract().1)
        .collect();
    assert!(events.len() > 10, "{events:?}");
    for [event] in events {
        assert!(
            page.contains(&format!("`{event}`")),
            "{event} is not in docs/operations.md"
        );
    }
}

/// Every metric is described.
#[test]
fn metrics_are_documented() {
    let page = read("docs/operations.md");
    let source = read("src/admin/metrics.rs");
    let name = Regex::new(r#"(?:out|self)\s*\.\w+\(\s*"([a-z_]+)","#).expect("a pattern");
    let names: Vec<_> = name
        .captures_iter(&source)
        .map(|found| found.extract().1)
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    for [name] in names {
        // A counter and an info are written with an ending.
        let shown = ["", "_total", "_info"].map(|end| format!("| `staysigned_{name}{end}"));
        let named = shown.iter().any(|shown| {
            let after = |at: usize| page[at + shown.len()..].starts_with(['{', '`']);
            page.match_indices(shown.as_str()).any(|(at, _)| after(at))
        });
        assert!(named, "staysigned_{name} is not in docs/operations.md");
    }
}
