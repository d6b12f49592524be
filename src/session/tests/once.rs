//! Where an answer may still come, nobody sends the token again a moment later: behind its grace a token in doubt is sent
//! once a minute, by all processes together.

use super::super::{
    Sessions, Verdict,
    bench::{Bench, bearer},
    double::{Authority, Fault},
};
use super::*;
use crate::{life::Failure, store::Store};

/// With a token in doubt whose grace is over, and a server that has not seen it yet and would take it once.
async fn in_doubt() -> (Bench, Arc<Sessions>, Arc<Session>) {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let (sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    for _ in 0..5 {
        bench.authority.then(Fault::LoseRequest);
    }
    let _ = session.refresh_now().await;
    pass(20.0).await;
    assert_eq!(
        (bench.authority.calls(), session.status().state),
        (6, "degraded")
    );
    (bench, sessions, session)
}

/// A request of a second process is rejected: that does not send what the first one has its answer under way to.
async fn the_answer_is_waited_for(bench: &Bench, one: &Session, two: &Session) {
    let calls = bench.authority.calls();
    assert_eq!(injected(&two.ready().unwrap()), "Bearer at-1");
    let verdict = two.reject(two.generation(), about()).await;
    assert!(matches!(verdict, Verdict::Again(_) | Verdict::Pass(_)));
    pass(10.0).await;
    assert_eq!(bench.authority.calls(), calls);
    for session in [one, two] {
        assert_eq!(session.status().state, "fresh");
        assert_eq!(injected(&session.ready().unwrap()), "Bearer at-2");
    }
    pass(7400.0).await;
    assert!(!bench.authority.is_revoked());
}

/// The call after it in the same flight did not even begin: that does not hide that an answer may come.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_does_not_hide_one_that_was() {
    let (bench, _sessions, one) = in_doubt().await;
    bench.authority.then(Fault::Late(Duration::from_secs(8)));
    let unsent = Failure::Unsent("no route".to_owned());
    bench.authority.then(Fault::Say(unsent));
    let _ = one.refresh_now().await;
    let (_others, two) = bench.peer().open(bearer()).await;
    the_answer_is_waited_for(&bench, &one, &two).await;
}

/// The store is locked when the call is given up, so that the others cannot be told: the right to refresh is kept until
/// they are.
#[tokio::test(start_paused = true)]
async fn who_cannot_tell_the_others_keeps_the_right() {
    let (bench, _sessions, one) = in_doubt().await;
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    bench.authority.then(Fault::Late(Duration::from_secs(8)));
    let (_others, two) = bench.peer().open(bearer()).await;
    let _ = tokio::join!(one.refresh_now(), async {
        pass(2.0).await;
        store.rough().lock(true);
    });
    tokio::join!(the_answer_is_waited_for(&bench, &one, &two), async {
        pass(1.0).await;
        store.rough().lock(false);
    });
}

#[tokio::test(start_paused = true)]
async fn behind_its_grace_a_token_is_sent_once_a_minute_by_all() {
    let (bench, _sessions, one) = in_doubt().await;
    let (_others, two) = bench.peer().open(bearer()).await;
    // It is answered for, by something before it that knows nothing.
    *bench.authority.away.lock().unwrap() = Some(Failure::InDoubt {
        why: "502".to_owned(),
        answered: true,
    });
    let before = bench.authority.calls();
    for _ in 0..120 {
        for session in [&one, &two] {
            let seen = session.generation();
            let rejected = session.reject(seen, about());
            let _ = tokio::time::timeout(Duration::from_millis(500), rejected).await;
        }
        pass(4.0).await;
    }
    let calls = bench.authority.calls() - before;
    assert!((8..=10).contains(&calls), "{calls} in ten minutes");
}
