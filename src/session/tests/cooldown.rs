//! The pause after a vain refresh, through restarts, kills and clocks that are set.

use super::super::{Session, Verdict, bench::Bench, bench::bearer};
use super::*;

async fn is_cured(session: &Session) -> bool {
    let seen = session.current().await.unwrap().generation;
    matches!(session.reject(seen, about()).await, Verdict::Again(_))
}

#[tokio::test(start_paused = true)]
async fn the_cooldown_survives_a_clock_that_goes_back_and_a_restart() {
    for restart in [false, true] {
        let bench = Bench::new();
        let (sessions, session) = bench.open(bearer()).await;
        assert!(is_cured(&session).await);
        bench.env.jump(-3_600_000);
        let (_sessions, session) = if restart {
            drop((sessions, session));
            bench.open(bearer()).await
        } else {
            (sessions, session)
        };
        for _ in 0..28 {
            assert!(!is_cured(&session).await, "restart {restart}");
            pass(1.0).await;
        }
        assert_eq!(bench.authority.calls(), 2);
        // Nor does it last longer for that.
        pass(3.0).await;
        assert!(is_cured(&session).await, "restart {restart}");
        assert_eq!(bench.authority.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_right_behind_an_accepted_refresh_leaves_no_cooldown() {
    for by_another in [false, true] {
        let bench = Bench::new();
        let (_sessions, session) = bench.open(bearer()).await;
        let peer = bench.peer();
        let (_others, other) = peer.open(bearer()).await;
        assert!(is_cured(&session).await);
        let accepts = if by_another { &other } else { &session };
        let current = accepts.current().await.unwrap();
        accepts.accepted(current.generation, about());
        // Two milliseconds on, the store knows.
        pass(0.002).await;
        session.crash();
        other.crash();
        let (_sessions, session) = bench.peer().open(bearer()).await;
        assert!(is_cured(&session).await, "by another: {by_another}");
    }
}
