//! Cases of a store that several share: who is told, who may, and that no update is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::*;

/// What comes in milliseconds, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(20);

pub(super) async fn changes_are_told(Pair { one, two, .. }: Pair) {
    let (mut ours, mut theirs) = (one.changes(), two.changes());
    done(&one, &id(), 0, to(1)).await;
    for (changes, foreign) in [(&mut ours, false), (&mut theirs, true)] {
        let changed = timeout(LONG, changes.next()).await.unwrap();
        assert_eq!(changed, Some(Changed { id: id(), foreign }));
    }
    // A conflict is no change; a cookie and a logout are.
    let stale = one
        .commit(&id(), Generation(0), to(1), Durability::Written)
        .await
        .unwrap();
    assert!(matches!(stale, Committed::Conflict(_)));
    done(&two, &id(), 1, patch(&[cookie("a", "1")], &[])).await;
    assert_eq!(timeout(LONG, ours.next()).await.unwrap().unwrap().id, id());
    one.forget(&id()).await.unwrap();
    let mut last = held(&one, &id()).await.generation;
    assert_eq!(last, Generation(2));
    // Who commits over a change that it was not told of yet is told of it all the same.
    for _ in 0..20 {
        done(&two, &id(), last.0, patch(&[cookie("b", "1")], &[])).await;
        done(&one, &id(), last.0, to(last.0 + 1)).await;
        last = last.next();
        loop {
            let changed = timeout(LONG, ours.next()).await.unwrap().unwrap();
            if changed.foreign {
                break;
            }
        }
    }
}

