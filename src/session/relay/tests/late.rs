//! A client is told that there is no answer, or was suspended, and the answer comes all the same.

use super::*;
use crate::{session::double::Authority, store::Store};

/// Asks as a client does, and hears that there is no answer to several calls, of which these take so many seconds and the
/// others are lost before the server has them.
async fn is_not_answered(bench: &Bench, session: &Session, late: &[u64]) {
    let late = late.iter();
    late.for_each(|seconds| {
        let late = Fault::Late(Duration::from_secs(*seconds));
        bench.authority.then(late);
    });
    for _ in 0..4 {
        bench.authority.then(Fault::LoseRequest);
    }
    let told = session.relay(asks(session, &standin(session))).await;
    assert!(matches!(told, Err(Failure::InDoubt { .. })), "{told:?}");
    bench.authority.forget_faults();
}

/// A server with a grace of 30 s, and a session that only its clients refresh.
fn with_grace() -> (Bench, Recipe) {
    let grace = Duration::from_secs(30);
    let mut authority = Authority::new();
    authority.grace = grace;
    let mut recipe = recipe(true);
    recipe.refresh.kind = RefreshKind::None;
    recipe.refresh.grace = Some(grace);
    (Bench::of(authority), recipe)
}

/// Of two late answers that to the later call counts, whichever comes first (life 450151).
#[tokio::test(start_paused = true)]
async fn an_answer_that_no_client_waits_for_is_taken() {
    for (late, later) in [(40, 20), (20, 40)] {
        let bench = Bench::new();
        let mut recipe = recipe(true);
        recipe.refresh.kind = RefreshKind::None;
        let (_sessions, session) = bench.open(recipe.clone()).await;
        relayed(&session, "rt-0").await;
        let presented = standin(&session);
        is_not_answered(&bench, &session, &[late, later]).await;
        let calls = bench.authority.calls();
        assert_eq!(calls, 4, "one, two late ones, and one that never arrived");
        sleep(Duration::from_secs(60)).await;
        let again = relayed(&session, &presented).await;
        assert_eq!(token(&again), "at-3");
        let (_others, other) = bench.peer().open(recipe).await;
        assert_eq!(token(&relayed(&other, &presented).await), "at-3");
        assert_eq!(bench.authority.calls(), calls, "nothing is sent again");
        let stored = bench.store.load(session.id()).await.unwrap().unwrap();
        assert_eq!(stored.notes.attempt, None);
        relayed(&session, &standin(&session)).await;
        assert!(!bench.authority.is_revoked());
    }
}

/// Within the grace, a flight of ours that has the right sends the token once more: a call in between may have made void
/// what the late answer brings (life 34300).
#[tokio::test(start_paused = true)]
async fn within_the_grace_it_is_asked_once_more() {
    let mut authority = Authority::new();
    authority.grace = Duration::from_secs(60);
    let bench = Bench::of(authority);
    let mut recipe = recipe(true);
    recipe.refresh.grace = Some(Duration::from_secs(60));
    let (_sessions, session) = started(&bench, recipe).await;
    let faults = [
        Fault::Late(Duration::from_secs(12)),
        // With these our own flight begins at once; while its second call connects, the answer to the client's comes.
        Fault::LoseAnswer,
        Fault::SlowConnect(Duration::from_secs(3)),
    ];
    for fault in faults {
        bench.authority.then(fault);
    }
    let told = session.relay(asks(&session, &standin(&session))).await;
    assert!(matches!(told, Err(Failure::InDoubt { .. })), "{told:?}");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stored_token(&bench, &session).await, "rt-4");
    sleep(Duration::from_secs(7400)).await;
    relayed(&session, &standin(&session)).await;
    assert!(!bench.authority.is_revoked());
}

