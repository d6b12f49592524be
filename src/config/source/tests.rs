use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn command(line: &str) -> Result<String, Error> {
    let source = Source::Command {
        line: line.to_owned(),
        folder: "/".into(),
    };
    let secret = source.read(&Variables::default())?;
    Ok(secret.expose().clone())
}

#[test]
fn one_line_end_is_taken_off_and_no_other_is_taken() {
    let cases: &[(&[u8], Option<&str>)] = &[
        (b"abc", Some("abc")),
        (b"abc\n", Some("abc")),
        (b"abc\r\n", Some("abc")),
        (b" abc ", Some(" abc ")),
        (b"abc\n\n", None),
        (b"a\nb", None),
        (b"a\rb", None),
        (b"a\0b", None),
        (b"\n", None),
        (b"", None),
        (b"\xff", None),
        (b"-----BEGIN KEY-----\nabc\n", None),
    ];
    for (bytes, expected) in cases {
        let secret = one_line(bytes.to_vec()).ok();
        assert_eq!(
            secret.as_ref().map(|s| s.expose().as_str()),
            *expected,
            "{bytes:?}"
        );
    }
    assert!(matches!(one_line(vec![b'x'; 70_000]), Err(Error::TooLarge)));
}

#[test]
fn every_kind_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "from a file\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let source = Source::File(path.clone());
    assert_eq!(
        source.read(&Variables::default()).unwrap().expose(),
        "from a file"
    );
    assert!(!source.is_open_to_others());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(source.is_open_to_others());

    let variables: Variables = [("NAME", "from a variable")].into_iter().collect();
    let read = |name: &str| Source::Env(name.to_owned()).read(&variables);
    assert_eq!(read("NAME").unwrap().expose(), "from a variable");
    assert!(matches!(read("OTHER"), Err(Error::Unset(_))));

    assert_eq!(
        command("printf 'from %s\\n' a-command").unwrap(),
        "from a-command"
    );
}

#[test]
fn a_command_that_fails_shows_nothing_of_what_it_said() {
    let error = command("echo hunter2; echo hunter2 >&2; exit 7").unwrap_err();
    assert!(matches!(error, Error::Failed(_)));
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(error.to_string().contains('7'), "{error}");
    assert!(matches!(
        command("yes"),
        Err(Error::Failed(_) | Error::TooLarge)
    ));
}

#[test]
fn a_command_that_does_not_end_is_ended() {
    for line in ["sleep 60", "exec 1>&-; sleep 60"] {
        let mut command = Variables::default().command("sh");
        command.arg("-c").arg(line);
        let started = Instant::now();
        let run = run(command, Duration::from_millis(200));
        assert!(matches!(run, Err(Run::TooSlow)), "{line}");
        assert!(started.elapsed() < Duration::from_secs(20), "{line}");
    }
}

#[test]
fn the_keyring_is_asked_through_its_tool() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("secret-tool");
    let source = Source::Keyring("books".to_owned());
    let variables: Variables = [("PATH", folder.path())].into_iter().collect();
    assert!(matches!(source.read(&variables), Err(Error::NoKeyring)));

    let script = "#!/bin/sh\n[ \"$*\" = 'lookup staysigned books' ] && printf secret\n";
    let text = folder.path().join("script");
    std::fs::write(&text, script).unwrap();
    // By another process: a child that another thread starts may have open what we write, and then it cannot be run.
    let install = Command::new("install").args([&text, &tool]).status();
    assert!(install.unwrap().success());
    assert_eq!(source.read(&variables).unwrap().expose(), "secret");
    let other = Source::Keyring("other".to_owned());
    assert!(matches!(other.read(&variables), Err(Error::NotInKeyring)));
}

#[test]
fn a_command_runs_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "beside\n").unwrap();
    let source = Source::Command {
        line: "cat secret".to_owned(),
        folder: folder.path().to_owned(),
    };
    assert_eq!(
        source.read(&Variables::default()).unwrap().expose(),
        "beside"
    );
}

#[test]
fn a_command_has_no_input() {
    assert_eq!(command("cat; echo end").unwrap(), "end");
}

#[test]
fn a_command_line_is_in_no_debug_output() {
    let source = Source::Command {
        line: "login --password hunter2".to_owned(),
        folder: "/".into(),
    };
    assert_eq!(format!("{source:?}"), "cmd:…");
}
