//! Figures that the engine is held to, under virtual time.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::super::{
    Current, Session, Verdict,
    bench::{Bench, bearer},
    double::{Authority, Away, Fault},
    history::name,
};
use super::*;
use crate::rule::Recipe;

/// Returns a number from the environment: `./test` asks for more than fits into an unoptimised run.
fn number(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable);
    text.map_or(default, |text| text.parse().expect("a number"))
}

fn revoked(bench: &Bench) -> bool {
    bench.authority.is_revoked()
}

/// A session that is renewed only when its token has ended.
fn at_the_end() -> Recipe {
    let mut recipe = bearer();
    recipe.refresh.ahead = Duration::ZERO;
    recipe
}

/// `STAYSIGNED_EXPIRIES` says how many.
#[tokio::test(start_paused = true)]
async fn every_expiry_costs_one_redemption_whoever_asks() {
    let mut authority = Authority::new();
    authority.lifetime = Duration::from_secs(60);
    let bench = Bench::of(authority);
    let (_sessions, one) = bench.open(at_the_end()).await;
    let (_more, two) = bench.peer().open(at_the_end()).await;
    one.current().await.unwrap();
    let expiries = number("STAYSIGNED_EXPIRIES", 200);
    for expiry in 1..=expiries {
        pass(60.0).await;
        let token = format!("Bearer at-{}", expiry + 1);
        let request = async |session: &Session| {
            let current = session.current().await.unwrap();
            assert_eq!(injected(&current), token);
            session.accepted(current.generation, about());
        };
        let both = [&one, &two];
        join_all((0..256).map(|n| request(both[n % 2]))).await;
    }
    let redemptions = bench.authority.redemptions() - 1;
    println!("{expiries} expiries, 256 requests at each: {redemptions} redemptions");
    assert_eq!(redemptions, expiries);
    assert!(!revoked(&bench));
}

/// Reset, silence, a cut in the middle of the answer.
fn lost(n: usize) -> Fault {
    [Fault::LoseAnswer, Fault::Silence, Fault::CutAnswer][n % 3].clone()
}

/// What is said of each.
const LOST: [&str; 3] = ["reset", "no answer within", "the answer broke off"];

#[tokio::test(start_paused = true)]
async fn of_a_thousand_lost_answers_none_is_lost_within_the_grace() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    for n in 0..1000 {
        bench.authority.then(lost(n));
        let before = session.generation();
        session.refresh_now().await.unwrap();
        assert!(session.generation() > before, "{n}");
        assert_eq!(session.status().state, "fresh");
        let history = session.history();
        let said = history
            .iter()
            .rev()
            .find(|event| event.name == name::FAILED);
        let said = &said.expect("a call that was not answered").detail;
        assert!(said.contains(LOST[n % 3]), "{n}: {said}");
    }
    let redemptions = bench.authority.redemptions();
    println!("1000 answers lost within the grace: none is lost, {redemptions} redemptions");
    assert!(!revoked(&bench));
    assert_eq!(redemptions, 2001);
}

/// "With a server without grace: lost only if the answer was lost after its commit, and said so within 5 s of virtual
/// time." What nobody can tell from a slow answer is said to be none; `lost rotation` is said when the server says it.
#[tokio::test(start_paused = true)]
async fn without_a_grace_only_what_was_committed_is_lost_and_that_is_said() {
    let (mut lost_rotations, mut kept) = (0, 0);
    for n in 0..1000 {
        let mut authority = Authority::new();
        authority.grace = Duration::ZERO;
        let bench = Bench::of(authority);
        let mut recipe = bearer();
        recipe.refresh.grace = Some(Duration::ZERO);
        let (_sessions, session) = bench.open(recipe).await;
        session.current().await.unwrap();
        let committed = n % 4 != 3;
        bench.authority.then(if committed {
            lost(n)
        } else {
            Fault::LoseRequest
        });
        // It ends unheard: after the timeout at the latest.
        let began = Instant::now();
        let asked = session.clone();
        let asked = tokio::spawn(async move { asked.refresh_now().await });
        pass(5.0).await;
        let status = session.status();
        let said = status.message.unwrap();
        if n % 3 == 1 && committed {
            assert_eq!(status.state, "refreshing", "{n}");
            assert_eq!(said, "no answer to the refresh for 5 s");
            let _ = asked.await.unwrap();
            assert!(began.elapsed() <= Duration::from_secs(11));
        }
        let status = session.status();
        assert_eq!(status.state, "degraded", "{n}");
        let said = status.message.unwrap();
        let end = status.expires_at.unwrap();
        assert!(said.contains("was not answered") && said.contains("a lost rotation"));
        let how = if committed { LOST[n % 3] } else { LOST[0] };
        assert!(said.contains(how), "{n}: {said}");
        assert!(said.ends_with(&format!("tried again at {end}")), "{said}");
        assert_eq!(status.next_refresh_at.unwrap(), end);
        // The access token serves until its end; then the token is tried, as it may never have arrived.
        assert!(session.ready().is_some());
        pass(3600.0).await;
        let status = session.status();
        if committed {
            assert_eq!(status.state, "needs_login", "{n}");
            assert!(status.message.unwrap().starts_with("lost rotation"));
            lost_rotations += 1;
        } else {
            assert_eq!(status.state, "fresh", "{n}");
            kept += 1;
        }
    }
    println!(
        "1000 without a grace: {lost_rotations} committed, lost and said; {kept} not committed, kept"
    );
}

