//! Ways back in: what heals a session heals it at once, in every process, and is told.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::super::{
    bench::{Bench, bearer},
    double::Fault,
    history::name,
    people::Material,
};
use super::*;
use crate::{life::Failure, session::Verdict, store::Store};

fn refuses(bench: &Bench) {
    let refused = Failure::Terminal("invalid_grant".to_owned());
    bench.authority.then(Fault::Say(refused));
}

/// A refresh token by itself, of another login at the same server.
async fn import_token(session: &Session, token: &str) {
    let fields = [("refresh_token".to_owned(), token.into())];
    let material = Material {
        fields: BTreeMap::from(fields),
        ..Material::default()
    };
    session.put_material(material).await.unwrap();
}

/// The access token that is held is not the imported one's: it may be of another account.
#[tokio::test(start_paused = true)]
async fn an_imported_refresh_token_brings_its_own_access_token() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-1");
    // Which the server knows by then, from the side of whoever imports it.
    bench.authority.rotate("rt-1");
    import_token(&session, "rt-2").await;
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-3");
    assert!(!bench.authority.is_revoked());
}

/// The pause after a refresh that was in vain says nothing of what was imported after it.
#[tokio::test(start_paused = true)]
async fn an_import_heals_within_the_pause() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    refuses(&bench);
    let verdict = session.reject(session.generation(), about()).await;
    assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
    assert_eq!(session.status().state, "needs_login");
    bench.authority.rotate("rt-1");
    import_token(&session, "rt-2").await;
    let current = session.current().await.unwrap();
    assert_eq!(injected(&current), "Bearer at-3");
    // And if that one is rejected, it is renewed as any other.
    let verdict = session.reject(current.generation, about()).await;
    assert!(matches!(verdict, Verdict::Again(_)), "{verdict:?}");
    assert_eq!(count(&session, name::RECOVERED), 1);
}

/// The end of a refresh token does not void an access token that still has time left, in any process, unless a request
/// with that was rejected: then none sends it.
#[tokio::test(start_paused = true)]
async fn an_end_voids_an_access_token_in_all_processes_or_in_none() {
    for rejected in [false, true] {
        let bench = Bench::new();
        let (_sessions, one) = bench.open(bearer()).await;
        one.current().await.unwrap();
        let (_others, two) = bench.peer().open(bearer()).await;
        two.current().await.unwrap();
        refuses(&bench);
        if rejected {
            one.reject(one.generation(), about()).await;
        } else {
            let _ = one.refresh_now().await;
        }
        pass(1.0).await;
        let (_restarted, three) = bench.peer().open(bearer()).await;
        let _ = three.current().await;
        for session in [&one, &two, &three] {
            assert_eq!(session.status().state, "needs_login");
            let life = session.inner().life.clone();
            assert_eq!(session.ready().is_none(), rejected, "{life:?}");
        }
        assert_eq!(bench.authority.calls(), 2);
    }
}

/// Whoever alarms on an end is told of its end, whichever way that came about.
#[tokio::test(start_paused = true)]
async fn every_way_back_is_told() {
    let ended = async || {
        let bench = Bench::new();
        let (sessions, session) = bench.open(bearer()).await;
        session.current().await.unwrap();
        refuses(&bench);
        let _ = session.refresh_now().await;
        assert_eq!(count(&session, name::NEEDS_LOGIN), 1);
        (bench, sessions, session)
    };
    let (_bench, _sessions, session) = ended().await;
    session.refresh_now().await.unwrap();
    assert_eq!(count(&session, name::RECOVERED), 1, "asked for again");

    let (bench, _sessions, session) = ended().await;
    bench.authority.rotate("rt-1");
    import_token(&session, "rt-2").await;
    session.current().await.unwrap();
    assert_eq!(count(&session, name::RECOVERED), 1, "imported");

    let (bench, sessions, _session) = ended().await;
    bench.authority.rotate("rt-1");
    let mut recipe = bearer();
    recipe.secrets = [("refresh_token".to_owned(), "rt-2".into())].into();
    let (_sessions, session) = bench.open_after(recipe, Some(sessions)).await;
    session.current().await.unwrap();
    assert_eq!(count(&session, name::RECOVERED), 1, "another secret");
}

/// A disk that was full has room again: the refresh that did not start does so within a second or two, however long that was.
#[tokio::test(start_paused = true)]
async fn a_disk_with_room_again_is_found_at_once() {
    let bench = Bench::new();
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        store.rough().fill(true);
        let calls = bench.authority.calls();
        bench.authority.void();
        let seen = session.generation();
        // Tools go on asking all the time.
        for _ in 0..600 {
            session.reject(seen, about()).await;
            pass(1.0).await;
        }
        assert_eq!(session.status().state, "degraded");
        pass(0.37 * f64::from(round)).await;
        assert_eq!(bench.authority.calls(), calls, "nothing is spent");
        store.rough().fill(false);
        let began = Instant::now();
        while session.generation() == seen {
            assert!(began.elapsed() < Duration::from_secs(100), "{round}");
            pass(0.05).await;
        }
        slowest = slowest.max(began.elapsed());
        assert_eq!(bench.authority.calls(), calls + 1);
        session.accepted(session.generation(), about());
    }
    println!("a full disk has room again: renewed in {slowest:?} at most");
    assert!(slowest <= Duration::from_millis(1500), "{slowest:?}");
    assert!(!bench.authority.is_revoked());
}
