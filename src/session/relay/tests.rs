mod again;
mod late;

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use tokio::time::{sleep, sleep_until, timeout};

use super::*;
use crate::{
    rule::{Recipe, RefreshKind, Source, Spot, Url, sample},
    session::{
        Sessions,
        bench::{Bench, bearer},
        double::Fault,
        held::ACCESS_TOKEN,
    },
    store::Durability,
};

fn capture(coalesce: bool) -> Capture {
    let mut capture = sample::capture("POST https://auth.example/token");
    capture.request = vec![(
        REFRESH_TOKEN.to_owned(),
        Spot::Form("refresh_token".to_owned()),
    )];
    for name in ["access_token", "refresh_token", "expires_in"] {
        let pointer = format!("/{name}").parse().unwrap();
        capture
            .answer
            .push((name.to_owned(), Source::Json(pointer)));
    }
    (capture.mask, capture.coalesce) = (true, coalesce);
    capture
}

pub(super) fn recipe(coalesce: bool) -> Recipe {
    let mut recipe = bearer();
    recipe.captures = vec![capture(coalesce)];
    recipe
}

/// What a client sends that has this.
pub(super) fn asks(session: &Session, presented: &str) -> Relay {
    Relay {
        client: Some("alice".into()),
        capture: session.recipe().captures[0].clone(),
        presented: presented.into(),
        request: auth::Request {
            method: Method::POST,
            url: Url {
                origin: "https://auth.example".parse().unwrap(),
                path: "/token".to_owned(),
            },
            headers: HeaderMap::new(),
            body: Secret::new(Vec::new()),
        },
        body: Arc::new(|token| token.as_bytes().to_vec()),
    }
}

pub(super) fn standin(session: &Session) -> String {
    let held = Arc::clone(&session.inner().held.grant);
    let token = held.field(REFRESH_TOKEN).unwrap();
    let maker = session.standins().unwrap().maker();
    maker.make(REFRESH_TOKEN, token.expose())
}

fn token(relayed: &Relayed) -> String {
    let body: serde_json::Value = serde_json::from_slice(&relayed.body).unwrap();
    body[ACCESS_TOKEN].as_str().unwrap_or_default().to_owned()
}

async fn relayed(session: &Session, presented: &str) -> Relayed {
    let relayed = session.relay(asks(session, presented)).await.unwrap();
    Arc::unwrap_or_clone(relayed)
}