/// Within so many seconds of the server's return the session is renewed: no token was sent where no connection was made,
/// and so it may be sent at once; where one may have been spent it is sent once a minute.
fn back(away: Away) -> f64 {
    if away.connects() { 65.0 } else { 5.0 }
}

/// Waits until the session is as good as new again; says how long that took.
async fn renewed(session: &Session) -> f64 {
    let began = Instant::now();
    while session.ready().is_none() || session.status().state != "fresh" {
        pass(0.05).await;
        assert!(began.elapsed() < Duration::from_secs(600), "never");
    }
    began.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_eight_hours_costs_nothing() {
    // A token that is always taken may be sent again at any time; it is not, for that.
    let graces = [Some(Duration::from_secs(10)), None];
    let aways = graces.map(|grace| Away::ALL.map(|away| (grace, away)));
    for (grace, what) in aways.into_iter().flatten() {
        let mut authority = Authority::new();
        authority.lifetime = Duration::from_secs(240);
        let bench = Bench::of(authority);
        let authority = &bench.authority;
        let away = async |for_how_long: f64| {
            *authority.away.lock().unwrap() = Some(what);
            pass(for_how_long).await;
            *authority.away.lock().unwrap() = None;
        };
        let mut recipe = bearer();
        recipe.refresh.grace = grace;
        let (_sessions, session) = bench.open(recipe).await;
        session.current().await.unwrap();
        // Tools go on asking all the time.
        let asking = Arc::clone(&session);
        let asking = tokio::spawn(async move {
            loop {
                let _ = asking.current().await;
                pass(0.7).await;
            }
        });
        away(8.0 * 3600.0).await;
        let stored = session.store.load(&session.id).await.unwrap().unwrap();
        let token = stored.grant.field("refresh_token").unwrap();
        assert_eq!(token.expose(), "rt-1", "{what:?}: nothing is deleted");
        // The first minutes aside, in which the waits grow to the minute.
        let called_at = authority.called_at.lock().unwrap().clone();
        let steady = called_at[1] + Duration::from_secs(180);
        let steady: Vec<_> = called_at.iter().filter(|at| **at > steady).collect();
        assert!(steady.len() > 100, "{what:?}: {}", steady.len());
        for pair in steady.windows(2) {
            let between = *pair[1] - *pair[0];
            assert!(between >= Duration::from_secs(60), "{what:?}: {between:?}");
        }
        let attempts = called_at.len() - 1;
        assert!(attempts < 8 * 60 + 10, "{what:?}: {attempts}");
        let sent = authority.calls() - 1;
        assert_eq!(sent, if what.connects() { attempts } else { 0 }, "{what:?}");
        if !what.connects() {
            let (_, result, _) = stored.notes.last_refresh.clone().unwrap();
            assert_eq!(result, "unsent", "{what:?}");
        }
        let mut slowest = renewed(&session).await;
        // It may come back at any moment of what is tried and waited for.
        for more in 0..40 {
            away(600.0 + 0.37 * f64::from(more)).await;
            slowest = slowest.max(renewed(&session).await);
        }
        println!(
            "{what:?}, grace {grace:?}: {attempts} attempts in 8 h, {sent} sent; back in {slowest:.2} s at most"
        );
        assert!(slowest <= back(what), "{what:?}: {slowest}");
        assert!(!revoked(&bench), "{what:?}");
        asking.abort();
    }
}

/// How long one way to the origin takes, and how long after a refresh began somebody is sent again who was under way.
const WAY: f64 = 0.02;
const UNDER_WAY: Duration = Duration::from_millis(150);

#[tokio::test(start_paused = true)]
async fn an_origin_that_always_says_no_to_500_a_second_is_asked_once_more_at_most() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    // Says when it was sent again.
    let request = async |session: Arc<Session>| -> Option<Instant> {
        let rejected = async |current: &Current| {
            pass(WAY).await;
            session.reject(current.generation, about()).await
        };
        let current = session.current().await.unwrap();
        match rejected(&current).await {
            Verdict::Again(newer) => {
                let again = Instant::now();
                pass(WAY).await;
                session.rejected_again(current.generation, newer.generation, about());
                Some(again)
            }
            Verdict::Pass(_) => None,
        }
    };
    let minutes = 3;
    let mut requests = tokio::task::JoinSet::new();
    let mut again = Vec::new();
    for _ in 0..minutes * 60 * 500 {
        pass(0.002).await;
        requests.spawn(request(Arc::clone(&session)));
        while let Some(done) = requests.try_join_next() {
            again.push(done.unwrap());
        }
    }
    again.extend(requests.join_all().await);
    assert_eq!(again.len(), minutes * 60 * 500);
    let forced = bench.authority.called_at.lock().unwrap()[1..].to_vec();
    assert!(forced.len() >= minutes, "{}", forced.len());
    for three in forced.windows(3) {
        let between = three[2] - three[0];
        assert!(between >= Duration::from_secs(60), "a third in {between:?}");
    }
    // Those that were under way at a refresh, a tenth of a second each, are sent again; in the cooldown behind it none.
    let again: Vec<_> = again.into_iter().flatten().collect();
    let of = |at: &Instant| forced.iter().filter(|began| *began <= at).max().copied();
    let behind = again
        .iter()
        .map(|at| *at - of(at).expect("a refresh before"));
    let last = behind.max().expect("some were under way");
    assert!(last <= UNDER_WAY, "sent again {last:?} behind a refresh");
    println!(
        "500 a second, {minutes} minutes: {} forced refreshes, {} requests sent again, the last {last:?} after its refresh began",
        forced.len(),
        again.len()
    );
    assert!(again.len() <= forced.len() * 75, "{}", again.len());
}
