//! Links lead somewhere, examples are configurations.

use std::fs;

use staysigned::config::{self, Found, Place, Variables};

use super::{pages, read, root};

// === Links ===

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of the links of a page, code left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || line.starts_with("    ") {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        let targets = prose.split("](").skip(1);
        found.extend(targets.filter_map(|rest| Some(rest.split(')').next()?.to_owned())));
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let shown = page.display();
        let text = read(page.to_str().expect("UTF-8"));
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            seen += 1;
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().expect("a folder").join(path),
            };
            if !root().join(&target).exists() {
                faults.push(format!("{shown}: {link}"));
            } else if !section.is_empty() {
                let text = read(target.to_str().expect("UTF-8"));
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.any(|heading| anchor(heading) == section) {
                    faults.push(format!("{shown}: no section {link}"));
                }
            }
        }
    }
    assert!(seen > 3, "only {seen} links");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// === Examples ===

/// The blocks of TOML on a page, by the file that their first line names.
fn examples(page: &str) -> Vec<(String, String)> {
    let text = read(page);
    let blocks = text.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let named = blocks.filter_map(|block| {
        let name = block.lines().next()?.strip_prefix("# ")?;
        Some((name.to_owned(), block.to_owned()))
    });
    named.collect()
}

/// Every configuration that the pages show is one, with the providers that they show.
#[test]
fn examples_are_right() {
    let mut loaded = 0;
    for page in [
        "README.md",
        "docs/providers.md",
        "docs/operations.md",
        "docs/benchmarks.md",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("providers")).expect("a folder");
        let (configurations, providers): (Vec<_>, Vec<_>) = examples(page)
            .into_iter()
            .partition(|(name, _)| name == "config.toml");
        for (name, text) in providers {
            fs::write(folder.path().join(name), text).expect("a provider");
        }
        for (name, text) in configurations {
            let path = folder.path().join(name);
            fs::write(&path, &text).expect("a configuration");
            let place = Place {
                path,
                found: Found::Option,
                notes: Vec::new(),
            };
            let read = config::load(&place, &Variables::default());
            let read = read.unwrap_or_else(|faults| panic!("{page}: {faults}\n{text}"));
            assert!(!read.config.recipes.is_empty(), "{page}: {text}");
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "only {loaded} examples");
}