/// The store is locked when the client is given up, and the answer comes meanwhile, or did right before: the right to
/// refresh is kept until it is stored (lives 74320 and 297205).
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_at_hand_keeps_the_right() {
    for late in [4000, 3500] {
        let bench = Bench::new();
        let Store::Memory(store) = &bench.store else {
            unreachable!("tests are in memory")
        };
        store.rough().begin(1);
        let (_sessions, session) = started(&bench, recipe(true)).await;
        let (_others, other) = bench.peer().open(recipe(true)).await;
        let presented = standin(&session);
        let late = Fault::Late(Duration::from_millis(late));
        bench.authority.then(late);
        let (told, ()) = tokio::join!(session.relay(asks(&session, &presented)), async {
            sleep(Duration::from_secs(2)).await;
            store.rough().lock(true);
        });
        assert!(matches!(told, Err(Failure::Store(_))), "{told:?}");
        let calls = bench.authority.calls();
        let (told, ()) = tokio::join!(other.relay(asks(&other, &presented)), async {
            sleep(Duration::from_secs(1)).await;
            store.rough().lock(false);
        });
        assert_eq!(token(&told.unwrap()), "at-2");
        assert_eq!(bench.authority.calls(), calls);
        assert!(!bench.authority.is_revoked());
    }
}

/// An answer to an earlier call is taken, and a later one may still be answered: nobody spends what the first brought until
/// that is known, or the server's grace is over (life 314147).
#[tokio::test(start_paused = true)]
async fn what_an_earlier_call_brought_is_not_spent_at_once() {
    let bench = Bench::new();
    let mut recipe = recipe(false);
    recipe.refresh.kind = RefreshKind::None;
    let (_sessions, session) = bench.open(recipe.clone()).await;
    relayed(&session, "rt-0").await;
    let (_others, other) = bench.peer().open(recipe).await;
    let presented = standin(&session);
    let secs = Duration::from_secs;
    let throttled = bench.env.wall() + secs(20);
    for fault in [
        Fault::Late(secs(4)),
        Fault::Late(secs(5)),
        Fault::Say(Failure::Throttled {
            until: throttled,
            why: "429".to_owned(),
        }),
    ] {
        bench.authority.then(fault);
    }
    let told = relayed(&session, &presented).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(stored_token(&bench, &session).await, "rt-2");
    assert_eq!(token(&relayed(&other, &presented).await), "at-4");
    assert_eq!(stored_token(&bench, &session).await, "rt-4");
    assert!(!bench.authority.is_revoked());
}

/// Two clients were given up and both answers come, the earlier one first and after the grace. The right to refresh is taken
/// before that is stored, so that no other process sends it while the other answer may come (life 934456). When that
/// comes all the same, it is stored at once: who is about to send the first sends it instead (life 590629).
#[tokio::test(start_paused = true)]
async fn what_an_earlier_call_brought_is_sent_by_no_other_process() {
    let secs = Duration::from_secs;
    for (second, sends_at) in [(15, 34), (70, 85)] {
        let (bench, recipe) = with_grace();
        let (_sessions, session) = bench.open(recipe.clone()).await;
        relayed(&session, "rt-0").await;
        let (_others, other) = bench.peer().open(recipe).await;
        let began = Instant::now();
        is_not_answered(&bench, &session, &[33]).await;
        sleep_until(began + secs(20)).await;
        is_not_answered(&bench, &session, &[second]).await;
        sleep_until(began + secs(sends_at)).await;
        assert_eq!(stored_token(&bench, &session).await, "rt-2");
        bench.authority.then(Fault::SlowConnect(secs(8)));
        relayed(&other, &standin(&other)).await;
        sleep(secs(60)).await;
        assert!(!bench.authority.is_revoked(), "{second}");
        assert_eq!(other.status().state, "fresh");
    }
}

/// The answer to a later call comes while what an earlier one brought is about to be sent for the first time: it is not,
/// however many calls came behind (life 565794).
#[tokio::test(start_paused = true)]
async fn what_a_later_call_brought_is_taken_before_the_first_use() {
    for by_client in [true, false] {
        let bench = Bench::new();
        let (_sessions, session) = started(&bench, recipe(true)).await;
        let began = Instant::now();
        let secs = Duration::from_secs;
        let throttled = Failure::Throttled {
            until: bench.env.wall() + secs(15),
            why: "429".to_owned(),
        };
        for fault in [Fault::Late(secs(4)), Fault::Late(secs(20))] {
            bench.authority.then(fault);
        }
        bench.authority.then(Fault::Say(throttled));
        let told = relayed(&session, &standin(&session)).await;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        sleep_until(began + secs(22)).await;
        assert_eq!(stored_token(&bench, &session).await, "rt-2");
        bench.authority.then(Fault::SlowConnect(secs(3)));
        if by_client {
            relayed(&session, &standin(&session)).await;
        } else {
            session.refresh_now().await.unwrap();
        }
        sleep(secs(60)).await;
        assert!(!bench.authority.is_revoked(), "by a client: {by_client}");
        assert_eq!(session.status().state, "fresh");
    }
}

