//! The CA's folder in every state.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::SystemTime};

use tempfile::TempDir;

use super::Root;

#[test]
fn first_starts_at_once_agree() {
    let folder = TempDir::new().unwrap();
    let all = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Root::open(folder.path(), None, SystemTime::now()).unwrap()))
            .collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(all.iter().all(|root| root.der() == all[0].der()));
    assert_eq!(all.iter().filter(|root| root.is_new()).count(), 1);
}

#[test]
fn a_folder_that_is_wrong_is_refused_with_a_hint() {
    let now = SystemTime::now();
    let other = TempDir::new().unwrap();
    Root::open(other.path(), None, now).unwrap();
    type Spoil = fn(&Path, &Path);
    let cases: [(&str, Spoil, &str, &str); 8] = [
        (
            "mode",
            |f, _| {
                fs::set_permissions(f.join("ca.key"), fs::Permissions::from_mode(0o640)).unwrap();
            },
            "(its mode is 0640)",
            "chmod 600 ",
        ),
        (
            "no key",
            |f, _| fs::remove_file(f.join("ca.key")).unwrap(),
            "is there, but not",
            "put ",
        ),
        (
            "no certificate",
            |f, _| fs::remove_file(f.join("ca.pem")).unwrap(),
            "is there, but not",
            "put ",
        ),
        (
            "another's key",
            |f, o| {
                fs::copy(o.join("ca.key"), f.join("ca.key")).unwrap();
            },
            "is not the key of",
            "renew",
        ),
        (
            "no PEM",
            |f, _| fs::write(f.join("ca.pem"), "x").unwrap(),
            "holds no certificate",
            "ca.pem",
        ),
        (
            "cut short",
            |f, _| {
                let text = fs::read_to_string(f.join("ca.pem")).unwrap();
                fs::write(f.join("ca.pem"), &text[..200]).unwrap();
            },
            "is not PEM",
            "ca.pem",
        ),
        (
            "no X.509",
            |f, _| {
                fs::write(
                    f.join("ca.pem"),
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                )
                .unwrap();
            },
            "holds no X.509 certificate",
            "ca.pem",
        ),
        (
            "empty key",
            |f, _| fs::write(f.join("ca.key"), "").unwrap(),
            "no private key",
            "PKCS#8",
        ),
    ];
    for (name, spoil, message, hint) in cases {
        let folder = TempDir::new().unwrap();
        Root::open(folder.path(), None, now).unwrap();
        spoil(folder.path(), other.path());
        let error = Root::open(folder.path(), None, now).unwrap_err();
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert!(
            error.hint().unwrap().contains(hint),
            "{name}: {:?}",
            error.hint()
        );
    }
}

#[test]
fn a_renewed_root_replaces_ours_and_keeps_the_old_certificate() {
    let folder = TempDir::new().unwrap();
    let now = SystemTime::now();
    let old = Root::open(folder.path(), None, now).unwrap();
    let new = Root::renew(folder.path(), None, now).unwrap();
    assert_ne!(old.name(), new.name());
    assert_eq!(
        fs::read_to_string(Root::old_file(folder.path())).unwrap(),
        old.pem()
    );
    assert_eq!(Root::load(folder.path(), now).unwrap().der(), new.der());
    let newest = Root::renew(folder.path(), None, now).unwrap();
    assert_eq!(
        Root::own(folder.path()),
        [&newest, &new, &old].map(|root| root.der().clone())
    );
}
