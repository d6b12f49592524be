//! What every store must do: each case runs against each store, on two handles of the same data that stand for two
//! processes. Another store is put to it in `stores`.

use std::time::{Duration, SystemTime};

use self::{sharing::*, stores::*, trouble::*};
use super::*;
use crate::secret::Secret;

mod sharing;
mod stores;
mod trouble;

/// The time limit of leases; where one is to run out, on a machine that is busy with other things.
pub(in crate::store) const LEASE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(2);

macro_rules! conformance {
    ($name:ident $limit:ident: $($case:ident)*) => {
        mod $name {
            mod in_memory {
                use super::super::*;
                $(#[tokio::test] async fn $case() { super::super::$case(memory($limit)).await; })*
            }
            mod in_sqlite {
                use super::super::*;
                $(#[tokio::test] async fn $case() { super::super::$case(sqlite($limit)).await; })*
            }
        }
    };
}

conformance! { in_time SHORT:
    a_lease_ends_with_its_time
}

conformance! { usual LEASE:
    a_lease_ends_with_its_holder
    a_change_is_seen_within_a_tenth_of_a_second
    a_store_that_takes_nothing_says_so_before_anything_is_spent
    nothing_is_stored_at_first
    a_commit_is_read_back_whole
    a_stale_commit_writes_nothing
    what_is_none_stays
    cookies_are_patched_and_replaced
    previous_is_what_was_before
    what_was_forgotten_stays_forgotten
    sessions_are_apart
    changes_are_told
    a_change_is_told_to_those_who_listen
    a_lease_has_one_holder
    a_lease_that_is_held_need_not_be_waited_for
    a_turn_has_one_holder_and_is_new_after_another
    a_waiter_that_gives_up_leaves_the_queue
    no_update_is_lost
    of_those_who_commit_to_one_generation_one_does
    what_nobody_waits_for_is_done
    fingerprints_are_equal_in_all_handles
}

pub(in crate::store) fn id() -> SessionId {
    SessionId::new("books", None)
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

pub(in crate::store) fn cookie(name: &str, value: &str) -> jar::Cookie {
    jar::Cookie {
        name: name.into(),
        value: Secret::new(value.into()),
        domain: "example.com".into(),
        path: "/".into(),
        host_only: false,
        secure: true,
        http_only: true,
        same_site: Some(jar::SameSite::Lax),
        expires: Some(at(4_000_000_000_123)),
        created: at(1_700_000_000_456),
        assumed: true,
    }
}

pub(in crate::store) fn grant(token: &str) -> Grant {
    Grant {
        fields: [("access_token".to_owned(), Secret::from(token))].into(),
        expires_at: Some(at(4_000_000_000_000)),
        obtained_at: Some(at(1_700_000_000_000)),
    }
}

pub(in crate::store) fn notes() -> Notes {
    Notes {
        attempt: Some(Attempt {
            token: "abc".into(),
            generation: Generation(3),
            started: at(1_700_000_000_001),
            call: 5,
        }),
        calls: 7,
        came_of: Some(CameOf {
            call: 6,
            spent: "def".into(),
            brought: "abc".into(),
        }),
        needs_login: Some("lost rotation".into()),
        vain: Some(Note {
            at: at(5),
            generation: Generation(4),
            shown: true,
        }),
        confirmed: [("a".into(), "b".into())].into(),
        taken: [("env:X".into(), "f".into())].into(),
        last_refresh: Some((at(6), "ok".into(), 143)),
    }
}

/// A change to this generation, with a grant of that number.
pub(in crate::store) fn to(generation: u64) -> Change {
    Change {
        generation: Generation(generation),
        grant: Some(grant(&format!("token-{generation}"))),
        ..Change::default()
    }
}

pub(in crate::store) fn patch(put: &[jar::Cookie], remove: &[&jar::Cookie]) -> Change {
    Change {
        cookies: Cookies::Patch {
            put: put.to_vec(),
            remove: remove.iter().map(|c| cookie_key(c)).collect(),
        },
        ..Change::default()
    }
}

pub(in crate::store) async fn done(store: &Store, id: &SessionId, expected: u64, change: Change) {
    let committed = store
        .commit(id, Generation(expected), change, Durability::Written)
        .await
        .unwrap();
    assert!(matches!(committed, Committed::Done), "{committed:?}");
}

pub(in crate::store) async fn held(store: &Store, id: &SessionId) -> Stored {
    sorted(store.load(id).await.unwrap().expect("something is stored"))
}

fn sorted(mut stored: Stored) -> Stored {
    stored.cookies.sort_by_key(cookie_key);
    stored
}

fn values(stored: &Stored) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
    let pair = |c: &jar::Cookie| format!("{}={}", text(&c.name), text(c.value.expose()));
    stored
        .cookies
        .iter()
        .map(pair)
        .collect::<Vec<_>>()
        .join(" ")
}

async fn nothing_is_stored_at_first(Pair { one, two, .. }: Pair) {
    for store in [one, two] {
        assert_eq!(store.load(&id()).await.unwrap(), None);
        assert_eq!(store.previous(&id()).await.unwrap(), None);
        assert_eq!(store.list().await.unwrap(), []);
        store.forget(&id()).await.unwrap();
        assert_eq!(store.load(&id()).await.unwrap(), None);
        store.writable().await.unwrap();
        store.flush().await.unwrap();
    }
}

async fn a_commit_is_read_back_whole(Pair { one, two, .. }: Pair) {
    let mut odd = cookie("n", "v");
    odd.name = vec![0xff, b'"', 0, b'\\'];
    odd.value = Secret::new(vec![0x80, b';', 0xc3]);
    odd.same_site = None;
    odd.expires = None;
    odd.created = SystemTime::UNIX_EPOCH - Duration::new(1, 1);
    let mut rich = grant("t\u{1f36a}\"\\\n");
    rich.fields.insert("refresh_token".into(), Secret::from(""));
    rich.expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_000_000_000_000));
    let change = Change {
        generation: Generation(1),
        grant: Some(rich.clone()),
        cookies: Cookies::Replace(vec![odd.clone(), cookie("sid", "s1")]),
        notes: Some(notes()),
        keep_previous: true,
    };
    for (how, id) in [
        (Durability::Written, id()),
        (Durability::Synced, SessionId::new("books", Some("alice"))),
    ] {
        let change = change.clone();
        let committed = one.commit(&id, Generation(0), change, how).await.unwrap();
        assert!(matches!(committed, Committed::Done));
        let expected = sorted(Stored {
            generation: Generation(1),
            grant: rich.clone(),
            cookies: vec![odd.clone(), cookie("sid", "s1")],
            notes: notes(),
        });
        assert_eq!(held(&one, &id).await, expected);
        assert_eq!(held(&two, &id).await, expected);
        assert_eq!(one.previous(&id).await.unwrap(), None, "there was nothing");
    }
}

