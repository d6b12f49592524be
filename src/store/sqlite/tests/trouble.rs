//! A database that is locked, and what a commit costs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::*;
use crate::store::jar;

#[tokio::test]
async fn a_locked_database_is_an_error_and_loses_nothing() {
    let home = Home::new();
    let store = Store::open(Config {
        busy: Duration::from_millis(50),
        ..home.config()
    })
    .unwrap();
    done(&store, &id(), 0, to(1)).await;
    let raw = home.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    for how in [Durability::Written, Durability::Synced] {
        let error = store
            .commit(&id(), Generation(1), to(2), how)
            .await
            .unwrap_err();
        let Error::Write(cause) = &error else {
            panic!("{error}");
        };
        assert!(cause.to_string().ends_with("test.db"));
        assert!(cause.source().unwrap().to_string().contains("locked"));
    }
    assert!(matches!(store.writable().await, Err(Error::Write(_))));
    assert!(matches!(store.forget(&id()).await, Err(Error::Write(_))));
    // Who only reads does not wait, also who opens it now.
    assert_eq!(held(&store, &id()).await.grant, grant("token-1"));
    assert_eq!(held(&home.open(), &id()).await.grant, grant("token-1"));
    raw.execute_batch("ROLLBACK").unwrap();
    store.writable().await.unwrap();
    done(&store, &id(), 1, to(2)).await;
}

#[tokio::test]
async fn a_lock_that_ends_in_time_is_waited_for() {
    let home = Home::new();
    let store = home.open();
    let raw = home.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = tokio::spawn(async move {
        done(&store, &id(), 0, to(1)).await;
        store
    });
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_millis(30));
    raw.execute_batch("COMMIT").unwrap();
    let store = commit.await.unwrap();
    assert_eq!(held(&store, &id()).await.generation, Generation(1));
}

/// Another process holds the lock nearly all the time, in many short transactions one after another.
#[tokio::test]
async fn a_process_that_writes_all_the_time_starves_nobody() {
    let home = Home::new();
    let store = home.open();
    let mut raw = home.raw();
    raw.busy_handler(Some(|_| {
        std::thread::sleep(Duration::from_millis(1));
        true
    }))
    .unwrap();
    let (stop, begun) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
    let writes = std::thread::spawn({
        let (stop, begun) = (Arc::clone(&stop), Arc::clone(&begun));
        move || {
            while !stop.load(Ordering::Relaxed) {
                raw.execute_batch("BEGIN IMMEDIATE").unwrap();
                begun.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(4));
                raw.execute_batch("COMMIT").unwrap();
                // As long as it takes to answer who asked: longer on a busy machine, as is everything else.
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    });
    for generation in 0..20 {
        let before = begun.load(Ordering::Relaxed);
        while begun.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
        done(&store, &id(), generation, to(generation + 1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    writes.join().unwrap();
}

#[tokio::test]
async fn a_commit_whose_asker_went_away_is_done() {
    let home = Home::new();
    let store = home.open();
    {
        let id = id();
        let commit = store.commit(&id, Generation(0), to(1), Durability::Synced);
        tokio::pin!(commit);
        let now = futures_util::poll!(&mut commit);
        assert!(now.is_pending());
    }
    store.flush().await.unwrap();
    assert_eq!(held(&store, &id()).await.generation, Generation(1));
}

#[tokio::test]
async fn the_log_is_brought_in_and_does_not_grow_for_ever() {
    let home = Home::new();
    let store = home.open();
    let value = "x".repeat(3000);
    for n in 0..2000u32 {
        let change = patch(
            &[cookie(&format!("c{}", n % 50), &format!("{value}{n}"))],
            &[],
        );
        done(&store, &id(), 0, change).await;
    }
    let log = std::fs::metadata(home.0.path().join("test.db-wal"))
        .unwrap()
        .len();
    assert!(log < 12 << 20, "{log} bytes in the log");
}

/// What one rotated cookie costs with 16 clients at once: printed with `--nocapture`. The bound is a debug build's on
/// a busy machine; `docs/benchmarks.md` has the figure of a release build.
#[tokio::test]
async fn a_rotated_cookie_is_cheap() {
    const CLIENTS: u64 = 16;
    const EACH: u64 = 200;
    let home = Home::new();
    let store = home.open();
    let jar: Vec<jar::Cookie> = (0..40).map(|n| cookie(&format!("c{n}"), "v")).collect();
    done(&store, &id(), 0, patch(&jar, &[])).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let value = format!("{n:0>200}");
                    let change = patch(&[cookie(&format!("c{client}"), &value)], &[]);
                    done(&store, &id(), 0, change).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let commits = u32::try_from(CLIENTS * EACH).unwrap();
    let (wall, cpu) = (started.elapsed() / commits, (cpu_time() - cpu) / commits);
    println!("a commit of one cookie: {cpu:?} of CPU, {wall:?} of time");
    // Other tests of this process are in it.
    assert!(cpu < Duration::from_millis(10), "{cpu:?}");
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields
        .get(11..13)
        .map(|times| times.iter().map(|t| t.parse::<u64>().unwrap()).sum())
        .unwrap_or_default();
    Duration::from_millis(10 * ticks)
}
