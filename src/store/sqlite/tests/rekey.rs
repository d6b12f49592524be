//! Another key: what becomes of what is stored, of who has the store open, and of who is killed.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    secret::Secret,
    store::{Change, Cookies, NewKey, Replacement},
};

fn drawn() -> Replacement {
    Replacement {
        key: NewKey::Drawn,
        age: None,
        now: SystemTime::now(),
    }
}

/// Everything that a session may have: a grant, notes, cookies, and what was before.
async fn fill(store: &Store) {
    for id in [id(), other()] {
        let change = |n: u64| Change {
            grant: Some(grant(&format!("{id} {n}"))),
            cookies: Cookies::Replace(vec![cookie("a", &n.to_string()), cookie("b", "1")]),
            notes: Some(notes()),
            keep_previous: true,
            ..to(n)
        };
        done(store, &id, 0, change(1)).await;
        done(store, &id, 1, change(2)).await;
    }
}

async fn all(store: &Store) -> String {
    let mut all = String::new();
    for id in [id(), other()] {
        let mut now = store.load(&id).await.unwrap().unwrap();
        let mut before = store.previous(&id).await.unwrap().unwrap();
        for stored in [&mut now, &mut before] {
            stored.cookies.sort_by_key(|cookie| cookie.name.clone());
            let value = stored
                .grant
                .field("access_token")
                .map(|v| v.expose().to_owned());
            let cookies: Vec<_> = stored
                .cookies
                .iter()
                .map(|cookie| cookie.value.expose().to_vec())
                .collect();
            let (generation, notes) = (stored.generation, &stored.notes);
            all += &format!("{id} {generation} {value:?} {cookies:?} {notes:?}\n");
        }
    }
    all
}

#[tokio::test]
async fn everything_is_there_with_another_key() {
    let home = Home::new();
    let (store, beside) = (home.open(), home.open());
    fill(&store).await;
    let key = fs::read(home.key()).unwrap();
    let lasting = |store: &Store| {
        let key = *store.key("stand-ins").expose();
        (store.fingerprint("refresh", b"token"), key)
    };
    let lasts = lasting(&store);
    for generation in 2..5 {
        let before = all(&store).await;
        let records = store.replace_key(drawn()).await.unwrap().unwrap();
        assert!(
            records >= 2 * 5,
            "grant, notes, cookies, what was before: {records}"
        );
        assert_eq!(all(&store).await, before);
        assert_eq!(all(&beside).await, before, "who had it open reads on");
        done(&beside, &id(), generation, to(generation + 1)).await;
        let now = store.load(&id()).await.unwrap().unwrap();
        assert_eq!(now.generation, Generation(generation + 1), "and writes on");
        assert_eq!(
            [lasting(&store), lasting(&beside)],
            [lasts.clone(), lasts.clone()]
        );
    }
    assert_ne!(fs::read(home.key()).unwrap(), key);
    assert!(!home.0.path().join("store.key.next").exists());
    store.close().await.unwrap();
    beside.close().await.unwrap();
    let again = home.open();
    assert_eq!(lasting(&again), lasts);
    assert_eq!(
        again.load(&other()).await.unwrap().unwrap().generation,
        Generation(2)
    );
    again.close().await.unwrap();
    fs::write(home.key(), key).unwrap();
    let error = Store::open(home.config()).unwrap_err();
    assert!(matches!(error, Error::WrongKey(_)), "{error}");
}

