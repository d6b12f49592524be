//! How many refreshes there are at once, and when.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::super::{
    Sessions,
    bench::{Bench, bearer},
    double::{Authority, Double},
    refresh::Refresh,
};
use super::*;
use crate::{
    rule::{Recipe, sample},
    store::SessionId,
};

#[tokio::test(start_paused = true)]
async fn many_sessions_share_the_places() {
    let mut bench = Bench::new();
    bench.limits.refreshes_per_host = 1;
    let (_sessions, session) = bench.open(bearer()).await;
    let permit = session.shared.permits(session.refresh.host()).await;
    let waiting = tokio::time::timeout(Duration::from_secs(5), session.current());
    assert!(waiting.await.is_err());
    drop(permit);
    assert!(session.current().await.is_ok());
}

/// Many sessions, each at a host of its own or nearly: at most `limits.refreshes` at once, and no place stays empty.
#[tokio::test(start_paused = true)]
async fn all_sessions_together_refresh_a_few_at_a_time() {
    const SESSIONS: usize = 40;
    const PLACES: usize = 8;
    let mut authority = Authority::new();
    authority.rotates = false;
    authority.latency = Duration::from_secs(1);
    let mut bench = Bench::of(authority);
    (bench.limits.refreshes, bench.limits.refreshes_per_host) = (PLACES, 4);
    bench.limits.refresh_wait = Duration::from_secs(60);
    let recipes: Vec<_> = (0..SESSIONS)
        .map(|n| {
            let name = format!("app{n:02}");
            let binds = [format!("https://{name}.example")];
            let bind = sample::recipe(&name, &[], &binds.each_ref().map(|bind| &**bind)).bind;
            Arc::new(Recipe {
                name: name.into(),
                bind,
                ..bearer()
            })
        })
        .collect();
    let (authority, env) = (Arc::clone(&bench.authority), bench.env.clone());
    let make = move |_: &Arc<Recipe>, id: &SessionId| -> Arc<dyn Refresh> {
        let host = format!("https://auth{}.example", &id.name[3..4]);
        let (authority, env) = (Arc::clone(&authority), env.clone());
        // Ten to a host, which has fewer places than all together.
        Arc::new(Double::at(&host, authority, env))
    };
    let shared = Sessions::shared(bench.env.clone(), bench.limits.clone(), None);
    let sessions = Sessions::open_with(&recipes, bench.store.clone(), shared, None, Box::new(make));
    let sessions = sessions.await.unwrap();
    let all: Vec<_> = (0..SESSIONS).map(|n| sessions.session(n, None)).collect();
    let began = Instant::now();
    let held = join_all(all.iter().map(|session| session.current())).await;
    assert!(held.iter().all(Result::is_ok));
    let took = began.elapsed().as_secs_f64();
    assert!(took < (SESSIONS / PLACES) as f64 + 0.5, "{took}");
    let called_at = bench.authority.called_at.lock().unwrap().clone();
    assert_eq!(called_at.len(), SESSIONS);
    for at in &called_at {
        let during = |other: &&Instant| **other >= *at && **other < *at + Duration::from_secs(1);
        let at_once = called_at.iter().filter(during).count();
        assert!(at_once <= PLACES, "{at_once}");
    }
}

/// Sessions that began in one instant are not renewed in one by `every`, and none later than that.
#[tokio::test(start_paused = true)]
async fn what_began_together_is_not_renewed_together() {
    let mut due = BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::new();
        bench.env = crate::env::Env::simulated(bench.env.wall(), seed);
        let mut recipe = bearer();
        recipe.refresh.every = Some(Duration::from_secs(600));
        let (_sessions, session) = bench.open(recipe).await;
        session.current().await.unwrap();
        let obtained = Instant::now();
        // The same, whenever one looks.
        let next = session.status().next_refresh_at;
        pass(60.0).await;
        assert_eq!(session.status().next_refresh_at, next);
        pass(600.5 - 60.0).await;
        let called_at = bench.authority.called_at.lock().unwrap().clone();
        let [_, renewed] = called_at[..] else {
            panic!("{called_at:?}");
        };
        let after = (renewed - obtained).as_secs_f64();
        assert!((539.0..=600.2).contains(&after), "{after}");
        due.insert(after as u64);
    }
    assert!(due.len() > 8, "{due:?}");
}
