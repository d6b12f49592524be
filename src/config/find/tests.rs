use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::config::load;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn variables(pairs: &[(&str, &Path)]) -> Variables {
    pairs.iter().map(|(key, value)| (*key, *value)).collect()
}

#[test]
fn the_order_is_option_variable_folder_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let file = home.join("staysigned/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    let other = folder.path().join("other.toml");
    let with = variables(&[("STAYSIGNED_CONFIG", &other), ("XDG_CONFIG_HOME", &home)]);
    let without = variables(&[("XDG_CONFIG_HOME", &home)]);
    let here = folder.path();
    let found = |option: Option<&Path>, variables: &Variables| {
        find(option, variables, here).map(|place| (place.found, place.path))
    };

    let option = Path::new("x.toml");
    assert_eq!(
        found(Some(option), &with).unwrap(),
        (Found::Option, option.into())
    );
    assert_eq!(found(None, &with).unwrap(), (Found::Variable, other));
    assert_eq!(found(None, &without).unwrap(), (Found::Home, file));
    std::fs::write(here.join("config.toml"), "[proxy]\n").unwrap();
    mode(&here.join("config.toml"), 0o600);
    let local = (Found::Folder, PathBuf::from("config.toml"));
    assert_eq!(found(None, &without).unwrap(), local);

    let error = find(None, &Variables::default(), &home).unwrap_err();
    assert!(error.to_string().contains("staysigned init"), "{error}");
}

#[test]
fn a_file_in_the_folder_counts_only_if_it_is_ours_and_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let cases = [
        ("[proxy]\n", 0o644, None),
        ("[session.app]\nbroken = \n", 0o600, None),
        ("[package]\nname = \"x\"\n", 0o600, Some("neither")),
        ("proxy = 1\n", 0o600, Some("neither")),
        ("[proxy]\n", 0o646, Some("others may write")),
    ];
    for (text, bits, reason) in cases {
        std::fs::write(&path, text).unwrap();
        mode(&path, bits);
        let found = passed_over(&path).unwrap();
        match reason {
            None => assert_eq!(found, None, "{text} {bits:o}"),
            Some(reason) => assert!(found.unwrap().contains(reason), "{text} {bits:o}"),
        }
    }
    assert!(
        passed_over(folder.path())
            .unwrap()
            .unwrap()
            .contains("no file")
    );
    std::fs::remove_file(&path).unwrap();
    assert!(passed_over(&path).is_err());
    symlink("/dev/null", &path).unwrap();
    assert!(passed_over(&path).unwrap().is_some());
}

#[test]
fn a_file_passed_over_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "[package]\n").unwrap();
    let error = find(None, &Variables::default(), folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("./config.toml is passed over"),
        "{error}"
    );
}

/// Nor a browser, unless a built-in provider does and says where it goes: what a person holds elsewhere could be put on
/// a host of the file's choice.
#[test]
fn found_in_the_folder_it_may_name_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let text = "[store]\nkey = \"cmd:true\"\n[clients.a]\npassword = \"cmd:true\"\n\
                [session.films]\nclients = [\"*\"]\nprovider = \"mubi\"\nrefresh = { from = \"brave\" }\n\
                [session.mine]\nclients = [\"*\"]\nprovider = \"mubi\"\nbind = [{ host = \"mine.test\" }]\n\
                [session.yours]\nclients = [\"*\"]\nbind = [{ host = \"yours.test\" }]\ncookies = { }\n\
                refresh = { kind = \"import\", from = \"firefox\" }\n";
    std::fs::write(&path, text).unwrap();
    let load = |found| {
        let path = path.clone();
        let notes = Vec::new();
        load(&Place { path, found, notes }, &Variables::default())
    };
    assert!(load(Found::Home).is_ok());
    let errors = load(Found::Folder).map(|_| ()).unwrap_err();
    assert_eq!(errors.0.len(), 4, "{errors}");
    assert!(
        errors.to_string().contains("may name no command"),
        "{errors}"
    );
    let of_browser = "may read nothing of a person's";
    assert!(errors.to_string().contains(of_browser), "{errors}");
}

#[test]
fn what_is_no_configuration_is_refused_without_reading_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, vec![b'#'; (16 << 20) + 1]).unwrap();
    assert!(
        read(&path, Trust::Anybodys)
            .unwrap_err()
            .to_string()
            .contains("larger")
    );
    std::fs::write(&path, b"[proxy]\nx = \"\xff\"\n").unwrap();
    let error = read(&path, Trust::Anybodys).unwrap_err().to_string();
    assert!(error.contains("line 2 is not UTF-8"), "{error}");
    assert!(read(folder.path(), Trust::Anybodys).is_err());
}