/// A client's refresh is sent again within the grace of its token's first use, by whichever process that was (life 362370).
#[tokio::test(start_paused = true)]
async fn the_grace_is_counted_from_the_first_use() {
    let bench = Bench::new();
    let mut recipe = recipe(false);
    recipe.refresh.kind = RefreshKind::None;
    let (_sessions, session) = bench.open(recipe.clone()).await;
    relayed(&session, "rt-0").await;
    let (_others, other) = bench.peer().open(recipe).await;
    let (before, began) = (bench.authority.calls(), Instant::now());
    for _ in 0..20 {
        bench.authority.then(Fault::LoseRequest);
    }
    for asking in [&session, &other] {
        let told = asking.relay(asks(asking, &standin(asking))).await;
        assert!(matches!(told, Err(Failure::InDoubt { .. })), "{told:?}");
    }
    let called_at = bench.authority.called_at.lock().unwrap().clone();
    let last = called_at.last().unwrap().duration_since(began);
    assert!(last < Duration::from_secs(10), "{last:?}");
    assert_eq!(bench.authority.calls() - before, 8, "five, and three more");
}

/// A process died before it sent the token whose use it had noted, and the grace of that is over: the first call that is
/// known of counts from then on (life 729878).
#[tokio::test(start_paused = true)]
async fn the_grace_begins_anew_where_only_a_journal_tells() {
    let secs = Duration::from_secs;
    let (bench, recipe) = with_grace();
    let (sessions, session) = bench.open(recipe.clone()).await;
    relayed(&session, "rt-0").await;
    let presented = standin(&session);
    bench.authority.then(Fault::SlowConnect(secs(9)));
    let calls = bench.authority.calls();
    let relay = session.relay(asks(&session, &presented));
    assert!(timeout(secs(1), relay).await.is_err());
    session.crash();
    drop((sessions, session));
    sleep(secs(31)).await;
    assert_eq!(bench.authority.calls(), calls, "it was not sent");
    let (_sessions, session) = bench.open(recipe).await;
    bench.authority.then(Fault::Silence);
    let told = session.relay(asks(&session, &presented)).await;
    assert!(matches!(told, Err(Failure::InDoubt { .. })), "{told:?}");
    sleep(secs(5)).await;
    assert_eq!(token(&relayed(&session, &presented).await), "at-3");
    assert!(!bench.authority.is_revoked());
}

/// A process is suspended with a client's call on its way, and another one refreshes: what the client is told is known
/// (lives 40252 and 295848).
#[tokio::test(start_paused = true)]
async fn who_was_overtaken_is_told_what_is_held() {
    for coalesce in [true, false] {
        let bench = Bench::new();
        let Store::Memory(store) = &bench.store else {
            unreachable!("tests are in memory")
        };
        store.rough().begin(1);
        let mut recipe = recipe(coalesce);
        recipe.refresh.kind = RefreshKind::None;
        let (_sessions, session) = bench.open(recipe.clone()).await;
        relayed(&session, "rt-0").await;
        let (_others, other) = bench.peer().open(recipe).await;
        bench.authority.then(Fault::Late(Duration::from_secs(3)));
        let presented = standin(&session);
        let (told, refreshed) = tokio::join!(session.relay(asks(&session, &presented)), async {
            sleep(Duration::from_secs(1)).await;
            store.take_away(store);
            relayed(&other, &presented).await
        });
        assert_eq!(token(&refreshed), "at-3");
        let expected = if coalesce { 3 } else { 4 };
        assert_eq!(token(&told.unwrap()), format!("at-{expected}"));
        let held = stored_token(&bench, &session).await;
        assert_eq!(held, format!("rt-{expected}"));
        assert!(!bench.authority.is_revoked());
    }
}

/// The call after one that was not answered is not even sent: that does not settle what became of the first.
#[tokio::test(start_paused = true)]
async fn what_was_not_sent_does_not_hide_what_was() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    bench.authority.then(Fault::LoseRequest);
    let unsent = Failure::Unsent("no route".to_owned());
    bench.authority.then(Fault::Say(unsent));
    let told = session.relay(asks(&session, &standin(&session))).await;
    assert!(matches!(told, Err(Failure::Unsent(_))), "{told:?}");
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert!(stored.notes.attempt.is_some());
}
