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
        assert!(!is_cured(&session).await, "it was vain");
        pass(0.01).await;
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
    // At once, or when the store knows: what is left then is a note that may be wrong, or none.
    for (by_another, time) in [(false, 0.0), (true, 0.0), (false, 0.002), (true, 0.002)] {
        let bench = Bench::new();
        let (_sessions, session) = bench.open(bearer()).await;
        let peer = bench.peer();
        let (_others, other) = peer.open(bearer()).await;
        assert!(is_cured(&session).await);
        let accepts = if by_another { &other } else { &session };
        let current = accepts.current().await.unwrap();
        accepts.accepted(current.generation, about());
        if time > 0.0 {
            pass(time).await;
        }
        session.crash();
        other.crash();
        let (_sessions, session) = bench.peer().open(bearer()).await;
        assert!(is_cured(&session).await, "by another: {by_another}, {time}");
    }
}

/// Each process dies before it can say what its refresh was worth.
#[tokio::test(start_paused = true)]
async fn processes_that_die_cause_two_refreshes_in_one_pause() {
    let bench = Bench::new();
    let mut cured = 0;
    for _ in 0..20 {
        let (_sessions, session) = bench.peer().open(bearer()).await;
        cured += usize::from(is_cured(&session).await);
        session.crash();
        pass(1.0).await;
    }
    assert_eq!((cured, bench.authority.calls()), (2, 3));
}

/// A living process may find that another one, which is dead, has left its note.
#[tokio::test(start_paused = true)]
async fn a_note_of_a_dead_process_hides_no_cure() {
    let bench = Bench::new();
    let (_others, other) = bench.peer().open(bearer()).await;
    let (_sessions, session) = bench.open(bearer()).await;
    assert!(is_cured(&session).await);
    let current = session.current().await.unwrap();
    session.accepted(current.generation, about());
    session.crash();
    pass(2.0).await;
    assert!(is_cured(&other).await);
    assert_eq!(bench.authority.calls(), 3);
}
