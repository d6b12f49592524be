//! Installing on made-up machines: their folders are temporary, their commands write down what they are asked.

use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::ca::Root;

struct Fake {
    folder: TempDir,
    machine: Machine,
    anchor: Anchor,
}

impl Fake {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = Root::open(&folder.path().join("my certs"), None, SystemTime::now()).unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        Self {
            machine: Machine {
                root: folder.path().to_owned(),
                home: Some(folder.path().join("home")),
                path: bin.into(),
            },
            anchor: Anchor::read(&root.path()).unwrap(),
            folder,
        }
    }

    fn with_folder(self, path: &str) -> Self {
        fs::create_dir_all(self.machine.at(path)).unwrap();
        self
    }

    fn with_command(self, name: &str, then: &str) -> Self {
        let path = self.folder.path().join("bin").join(name);
        let text = self.folder.path().join("script");
        let log = self.folder.path().join("log");
        let script = format!(
            "#!/bin/sh\necho {name} \"$@\" >>'{}'\n{then}\n",
            log.display()
        );
        fs::write(&text, script).unwrap();
        // By another process: what we write is open, for a moment, in each child that another thread starts meanwhile,
        // and what is open for writing cannot be run (ETXTBSY).
        let install = Command::new("install").args([&text, &path]).status();
        assert!(install.unwrap().success());
        self
    }

    fn log(&self) -> String {
        let log = self.folder.path().join("log");
        let said = fs::read_to_string(&log).unwrap_or_default();
        fs::remove_file(log).ok();
        said
    }
}

fn outcomes(steps: &[Step]) -> Vec<Outcome> {
    steps.iter().map(|step| step.outcome.clone()).collect()
}

#[test]
fn every_system_has_its_folder_and_command() {
    for (folder, ending, command, install, uninstall) in [
        (
            "/usr/local/share/ca-certificates",
            "crt",
            "update-ca-certificates",
            "update-ca-certificates\n",
            "update-ca-certificates --fresh\n",
        ),
        (
            "/etc/pki/ca-trust/source/anchors",
            "pem",
            "update-ca-trust",
            "update-ca-trust extract\n",
            "update-ca-trust extract\n",
        ),
        (
            "/etc/ca-certificates/trust-source/anchors",
            "pem",
            "update-ca-trust",
            "update-ca-trust extract\n",
            "update-ca-trust extract\n",
        ),
        (
            "/etc/pki/trust/anchors",
            "pem",
            "update-ca-certificates",
            "update-ca-certificates\n",
            "update-ca-certificates --fresh\n",
        ),
    ] {
        let fake = Fake::new().with_folder(folder).with_command(command, "");
        let Fake {
            machine, anchor, ..
        } = &fake;
        let file = machine
            .at(folder)
            .join(format!("{}.{ending}", anchor.file_stem()));
        assert_eq!(
            outcomes(&machine.install(anchor)),
            [Outcome::Done],
            "{folder}"
        );
        assert_eq!(fs::read(&file).unwrap(), anchor.pem);
        assert_eq!(fake.log(), install);
        assert_eq!(outcomes(&machine.install(anchor)), [Outcome::Already]);
        assert_eq!(fake.log(), "", "nothing is run when nothing changed");
        assert_eq!(outcomes(&machine.uninstall(anchor)), [Outcome::Done]);
        assert!(!file.exists());
        assert_eq!(fake.log(), uninstall);
        assert_eq!(outcomes(&machine.uninstall(anchor)), [Outcome::Already]);
    }
}

/// macOS: the user's keychain by its own command, which here keeps a list of what is in it.
#[test]
fn a_keychain_takes_it_in_and_lets_it_go() {
    let folder = "/System/Library/Keychains";
    let fake = Fake::new().with_folder(folder);
    let hash = fake.anchor.fingerprint().to_uppercase();
    let list = fake.folder.path().join("list");
    let list = list.display();
    let fake = fake.with_command(
        "security",
        &format!(
            "case $1 in\n\
             find-certificate) echo 'SHA-256 hash: 00FF'; cat '{list}' 2>/dev/null; exit 0;;\n\
             add-trusted-cert) echo 'SHA-256 hash: {hash}' >'{list}';;\n\
             delete-certificate) rm '{list}';;\n\
             esac"
        ),
    );
    let Fake {
        machine, anchor, ..
    } = &fake;
    let home = machine.home.as_ref().unwrap();
    let keychain = home.join("Library/Keychains/login.keychain-db");
    let (keychain, path) = (keychain.display(), anchor.path.display());
    let find = format!("security find-certificate -a -Z {keychain}\n");
    let add = format!("security add-trusted-cert -r trustRoot -k {keychain} {path}\n");
    let delete = format!("security delete-certificate -t -Z {hash} {keychain}\n");
    for (way, outcome, asked) in [
        (Way::Out, Outcome::Already, ""),
        (Way::In, Outcome::Done, &*add),
        (Way::In, Outcome::Already, ""),
        (Way::Out, Outcome::Done, &*delete),
        (Way::Out, Outcome::Already, ""),
    ] {
        let step = system::apply(machine, anchor, way);
        assert_eq!((&*step.place, step.outcome), ("login keychain", outcome));
        assert_eq!(fake.log(), format!("{find}{asked}"));
    }
    let none = Fake::new().with_folder(folder);
    let step = system::apply(&none.machine, &none.anchor, Way::In);
    assert!(matches!(step.outcome, Outcome::Failed(_)), "{step}");
    let refused = Fake::new().with_folder(folder).with_command(
        "security",
        "[ $1 = find-certificate ] || { echo SecTrustSettings: cancelled by the user >&2; exit 1; }",
    );
    let step = system::apply(&refused.machine, &refused.anchor, Way::In);
    let why = "SecTrustSettings: cancelled by the user".to_owned();
    assert_eq!(step.outcome, Outcome::Failed(why));
}

