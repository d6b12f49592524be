//! Where an answer may still come, nobody sends the token again a moment later: behind its grace a token in doubt is sent
//! once a minute, by all processes together.

use super::super::{
    Sessions, Verdict,
    bench::{Bench, bearer},
    double::{Authority, Away, Fault},
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

/// The store is full, or locked for longer than it is waited for, when the call is given up, so that the others cannot be
/// told: the right to refresh is kept until they are.
#[tokio::test(start_paused = true)]
async fn who_cannot_tell_the_others_keeps_the_right() {
    // Until behind the last write to tell them, from the refresh's begin; and how late the answer comes.
    for (locks, until, late) in [(false, 3.9, 12), (true, 13.9, 20)] {
        let (bench, _sessions, one) = in_doubt().await;
        let Store::Memory(store) = &bench.store else {
            unreachable!("tests are in memory")
        };
        // What was told before holds the others back no more.
        pass(60.0).await;
        store.rough().begin(1);
        let trouble = |is: bool| match locks {
            true => store.rough().lock(is),
            false => store.rough().fill(is),
        };
        bench.authority.then(Fault::Late(Duration::from_secs(late)));
        let (_others, two) = bench.peer().open(bearer()).await;
        let told = async || {
            let stored = bench.store.load(&one.id).await.unwrap();
            stored.unwrap().notes.last_refresh
        };
        let before = told().await;
        let _ = tokio::join!(one.refresh_now(), async {
            pass(2.0).await;
            trouble(true);
            pass(until - 2.0).await;
        });
        trouble(false);
        assert_eq!(told().await, before, "nobody was told");
        // At once, before it is tried again to tell them.
        the_answer_is_waited_for(&bench, &one, &two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn behind_its_grace_a_token_is_sent_once_a_minute_by_all() {
    let (bench, _sessions, one) = in_doubt().await;
    let (_others, two) = bench.peer().open(bearer()).await;
    // It is answered for, by something before it that knows nothing.
    *bench.authority.away.lock().unwrap() = Some(Away::BadGateway);
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

/// The clock is set back while the token rests: who heard of it from another process waits for a minute by its own clock,
/// and no longer (life 195488).
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_the_minute_no_longer() {
    for back in [30_000, 3_600_000] {
        let (bench, _sessions, one) = in_doubt().await;
        let (_others, two) = bench.peer().open(bearer()).await;
        for _ in 0..5 {
            bench.authority.then(Fault::LoseRequest);
        }
        let _ = one.refresh_now().await;
        pass(10.0).await;
        let calls = bench.authority.calls();
        bench.env.jump(-back);
        pass(40.0).await;
        let _ = two.reject(two.generation(), about()).await;
        assert_eq!(bench.authority.calls(), calls, "{back}");
        pass(20.0).await;
        assert_eq!(bench.authority.calls(), calls + 1, "{back}");
        assert_eq!(injected(&two.ready().unwrap()), "Bearer at-2");
    }
}
