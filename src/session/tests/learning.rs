//! What answers teach: rotation, order, rejections, captured fields, seeds.

use std::{mem, pin::pin};

use futures_util::{future::join_all, poll};

use super::super::{
    Verdict,
    bench::{Bench, bearer, cookies},
};
use super::*;
use crate::{
    rule::{RefreshKind, sample},
    secret::Secret,
    store::{Store, Stored},
};

#[tokio::test(start_paused = true)]
async fn a_rotated_cookie_is_stored_before_the_answer_goes_on() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&["sid"])).await;
    assert!(session.current().await.is_err());
    answer(
        &session,
        Generation(0),
        false,
        &["sid=1; Secure", "theme=dark"],
    )
    .await;
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.generation, Generation(1));
    assert_eq!(stored.cookies.len(), 2);
    assert_eq!(sent(&session, &bench), "sid=1; theme=dark");
    // The same again is nothing new, and other cookies move nothing.
    answer(
        &session,
        Generation(1),
        false,
        &["sid=1; Secure", "theme=light"],
    )
    .await;
    assert_eq!(session.generation(), Generation(1));
    assert_eq!(sent(&session, &bench), "sid=1; theme=light");
}

#[tokio::test(start_paused = true)]
async fn without_required_cookies_every_one_of_an_accepted_answer_counts() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&[])).await;
    answer(&session, Generation(0), false, &["a=1"]).await;
    assert_eq!(session.generation(), Generation(1));
    answer(&session, Generation(1), true, &["a=2"]).await;
    assert_eq!(
        session.generation(),
        Generation(1),
        "a rejected answer moves nothing"
    );
    assert_eq!(sent(&session, &bench), "a=2", "but is learnt");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_older_generation_overwrites_nothing_newer() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&["sid"])).await;
    answer(&session, Generation(0), false, &["sid=1"]).await;
    answer(&session, Generation(1), false, &["sid=2"]).await;
    answer(&session, Generation(0), false, &["sid=late; Max-Age=9999"]).await;
    assert_eq!(sent(&session, &bench), "sid=2");
    // Two answers to one generation: the later arrival.
    answer(&session, Generation(1), false, &["sid=3"]).await;
    assert_eq!(sent(&session, &bench), "sid=3");
    assert_eq!(session.generation(), Generation(3));
    // Unless its own times say that it is older.
    answer(&session, Generation(3), false, &["sid=4; Max-Age=1000"]).await;
    answer(&session, Generation(3), false, &["sid=older; Max-Age=500"]).await;
    assert_eq!(sent(&session, &bench), "sid=4");
}

#[tokio::test(start_paused = true)]
async fn parallel_answers_all_find_their_place() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&["sid"])).await;
    let names: Vec<String> = (0..64).map(|n| format!("c{n}=v")).collect();
    let learnt = names.iter().map(|name| {
        let session = &session;
        async move { answer(session, Generation(0), false, &[name]).await }
    });
    join_all(learnt).await;
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.cookies.len(), 64);
    assert_eq!(stored.generation, Generation(0));
}

#[tokio::test(start_paused = true)]
async fn answers_of_a_moment_are_stored_together() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&["sid"])).await;
    let lines: Vec<[String; 2]> = (0..16)
        .map(|n| [format!("sid={n}"), format!("c{n}=v")])
        .collect();
    let learnt = lines.iter().map(|[sid, other]| {
        let session = &session;
        async move { answer(session, Generation(0), false, &[sid, other]).await }
    });
    let turn = session.writing.lock().await;
    let mut learnt = pin!(join_all(learnt));
    assert!(poll!(&mut learnt).is_pending());
    let waiting = mem::take(&mut *session.untaught());
    let (together, outcome) = session.learn_some(&waiting).await;
    assert!(outcome.is_ok());
    assert_eq!(together, 16);
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.generation, Generation(16));
    assert_eq!(stored.cookies.len(), 17);
    assert!(sent(&session, &bench).starts_with("sid=15; "));
    assert_eq!(count(&session, "session.rotated"), 16);
    drop((turn, waiting));
}