/// With something held that the next refresh follows.
pub(super) async fn started(bench: &Bench, recipe: Recipe) -> (Arc<Sessions>, Arc<Session>) {
    let (sessions, session) = bench.open(recipe).await;
    session.current().await.unwrap();
    assert_eq!(bench.authority.calls(), 1);
    (sessions, session)
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_share_one_refresh() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    assert!(session.is_own(&presented).await.unwrap());
    let all = join_all((0..8).map(|_| relayed(&session, &presented))).await;
    assert_eq!(bench.authority.calls(), 2);
    let first = token(&all[0]);
    assert!(all.iter().all(|relayed| token(relayed) == first));
    // Stored, in use, and nothing is left in the journal.
    let current = session.ready().unwrap();
    assert_eq!(current.grant.field(ACCESS_TOKEN).unwrap().expose(), &first);
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(stored.grant.field(ACCESS_TOKEN).unwrap().expose(), &first);
    assert_eq!(stored.notes.attempt, None);
    assert!(standin(&session) != presented && !bench.authority.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn an_earlier_token_is_told_what_came_of_it() {
    let bench = Bench::new();
    let (sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    let first = relayed(&session, &presented).await;
    for _ in 0..3 {
        let again = relayed(&session, &presented).await;
        assert_eq!(token(&again), token(&first));
        assert_eq!(again.spent, None);
    }
    // Another process, or this one after a restart.
    let (_others, other) = bench.peer().open(recipe(true)).await;
    assert_eq!(token(&relayed(&other, &presented).await), token(&first));
    assert_eq!(bench.authority.calls(), 2);
    // With the newest it is a refresh like any.
    let newest = standin(&other);
    assert_ne!(token(&relayed(&other, &newest).await), token(&first));
    assert_eq!(bench.authority.calls(), 3);
    drop(sessions);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_its_life_is_told_too() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    relayed(&session, &presented).await;
    sleep(Duration::from_secs(600)).await;
    let again = relayed(&session, &presented).await;
    let body: serde_json::Value = serde_json::from_slice(&again.body).unwrap();
    let left = body["expires_in"].as_u64().unwrap();
    assert!((2990..=3001).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_within_the_grace() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    bench.authority.then(Fault::LoseAnswer);
    let all = join_all((0..8).map(|_| relayed(&session, &presented))).await;
    assert_eq!(bench.authority.calls(), 3);
    assert!(all.iter().all(|relayed| token(relayed) == token(&all[0])));
    assert!(!bench.authority.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn what_stays_in_doubt_is_in_the_journal() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    for _ in 0..9 {
        bench.authority.then(Fault::LoseRequest);
    }
    let began = Instant::now();
    let all = join_all((0..8).map(|_| session.relay(asks(&session, &presented)))).await;
    assert!(
        all.iter()
            .all(|one| matches!(one, Err(Failure::InDoubt { .. })))
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    // The session itself goes on where its clients stop, by the rules of its own refreshes.
    assert!(
        bench.authority.calls() <= 1 + 5 + 1,
        "{:?}",
        bench.authority.log.lock().unwrap()
    );
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert!(stored.notes.attempt.is_some());
    // It may be asked again, and what comes settles it.
    bench.authority.forget_faults();
    relayed(&session, &presented).await;
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_clients_to_read() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let before = session.ready().unwrap().generation;
    bench
        .authority
        .then(Fault::Say(Failure::Terminal("invalid_grant".to_owned())));
    let refused = relayed(&session, &standin(&session)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&refused.body).contains("invalid_grant"));
    assert_eq!(session.ready().unwrap().generation, before);
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None);
}

#[tokio::test(start_paused = true)]
async fn ours_and_a_clients_are_one() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let presented = standin(&session);
    let seen = session.generation();
    let about = crate::session::tests::about();
    let (_, _) = tokio::join!(relayed(&session, &presented), session.reject(seen, about));
    assert_eq!(bench.authority.calls(), 2);
    assert_eq!(session.generation().0, seen.0 + 1);
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_one_refresh() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let (_others, other) = bench.peer().open(recipe(true)).await;
    let presented = standin(&session);
    let (one, two) = tokio::join!(relayed(&session, &presented), relayed(&other, &presented));
    assert_eq!(token(&one), token(&two));
    assert_eq!(bench.authority.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_coalesce_each_has_its_own() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(false)).await;
    let presented = standin(&session);
    let all = join_all((0..3).map(|_| relayed(&session, &presented))).await;
    assert_eq!(bench.authority.calls(), 1 + 3);
    // Each was sent with the newest: no server takes that for reuse.
    assert!(!bench.authority.is_revoked());
    assert!(all.iter().all(|relayed| relayed.status == StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_sessions_is_not_own() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(recipe(true)).await;
    for (presented, own) in [("rt-0", true), ("rt-7", false), ("", false)] {
        assert_eq!(session.is_own(presented).await.unwrap(), own, "{presented}");
    }
    session.current().await.unwrap();
    // The one before, which the session itself has spent: it must not be seen by the server again.
    assert!(session.is_own("rt-0").await.unwrap());
    relayed(&session, "rt-0").await;
    assert!(!bench.authority.is_revoked());
}

/// A client that has slept through several refreshes, and holds a real token: the server must not see it.
#[tokio::test(start_paused = true)]
async fn a_token_of_long_ago_is_never_sent() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(true)).await;
    let held = || {
        let current = session.ready().unwrap();
        current.grant.field(REFRESH_TOKEN).unwrap().expose().clone()
    };
    let first = held();
    for _ in 0..5 {
        session.refresh_now().await.unwrap();
    }
    assert_ne!(held(), first);
    let calls = bench.authority.calls();
    assert!(session.is_own(&first).await.unwrap());
    relayed(&session, &first).await;
    assert!(bench.authority.calls() <= calls + 1);
    assert!(!bench.authority.is_revoked());
}

/// A token was in doubt already: that the server says no to a client's use of it does not settle what became of it.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_doubt_leaves_the_doubt() {
    let bench = Bench::new();
    let mut recipe = recipe(true);
    recipe.refresh.kind = RefreshKind::None;
    let (_sessions, session) = bench.open(recipe).await;
    for _ in 0..9 {
        bench.authority.then(Fault::LoseRequest);
    }
    assert!(session.relay(asks(&session, "rt-0")).await.is_err());
    bench.authority.forget_faults();
    let refusal = Failure::Terminal("invalid_request".to_owned());
    bench.authority.then(Fault::Say(refusal));
    let refused = relayed(&session, "rt-0").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert!(stored.notes.attempt.is_some());
    sleep(Duration::from_secs(60)).await;
    relayed(&session, "rt-0").await;
    let stored = bench.store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(stored.notes.attempt, None);
}

/// A session that only its clients renew has the same rules, and is healed by what they bring.
#[tokio::test(start_paused = true)]
async fn a_session_that_only_its_clients_renew() {
    let bench = Bench::new();
    let mut recipe = recipe(true);
    recipe.refresh.kind = RefreshKind::None;
    let (_sessions, session) = bench.open(recipe).await;
    assert!(session.current().await.is_err());
    let first = relayed(&session, "rt-0").await;
    assert_eq!(
        session
            .ready()
            .unwrap()
            .grant
            .field(ACCESS_TOKEN)
            .unwrap()
            .expose(),
        &token(&first)
    );
    // It ends, and the next client's refresh is its new life.
    sleep(Duration::from_secs(4000)).await;
    assert!(session.current().await.is_err());
    relayed(&session, &standin(&session)).await;
    assert!(session.ready().is_some());
    assert_eq!(session.status().state, "fresh");
}

/// A process that was suspended between two calls finds that another one has spent the token meanwhile.
#[tokio::test(start_paused = true)]
async fn a_token_that_another_has_spent_meanwhile_is_not_sent_again() {
    let bench = Bench::new();
    let (_sessions, session) = started(&bench, recipe(false)).await;
    bench.authority.then(Fault::LoseRequest);
    let presented = standin(&session);
    let relaying = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.relay(asks(&session, &presented)).await }
    });
    sleep(Duration::from_millis(300)).await;
    assert_eq!(
        bench.authority.calls(),
        2,
        "one call, and its answer is lost"
    );
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    let mut grant = stored.grant.clone();
    let spent = grant.field(REFRESH_TOKEN).unwrap().expose().clone();
    for (name, value) in bench.authority.rotate(&spent) {
        grant.fields.insert(name, value);
    }
    let change = store::Change {
        generation: stored.generation.next(),
        grant: Some(grant),
        ..store::Change::default()
    };
    let how = Durability::Written;
    bench
        .peer()
        .store
        .commit(&session.id, stored.generation, change, how)
        .await
        .unwrap();
    // What the other one has brought is spent for the client instead.
    assert_eq!(token(&relaying.await.unwrap().unwrap()), "at-3");
    assert_eq!(bench.authority.calls(), 3);
    assert_eq!(stored_token(&bench, &session).await, "rt-3");
    assert!(!bench.authority.is_revoked());
}

