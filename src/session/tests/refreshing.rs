//! Renewing: on need, ahead of expiry, on rejection; once, whatever happens meanwhile.

use std::time::Duration;

use futures_util::future::join_all;

use super::super::{
    Unusable, Verdict,
    bench::{Bench, bearer},
    double::{Authority, Away, Fault},
    history::name,
};
use super::*;
use crate::life::Failure;

#[tokio::test(start_paused = true)]
async fn the_first_request_obtains_a_token_and_the_next_finds_it() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    assert_eq!(session.status().state, "incomplete");
    assert!(session.ready().is_none());
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-1");
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-1");
    let status = session.status();
    assert_eq!((status.state, status.valid), ("fresh", true));
    assert_eq!(status.counters.refreshes, 1);
    assert_eq!(status.last_refresh.unwrap().took_ms, 100);
}

/// 5.4.5, its end: who was rejected with what has been renewed meanwhile goes on with that.
#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_at_once_cause_one_refresh() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let current = session.current().await.unwrap();
    session.accepted(current.generation, about());
    let began = tokio::time::Instant::now();
    let seen = current.generation;
    let verdicts = join_all((0..1000).map(|_| session.reject(seen, about()))).await;
    for verdict in verdicts {
        let Verdict::Again(newer) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(injected(&newer), "Bearer at-2");
    }
    let (took, refreshes) = (began.elapsed(), bench.authority.calls() - 1);
    println!("1000 rejections at once: {refreshes} refresh of 100 ms, all answered after {took:?}");
    assert_eq!(refreshes, 1);
    assert!(took <= Duration::from_millis(110));
    // A late one of the old generation needs none.
    assert!(matches!(
        session.reject(seen, about()).await,
        Verdict::Again(_)
    ));
    assert_eq!(bench.authority.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_changes_nothing() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let waiting = tokio::time::timeout(Duration::from_millis(10), session.current());
    assert!(waiting.await.is_err());
    pass(0.2).await;
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-1");
    assert_eq!(bench.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_stalls_keeps_nobody_for_ever() {
    let mut authority = Authority::new();
    authority.latency = Duration::from_secs(3600);
    let mut bench = Bench::of(authority);
    bench.limits.refresh_wait = Duration::from_secs(2);
    let (_sessions, session) = bench.open(bearer()).await;
    assert_eq!(session.current().await.unwrap_err(), Unusable::Waiting);
    pass(60.0).await;
    assert_eq!(session.status().state, "degraded");
    let Unusable::Degraded { retry_after } = session.current().await.unwrap_err() else {
        panic!("it is degraded")
    };
    assert!(retry_after <= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn the_background_refresh_comes_ahead_of_expiry() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    pass(3299.0).await;
    assert_eq!(bench.authority.calls(), 1);
    pass(1.5).await;
    assert_eq!(bench.authority.calls(), 2, "five minutes before");
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-2");
    // A day without a request: an hour each, and nobody asked.
    pass(86_400.0).await;
    let calls = bench.authority.calls();
    assert!((26..=29).contains(&calls), "{calls}");
    assert!(!bench.authority.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn nobody_refreshes_what_nobody_uses() {
    let bench = Bench::new();
    let mut recipe = bearer();
    recipe.refresh.idle = Some(Duration::from_secs(7200));
    let (_sessions, session) = bench.open(recipe).await;
    session.current().await.unwrap();
    pass(86_400.0).await;
    let calls = bench.authority.calls();
    assert!((2..=4).contains(&calls), "{calls}");
    assert!(session.ready().is_none());
    assert!(session.current().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_finds_its_token_expired() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    // Ten hours pass on the wall, and none for timers.
    bench.env.jump(36_000_000);
    assert!(session.ready().is_none(), "looked at on use");
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-2");

    bench.env.jump(36_000_000);
    pass(31.0).await;
    assert_eq!(bench.authority.calls(), 3, "looked at every 30 s");
    // A clock that goes back makes nothing due.
    bench.env.jump(-3_600_000);
    pass(120.0).await;
    assert!(bench.authority.calls() <= 4);
    assert!(session.ready().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_once_and_names_the_command() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let terminal = Failure::Terminal("invalid_grant".to_owned());
    bench.authority.then(Fault::Say(terminal));
    let errors = join_all((0..50).map(|_| session.current())).await;
    for error in errors {
        let Unusable::NeedsLogin { hint } = error.unwrap_err() else {
            panic!("it needs a login")
        };
        assert_eq!(hint, "staysigned import app --from KIND");
    }
    pass(3600.0).await;
    assert_eq!(bench.authority.calls(), 1, "an end is an end");
    assert_eq!(count(&session, name::NEEDS_LOGIN), 1);
    let status = session.status();
    assert!(status.requires_login && !status.valid);
    assert!(status.message.unwrap().contains("invalid_grant"));
    // It outlives the process.
    let (_sessions, again) = bench.open(bearer()).await;
    assert_eq!(again.status().state, "needs_login");
    assert!(again.current().await.is_err());
    assert_eq!(bench.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_throttles_is_heeded() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    bench.authority.then(Fault::Say(Failure::Throttled {
        until: bench.env.wall() + Duration::from_secs(45),
        why: "429".to_owned(),
    }));
    assert!(session.current().await.is_err());
    pass(44.0).await;
    assert_eq!(bench.authority.calls(), 1);
    pass(2.0).await;
    assert_eq!(bench.authority.calls(), 2);
    assert!(session.ready().is_some());
}

/// 5.4.8, its end: without an answer the token is kept and tried again, with a backoff of at most a minute.
#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_is_found_within_five_seconds() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    *bench.authority.away.lock().unwrap() = Some(Away::Refuses);
    pass(3600.0 + 8.0 * 3600.0).await;
    let attempts = bench.authority.called_at.lock().unwrap().len();
    assert!(attempts < 8 * 60 + 20, "{attempts}");
    *bench.authority.away.lock().unwrap() = None;
    pass(5.5).await;
    assert!(session.ready().is_some());
    assert_eq!(count(&session, name::RECOVERED), 1);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_always_says_no_causes_two_refreshes_a_minute() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let mut again = 0;
    for _ in 0..6000 {
        let current = session.current().await.unwrap();
        if let Verdict::Again(newer) = session.reject(current.generation, about()).await {
            again += 1;
            // The replay is rejected too.
            assert!(matches!(
                session.reject(newer.generation, about()).await,
                Verdict::Pass(_)
            ));
        }
        pass(0.01).await;
    }
    assert!(bench.authority.calls() <= 4, "{}", bench.authority.calls());
    assert_eq!(again, bench.authority.calls() - 1);
    assert_eq!(
        session
            .counters()
            .rejected
            .load(std::sync::atomic::Ordering::Relaxed),
        6000 + again as u64
    );
}

#[tokio::test(start_paused = true)]
async fn the_cooldown_survives_a_restart() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    let seen = session.current().await.unwrap().generation;
    assert!(matches!(
        session.reject(seen, about()).await,
        Verdict::Again(_)
    ));
    // Sent again, and rejected again: this is on the disk a moment later.
    session.rejected_again(seen, session.generation(), asks("/never"));
    pass(0.01).await;
    drop((sessions, session));
    let (_sessions, session) = bench.open(bearer()).await;
    let seen = session.current().await.unwrap().generation;
    assert!(matches!(
        session.reject(seen, about()).await,
        Verdict::Pass("the last refresh was vain")
    ));
    assert_eq!(bench.authority.calls(), 2);
    pass(31.0).await;
    assert!(matches!(
        session.reject(seen, about()).await,
        Verdict::Again(_)
    ));
    // Vindicated, and so is the next refused one.
    let seen = session.generation();
    session.accepted(seen, about());
    assert!(matches!(
        session.reject(seen, about()).await,
        Verdict::Again(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_that_is_not_accepted_does_not_replace_the_old() {
    let bench = Bench::new();
    let mut recipe = bearer();
    recipe.refresh.verify = Some(crate::rule::Verify {
        url: crate::rule::Url {
            origin: "https://api.example".parse().unwrap(),
            path: "/me".to_owned(),
        },
        ok: crate::rule::Expect::default(),
    });
    let (_sessions, session) = bench.open(recipe).await;
    session.current().await.unwrap();
    *bench.authority.verdict.lock().unwrap() = Some("it says 403".to_owned());
    session.refresh_now().await.unwrap();
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-1");
    let status = session.status();
    assert_eq!(status.state, "degraded");
    assert!(status.message.unwrap().contains("it says 403"));
    // The refresh token that came with it was spent and replaced all the same.
    *bench.authority.verdict.lock().unwrap() = None;
    pass(10.0).await;
    session.refresh_now().await.unwrap();
    assert!(!bench.authority.is_revoked());
    assert_eq!(session.status().state, "fresh");
}

#[tokio::test(start_paused = true)]
async fn one_path_that_is_always_refused_causes_no_storm() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    for _ in 0..3000 {
        let current = session.current().await.unwrap();
        session.accepted(current.generation, asks("/fine"));
        if let Verdict::Again(newer) = session.reject(current.generation, asks("/never?x")).await {
            session.rejected_again(current.generation, newer.generation, asks("/never?y"));
        }
        pass(0.02).await;
    }
    assert!(bench.authority.calls() <= 4, "{}", bench.authority.calls());
    // The others are served by a refresh at once when the token was revoked.
    let current = session.current().await.unwrap();
    let verdict = session.reject(current.generation, asks("/fine")).await;
    assert!(matches!(verdict, Verdict::Again(_)));
}

/// What an answer to another request had taught was rejected too: that is no reason to believe that nothing helps.
#[tokio::test(start_paused = true)]
async fn a_request_is_stubborn_only_after_a_refresh() {
    let bench = Bench::new();
    let mut recipe = bearer();
    recipe.cookies.enabled = true;
    let (_sessions, session) = bench.open(recipe).await;
    let first = session.current().await.unwrap().generation;
    answer(&session, first, false, &["sid=2"]).await;
    let again = match session.reject(first, about()).await {
        Verdict::Again(newer) => newer.generation,
        Verdict::Pass(why) => panic!("{why}"),
    };
    assert_eq!((again, bench.authority.calls()), (first.next(), 1));
    session.rejected_again(first, again, about());
    // The refresh is on its way for the next request.
    let cured = session.reject(again, about()).await;
    assert!(matches!(cured, Verdict::Again(_)));
    assert_eq!(bench.authority.calls(), 2);
}

/// A token endpoint that is being restarted behind something that answers for it: the first waits are short, and whoever
/// was rejected waits for what comes of them, as long as requests wait for a refresh at all.
#[tokio::test(start_paused = true)]
async fn a_rejection_waits_while_answers_that_are_none_come_quickly() {
    for grace in [Some(Duration::from_secs(10)), None] {
        for pages in 1..=3 {
            let bench = Bench::new();
            let mut recipe = bearer();
            recipe.refresh.grace = grace;
            let (_sessions, session) = bench.open(recipe).await;
            let seen = session.current().await.unwrap().generation;
            session.accepted(seen, about());
            for _ in 0..pages {
                let page = Failure::NotAnAnswer("HTML".to_owned());
                bench.authority.then(Fault::Say(page));
            }
            let began = tokio::time::Instant::now();
            let verdict = session.reject(seen, about()).await;
            assert!(
                matches!(verdict, Verdict::Again(_)),
                "{grace:?}, {pages} pages: {verdict:?} after {:?}",
                began.elapsed()
            );
            assert_eq!(bench.authority.calls(), 2 + pages);
            assert!(!bench.authority.is_revoked());
        }
    }
}