/// What `restore` goes back to is what was held right before, however many answers came in that moment.
#[tokio::test(start_paused = true)]
async fn a_new_refresh_token_begins_another_change() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let (seen, headers) = (session.generation(), HeaderMap::new());
    let taught = [
        vec![("access_token", "at-a")],
        vec![("access_token", "at-b"), ("refresh_token", "rt-b")],
        vec![("access_token", "at-c")],
    ];
    let learnt = taught.map(|fields| {
        let fields = fields.into_iter();
        session.learn(Answer {
            seen,
            about: asks("/token"),
            headers: &headers,
            rejected: false,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        })
    });
    let turn = session.writing.lock().await;
    let mut learnt = pin!(join_all(learnt));
    assert!(poll!(&mut learnt).is_pending());
    let waiting = mem::take(&mut *session.untaught());
    assert_eq!(session.learn_some(&waiting).await.0, 1);
    assert_eq!(session.learn_some(&waiting[1..]).await.0, 2);
    let field = |stored: &Stored| stored.grant.field("access_token").unwrap().clone();
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(field(&stored), Secret::from("at-c"));
    let before = bench.store.previous(&session.id).await.unwrap().unwrap();
    assert_eq!(field(&before), Secret::from("at-a"));
    drop((turn, waiting));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_in_a_rejected_answer_waits_for_the_refresh() {
    let bench = Bench::new();
    let mut recipe = cookies(&["sid"]);
    recipe.refresh.kind = RefreshKind::Steps(Vec::new());
    let (_sessions, session) = bench.open(recipe).await;
    answer(&session, Generation(0), false, &["sid=1"]).await;
    answer(&session, Generation(1), true, &["sid=; Max-Age=0"]).await;
    assert_eq!(sent(&session, &bench), "sid=1");
    // The refresh says that the session has ended: now it is deleted.
    let terminal = crate::life::Failure::Terminal("wrong password".to_owned());
    bench
        .authority
        .then(super::super::double::Fault::Say(terminal));
    assert!(matches!(
        session.reject(Generation(1), about()).await,
        Verdict::Pass(_)
    ));
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(stored.cookies, []);
    // A login through the proxy heals it.
    answer(&session, session.generation(), false, &["sid=new"]).await;
    assert_eq!(session.status().state, "fresh");
    assert_eq!(sent(&session, &bench), "sid=new");
}

