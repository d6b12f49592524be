//! Answers that come late, where the database is locked just then, or another process had sent the token before.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::super::{
    bench::{Bench, bearer},
    double::{Authority, Fault},
};
use super::*;
use crate::{life::Failure, store::Store};

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

/// The grace runs from the first call of any process, as the journal has it, unless nobody knows whether that was sent:
/// behind its end an answer that is at hand is worth more than to send the token once more.
#[tokio::test(start_paused = true)]
async fn the_grace_is_counted_from_the_journal() {
    for (lives, since_then, calls) in [(12.0, 60.0, 2), (0.2, 0.5, 3), (0.2, 20.0, 3)] {
        let bench = Bench::new();
        let (sessions, session) = bench.open(bearer()).await;
        for _ in 0..5 {
            bench.authority.then(Fault::Hang);
        }
        let asks = timeout(Duration::from_secs_f64(lives), session.current());
        let (asked, ()) = tokio::join!(asks, pass(lives));
        assert!(!matches!(asked, Ok(Ok(_))), "it was not answered");
        session.crash();
        drop((sessions, session));
        bench.authority.forget_faults();
        let before = bench.authority.calls();
        pass(since_then).await;

        let (_sessions, session) = bench.open(bearer()).await;
        // Given up after a third of the grace, it is answered during the next call.
        bench.authority.then(Fault::Late(Duration::from_secs(4)));
        bench.authority.then(Fault::Hang);
        let current = session.current().await.unwrap();
        let by_this = bench.authority.calls() - before;
        assert_eq!(by_this, calls, "{since_then}");
        assert_eq!(injected(&current), format!("Bearer at-{}", calls - 1));
        pass(7400.0).await;
        assert!(!bench.authority.is_revoked());
        assert_eq!(session.status().state, "fresh");
    }
}

/// The answer to one call with a refresh token comes late, and nothing to those after it.
fn late_by(bench: &Bench, seconds: u64) {
    let late = Fault::Late(Duration::from_secs(seconds));
    bench.authority.then(late);
    for _ in 0..4 {
        bench.authority.then(Fault::LoseRequest);
    }
}

/// A flight that has the right connects while what came late for another one's call is stored: it sends nothing any more
/// (life 270923).
#[tokio::test(start_paused = true)]
async fn what_is_stored_while_it_connects_is_not_sent_again() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let began = Instant::now();
    late_by(&bench, 30);
    let _ = session.refresh_now().await;
    bench.authority.forget_faults();
    let calls = bench.authority.calls();
    sleep_until(began + Duration::from_secs(28)).await;
    let slow = Fault::SlowConnect(Duration::from_secs(3));
    bench.authority.then(slow);
    let _ = session.refresh_now().await;
    assert_eq!(bench.authority.calls(), calls, "it was not sent again");
    assert_eq!(session.status().state, "fresh");
    assert_eq!(stored_token(&bench, &session).await, "rt-2");
    pass(7400.0).await;
    assert!(!bench.authority.is_revoked());
}

async fn stored_token(bench: &Bench, session: &Session) -> String {
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    let token = stored.grant.field("refresh_token").unwrap();
    token.expose().clone()
}

/// Behind the grace another process has the right to refresh, and a call of its own under way: the answer to the first
/// one's call is stored at once, before the other sends the token again (life 440664 of the simulation).
#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_wait_for_who_has_the_right() {
    let bench = Bench::new();
    let peer = bench.peer();
    let (_a, one) = bench.open(bearer()).await;
    one.current().await.unwrap();
    let began = Instant::now();
    late_by(&bench, 30);
    let _ = one.refresh_now().await;
    bench.authority.forget_faults();
    let calls = bench.authority.calls();
    sleep_until(began + Duration::from_secs(29)).await;
    let (_b, two) = peer.open(bearer()).await;
    bench.authority.then(Fault::Hang);
    let _ = two.refresh_now().await;
    assert_eq!(bench.authority.calls(), calls + 1, "it was not sent again");
    for session in [&one, &two] {
        assert_eq!(session.status().state, "fresh");
        assert_eq!(injected(&session.ready().unwrap()), "Bearer at-2");
    }
    assert_eq!(stored_token(&bench, &one).await, "rt-2");
    pass(7400.0).await;
    assert!(!bench.authority.is_revoked());
}

