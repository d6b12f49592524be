//! Two processes on one store act as one.

use futures_util::future::join_all;

use super::super::{
    NoTurn, Verdict,
    bench::{Bench, bearer, cookies},
    double::{Authority, Fault},
    history::name,
};
use super::*;
use crate::{
    grant::Grant,
    rule::{Expect, GrantType, Recipe, RefreshKind, Url, Verify},
    store::{Change, Durability, Store},
};

#[tokio::test(start_paused = true)]
async fn one_refresh_among_two_processes() {
    let (a, b) = {
        let bench = Bench::new();
        (bench.peer(), bench)
    };
    let (_a, one) = a.open(bearer()).await;
    let (_b, two) = b.open(bearer()).await;
    for round in 1..=20 {
        let waiting = (0..16).map(|n| {
            let session = if n % 2 == 0 { &one } else { &two };
            async move {
                let current = session.current().await.unwrap();
                session.reject(current.generation, about()).await
            }
        });
        let verdicts = join_all(waiting).await;
        assert!(
            verdicts.iter().all(|v| matches!(v, Verdict::Again(_))),
            "{round}"
        );
        let generation = one.generation().max(two.generation());
        pass(0.2).await;
        assert_eq!(
            (one.generation(), two.generation()),
            (generation, generation)
        );
        one.accepted(generation, about());
        two.accepted(generation, about());
        pass(0.2).await;
    }
    assert_eq!(a.authority.redemptions(), 21);
    assert!(!a.authority.is_revoked());
}