async fn a_stale_commit_writes_nothing(Pair { one, two, .. }: Pair) {
    done(&one, &id(), 0, to(1)).await;
    done(&two, &id(), 1, to(2)).await;
    for expected in [0, 1, 3] {
        let mut change = to(9);
        change.cookies = Cookies::Replace(vec![cookie("a", "1")]);
        change.notes = Some(notes());
        let committed = one
            .commit(&id(), Generation(expected), change, Durability::Synced)
            .await
            .unwrap();
        let Committed::Conflict(stored) = committed else {
            panic!("{expected} is not stored");
        };
        assert_eq!(*stored, held(&two, &id()).await);
        assert_eq!(stored.grant, grant("token-2"));
        assert!(stored.cookies.is_empty() && stored.notes == Notes::default());
    }
    let other = SessionId::new("new", None);
    let committed = one
        .commit(&other, Generation(4), to(5), Durability::Written)
        .await
        .unwrap();
    let Committed::Conflict(stored) = committed else {
        panic!("nothing is stored there");
    };
    assert_eq!(*stored, Stored::default());
    assert_eq!(one.load(&other).await.unwrap(), None);
}

async fn what_is_none_stays(Pair { one, .. }: Pair) {
    let mut first = to(1);
    first.cookies = Cookies::Replace(vec![cookie("a", "1")]);
    first.notes = Some(notes());
    done(&one, &id(), 0, first).await;
    let before = held(&one, &id()).await;
    done(&one, &id(), 1, Change::default()).await;
    assert_eq!(held(&one, &id()).await, before);
    let change = Change {
        notes: Some(Notes::default()),
        ..Change::default()
    };
    done(&one, &id(), 1, change).await;
    let after = held(&one, &id()).await;
    let notes = Notes::default();
    assert_eq!(after, Stored { notes, ..before });
}

