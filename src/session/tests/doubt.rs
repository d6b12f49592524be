//! Lost answers, crashes, late answers: a rotation is not lost as far as the server's rules allow.

use std::time::Duration;

use super::super::{
    bench::{Bench, bearer},
    double::{Authority, Fault},
    history::name,
};
use super::*;
use crate::{
    life::Failure,
    store::{Durability, Notes, Store},
};

fn times(bench: &Bench) -> Vec<u128> {
    let called_at = bench.authority.called_at.lock().unwrap();
    called_at
        .iter()
        .map(|at| at.duration_since(called_at[0]).as_millis())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_within_the_grace() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::LoseAnswer);
    session.current().await.unwrap();
    assert_eq!(times(&bench), [0, 550]);
    assert!(!bench.authority.is_revoked());
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None);
}

#[tokio::test(start_paused = true)]
async fn the_ladder_is_half_a_second_one_two_four() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    for _ in 0..5 {
        bench.authority.then(Fault::LoseRequest);
    }
    assert!(session.current().await.is_err());
    assert_eq!(times(&bench), [0, 550, 1600, 3650, 7700]);
    assert_eq!(session.status().state, "degraded");
    pass(61.0).await;
    // It may never have arrived: it is tried again.
    assert_eq!(bench.authority.calls(), 6);
    assert!(session.ready().is_some());
}