/// Two processes have sent the same token, and both answers come late: that of the later call stays, whichever comes
/// first, for the server has replaced what the earlier one brought.
#[tokio::test(start_paused = true)]
async fn of_two_processes_late_answers_the_later_calls_stays() {
    for (first, second, earlier_is_taken) in [(40, 40, true), (70, 30, false)] {
        let mut authority = Authority::new();
        authority.grace = Duration::from_secs(120);
        let bench = Bench::of(authority);
        let mut recipe = bearer();
        recipe.refresh.grace = Some(Duration::from_secs(120));
        let peer = bench.peer();
        let (_a, one) = bench.open(recipe.clone()).await;
        let (_b, two) = peer.open(recipe).await;
        one.current().await.unwrap();
        // The second process goes on where the first one stops.
        late_by(&bench, first);
        late_by(&bench, second);
        let _ = one.refresh_now().await;
        let mut seen = Vec::new();
        for _ in 0..90 {
            pass(1.0).await;
            seen.push(stored_token(&bench, &one).await);
        }
        seen.dedup();
        let expected: &[&str] = match earlier_is_taken {
            true => &["rt-1", "rt-2", "rt-3"],
            false => &["rt-1", "rt-3"],
        };
        assert_eq!(seen, expected, "{first} {second}");
        assert_eq!(bench.authority.redemptions(), 3);
        for session in [&one, &two] {
            assert_eq!(session.status().state, "fresh");
            assert_eq!(injected(&session.ready().unwrap()), "Bearer at-3");
        }
        pass(7400.0).await;
        assert!(!bench.authority.is_revoked());
    }
}

/// The token that is held came of an earlier call than the one that is answered late, and its own grace is over: an answer
/// that the flight has at hand to a call with it is worth more (life 295268).
#[tokio::test(start_paused = true)]
async fn an_answer_to_what_is_held_is_worth_more() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let began = Instant::now();
    let secs = Duration::from_secs;
    // The first call overtakes the second on the way to the server: what it brought is good, and what that did is not.
    for fault in [
        Fault::SlowRequest(secs(4)),
        Fault::Late(secs(20)),
        Fault::Hang,
    ] {
        bench.authority.then(fault);
    }
    let _ = session.refresh_now().await;
    assert_eq!(stored_token(&bench, &session).await, "rt-3");
    // Under way with that when the second answer comes.
    sleep_until(began + secs(23)).await;
    for fault in [Fault::Late(secs(6)), Fault::Hang, Fault::Hang] {
        bench.authority.then(fault);
    }
    let _ = session.refresh_now().await;
    sleep_until(began + secs(40)).await;
    assert_eq!(stored_token(&bench, &session).await, "rt-4");
    pass(7400.0).await;
    assert!(!bench.authority.is_revoked());
    assert_eq!(session.status().state, "fresh");
}

/// Whoever has spent what an earlier call brought hears what came of that: the answer to a later call does not take its
/// place meanwhile, and not afterwards either.
#[tokio::test(start_paused = true)]
async fn what_was_built_on_is_not_replaced() {
    let mut authority = Authority::new();
    authority.grace = Duration::from_secs(120);
    let bench = Bench::of(authority);
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let held = session.inner().held.clone();
    let spent = held.notes.came_of.clone().unwrap().spent;
    assert!(!held.gives_way_to(1, Some(&spent)), "the same call");
    assert!(held.gives_way_to(2, Some(&spent)), "a later one");
    session.refresh_now().await.unwrap();
    let built_on = session.inner().held.clone();
    for call in 1..5 {
        assert!(!built_on.gives_way_to(call, Some(&spent)), "{call}");
    }
    // It was spent itself, by call 2; a restored one is what a person wants.
    assert!(built_on.gives_way_to(3, held.token.as_deref()));
    session.restore().await.unwrap();
    let restored = session.inner().held.clone();
    assert_eq!(restored.token, held.token);
    assert!(!restored.gives_way_to(3, Some(&spent)));
}

/// Another process stores what an earlier call brought, and the flight goes on with that: the answer to its own call
/// before, which is worth more, comes while it connects (life 870672).
#[tokio::test(start_paused = true)]
async fn what_the_flight_has_asked_for_before_is_taken() {
    let bench = Bench::new();
    let (_sessions, one) = bench.open(bearer()).await;
    one.current().await.unwrap();
    let began = Instant::now();
    let secs = Duration::from_secs_f64;
    bench.authority.then(Fault::Late(secs(10.2)));
    let html = Failure::NotAnAnswer("HTML".to_owned());
    bench.authority.then(Fault::Say(html));
    let _ = one.refresh_now().await;
    sleep_until(began + secs(4.0)).await;
    for fault in [
        Fault::Late(secs(9.0)),
        Fault::Hang,
        Fault::SlowConnect(secs(3.0)),
    ] {
        bench.authority.then(fault);
    }
    let (_others, two) = bench.peer().open(bearer()).await;
    let (_, ()) = tokio::join!(two.refresh_now(), async {
        sleep_until(began + secs(10.8)).await;
        assert_eq!(stored_token(&bench, &two).await, "rt-2");
        let _ = two.refresh_now().await;
    });
    sleep_until(began + secs(20.0)).await;
    assert_eq!(stored_token(&bench, &two).await, "rt-3");
    pass(7400.0).await;
    assert!(!bench.authority.is_revoked());
    assert_eq!(two.status().state, "fresh");
}