/// 5.4.11: a process that was killed has left both files; whichever is the store's key is found and put in its place.
#[tokio::test]
async fn one_of_two_keys_opens_whatever_was_cut_off() {
    for committed in [false, true] {
        let home = Home::new();
        let store = home.open();
        fill(&store).await;
        let (before, old) = (all(&store).await, fs::read(home.key()).unwrap());
        if committed {
            store.replace_key(drawn()).await.unwrap();
        }
        // It stays open, and sees neither file change.
        let next = home.0.path().join("store.key.next");
        if committed {
            fs::rename(home.key(), &next).unwrap();
            fs::write(home.key(), &old).unwrap();
        } else {
            key::make(&next).unwrap();
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(home.key(), private).unwrap();
        let found = home.open();
        assert_eq!(all(&found).await, before, "{committed}");
        assert!(!next.exists(), "{committed}");
        assert_eq!(fs::read(home.key()).unwrap() != old, committed);
        found.replace_key(drawn()).await.unwrap();
        assert_eq!(all(&store).await, before, "{committed}");
    }
}

/// Handles that write while the key is replaced again and again lose nothing and write nothing that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_the_key_is_replaced() {
    let home = Home::new();
    let store = home.open();
    done(&store, &id(), 0, to(1)).await;
    let writing = {
        let other = home.open();
        tokio::spawn(async move {
            for n in 1..200u64 {
                let change = Change {
                    grant: Some(grant(&n.to_string())),
                    ..to(n + 1)
                };
                done(&other, &id(), n, change).await;
                let stored = other.load(&id()).await.unwrap().unwrap();
                assert_eq!(stored.generation, Generation(n + 1));
            }
        })
    };
    let mut times = 0;
    while !writing.is_finished() {
        store.replace_key(drawn()).await.unwrap();
        times += 1;
    }
    writing.await.unwrap();
    assert!(times > 1, "{times}");
    let stored = home.open().load(&id()).await.unwrap().unwrap();
    assert_eq!(stored.generation, Generation(200));
}

#[tokio::test]
async fn a_key_is_replaced_when_it_is_old_enough() {
    let home = Home::new();
    let store = home.open();
    done(&store, &id(), 0, to(1)).await;
    let day = Duration::from_secs(24 * 3600);
    let asked = |now| Replacement {
        age: Some(90 * day),
        now,
        ..drawn()
    };
    let now = SystemTime::now();
    let replaced = async |now| store.replace_key(asked(now)).await.unwrap().is_some();
    assert!(!replaced(now).await);
    assert!(!replaced(now + 89 * day).await);
    assert!(replaced(now + 91 * day).await);
    assert!(!replaced(now + 91 * day).await, "it is new");
    assert!(!replaced(now - day).await, "a clock that went back");
}

/// Where no file can be replaced, the new key is given, and nobody may be left behind with the old.
#[tokio::test]
async fn a_key_from_elsewhere_is_given() {
    let home = Home::new();
    let config = |text: &Secret| {
        let place = "env:KEY".to_owned();
        let text = text.clone();
        Config::sqlite(home.db(), key::Source::Text { place, text })
    };
    let (first, second) = (key::generate(), key::generate());
    let store = Store::open(config(&first)).unwrap();
    fill(&store).await;
    let before = all(&store).await;
    let error = store.replace_key(drawn()).await.unwrap_err();
    assert!(matches!(error, Error::KeyElsewhere(_)), "{error}");
    let given = || Replacement {
        key: NewKey::Given(key::parse("given", &second).unwrap()),
        ..drawn()
    };
    let beside = Store::open(config(&first)).unwrap();
    let error = store.replace_key(given()).await.unwrap_err();
    assert!(matches!(error, Error::NotAlone), "{error}");
    beside.close().await.unwrap();
    drop(beside);
    assert_eq!(all(&store).await, before);
    store.replace_key(given()).await.unwrap();
    assert_eq!(all(&store).await, before);
    store.close().await.unwrap();
    drop(store);
    assert!(matches!(
        Store::open(config(&first)),
        Err(Error::WrongKey(_))
    ));
    assert_eq!(all(&Store::open(config(&second)).unwrap()).await, before);
}

#[tokio::test]
async fn a_damaged_record_keeps_the_key() {
    let home = Home::new();
    let store = home.open();
    fill(&store).await;
    let key = fs::read(home.key()).unwrap();
    let damage = "UPDATE record SET sealed = x'0102' WHERE kind = 'grant' AND session = 2";
    assert_eq!(home.raw().execute(damage, ()).unwrap(), 1);
    let error = store.replace_key(drawn()).await.unwrap_err();
    assert!(matches!(error, Error::Damaged(_)), "{error}");
    assert_eq!(fs::read(home.key()).unwrap(), key);
    assert!(!home.0.path().join("store.key.next").exists());
    assert!(
        store.load(&id()).await.unwrap().is_some(),
        "the others are as they were"
    );
    store.forget(&other()).await.unwrap();
    store.replace_key(drawn()).await.unwrap();
    assert!(store.load(&id()).await.unwrap().is_some());
}