/// A flight counts a token's doubt from another moment than its journal where the grace of an earlier process's use ended
/// between the two: which call was the first to send it stays known.
#[tokio::test(start_paused = true)]
async fn the_first_call_stays_known_whenever_it_was() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    for _ in 0..5 {
        bench.authority.then(Fault::LoseRequest);
    }
    assert!(session.current().await.is_err());
    pass(1.0).await;
    let journal = async || {
        let stored = session.store.load(&session.id).await.unwrap().unwrap();
        stored.notes.attempt.unwrap()
    };
    let known = journal().await;
    assert_eq!(known.call, 1);
    let later = |notes: &mut Notes| {
        notes.attempt.as_mut().unwrap().started += Duration::from_secs(1);
    };
    session.note(Durability::Written, later).await.unwrap();
    assert_ne!(journal().await, known);
    session.settle().await.unwrap();
    assert_eq!(journal().await, known);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_before_it_was_sent_is_never_sent() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let mut recipe = bearer();
    recipe.refresh.grace = Some(Duration::ZERO);
    let (_sessions, session) = bench.open(recipe).await;
    bench
        .authority
        .then(Fault::SlowConnect(Duration::from_secs(40)));
    assert!(session.current().await.is_err());
    pass(1.0).await;
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None, "nothing is in doubt");
    pass(59.0).await;
    session.current().await.unwrap();
    pass(120.0).await;
    assert_eq!(
        (bench.authority.calls(), bench.authority.is_revoked()),
        (1, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_process_spent_before_its_bytes_left_is_not_sent() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    let mut recipe = bearer();
    recipe.refresh.grace = Some(Duration::ZERO);
    let peer = bench.peer();
    let (_sessions, session) = bench.open(recipe.clone()).await;
    let (_others, other) = peer.open(recipe).await;
    let slow = Fault::SlowConnect(Duration::from_secs(5));
    bench.authority.then(slow);
    let (first, second) = tokio::join!(session.current(), async {
        // As from a process that shows no sign of life.
        pass(1.0).await;
        store.take_away(store);
        other.current().await
    });
    assert_eq!(injected(&first.unwrap()), injected(&second.unwrap()));
    assert_eq!(
        (bench.authority.calls(), bench.authority.is_revoked()),
        (1, false)
    );
}

#[tokio::test(start_paused = true)]
async fn silence_takes_a_third_of_the_grace() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::Silence);
    bench.authority.then(Fault::Silence);
    session.current().await.unwrap();
    assert_eq!(times(&bench), [0, 3834, 8168]);
    assert!(!bench.authority.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_lost_while_the_grace_allows_it() {
    for seed in 0..200 {
        let bench = Bench::new();
        let (_sessions, session) = bench.open(bearer()).await;
        let faults = [Fault::LoseAnswer, Fault::LoseRequest, Fault::Silence];
        for n in 0..2 {
            bench.authority.then(faults[(seed / (n + 1)) % 3].clone());
        }
        assert!(session.current().await.is_ok(), "{seed}");
        assert!(!bench.authority.is_revoked());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_a_lost_answer_is_a_lost_rotation_and_is_said_so() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let mut recipe = bearer();
    recipe.refresh.grace = Some(Duration::ZERO);
    let (_sessions, session) = bench.open(recipe).await;
    session.current().await.unwrap();
    bench.authority.then(Fault::LoseAnswer);
    pass(3400.0).await;
    assert_eq!(bench.authority.calls(), 2);
    assert!(
        session.ready().is_some(),
        "the access token serves until it ends"
    );
    pass(201.0).await;
    assert_eq!(bench.authority.calls(), 3);
    assert_eq!(session.status().state, "needs_login");
    assert!(
        session
            .status()
            .message
            .unwrap()
            .starts_with("lost rotation")
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_may_have_lost_a_rotation_is_said_after_the_restart() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let mut recipe = bearer();
    recipe.refresh.grace = Some(Duration::ZERO);
    let (sessions, session) = bench.open(recipe.clone()).await;
    session.current().await.unwrap();
    bench.authority.then(Fault::Silence);
    let crashed = tokio::time::timeout(Duration::from_millis(200), session.refresh_now());
    assert!(crashed.await.is_err());
    session.crash();
    drop((sessions, session));
    pass(1.0).await;

    let (_sessions, session) = bench.open(recipe).await;
    let status = session.status();
    assert_eq!((status.state, status.valid), ("fresh", true));
    let said = status.message.unwrap();
    let end = status.expires_at.unwrap();
    assert!(said.contains("a lost rotation"), "{said}");
    assert!(said.ends_with(&format!("tried again at {end}")), "{said}");
    pass(3700.0).await;
    assert_eq!(session.status().state, "needs_login");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_taken_if_nothing_newer_is_there() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let (_sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::Late(Duration::from_secs(30)));
    // The second call with the token is refused: the first was acted upon.
    let error = session.current().await.unwrap_err();
    assert!(matches!(error, super::super::Unusable::NeedsLogin { .. }));
    assert_eq!(count(&session, name::NEEDS_LOGIN), 1);
    pass(40.0).await;
    assert_eq!(session.status().state, "fresh");
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-1");
    assert_eq!(count(&session, name::RECOVERED), 1);
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.notes.needs_login, None);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_call_and_its_answer_is_mended_at_the_next_start() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::Silence);
    let crashed = tokio::time::timeout(Duration::from_millis(200), session.current());
    assert!(crashed.await.is_err());
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    assert!(stored.notes.attempt.is_some(), "journalled before the call");
    // Everything of the process ends: its sessions, its flight.
    session.crash();
    drop((sessions, session));
    pass(1.0).await;

    let (_sessions, session) = bench.open(bearer()).await;
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-2");
    assert!(!bench.authority.is_revoked());
    let stored = session.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None);
    assert_eq!(
        stored.grant.field("refresh_token").unwrap().expose(),
        "rt-2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_is_found_too_late_is_reported_as_a_lost_rotation() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::Silence);
    let crashed = tokio::time::timeout(Duration::from_millis(200), session.current());
    assert!(crashed.await.is_err());
    session.crash();
    drop((sessions, session));
    pass(60.0).await;
    let (_sessions, session) = bench.open(bearer()).await;
    assert!(session.current().await.is_err());
    assert!(
        session
            .status()
            .message
            .unwrap()
            .starts_with("lost rotation")
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_eight_hours_deletes_nothing() {
    let bad = |n: usize| match n % 2 {
        0 => Failure::InDoubt {
            why: "502".to_owned(),
            answered: true,
        },
        _ => Failure::NotAnAnswer("HTML".to_owned()),
    };
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    for n in 0..10_000 {
        bench.authority.then(Fault::Say(bad(n)));
    }
    pass(3600.0).await;
    let before = bench.authority.calls();
    pass(8.0 * 3600.0).await;
    let attempts = bench.authority.calls() - before;
    assert!(attempts <= 8 * 60 + 2, "{attempts}");
    assert!(attempts > 8 * 50, "{attempts}");
    bench.authority.forget_faults();
    pass(65.0).await;
    assert!(session.ready().is_some());
}

/// The clock is set back, and another process notes that a call was not answered: that is newer than what this one had
/// read before, whatever the times say (life 386502).
#[tokio::test(start_paused = true)]
async fn what_another_notes_counts_when_the_clock_was_set_back() {
    let mut authority = Authority::new();
    authority.grace = Duration::ZERO;
    let bench = Bench::of(authority);
    let mut recipe = bearer();
    recipe.refresh.grace = Some(Duration::ZERO);
    let (_sessions, one) = bench.open(recipe.clone()).await;
    one.current().await.unwrap();
    let (_others, two) = bench.peer().open(recipe).await;
    bench.env.jump(-2_000_000);
    bench.authority.then(Fault::LoseRequest);
    let _ = one.refresh_now().await;
    let calls = bench.authority.calls();
    for _ in 0..10 {
        two.reject(two.generation(), about()).await;
        assert_eq!(bench.authority.calls(), calls, "once a minute");
        pass(5.0).await;
    }
    pass(30.0).await;
    assert_eq!(bench.authority.calls(), calls + 1);
    assert!(!bench.authority.is_revoked());
}