/// A refusal is believed after the store was read again: whoever was faster may store what it got just then.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_looked_into_before_it_is_believed() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let terminal = crate::life::Failure::Terminal("invalid_grant".to_owned());
    bench.authority.then(Fault::Say(terminal));
    let other = async {
        pass(0.06).await;
        let held = bench.store.load(&session.id).await.unwrap();
        let generation = held.map_or(Generation(0), |stored| stored.generation);
        let fields = [
            ("access_token".to_owned(), "theirs".into()),
            ("refresh_token".to_owned(), "rt-theirs".into()),
        ];
        let change = Change {
            generation: generation.next(),
            grant: Some(Grant {
                fields: fields.into(),
                ..Grant::default()
            }),
            ..Change::default()
        };
        let how = Durability::Synced;
        bench
            .store
            .commit(&session.id, generation, change, how)
            .await
    };
    let (current, _) = tokio::join!(session.current(), other);
    assert_eq!(injected(&current.unwrap()), "Bearer theirs");
    assert_eq!(bench.authority.calls(), 1);
    assert_eq!(count(&session, name::NEEDS_LOGIN), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_seen_by_the_other_without_asking() {
    let bench = Bench::new();
    let peer = bench.peer();
    let (_a, one) = bench.open(cookies(&["sid"])).await;
    let (_b, two) = peer.open(cookies(&["sid"])).await;
    answer(&one, Generation(0), false, &["sid=1"]).await;
    pass(0.1).await;
    assert_eq!(sent(&two, &bench), "sid=1");
    // Both learn at once: nothing is lost.
    let old = one.generation();
    let (first, second) = (["sid=2", "a=1"], ["b=2"]);
    tokio::join!(
        answer(&one, old, false, &first),
        answer(&two, old, false, &second)
    );
    pass(0.1).await;
    for session in [&one, &two] {
        assert_eq!(sent(session, &bench), "sid=2; a=1; b=2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_merges_what_was_learnt() {
    let bench = Bench::new();
    let peer = bench.peer();
    let (_a, one) = bench.open(cookies(&["sid", "csrf"])).await;
    let (_b, two) = peer.open(cookies(&["sid", "csrf"])).await;
    answer(&one, Generation(0), false, &["sid=1", "csrf=1"]).await;
    // The second process has not looked yet; its answer is to nothing held.
    answer(&two, Generation(0), false, &["lang=de"]).await;
    pass(0.1).await;
    for session in [&one, &two] {
        assert_eq!(sent(session, &bench), "sid=1; csrf=1; lang=de");
        assert_eq!(session.generation(), Generation(1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_loser_of_a_race_uses_what_the_winner_stored() {
    let bench = Bench::new();
    let peer = bench.peer();
    let (_a, one) = bench.open(bearer()).await;
    let (_b, two) = peer.open(bearer()).await;
    // The first process is slow; the second waits for its lease and finds what it stored.
    bench.authority.then(Fault::Late(Duration::from_secs(2)));
    let (a, b) = tokio::join!(one.current(), two.current());
    assert_eq!(injected(&a.unwrap()), injected(&b.unwrap()));
    assert_eq!(bench.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_and_its_healing_are_shared() {
    let bench = Bench::new();
    let peer = bench.peer();
    let (_a, one) = bench.open(bearer()).await;
    let (_b, two) = peer.open(bearer()).await;
    let terminal = crate::life::Failure::Terminal("invalid_grant".to_owned());
    bench.authority.then(Fault::Say(terminal));
    assert!(one.current().await.is_err());
    pass(0.2).await;
    assert_eq!(two.status().state, "needs_login");
    assert!(two.current().await.is_err());
    assert_eq!(bench.authority.calls(), 1);

    let fields = [
        ("access_token".to_owned(), "imported".into()),
        ("refresh_token".to_owned(), "rt-0".into()),
    ];
    let material = super::super::Material {
        fields: fields.into(),
        ..Default::default()
    };
    two.put_material(material).await.unwrap();
    pass(0.2).await;
    for session in [&one, &two] {
        assert_eq!(session.status().state, "fresh");
        assert_eq!(injected(&session.ready().unwrap()), "Bearer imported");
    }
}

/// A session that signs in with what the configuration has, and spends nothing that would tell whose login is newer.
fn login() -> Recipe {
    let mut recipe = bearer();
    let RefreshKind::Oauth2(oauth2) = &mut recipe.refresh.kind else {
        unreachable!("it is one of tokens")
    };
    oauth2.grant_type = GrantType::ClientCredentials;
    (recipe.secrets, recipe.seeds) = Default::default();
    recipe
}

/// Two processes sign in, and the first, which is stopped meanwhile and loses the right to, comes back last.
async fn overtaken(authority: Authority, first: Recipe, second: Recipe) {
    let slow = first.refresh.verify.is_none();
    let bench = Bench::of(authority);
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    let peer = bench.peer();
    let (_a, one) = bench.open(first).await;
    let (_b, two) = peer.open(second).await;
    if slow {
        bench.authority.then(Fault::Late(Duration::from_secs(5)));
    }
    let (first, second) = tokio::join!(one.current(), async {
        pass(1.0).await;
        store.take_away(store);
        two.current().await
    });
    assert_eq!(injected(&second.unwrap()), "Bearer at-2");
    assert_eq!(injected(&first.unwrap()), "Bearer at-2");
    pass(10.0).await;
    for session in [&one, &two] {
        let (state, held) = (session.status().state, session.ready().unwrap());
        assert_eq!((state, injected(&held).as_str()), ("fresh", "Bearer at-2"));
    }
    let stored = bench.store.load(&one.id).await.unwrap().unwrap();
    assert_eq!(stored.grant.field("access_token").unwrap().expose(), "at-2");
    assert_eq!(bench.authority.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_overtaken_takes_nothings_place() {
    overtaken(Authority::new(), login(), login()).await;
}

/// It was the newest when it came, and is none any more when it has been looked at.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_overtaken_while_it_is_verified_takes_nothings_place() {
    let mut authority = Authority::new();
    authority.verifying = Duration::from_secs(5);
    let mut verified = login();
    verified.refresh.verify = Some(Verify {
        url: Url {
            origin: "https://api.example".parse().unwrap(),
            path: "/me".to_owned(),
        },
        ok: Expect::default(),
    });
    overtaken(authority, verified, login()).await;
}

/// The turn is had, but not what the process before has learnt meanwhile: with an older value nothing is sent.
#[tokio::test(start_paused = true)]
async fn a_turn_that_cannot_be_read_is_none() {
    let bench = Bench::new();
    let Store::Memory(store) = &bench.store else {
        unreachable!("tests are in memory")
    };
    store.rough().begin(1);
    let mut recipe = cookies(&["sid"]);
    recipe.concurrency = crate::rule::Concurrency::Serial;
    let (_a, one) = bench.open(recipe.clone()).await;
    let (_b, two) = bench.peer().open(recipe).await;
    for session in [&one, &two] {
        let turn = session.turn().await.unwrap();
        answer(session, session.generation(), false, &["sid=1"]).await;
        drop(turn);
    }
    let turn = one.turn().await.unwrap();
    answer(&one, one.generation(), false, &["sid=2"]).await;
    drop(turn);
    store.rough().lock(true);
    let none = two.turn().await.expect_err("the store cannot be read");
    assert!(matches!(none, NoTurn::Unknown(_)), "{none:?}");
    // It had no turn, and holds nobody up.
    store.rough().lock(false);
    let turn = two.turn().await.unwrap();
    assert_eq!(sent(&two, &bench), "sid=2");
    drop(turn);
    one.turn().await.unwrap();
}
