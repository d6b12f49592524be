//! Cases of a store in trouble: holders that are gone or silent, and a disk that takes nothing.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// Who lives keeps the lease for as long as it likes; who is silent for its time loses it to the next, sees it, and takes
/// nothing from that one when it goes.
pub(super) async fn a_lease_ends_with_its_time(Pair { one, two, .. }: Pair) {
    let mut first = one.lease(&id(), SHORT).await.unwrap();
    let witness = first.witness();
    let of_two = id();
    let mut waiting = std::pin::pin!(two.lease(&of_two, SHORT));
    assert!(timeout(2 * SHORT, &mut waiting).await.is_err());
    assert!(first.is_held() && witness.is_held());
    first.falls_silent();
    let silent = Instant::now();
    let second = timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(silent.elapsed() > SHORT / 2, "{:?}", silent.elapsed());
    assert!(second.is_held() && !first.is_held() && !witness.is_held());
    // It comes back and waits for its turn like everybody.
    let short = Duration::from_millis(50);
    assert!(timeout(short, first.hold()).await.is_err());
    drop(second);
    assert!(
        timeout(LONG, first.hold()).await.unwrap().unwrap(),
        "it was lost"
    );
    assert!(first.is_held() && first.witness().is_held());
    // Or it goes without a look: whoever has the lease by then keeps it.
    first.falls_silent();
    let third = timeout(LONG, two.lease(&of_two, SHORT)).await.unwrap();
    drop(first);
    assert!(third.unwrap().is_held());
}

/// A holder that ends, however it ends, keeps nobody waiting for its time.
pub(super) async fn a_lease_ends_with_its_holder(Pair { one, two, .. }: Pair) {
    for _ in 0..3 {
        let (taken, is_taken) = tokio::sync::oneshot::channel();
        let holder = one.clone();
        let process = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.spawn(async move {
                let lease = holder.lease(&id(), LEASE).await.unwrap();
                taken.send(lease.witness()).unwrap();
                std::future::pending::<()>().await;
                drop(lease);
            });
            // All that runs there ends in the middle of what it does.
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
            drop(runtime);
        });
        let witness = is_taken.await.unwrap();
        let began = Instant::now();
        let lease = timeout(LONG, two.lease(&id(), LEASE)).await.unwrap();
        assert!(began.elapsed() < LEASE / 2, "{:?}", began.elapsed());
        assert!(lease.unwrap().is_held() && !witness.is_held());
        process.join().unwrap();
    }
}

pub(super) async fn a_change_is_seen_within_a_tenth_of_a_second(Pair { one, two, .. }: Pair) {
    let mut changes = two.changes();
    let mut times = Vec::new();
    for generation in 0..15 {
        done(&one, &id(), generation, to(generation + 1)).await;
        let began = Instant::now();
        let changed = timeout(LONG, changes.next()).await.unwrap().unwrap();
        assert!(changed.foreign);
        times.push(began.elapsed());
        assert_eq!(
            held(&two, &id()).await.generation,
            Generation(generation + 1)
        );
    }
    times.sort_unstable();
    // However busy the machine is, some of them show what is promised.
    assert!(times[2] < Duration::from_millis(100), "{times:?}");
}

/// Asked first, a store tells that it cannot be written; what is there stays, and is read.
pub(super) async fn a_store_that_takes_nothing_says_so_before_anything_is_spent(
    Pair {
        one,
        two,
        mut refuse,
        ..
    }: Pair,
) {
    done(&one, &id(), 0, to(1)).await;
    refuse(true);
    for store in [&one, &two] {
        assert!(store.writable().await.is_err());
        let (id, how) = (id(), Durability::Synced);
        let spent = store.commit(&id, Generation(1), to(2), how).await;
        assert!(spent.is_err(), "{spent:?}");
        assert_eq!(held(store, &id).await.grant, grant("token-1"));
    }
    refuse(false);
    for (generation, store) in (1..).zip([&one, &two]) {
        store.writable().await.unwrap();
        done(store, &id(), generation, to(generation + 1)).await;
    }
}
