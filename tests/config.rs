//! Configurations that are refused, each with its place and its hint, and what they must never show.
//!
//! `tests/data/config/bad/NAME.toml` is refused with the text of `NAME.snap`; `INSTA_UPDATE=always` writes those anew.

use std::path::{Path, PathBuf};

use staysigned::config::{self, Diagnostics, Found, Place, Programs, Variables};

const BAD: &str = "tests/data/config/bad";
const GOOD: &str = "tests/data/config/good";
/// What the good files' `env:` sources name.
const VARIABLES: &[&str] = &[
    "ALICE_KEY",
    "ALICE_PROXY_PASSWORD",
    "BOB_KEY",
    "KEY",
    "LWA_REFRESH",
    "LWA_SECRET",
    "PASSWORD",
    "REFRESH",
    "SECRET",
];
/// In the files wherever a secret may stand.
const CANARY: &str = "hunter2";

fn refused(path: &Path) -> Diagnostics {
    let place = Place {
        path: path.to_owned(),
        found: Found::Option,
        notes: Vec::new(),
    };
    let none = Variables::default();
    let resolved = config::load(&place, &none)
        .and_then(|loaded| loaded.resolve_sources(&none, Programs::Run, |_, _| false));
    match resolved {
        Ok(_) => panic!("{} is not refused", path.display()),
        Err(errors) => errors,
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn bad_files_are_refused_with_place_and_hint() {
    let files = files(BAD);
    assert!(files.len() >= 60, "only {} files", files.len());
    let here = std::env::current_dir().unwrap();
    for path in files {
        let errors = refused(&path);
        for error in &errors.0 {
            assert!(error.file.is_some() && error.line > 0, "{error}: no place");
            assert!(!error.hint.is_empty(), "{error}: no hint");
        }
        let text = errors
            .to_string()
            .replace(&format!("{}/", here.display()), "");
        assert!(!text.contains(CANARY), "a secret is shown:\n{text}");
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::with_settings!({
            snapshot_path => "data/config/bad",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(name, text) });
    }
}

#[test]
fn good_files_are_taken_without_a_warning() {
    let variables: Variables = VARIABLES.iter().map(|name| (*name, CANARY)).collect();
    for path in files(GOOD) {
        let place = Place {
            path: path.clone(),
            found: Found::Option,
            notes: Vec::new(),
        };
        let resolved = config::load(&place, &variables)
            .and_then(|loaded| loaded.resolve_sources(&variables, Programs::Run, |_, _| false));
        let (config, warnings) = resolved.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        let debug = format!("{config:?}");
        assert!(
            !debug.contains(CANARY),
            "{}: Debug shows a secret",
            path.display()
        );
    }
}

/// Of ten thousand sessions each may have the same mistake: it is told a few times and counted, and what is another one is
/// told among them.
#[test]
fn what_is_alike_is_told_a_few_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let text: String = (0..300)
        .map(|n| {
            let host = if n == 200 { "not a host" } else { "a.example" };
            format!(
                "[session.s{n}]\nbind = [{{ host = \"b{n}.example\" }}, {{ host = \"{host}\" }}]\nbindd = 1\n\
                 [clients.c{n}]\npasswort = \"env:P\"\n"
            )
        })
        .collect();
    std::fs::write(&path, text).unwrap();
    let errors = refused(&path);
    let text = errors.to_string();
    let told = |what: &str| text.matches(what).count();
    assert!(errors.0.len() >= 601, "{}", errors.0.len());
    assert_eq!(told(".bindd: unknown key"), 5);
    assert_eq!(told(".passwort: unknown key"), 5);
    assert_eq!(told("session.s200.bind[1].host"), 1, "{text}");
    assert!(told("and 295 more like this") >= 2, "{text}");
    // Of each of the six mistakes of three hundred.
    assert!(text.lines().count() < 200, "{text}");
}
