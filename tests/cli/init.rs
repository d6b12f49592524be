//! `init` makes what is missing, and nothing else.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{program, say};

#[test]
fn from_nothing_to_a_configuration_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let said = say(program(folder.path(), &["init"])).good();
    for word in [
        "made  configuration",
        "made  CA",
        "made  store's key",
        "What comes next",
        "check",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    for secret in ["certs/ca.key", "certs/store.key", "staysigned.db"] {
        let mode = fs::metadata(at(secret)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{secret}");
    }
    let checked = say(program(folder.path(), &["check"])).good();
    assert!(checked.contains("config.toml is right"), "{checked}");

    // Once more: all of it stays.
    let keys = || {
        [
            "certs/ca.pem",
            "certs/ca.key",
            "certs/store.key",
            "config.toml",
        ]
        .map(|file| fs::read(at(file)).unwrap())
    };
    let before = keys();
    let said = say(program(folder.path(), &["init"])).good();
    assert!(
        said.contains("kept  configuration") && !said.contains("made"),
        "{said}"
    );
    assert_eq!(keys(), before);
}

#[test]
fn elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let said = say(program(
        folder.path(),
        &["init", "--config", "a/b/mine.toml"],
    ))
    .good();
    assert!(
        said.contains("staysigned --config a/b/mine.toml check"),
        "{said}"
    );
    assert!(folder.path().join("a/b/certs/ca.pem").exists());
    let mut command = program(folder.path(), &["init"]);
    command.env("STAYSIGNED_CONFIG", "c.toml");
    say(command).good();
    assert!(folder.path().join("c.toml").exists());
}

#[test]
fn what_is_wrong_is_said_and_left() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "[proxy]\nlisten = 7\n").unwrap();
    say(program(folder.path(), &["init"])).bad(2, &["config.toml:2:10", "proxy.listen", "hint:"]);
    assert!(!folder.path().join("certs").exists());
    say(program(
        folder.path(),
        &["init", "--config", "/proc/no/config.toml"],
    ))
    .bad(1, &["cannot write /proc/no"]);
}
