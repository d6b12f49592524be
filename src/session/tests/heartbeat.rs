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
        let between = pair[1] - pair[0];
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