async fn stored_token(bench: &Bench, session: &Session) -> String {
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    let token = stored.grant.field(REFRESH_TOKEN).unwrap();
    token.expose().clone()
}

/// Behind its grace a token in doubt is sent once a minute, by clients too: they are told when (503), and nothing is sent
/// while the answer to an earlier call may come.
#[tokio::test(start_paused = true)]
async fn behind_the_grace_a_client_is_put_off() {
    let bench = Bench::new();
    let mut recipe = recipe(true);
    recipe.refresh.kind = RefreshKind::None;
    let (_sessions, session) = bench.open(recipe).await;
    for _ in 0..9 {
        bench.authority.then(Fault::LoseRequest);
    }
    assert!(session.relay(asks(&session, "rt-0")).await.is_err());
    bench.authority.forget_faults();
    let calls = bench.authority.calls();
    for wait in [5, 40] {
        sleep(Duration::from_secs(wait)).await;
        let told = session.relay(asks(&session, "rt-0")).await;
        assert!(matches!(told, Err(Failure::Throttled { .. })), "{told:?}");
        assert_eq!(bench.authority.calls(), calls);
    }
    sleep(Duration::from_secs(20)).await;
    let told = relayed(&session, "rt-0").await;
    assert_eq!(token(&told), "at-1");
    assert_eq!(bench.authority.calls(), calls + 1);
}
