//! Clients that ask again at once when they were refused or put off: they are told the same, and the server is left alone.

use http::header::RETRY_AFTER;

use super::*;
use crate::session::tests::about;

fn refusal(code: &str) -> Fault {
    Fault::Say(Failure::Terminal(code.to_owned()))
}

fn throttled(bench: &Bench, seconds: u64) -> Fault {
    Fault::Say(Failure::Throttled {
        until: bench.env.wall() + Duration::from_secs(seconds),
        why: "status 503".to_owned(),
    })
}

/// Asks as a client that never waits for long, and is refused each time.
async fn loops(session: &Session, presented: &str, code: &str) {
    for _ in 0..5 {
        let refused = relayed(session, presented).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(body["error"], code);
        sleep(Duration::from_secs(2)).await;
    }
}

/// Puts in a new grant as another process does.
async fn import(bench: &Bench, session: &Session) {
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    let mut grant = stored.grant.clone();
    grant.obtained_at = Some(bench.env.wall());
    let spent = grant.field(REFRESH_TOKEN).unwrap().expose().clone();
    for (name, value) in bench.authority.rotate(&spent) {
        grant.fields.insert(name, value);
    }
    let change = store::Change {
        generation: stored.generation.next(),
        grant: Some(grant),
        notes: Some(store::Notes::default()),
        ..store::Change::default()
    };
    let how = Durability::Written;
    let peer = bench.peer();
    let before = stored.generation;
    let done = peer.store.commit(&session.id, before, change, how).await;
    assert!(matches!(done.unwrap(), store::Committed::Done));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_sent_again_at_once() {
    for coalesce in [true, false] {
        let bench = Bench::new();
        let (_sessions, session) = started(&bench, recipe(coalesce)).await;
        bench.authority.then(refusal("invalid_grant"));
        bench.authority.then(refusal("invalid_grant"));
        let presented = standin(&session);
        for calls in [2, 3] {
            loops(&session, &presented, "invalid_grant").await;
            assert_eq!(bench.authority.calls(), calls, "once a cooldown");
            sleep(Duration::from_secs(25)).await;
        }
        bench.authority.then(refusal("invalid_grant"));
        loops(&session, &presented, "invalid_grant").await;
        import(&bench, &session).await;
        let calls = bench.authority.calls();
        // A new grant is spent at once, or told to who has the one before it.
        let new = relayed(&session, &standin(&session)).await;
        assert_eq!(new.status, StatusCode::OK);
        assert_eq!(bench.authority.calls(), calls + 1);
        assert!(!bench.authority.is_revoked());
    }
}

/// What was wrong with one request is nothing to another.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_holds_up_no_other() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    bench.authority.then(refusal("invalid_client"));
    let presented = standin(&session);
    loops(&session, &presented, "invalid_client").await;
    assert_eq!(bench.authority.calls(), 2);
    let mut other = asks(&session, &presented);
    let credential = http::HeaderValue::from_static("Basic eDp5");
    let headers = &mut other.request.headers;
    headers.insert(http::header::AUTHORIZATION, credential);
    let told = session.relay(other).await.unwrap();
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(bench.authority.calls(), 3);
}

/// The session itself was refused: its clients are told so, once more after the pause each time, and a new grant heals it.
#[tokio::test(start_paused = true)]
async fn a_session_that_needs_a_login_sends_nothing_for_clients() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    for _ in 0..2 {
        bench.authority.then(refusal("invalid_grant"));
    }
    session.reject(session.generation(), about()).await;
    assert_eq!(session.status().state, "needs_login");
    assert_eq!(bench.authority.calls(), 2);
    let presented = standin(&session);
    loops(&session, &presented, "invalid_grant").await;
    // Another process, which knows it from the store alone.
    let (_others, other) = bench.peer().open(recipe(true)).await;
    loops(&other, &presented, "invalid_grant").await;
    assert_eq!(bench.authority.calls(), 2);
    sleep(Duration::from_secs(30)).await;
    loops(&session, &presented, "invalid_grant").await;
    assert_eq!(bench.authority.calls(), 3);
    import(&bench, &session).await;
    let new = relayed(&session, &standin(&session)).await;
    assert_eq!(new.status, StatusCode::OK);
    assert_eq!(session.status().state, "fresh");
}

/// A server that names a time is left alone until then.
#[tokio::test(start_paused = true)]
async fn a_server_that_puts_clients_off_is_left_alone() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    bench.authority.then(throttled(&bench, 40));
    let presented = standin(&session);
    for left in [40, 30, 20, 10] {
        let told = relayed(&session, &presented).await;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told.headers[RETRY_AFTER], left.to_string());
        assert_eq!(bench.authority.calls(), 2);
        sleep(Duration::from_secs(10)).await;
    }
    let told = relayed(&session, &presented).await;
    assert_eq!(told.status, StatusCode::OK);
}

/// As that, when it was a refresh of ours that was put off.
#[tokio::test(start_paused = true)]
async fn what_put_the_session_off_puts_its_clients_off() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    bench.authority.then(throttled(&bench, 40));
    session.reject(session.generation(), about()).await;
    assert_eq!(session.status().state, "degraded");
    for _ in 0..3 {
        let told = session.relay(asks(&session, &standin(&session))).await;
        assert!(matches!(told, Err(Failure::Throttled { .. })), "{told:?}");
        assert_eq!(bench.authority.calls(), 2);
        sleep(Duration::from_secs(10)).await;
    }
}
