//! Answers that come late, where the database is locked just then, or another process had sent the token before.

use std::time::Duration;

use super::super::{
    bench::{Bench, bearer},
    double::Fault,
};
use super::*;
use crate::store::Store;

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_kept_while_the_store_is_locked() {
    let bench = Bench::new();
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    // The server has rotated, and its answer takes half a minute; what is sent meanwhile never arrives.
    bench.authority.then(Fault::Late(Duration::from_secs(30)));
    for _ in 0..4 {
        bench.authority.then(Fault::LoseRequest);
    }
    let _ = session.refresh_now().await;
    assert_eq!(session.status().state, "degraded");
    let calls = bench.authority.calls();
    store.rough().lock(true);
    pass(60.0).await;
    assert_eq!(session.status().state, "degraded", "it cannot be stored");
    store.rough().lock(false);
    pass(10.0).await;
    assert_eq!(session.status().state, "fresh");
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-2");
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    let token = stored.grant.field("refresh_token").unwrap();
    assert_eq!(token.expose(), "rt-2");
    assert_eq!(bench.authority.calls(), calls, "nothing was sent again");
    pass(3600.0).await;
    assert!(!bench.authority.is_revoked());
    assert_eq!(session.status().state, "fresh");
}

/// The grace runs from the first call of any process, as the journal has it: behind its end an answer that is at hand
/// is worth more than to send the token once more.
#[tokio::test(start_paused = true)]
async fn the_grace_is_counted_from_the_journal() {
    for (since_the_first, calls) in [(20.0, 2), (0.5, 3)] {
        let bench = Bench::new();
        let (sessions, session) = bench.open(bearer()).await;
        bench.authority.then(Fault::Hang);
        let crashed = tokio::time::timeout(Duration::from_millis(200), session.current());
        assert!(crashed.await.is_err());
        session.crash();
        drop((sessions, session));
        pass(since_the_first).await;

        let (_sessions, session) = bench.open(bearer()).await;
        // Given up after a third of the grace, it is answered during the next call.
        bench.authority.then(Fault::Late(Duration::from_secs(4)));
        bench.authority.then(Fault::Hang);
        let current = session.current().await.unwrap();
        let by_this = bench.authority.calls() - 1;
        assert_eq!(by_this, calls, "{since_the_first}");
        assert_eq!(injected(&current), format!("Bearer at-{}", calls - 1));
        pass(7400.0).await;
        assert!(!bench.authority.is_revoked());
        assert_eq!(session.status().state, "fresh");
    }
}
