//! What is opened, what is refused, and that a refusal changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use super::*;
use crate::secret::Secret;

/// The files of the store as they are (a hash of each), but for those that only open connections have.
fn files(home: &Home) -> BTreeMap<PathBuf, u64> {
    fs::read_dir(home.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .filter(|path| !path.to_str().unwrap().ends_with("-shm"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(path, bytes)| {
            (
                path,
                BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes),
            )
        })
        .collect()
}

async fn used() -> Home {
    let home = Home::new();
    let store = home.open();
    done(&store, &id(), 0, to(1)).await;
    store.close().await.unwrap();
    home
}

fn text_key(byte: &str) -> Option<key::Source> {
    Some(key::Source::Text {
        place: "env:STORE_KEY".to_owned(),
        text: Secret::new(byte.repeat(32)),
    })
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_and_deletes_nothing() {
    let home = used().await;
    let before = files(&home);
    let wrong = Config {
        key: text_key("ab"),
        ..home.config()
    };
    let error = Store::open(wrong).unwrap_err();
    assert!(matches!(&error, Error::WrongKey(place) if place.ends_with("test.db")));
    let aside = home.0.path().join("aside");
    fs::rename(home.key(), &aside).unwrap();
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(&error, Error::NoKey(place) if place.contains("store.key")));
    assert!(error.hint().unwrap().contains("nothing was deleted"));
    assert!(!home.key().exists(), "a new key would hide the loss");
    let none = Config {
        key: None,
        ..home.config()
    };
    assert!(matches!(Store::open(none), Err(Error::NoKey(_))));
    fs::rename(&aside, home.key()).unwrap();
    assert_eq!(files(&home), before);
    assert_eq!(held(&home.open(), &id()).await.grant, grant("token-1"));
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = used().await;
    fs::set_permissions(home.key(), fs::Permissions::from_mode(0o604)).unwrap();
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(&error, Error::Key { place, .. } if place.ends_with("store.key")));
    assert!(error.to_string().contains("0604"), "{error}");
}

#[tokio::test]
async fn an_empty_store_takes_the_key_there_is() {
    let home = Home::new();
    home.open().close().await.unwrap();
    let first = fs::read(home.key()).unwrap();
    fs::remove_file(home.key()).unwrap();
    let store = home.open();
    assert_ne!(fs::read(home.key()).unwrap(), first);
    done(&store, &id(), 0, to(1)).await;
    store.close().await.unwrap();
    assert_eq!(held(&home.open(), &id()).await.grant, grant("token-1"));
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_left_alone() {
    let home = used().await;
    let newer = home.raw();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = files(&home);
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(error, Error::Newer(99)), "{error}");
    assert_eq!(files(&home), before);

    let home = Home::new();
    home.raw()
        .execute_batch("CREATE TABLE moz_cookies (id)")
        .unwrap();
    let before = files(&home);
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(files(&home), before);

    let home = Home::new();
    fs::write(home.db(), "# a configuration, say\n".repeat(100)).unwrap();
    let before = files(&home);
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(files(&home), before);
}

#[tokio::test]
async fn files_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    for round in 0..2 {
        let store = home.open();
        done(&store, &id(), round, to(round + 1)).await;
        drop(store.lease(&id(), LEASE).await.unwrap());
        let mut seen = Vec::new();
        for entry in fs::read_dir(home.0.path()).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{}", path.display());
            seen.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        seen.sort();
        let all = [
            "store.key",
            "test.db",
            "test.db-shm",
            "test.db-wal",
            "test.db.locks",
        ];
        assert_eq!(seen, all);
        store.close().await.unwrap();
        // Somebody copied it here with another mode.
        fs::set_permissions(home.db(), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let home = Home::new();
    fs::write(home.0.path().join("file"), "").unwrap();
    for path in ["file/test.db", "file/x/test.db", "."] {
        let path = home.0.path().join(path);
        let key = key::Source::File(home.key());
        let error = Store::open(Config::sqlite(&path, key)).unwrap_err();
        let Error::Open { place, .. } = &error else {
            panic!("{error}");
        };
        assert!(path.starts_with(place) || place.starts_with(path.to_str().unwrap()));
        assert!(error.hint().is_some());
    }
}

#[test]
fn many_may_open_an_empty_store_at_once() {
    let home = Home::new();
    let stores = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| home.open())).collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    let print = |store: &Store| store.fingerprint("x", b"y");
    assert!(stores.iter().all(|store| print(store) == print(&stores[0])));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let home = used().await;
    let store = home.open();
    let clone = store.clone();
    let mut changes = store.changes();
    store.close().await.unwrap();
    clone.close().await.unwrap();
    assert_eq!(changes.next().await, None);
    assert_eq!(clone.changes().next().await, None);
    assert!(matches!(clone.load(&id()).await, Err(Error::Closed)));
    let commit = clone
        .commit(&id(), Generation(1), to(2), Durability::Synced)
        .await;
    assert!(matches!(commit, Err(Error::Closed)));
    assert!(matches!(clone.writable().await, Err(Error::Closed)));
    assert!(matches!(clone.flush().await, Err(Error::Closed)));
}