pub(super) async fn a_lease_has_one_holder(Pair { one, two, .. }: Pair) {
    let lease = one.lease(&id(), LEASE).await.unwrap();
    assert!(lease.is_held());
    let short = Duration::from_millis(50);
    assert!(
        timeout(short, one.lease(&id(), LEASE)).await.is_err(),
        "another task"
    );
    assert!(
        timeout(short, two.lease(&id(), LEASE)).await.is_err(),
        "another process"
    );
    let other = SessionId::new("books", Some("alice"));
    drop(
        timeout(LONG, two.lease(&other, LEASE))
            .await
            .unwrap()
            .unwrap(),
    );
    drop(lease);
    for store in [&two, &one, &one, &two] {
        drop(
            timeout(LONG, store.lease(&id(), LEASE))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    // Under contention each holder is alone.
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            let inside = Arc::clone(&inside);
            tokio::spawn(async move {
                let lease = store.lease(&id(), LEASE).await.unwrap();
                let before = inside.fetch_add(1, SeqCst);
                assert_eq!(before, 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                drop(lease);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What was before is not told, what only looks is no change, and who stops waiting misses nothing.
pub(super) async fn a_change_is_told_to_those_who_listen(Pair { one, two, .. }: Pair) {
    done(&one, &id(), 0, to(1)).await;
    // So that the other handle has seen it by now.
    held(&two, &id()).await;
    let mut changes = one.changes();
    one.writable().await.unwrap();
    drop(one.lease(&id(), LEASE).await.unwrap());
    one.load(&id()).await.unwrap();
    let short = Duration::from_millis(50);
    let told = timeout(short, changes.next()).await;
    assert!(told.is_err(), "{told:?}");
    done(&one, &id(), 1, to(2)).await;
    let told = timeout(LONG, changes.next()).await.unwrap();
    assert_eq!(told.map(|changed| changed.id), Some(id()));
}

/// A lease that was not taken away is held at once, and stands in the others' way as before.
pub(super) async fn a_lease_that_is_held_need_not_be_waited_for(Pair { one, two, .. }: Pair) {
    let mut lease = one.lease(&id(), LEASE).await.unwrap();
    for _ in 0..3 {
        assert!(!timeout(LONG, lease.hold()).await.unwrap().unwrap());
        assert!(lease.is_held());
    }
    let short = Duration::from_millis(50);
    assert!(timeout(short, two.lease(&id(), LEASE)).await.is_err());
    drop(lease);
    drop(
        timeout(LONG, two.lease(&id(), LEASE))
            .await
            .unwrap()
            .unwrap(),
    );
}

pub(super) async fn a_turn_has_one_holder_and_is_new_after_another(Pair { one, two, .. }: Pair) {
    let is_new = async |store: &Store| {
        let mut turn = timeout(LONG, store.turn(&id())).await.unwrap().unwrap();
        let new = turn.is_new();
        turn.has_read();
        new
    };
    for store in [&one, &two] {
        assert!(is_new(store).await);
        assert!(!is_new(store).await, "it had it before");
    }
    assert!(is_new(&one).await, "the other one had it");
    drop(timeout(LONG, two.turn(&id())).await.unwrap().unwrap());
    assert!(is_new(&two).await, "it has not read yet");
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            let inside = Arc::clone(&inside);
            tokio::spawn(async move {
                let turn = timeout(LONG, store.turn(&id())).await.unwrap().unwrap();
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                drop(turn);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub(super) async fn a_waiter_that_gives_up_leaves_the_queue(Pair { one, two, .. }: Pair) {
    let lease = one.lease(&id(), LEASE).await.unwrap();
    let short = Duration::from_millis(20);
    for store in [&one, &two, &one] {
        timeout(short, store.lease(&id(), LEASE)).await.unwrap_err();
    }
    drop(lease);
    drop(
        timeout(LONG, one.lease(&id(), LEASE))
            .await
            .unwrap()
            .unwrap(),
    );
}

pub(super) async fn no_update_is_lost(Pair { one, two, .. }: Pair) {
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                let how = match n % 10 {
                    0 => Durability::Synced,
                    _ => Durability::Written,
                };
                let mut expected = Generation(0);
                loop {
                    let mut change = to(expected.0 + 1);
                    change.cookies = patch(&[cookie(&format!("c{n}"), "1")], &[]).cookies;
                    match store.commit(&id(), expected, change, how).await.unwrap() {
                        Committed::Done => return,
                        Committed::Conflict(stored) => expected = stored.generation,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stored = held(&one, &id()).await;
    assert_eq!(stored.generation, Generation(100));
    assert_eq!(stored.cookies.len(), 100);
    assert_eq!(stored, held(&two, &id()).await);
}

/// The lease is for liveness; this is what keeps a holder that lost it from writing over anything.
pub(super) async fn of_those_who_commit_to_one_generation_one_does(Pair { one, two, .. }: Pair) {
    for expected in 0..10 {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let store = if n % 2 == 0 { one.clone() } else { two.clone() };
                tokio::spawn(async move {
                    let mut change = to(expected + 1);
                    change.grant = Some(grant(&format!("{expected}-{n}")));
                    let how = Durability::Synced;
                    let committed = store.commit(&id(), Generation(expected), change, how).await;
                    (n, matches!(committed.unwrap(), Committed::Done))
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            if let (n, true) = task.await.unwrap() {
                winners.push(n);
            }
        }
        let [winner] = winners[..] else {
            panic!("{winners:?} all wrote generation {}", expected + 1);
        };
        for store in [&one, &two] {
            let stored = held(store, &id()).await;
            assert_eq!(stored.generation, Generation(expected + 1));
            assert_eq!(stored.grant, grant(&format!("{expected}-{winner}")));
        }
    }
}

pub(super) async fn what_nobody_waits_for_is_done(Pair { one, two, .. }: Pair) {
    {
        let id = id();
        let commit = one.commit(&id, Generation(0), to(1), Durability::Synced);
        tokio::pin!(commit);
        // Once polled it runs to its end.
        let _ = futures_util::poll!(&mut commit);
    }
    let until = tokio::time::Instant::now() + LONG;
    while two.load(&id()).await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < until, "it was left undone");
        tokio::task::yield_now().await;
    }
    assert_eq!(held(&two, &id()).await.generation, Generation(1));
}

pub(super) async fn fingerprints_are_equal_in_all_handles(Pair { one, two, .. }: Pair) {
    let print = one.fingerprint("journal", b"token");
    assert_eq!(print, two.fingerprint("journal", b"token"));
    assert_ne!(print, one.fingerprint("source", b"token"));
    assert!(print.len() == 32 && print.bytes().all(|b| b.is_ascii_hexdigit()));
}

pub(super) async fn sessions_are_apart(Pair { one, two, .. }: Pair) {
    let ids = [
        SessionId::new("a", None),
        SessionId::new("a", Some("x")),
        SessionId::new("a", Some("y")),
        SessionId::new("a/x", None),
        SessionId::new("é \"'%", Some("\u{1f36a}")),
    ];
    for (n, id) in (1..).zip(&ids) {
        let mut change = to(n);
        change.cookies = Cookies::Replace(vec![cookie("sid", &n.to_string())]);
        done(&one, id, 0, change).await;
    }
    let mut expected = ids.to_vec();
    expected.sort();
    assert_eq!(two.list().await.unwrap(), expected);
    two.forget(&ids[1]).await.unwrap();
    for (n, id) in (1..).zip(&ids) {
        let stored = held(&two, id).await;
        let sid = format!("sid={n}");
        let (generation, cookies) = if n == 2 { (3, "") } else { (n, &*sid) };
        assert_eq!(stored.generation, Generation(generation), "{id}");
        assert_eq!(values(&stored), cookies, "{id}");
    }
}
