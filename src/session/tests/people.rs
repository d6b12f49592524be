//! What people ask for: refresh, import, restore, forget.

use super::super::{
    Material,
    bench::{Bench, bearer, cookies},
    double::Fault,
    history::name,
};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_refresh_by_hand_is_made_also_when_nothing_is_due() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let status = session.refresh_now().await.unwrap();
    assert_eq!(status.last_refresh.unwrap().result, "ok");
    assert_eq!(injected(&session.ready().unwrap()), "Bearer at-2");
    let unsent = crate::life::Failure::Unsent("refused".to_owned());
    bench.authority.then(Fault::Say(unsent));
    let status = session.refresh_now().await.unwrap();
    assert_eq!(status.state, "degraded");
    assert_eq!(status.last_refresh.unwrap().result, "unsent");
    assert!(status.valid, "the old one serves");
}

#[tokio::test(start_paused = true)]
async fn an_import_heals_and_restore_goes_back() {
    let bench = Bench::new();
    let (_sessions, session) = bench.open(bearer()).await;
    let terminal = crate::life::Failure::Terminal("invalid_grant".to_owned());
    bench.authority.then(Fault::Say(terminal));
    assert!(session.current().await.is_err());
    let fields = [("access_token".to_owned(), "by-hand".into())];
    let material = Material {
        fields: fields.into(),
        ..Material::default()
    };
    let status = session.put_material(material).await.unwrap();
    assert_eq!((status.state, status.valid), ("fresh", true));
    assert_eq!(count(&session, name::RECOVERED), 1);
    assert_eq!(injected(&session.ready().unwrap()), "Bearer by-hand");
    let before = session.generation();
    let restored = session.restore().await.unwrap().expect("a grant before");
    assert_eq!(restored.restored.generation, before.0 - 1);
    assert_eq!(
        session.generation(),
        before.next(),
        "going back is going on"
    );
    assert!(
        session.ready().is_none(),
        "before, there was no access token"
    );
    assert_eq!(count(&session, name::RESTORED), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_stays_forgotten() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let before = session.generation();
    session.forget().await.unwrap();
    let status = session.status();
    assert_eq!((status.state, status.valid), ("empty", false));
    assert!(status.requires_login);
    assert!(session.generation() > before);
    assert!(session.restore().await.unwrap().is_none());
    assert!(session.current().await.is_err());
    drop((sessions, session));
    // The seed was taken: a restart does not bring it back.
    let (_sessions, session) = bench.open(bearer()).await;
    assert_eq!(session.status().state, "empty");
    assert_eq!(bench.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn status_says_when_and_where_and_no_secret() {
    let bench = Bench::new();
    let (sessions, session) = bench.open(bearer()).await;
    session.current().await.unwrap();
    let json = serde_json::to_value(session.status()).unwrap();
    assert_eq!(json["expires_at"], "2027-01-15T09:00:00Z");
    assert_eq!(json["next_refresh_at"], "2027-01-15T08:55:00Z");
    assert_eq!(json["bound_to"][0], "https://api.example:443/");
    let all = format!("{json} {:?} {session:?} {sessions:?}", session.history());
    for secret in ["at-1", "rt-0", "rt-1"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_have_grants_of_their_own() {
    let bench = Bench::new();
    let mut recipe = cookies(&["sid"]);
    recipe.per_client = true;
    let (sessions, _) = bench.open(recipe.clone()).await;
    let (alice, bob) = (Arc::<str>::from("alice"), Arc::<str>::from("bob"));
    let (hers, his) = (
        sessions.session(0, Some(&alice)),
        sessions.session(0, Some(&bob)),
    );
    answer(&hers, Generation(0), false, &["sid=hers"]).await;
    assert_eq!(sent(&hers, &bench), "sid=hers");
    assert!(his.current().await.is_err());
    assert!(his.status().message.unwrap().contains("--client bob"));
    drop((sessions, hers, his));
    let (sessions, _) = bench.open(recipe).await;
    let known: Vec<String> = sessions.all().iter().map(|s| s.id().to_string()).collect();
    assert!(known.contains(&"site/alice".to_owned()), "{known:?}");
    let hers = sessions.find("site", Some("alice")).unwrap();
    assert_eq!(sent(&hers, &bench), "sid=hers");
}

#[tokio::test(start_paused = true)]
async fn a_reload_hands_on_what_is_held_and_what_is_under_way() {
    let bench = Bench::new();
    let mut recipe = bearer();
    recipe.persist = false;
    let (before, old) = bench.open(recipe.clone()).await;
    old.current().await.unwrap();
    let mut events = before.events();
    // A refresh is under way while the configuration is read again.
    bench.authority.then(Fault::Late(Duration::from_secs(2)));
    let flying = tokio::spawn({
        let old = Arc::clone(&old);
        async move { old.refresh_now().await.unwrap() }
    });
    pass(0.5).await;
    let (after, new) = bench.open_after(recipe, Some(Arc::clone(&before))).await;
    before.retire(&after);
    assert_eq!(injected(&new.ready().unwrap()), "Bearer at-1");
    flying.await.unwrap();
    pass(0.1).await;
    assert_eq!(injected(&new.ready().unwrap()), "Bearer at-2");
    assert_eq!(new.status().counters.refreshes, 2);
    assert_eq!(count(&new, name::SUCCEEDED), 2);
    // Listeners hear of the new sessions.
    while events.try_recv().is_ok() {}
    new.refresh_now().await.unwrap();
    assert_eq!(events.recv().await.unwrap().name, name::STARTED);
    assert_eq!(bench.authority.calls(), 3);
}
