//! What a newcomer reads first.

use super::{program, say};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["init"],
    &["run"],
    &["login"],
    &["import"],
    &["export"],
    &["status"],
    &["refresh"],
    &["restore"],
    &["logout"],
    &["check"],
    &["ca"],
    &["key"],
    &["key", "rotate"],
    &["env"],
    &["provider"],
    &["demo"],
    &["completions"],
];

#[test]
fn every_command_says_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for command in COMMANDS {
        let arguments = [*command, &["--help"]].concat();
        let said = say(program(folder.path(), &arguments)).good();
        text.push_str(&format!("$ staysigned {}\n{said}\n", arguments.join(" ")));
    }
    insta::with_settings!({
        snapshot_path => "../data/cli",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("help", text) });
}

#[test]
fn a_wrong_command_line_is_2_and_its_hint() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, words) in [
        (
            &["stauts"][..],
            2,
            &["unrecognized subcommand", "status"][..],
        ),
        (&["status", "--jsno"], 2, &["unexpected argument", "--json"]),
        (&["import", "a"], 2, &["--from"]),
        (
            &["import", "a", "--from", "nothing"],
            2,
            &["there is no import from `nothing`", "cookies-txt"],
        ),
        (
            &["export", "a", "--to", "nothing"],
            2,
            &["there is no export to `nothing`"],
        ),
        (&["check", "-X", "GET"], 2, &["URL"]),
        (&["run"], 125, &["CMD"]),
        (&["run", "--client"], 125, &["--client"]),
        (&["--config", "x.toml", "run"], 125, &["CMD"]),
    ] {
        say(program(folder.path(), arguments)).bad(code, words);
    }
}

#[test]
fn version() {
    let folder = tempfile::tempdir().unwrap();
    let said = say(program(folder.path(), &["--version"])).good();
    assert_eq!(said, format!("staysigned {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_configuration_says_where_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["serve", "status", "env", "ca"] {
        let arguments: &[&str] = if command == "ca" {
            &["ca", "path"]
        } else {
            &[command]
        };
        say(program(folder.path(), arguments))
            .bad(2, &["no configuration was found", "staysigned init"]);
    }
    say(program(folder.path(), &["run", "--", "true"])).bad(125, &["no configuration was found"]);
}