/// Without a refresh of its own, and unless its clients renew it, a session gives up what a rejected answer deletes.
#[tokio::test(start_paused = true)]
async fn what_clients_renew_waits_for_them() {
    for clients in [false, true] {
        let bench = Bench::new();
        let mut recipe = cookies(&["sid"]);
        if clients {
            recipe.captures = vec![sample::capture("POST https://auth.example/token")];
        }
        let (_sessions, session) = bench.open(recipe).await;
        answer(&session, Generation(0), false, &["sid=1"]).await;
        answer(&session, Generation(1), true, &["sid=; Max-Age=0"]).await;
        let state = if clients { "fresh" } else { "empty" };
        assert_eq!(session.status().state, state);
        session.reject(session.generation(), about()).await;
        let message = session.status().message;
        assert_eq!(message.is_none(), clients, "{message:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_a_client_asked_for_is_one() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&["sid"])).await;
    answer(&session, Generation(0), false, &["sid=1", "x=1"]).await;
    answer(&session, Generation(1), false, &["sid=; Max-Age=0"]).await;
    let status = session.status();
    assert_eq!(status.state, "incomplete");
    assert_eq!(status.cookies.missing, ["sid"]);
    assert!(status.message.unwrap().starts_with("cookie sid is missing"));
}

#[tokio::test(start_paused = true)]
async fn an_unimportant_cookie_on_every_401_causes_one_refresh() {
    for required in [&["sid"][..], &[]] {
        let bench = Bench::new();
        let mut recipe = cookies(required);
        recipe.refresh.kind = RefreshKind::Steps(Vec::new());
        let (_sessions, session) = bench.open(recipe).await;
        answer(&session, Generation(0), false, &["sid=1"]).await;
        for n in 0..50 {
            let seen = session.generation();
            answer(&session, seen, true, &[&format!("visit={n}")]).await;
            if let Verdict::Again(newer) = session.reject(seen, about()).await {
                answer(
                    &session,
                    newer.generation,
                    true,
                    &[&format!("visit=again{n}")],
                )
                .await;
                assert!(matches!(
                    session.reject(newer.generation, about()).await,
                    Verdict::Pass(_)
                ));
            }
            pass(0.1).await;
        }
        assert_eq!(bench.authority.calls(), 1, "{required:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn captured_fields_move_the_generation_and_bring_their_expiry() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let headers = HeaderMap::new();
    let seen = session.generation();
    let learn = |fields: Vec<(&str, &str)>| {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        session.learn(Answer {
            seen,
            about: asks("/token"),
            headers: &headers,
            rejected: false,
            fields: fields.collect(),
        })
    };
    learn(vec![("access_token", "bad\r\nvalue")]).await.unwrap();
    assert!(
        session.ready().is_none(),
        "what would end a header field is none"
    );
    learn(vec![
        ("access_token", "theirs"),
        ("refresh_token", "rt-7"),
        ("expires_in", "600"),
    ])
    .await
    .unwrap();
    assert_eq!(injected(&session.ready().unwrap()), "Bearer theirs");
    assert_eq!(session.generation(), seen.next());
    assert_eq!(bench.authority.calls(), 0);
    pass(601.0).await;
    assert!(session.ready().is_none() || bench.authority.calls() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_seed_is_taken_once_and_again_when_it_was_changed() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    drop((sessions, session));
    // The source still has the first token; the store has its successor.
    let (sessions, session) = bench.open(bearer()).await;
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(
        stored.grant.field("refresh_token").unwrap().expose(),
        "rt-1"
    );
    session.refresh_now().await.unwrap();
    assert_eq!(session.status().last_refresh.unwrap().result, "ok");
    drop((sessions, session));

    let mut changed = bearer();
    changed
        .secrets
        .insert("refresh_token".to_owned(), "rt-9".into());
    let (_sessions, session) = bench.open(changed).await;
    let stored = bench.store.load(&session.id).await.unwrap().unwrap();
    assert_eq!(
        stored.grant.field("refresh_token").unwrap().expose(),
        "rt-9"
    );
    assert_eq!(stored.grant.field("access_token"), None, "it starts anew");
    assert!(!format!("{:?}", session.recipe()).contains("rt-9"));
}

#[tokio::test(start_paused = true)]
async fn serial_turns_come_in_order_and_do_not_wait_for_ever() {
    let mut bench = Bench::new();
    bench.limits.serial_wait = Duration::from_secs(30);
    let mut recipe = cookies(&[]);
    recipe.concurrency = crate::rule::Concurrency::Serial;
    let (_sessions, session) = bench.open(recipe).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let first = session.turn().await.unwrap();
    let queue = (0..5).map(|n| {
        let (session, order) = (Arc::clone(&session), Arc::clone(&order));
        async move {
            let Ok(_turn) = session.turn().await else {
                return;
            };
            order.lock().unwrap().push(n);
            pass(if n == 2 { 40.0 } else { 1.0 }).await;
        }
    });
    let queue = tokio::spawn(join_all(queue));
    pass(1.0).await;
    drop(first);
    queue.await.unwrap();
    assert_eq!(
        *order.lock().unwrap(),
        [0, 1, 2],
        "the others were told to come again"
    );
    assert!(session.turn().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_persist_is_in_no_store() {
    let bench = Bench::new();
    let mut recipe = cookies(&["sid"]);
    recipe.persist = false;
    let (_sessions, session) = bench.open(recipe).await;
    answer(&session, Generation(0), false, &["sid=1"]).await;
    assert_eq!(bench.store.load(&session.id).await.unwrap(), None);
    assert_eq!(sent(&session, &bench), "sid=1");
    assert!(matches!(session.store, Store::Memory(_)));
}

/// What another process learnt is as new as if it had been learnt here.
#[tokio::test(start_paused = true)]
async fn an_older_answer_overwrites_nothing_that_another_process_learnt() {
    let bench = Bench::new();
    let (_sessions, one) = bench.open(cookies(&["sid"])).await;
    let (_more, two) = bench.peer().open(cookies(&["sid"])).await;
    answer(&one, Generation(0), false, &["sid=1"]).await;
    pass(0.1).await;
    // Two requests are under way with this; the other process's answers come first.
    let (seen, slow) = (one.generation(), two.generation());
    assert_eq!((seen, slow), (Generation(1), Generation(1)));
    answer(&one, seen, false, &["sid=2", "a=1"]).await;
    answer(&one, seen.next(), false, &["sid=3", "a=; Max-Age=0"]).await;
    pass(0.1).await;
    answer(&two, slow, false, &["sid=2-late", "a=late", "b=1"]).await;
    assert_eq!(sent(&two, &bench), "sid=3; b=1");
    // Answers to the same generation are as good as each other: the later one counts.
    let seen = two.generation();
    answer(&two, seen, false, &["sid=4"]).await;
    answer(&two, seen, false, &["sid=5"]).await;
    pass(0.1).await;
    assert_eq!(sent(&one, &bench), sent(&two, &bench));
    assert!(sent(&one, &bench).contains("sid=5"));
}

#[tokio::test(start_paused = true)]
async fn an_older_answer_brings_no_removed_cookie_back() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(cookies(&[])).await;
    answer(&session, Generation(0), false, &["sid=1", "a=1"]).await;
    let seen = session.generation();
    answer(&session, seen, false, &["a=2"]).await;
    // A logout, while an older answer is still on its way.
    answer(&session, seen.next(), false, &["sid=; Max-Age=0"]).await;
    answer(&session, seen, false, &["sid=1-again"]).await;
    assert_eq!(sent(&session, &bench), "a=2");
    // A login after it is another matter.
    answer(&session, session.generation(), false, &["sid=2"]).await;
    assert!(sent(&session, &bench).contains("sid=2"));
}