#[test]
fn without_the_rights_the_command_is_told() {
    let folder = "/usr/local/share/ca-certificates";
    let fake = Fake::new()
        .with_folder(folder)
        .with_command("update-ca-certificates", "");
    let Fake {
        machine, anchor, ..
    } = &fake;
    let target = machine
        .at(folder)
        .join(format!("{}.crt", anchor.file_stem()));
    let store = &system::STORES[0];
    let program = machine.find("update-ca-certificates").unwrap();
    let command = store.by_hand(&target, &program, anchor, Way::In);
    let (from, to) = (anchor.path.display(), target.display());
    let expected = format!(
        "sudo install -m 0644 '{from}' {to} && sudo {}",
        program.display()
    );
    assert_eq!(command, expected);
    let command = store.by_hand(&target, &program, anchor, Way::Out);
    assert_eq!(
        command,
        format!("sudo rm {to} && sudo {}", program.display())
    );
}

#[test]
fn a_command_that_fails_is_quoted() {
    let fake = Fake::new()
        .with_folder("/usr/local/share/ca-certificates")
        .with_command(
            "update-ca-certificates",
            "echo first >&2; echo no space left >&2; exit 3",
        );
    let steps = fake.machine.install(&fake.anchor);
    assert_eq!(outcomes(&steps), [Outcome::Failed("no space left".into())]);
    let unknown = Fake::new();
    let steps = unknown.machine.install(&unknown.anchor);
    assert!(
        steps[0]
            .to_string()
            .starts_with("system: failed: no store that we know of; add ")
    );
}

#[test]
fn browsers_databases_are_found_and_written() {
    let fake = Fake::new();
    let home = fake.machine.home.clone().unwrap();
    for folder in [
        ".pki/nssdb",
        ".mozilla/firefox/abc.default",
        ".mozilla/firefox/empty",
    ] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    for folder in [".pki/nssdb", ".mozilla/firefox/abc.default"] {
        fs::write(home.join(folder).join("cert9.db"), "").unwrap();
    }
    // Without the tool it is said what to install.
    let steps = fake.machine.install(&fake.anchor);
    assert_eq!(steps.len(), 3);
    assert!(
        steps[1].to_string().contains("libnss3-tools"),
        "{}",
        steps[1]
    );
    // With a real one, real databases.
    let machine = Machine {
        path: env::var_os("PATH").unwrap(),
        ..fake.machine.clone()
    };
    for folder in [".pki/nssdb", ".mozilla/firefox/abc.default"] {
        let folder = home.join(folder);
        fs::remove_file(folder.join("cert9.db")).unwrap();
        let database = format!("sql:{}", folder.display());
        let made = Command::new("certutil")
            .args(["-N", "-d", &database, "--empty-password"])
            .status();
        assert!(made.expect("certutil is needed: libnss3-tools").success());
    }
    for (way, expected) in [
        (Way::In, Outcome::Done),
        (Way::In, Outcome::Already),
        (Way::Out, Outcome::Done),
        (Way::Out, Outcome::Already),
    ] {
        let steps = nss::apply(&machine, &fake.anchor, way);
        assert_eq!(outcomes(&steps), [expected.clone(), expected], "{steps:?}");
    }
}

#[test]
fn words_are_quoted_for_a_shell() {
    for (word, expected) in [
        ("/etc/ssl/a_b-c.pem", "/etc/ssl/a_b-c.pem"),
        ("/my certs/ca.pem", "'/my certs/ca.pem'"),
        ("it's", r"'it'\''s'"),
        ("", "''"),
        ("$(x)", "'$(x)'"),
    ] {
        assert_eq!(quoted(word), expected);
    }
}
