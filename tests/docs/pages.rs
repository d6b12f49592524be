//! Links lead somewhere, examples are configurations, commands exist.

use std::{collections::BTreeSet, fs, process::Command};

use staysigned::config::{self, Found, Place, Variables};

use super::{pages, read, root};
use crate::support::tool::output;

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

/// The blocks of TOML on a page, by the file that their first line names, and what a shell writes into `config.toml`.
pub(super) fn examples(page: &str) -> Vec<(String, String)> {
    let text = read(page);
    let blocks = text.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let named = blocks.filter_map(|block| {
        let name = block.lines().next()?.strip_prefix("# ")?;
        Some((name.to_owned(), block.to_owned()))
    });
    let written = text.split("cat >> config.toml <<'END'\n").skip(1);
    let written = written.filter_map(|rest| rest.split("\nEND\n").next());
    let written = written.map(|text| ("config.toml".to_owned(), text.to_owned()));
    named.chain(written).collect()
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
    assert!(loaded >= 6, "only {loaded} examples");
}

// === Commands ===

/// What follows `staysigned` on the lines and in the code of a page, up to where the command line ends.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let code: Vec<&str> = if fenced || line.starts_with("    ") {
            vec![line.trim_start()]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for code in code {
            for (at, name) in code.match_indices("staysigned ") {
                let begins = code[..at].is_empty() || code[..at].ends_with([' ', '(', '/']);
                let rest = &code[at + name.len()..];
                let end = rest
                    .find(['#', '&', '|', ')', ';', '`'])
                    .unwrap_or(rest.len());
                // Columns of prose stand behind two spaces.
                let command = rest[..end].split("  ").next().unwrap_or_default();
                let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
                if begins && words.first().is_some_and(|word| is_word(word)) {
                    found.push(words);
                }
            }
        }
    }
    found
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
}

fn help(words: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_staysigned");
    let output = output(Command::new(program).args(words).arg("--help"));
    assert!(output.status.success(), "staysigned {words:?} --help");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The commands that a help lists.
fn commands(help: &str) -> BTreeSet<String> {
    let (_, rest) = help.split_once("Commands:\n").expect("commands");
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| is_word(name))
        .map(str::to_owned)
        .collect()
}

/// Every command that the pages show is there, with its options; and the README has every command.
#[test]
fn commands_exist() {
    let known = commands(&help(&[]));
    let (mut used, mut faults) = (BTreeSet::new(), Vec::new());
    for page in pages() {
        let page = page.to_str().expect("UTF-8");
        for words in command_lines(&read(page)) {
            let (name, rest) = words.split_first().expect("a word");
            if !known.contains(name) {
                faults.push(format!("{page}: staysigned {name}"));
                continue;
            }
            used.insert((page.to_owned(), name.clone()));
            let text = help(&[name.as_str()]);
            let sub = rest
                .first()
                .filter(|word| text.contains("Commands:\n") && is_word(word));
            let text = match sub {
                Some(sub) if commands(&text).contains(sub) => help(&[name.as_str(), sub.as_str()]),
                Some(sub) => {
                    faults.push(format!("{page}: staysigned {name} {sub}"));
                    continue;
                }
                None => text,
            };
            let own = rest.iter().take_while(|word| *word != "--");
            let options = own.filter(|word| word.starts_with('-'));
            let missing = options.filter(|option| !text.contains(option.as_str()));
            faults.extend(missing.map(|option| format!("{page}: staysigned {name} {option}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let readme: BTreeSet<_> = used
        .iter()
        .filter(|(page, _)| page == "README.md")
        .map(|(_, name)| name.clone())
        .collect();
    let missing: Vec<_> = known.difference(&readme).collect();
    assert!(missing.is_empty(), "not in README.md: {missing:?}");
}