async fn cookies_are_patched_and_replaced(Pair { one, two, .. }: Pair) {
    let (a, b, c) = (cookie("a", "1"), cookie("b", "1"), cookie("c", "1"));
    done(&one, &id(), 0, patch(&[a.clone(), b.clone()], &[])).await;
    assert_eq!(held(&two, &id()).await.generation, Generation(0));
    done(&one, &id(), 0, patch(&[cookie("b", "2"), c.clone()], &[&a])).await;
    assert_eq!(values(&held(&two, &id()).await), "b=2 c=1");
    // What is removed and put at once is put.
    done(&one, &id(), 0, patch(&[cookie("b", "3")], &[&b, &a])).await;
    assert_eq!(values(&held(&two, &id()).await), "b=3 c=1");
    let mut elsewhere = cookie("b", "4");
    elsewhere.path = "/books".into();
    done(&one, &id(), 0, patch(&[elsewhere.clone()], &[])).await;
    assert_eq!(values(&held(&two, &id()).await), "b=3 c=1 b=4");
    let all = Change {
        generation: Generation(1),
        cookies: Cookies::Replace(vec![elsewhere, cookie("d", "1")]),
        ..Change::default()
    };
    done(&one, &id(), 0, all).await;
    assert_eq!(values(&held(&two, &id()).await), "d=1 b=4");
    let none = Change {
        cookies: Cookies::Replace(Vec::new()),
        ..Change::default()
    };
    done(&one, &id(), 1, none).await;
    assert!(held(&two, &id()).await.is_empty());
}

async fn previous_is_what_was_before(Pair { one, two, .. }: Pair) {
    let keep = |mut change: Change, generation: u64| {
        change.generation = Generation(generation);
        change.keep_previous = true;
        change
    };
    let mut first = to(1);
    first.cookies = Cookies::Replace(vec![cookie("a", "1"), cookie("b", "1")]);
    first.notes = Some(notes());
    done(&one, &id(), 0, keep(first, 1)).await;
    assert_eq!(two.previous(&id()).await.unwrap(), None);
    let mut before = held(&one, &id()).await;
    before.notes = Notes::default();
    // The commit that keeps, and all that follow and do not, leave it as it was.
    let mut second = patch(&[cookie("a", "2"), cookie("c", "1")], &[&cookie("b", "")]);
    second.grant = Some(grant("token-2"));
    done(&one, &id(), 1, keep(second, 2)).await;
    done(
        &two,
        &id(),
        2,
        patch(&[cookie("a", "3"), cookie("b", "9")], &[]),
    )
    .await;
    done(
        &one,
        &id(),
        2,
        patch(&[], &[&cookie("c", ""), &cookie("a", "")]),
    )
    .await;
    let replaced = Change {
        cookies: Cookies::Replace(vec![cookie("a", "5"), cookie("e", "1")]),
        ..to(3)
    };
    done(&one, &id(), 2, replaced).await;
    for store in [&one, &two] {
        let previous = store.previous(&id()).await.unwrap().map(sorted);
        assert_eq!(previous.as_ref(), Some(&before));
    }
    // To go back is a commit like others, and can itself be taken back.
    let now = held(&one, &id()).await;
    let back = Change {
        grant: Some(before.grant.clone()),
        cookies: Cookies::Replace(before.cookies.clone()),
        ..Change::default()
    };
    done(&one, &id(), 3, keep(back, 4)).await;
    let generation = Generation(4);
    let notes = now.notes.clone();
    let expected = Stored {
        generation,
        notes,
        ..before
    };
    assert_eq!(held(&two, &id()).await, expected);
    let notes = Notes::default();
    let previous = two.previous(&id()).await.unwrap().map(sorted);
    assert_eq!(previous, Some(Stored { notes, ..now }));
}

async fn what_was_forgotten_stays_forgotten(Pair { one, two, .. }: Pair) {
    let mut first = to(5);
    first.cookies = Cookies::Replace(vec![cookie("a", "1")]);
    first.notes = Some(notes());
    done(&one, &id(), 0, first).await;
    let mut second = to(6);
    second.keep_previous = true;
    done(&one, &id(), 5, second).await;
    two.forget(&id()).await.unwrap();
    let tombstone = Stored {
        generation: Generation(7),
        ..Stored::default()
    };
    assert_eq!(held(&one, &id()).await, tombstone);
    assert_eq!(one.previous(&id()).await.unwrap(), None);
    assert_eq!(one.list().await.unwrap(), []);
    for late in [0, 5, 6] {
        let committed = one
            .commit(&id(), Generation(late), to(late + 1), Durability::Written)
            .await
            .unwrap();
        let Committed::Conflict(stored) = committed else {
            panic!("{late} was forgotten");
        };
        assert_eq!(*stored, tombstone);
    }
    let mut anew = to(8);
    anew.keep_previous = true;
    done(&one, &id(), 7, anew).await;
    assert_eq!(one.previous(&id()).await.unwrap(), None);
    assert_eq!(one.list().await.unwrap(), [id()]);
}
