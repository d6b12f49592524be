//! Heartbeats, with the double as the site (4.3.7).

use super::super::bench::{Bench, bearer};
use super::*;
use crate::rule::{Expect, Heartbeat, Recipe, Url};

const MINUTE: Duration = Duration::from_secs(60);

fn beating() -> Recipe {
    let mut recipe = bearer();
    recipe.heartbeats = vec![Heartbeat {
        url: Url {
            origin: "https://site.example".parse().unwrap(),
            path: "/me".to_owned(),
        },
        every: 10 * MINUTE,
        ok: Expect::default(),
    }];
    recipe
}

fn beats(bench: &Bench) -> usize {
    bench.authority.beats.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_jittered_and_left_out_while_traffic_shows_the_same() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(beating()).await;
    let current = session.current().await.unwrap();
    pass(3000.0).await;
    let beaten = beats(&bench);
    assert!((5..=6).contains(&beaten), "{beaten}");
    let at = bench.authority.beats.lock().unwrap().clone();
    for pair in at.windows(2) {
        let between = pair[1].1 - pair[0].1;
        assert!(
            between >= 9 * MINUTE && between <= 10 * MINUTE,
            "{between:?}"
        );
    }
    // Somebody is accepted every eight minutes.
    for _ in 0..10 {
        session.accepted(current.generation, about());
        pass(480.0).await;
    }
    assert_eq!(beats(&bench), beaten);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_means_one_refresh() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(beating()).await;
    session.current().await.unwrap();
    bench.authority.void();
    pass(601.0).await;
    assert_eq!((beats(&bench), bench.authority.calls()), (1, 2));
    let current = session.ready().unwrap();
    assert_eq!(injected(&current), "Bearer at-2");
    // The next is good again, and vindicates that refresh.
    pass(600.0).await;
    assert_eq!((beats(&bench), bench.authority.calls()), (2, 2));
    assert_eq!(session.status().state, "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_dead_or_idle_session_has_no_heartbeat() {
    let bench = Bench::new();
    let mut recipe = beating();
    recipe.refresh.idle = Some(30 * MINUTE);
    let (_sessions, session) = bench.open(recipe).await;
    pass(1500.0).await;
    assert_eq!(beats(&bench), 0, "nothing is held");
    session.current().await.unwrap();
    pass(86_400.0).await;
    let beaten = beats(&bench);
    assert!((2..=4).contains(&beaten), "nobody uses it: {beaten}");
    // It is refused for good.
    bench
        .authority
        .revoked
        .store(true, std::sync::atomic::Ordering::SeqCst);
    bench.authority.void();
    let _ = session.current().await;
    assert_eq!(session.status().state, "needs_login");
    pass(1500.0).await;
    assert_eq!(beats(&bench), beaten);
}

/// Each has its own time, is left out by the traffic of its own origin, and means a refresh when it fails.
#[tokio::test(start_paused = true)]
async fn several_heartbeats_of_one_session_are_each_their_own() {
    let bench = Bench::new();
    let mut recipe = beating();
    let first = recipe.heartbeats[0].clone();
    let mut elsewhere = first.clone();
    elsewhere.url.origin = "https://other.example".parse().unwrap();
    elsewhere.every = 7 * MINUTE;
    let mut slow = first.clone();
    slow.every = 25 * MINUTE;
    recipe.heartbeats.extend([elsewhere, slow]);
    let periods: Vec<_> = recipe.heartbeats.iter().map(|beat| beat.every).collect();
    let (_sessions, session) = bench.open(recipe).await;
    let current = session.current().await.unwrap();
    let count = |of: usize| {
        let beats = bench.authority.beats.lock().unwrap();
        beats.iter().filter(|(number, _)| *number == of).count()
    };
    pass(3000.0).await;
    let beats = bench.authority.beats.lock().unwrap().clone();
    for (number, every) in periods.iter().enumerate() {
        let own = beats.iter().filter(|(of, _)| *of == number);
        let own: Vec<_> = own.map(|(_, at)| *at).collect();
        assert!(own.len() >= 2, "{number}: {}", own.len());
        for pair in own.windows(2) {
            let between = pair[1] - pair[0];
            let sooner = *every - *every / 10;
            assert!(
                between >= sooner && between <= *every,
                "{number}: {between:?}"
            );
        }
    }
    // Somebody is accepted at the first one's origin, which is the third one's too.
    let before = [0, 1, 2].map(count);
    for _ in 0..20 {
        session.accepted(current.generation, about());
        pass(30.0).await;
    }
    let after = [0, 1, 2].map(count);
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert!(after[1] > before[1]);
    // One fails: one refresh, and the others find it good.
    let calls = bench.authority.calls();
    *bench.authority.ill.lock().unwrap() = Some(1);
    while count(1) == after[1] {
        pass(1.0).await;
    }
    pass(5.0).await;
    assert_eq!(bench.authority.calls(), calls + 1);
    assert_eq!(session.status().state, "fresh");
}
