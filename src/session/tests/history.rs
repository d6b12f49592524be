//! What the history tells of a refresh: who asked, for what, and how long it took.

use std::{sync::Arc, time::Duration};

use super::super::{
    bench::{Bench, bearer, cookies},
    double::{Away, Fault},
    history::{Event, name},
};
use super::*;

/// The last event of a name: who asked, for what, and how long it took.
fn last(session: &Session, of: &str) -> (Option<String>, Option<String>, Option<u64>) {
    let mut events = session.history().into_iter().rev();
    let Event {
        asked_by,
        request,
        took_ms,
        ..
    } = events.find(|event| event.name == of).expect(of);
    (asked_by, request, took_ms)
}

fn count(session: &Session, of: &str) -> usize {
    let events = session.history();
    events.iter().filter(|event| event.name == of).count()
}

#[tokio::test(start_paused = true)]
async fn the_history_says_who_asked_and_how_long_it_took() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let alice = Arc::from("alice");
    let asks = About {
        client: Some(&alice),
        ..asks("/v1/me?key=secret")
    };
    let request = Some("GET https://site.example:443/v1/me".to_owned());
    let who = Some("alice".to_owned());
    // She waits for the first token.
    session.current_for(asks).await.unwrap();
    let part = |took| (who.clone(), request.clone(), took);
    assert_eq!(last(&session, name::STARTED), part(None));
    assert_eq!(last(&session, name::SUCCEEDED), part(Some(100)));
    assert_eq!(last(&session, name::ROTATED), part(None));

    // Her request is rejected; two calls are not answered, of which the history keeps the last.
    for _ in 0..2 {
        bench.authority.then(Fault::LoseAnswer);
    }
    session.reject(session.generation(), asks).await;
    session.replayed(asks);
    assert_eq!(last(&session, name::REJECTED), part(None));
    assert_eq!(last(&session, name::STARTED), part(None));
    assert_eq!(last(&session, name::FAILED), part(Some(50)));
    assert_eq!(count(&session, name::FAILED), 1);
    assert_eq!(last(&session, name::SUCCEEDED), part(Some(100)));
    assert_eq!(last(&session, name::REPLAYED), part(None));

    // Nobody asks for what is done ahead of time: each failure takes as long as nothing comes back.
    *bench.authority.away.lock().unwrap() = Some(Away::Silent);
    pass(3600.0).await;
    assert_eq!(last(&session, name::STARTED), (None, None, None));
    assert_eq!(last(&session, name::FAILED), (None, None, Some(3334)));
    let told = session.history();
    let text = format!("{told:?}");
    assert!(!text.contains("secret") && !text.contains("rt-"), "{text}");

    // Nor is the store's trouble a matter of time.
    *bench.authority.away.lock().unwrap() = None;
    session.refresh_now().await.unwrap();
    let crate::store::Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    store.rough().fill(true);
    let _ = tokio::time::timeout(Duration::from_secs(1), session.refresh_now()).await;
    assert_eq!(last(&session, name::FAILED), (None, None, None));
}

#[tokio::test(start_paused = true)]
async fn the_history_says_whose_answer_rotated_a_cookie() {
    let bench = Bench::new();
    let mut recipe = cookies(&["sid"]);
    recipe.inject.clear();
    let (_sessions, session) = bench.open(recipe).await;
    let bob = Arc::from("bob");
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, "sid=one; Secure".parse().unwrap());
    let learnt = session.learn(Answer {
        seen: session.generation(),
        about: About {
            client: Some(&bob),
            ..asks("/read?key=secret")
        },
        headers: &headers,
        rejected: false,
        fields: Vec::new(),
    });
    learnt.await.unwrap();
    let request = Some("GET https://site.example:443/read".to_owned());
    let whose = (Some("bob".to_owned()), request, None);
    assert_eq!(last(&session, name::ROTATED), whose);
}

/// Another process's journal is looked into at once, since that process may have died; while it lives, nothing is begun.
#[tokio::test(start_paused = true)]
async fn the_history_of_one_process_has_no_refresh_of_another() {
    let bench = Bench::new();
    let (_a, one) = bench.open(bearer()).await;
    let (_b, two) = bench.peer().open(bearer()).await;
    one.current().await.unwrap();
    pass(0.2).await;
    for round in 1..=5 {
        bench.authority.then(Fault::Late(Duration::from_secs(2)));
        one.refresh_now().await.unwrap();
        pass(0.2).await;
        assert_eq!(two.generation(), one.generation());
        assert_eq!(count(&one, name::STARTED), 1 + round);
        assert_eq!(count(&one, name::SUCCEEDED), 1 + round);
        assert_eq!(bench.authority.calls(), 1 + round);
    }
    let told = format!("{:?}", two.history());
    assert_eq!(count(&two, name::STARTED), 0, "{told}");

    // One that is needed, and that another one is faster with, did not begin here either.
    bench.authority.void();
    bench.authority.then(Fault::Late(Duration::from_secs(2)));
    let seen = one.generation();
    let (first, second) = tokio::join!(one.reject(seen, about()), async {
        pass(0.01).await;
        two.reject(seen, about()).await
    });
    for verdict in [first, second] {
        assert!(matches!(verdict, super::super::Verdict::Again(_)));
    }
    assert_eq!(bench.authority.calls(), 7);
    assert_eq!(count(&two, name::STARTED), 0);

    // Nor one that a full disk keeps from being sent; that it was not started is said.
    let crate::store::Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    store.rough().fill(true);
    let before = count(&one, name::STARTED);
    let _ = tokio::time::timeout(Duration::from_secs(1), one.refresh_now()).await;
    assert_eq!(count(&one, name::FAILED), 1);
    assert_eq!(count(&one, name::STARTED), before);
}
