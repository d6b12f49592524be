//! One refresh for any number of rejections, in time, on use, and by hand.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{
    authority::{Authority, Fault, holding, logged_in, session},
    client::eventually,
    oauth::{Pair, Policy},
    origin::Origin,
    proxy::{Builder, proxy},
};

use super::Crowd;

const HOST: &str = "api.example.test";

async fn world(policy: Policy) -> (Authority, Origin, Pair) {
    logged_in(HOST, policy).await
}

fn with(site: &Origin, pair: &Pair, more: &str) -> Builder {
    holding(site, pair, session("app", HOST, more))
}

/// Promise 3: forty rejections at once cause one refresh, and nobody sees a 401.
#[tokio::test(flavor = "multi_thread")]
async fn forty_rejections_cause_one_refresh() {
    let (authority, site, pair) = world(Policy::lifetime(600.0).without_grace()).await;
    authority.delay(Duration::from_millis(200));
    let proxy = with(&site, &pair, "").start().await;
    for round in 1..=3 {
        authority.with(|oauth| oauth.revoke_all_access());
        let answers = join_all((0..40).map(|number| {
            let client = if number % 2 == 0 {
                proxy.client()
            } else {
                proxy.client().h2()
            };
            let url = site.url("/echo");
            async move { client.get(&url).await.status.as_u16() }
        }))
        .await;
        assert_eq!(answers, [200; 40]);
        let counts = authority.with(|oauth| oauth.counts);
        assert_eq!(
            (counts.granted, counts.refused, counts.families_revoked),
            (round, 0, 0)
        );
    }
    let counters = &proxy.status("app")["counters"];
    assert_eq!(counters["refreshes"], 3, "{counters}");
}

/// Promise 8: who gets a rejection because the session is dead is told so, the first time and from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sessions_rejection_says_why() {
    let (authority, site, pair) = world(Policy::lifetime(600.0)).await;
    let proxy = with(&site, &pair, "").start().await;
    let get = async || proxy.client().get(&site.url("/echo")).await;
    assert!(get().await.field("proxy-status").is_none());
    authority.with(|oauth| oauth.revoke_all_access());
    authority.fail_with([Fault::Error(400, "invalid_grant")]);
    for turn in 0..2 {
        let answer = get().await;
        assert_eq!(answer.status, 401, "{turn}");
        let why = Some("staysigned; details=\"the session needs a login\"");
        assert_eq!(answer.field("proxy-status"), why, "{turn}");
    }
    // What the site lets everybody see is no news of the session.
    let open = proxy.client().get(&site.url("/token")).await;
    assert_eq!(open.field("proxy-status"), None, "{open:?}");
}

/// Promise 2: the refresh is a task of its own. A client that goes away cannot lose what it brought.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_loses_nothing() {
    let (authority, site, pair) = world(Policy::lifetime(600.0).without_grace()).await;
    authority.delay(Duration::from_millis(500));
    let proxy = with(&site, &pair, "").start().await;
    authority.with(|oauth| oauth.revoke_all_access());
    let client = proxy.client();
    let url = site.url("/echo");
    let leaving = tokio::spawn(async move { client.get(&url).await });
    let started = || {
        (!authority.attempts().is_empty() || site.seen().iter().any(|seen| seen.path == "/token"))
            .then_some(())
    };
    eventually("the refresh begins", Duration::from_secs(20), started).await;
    leaving.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    assert_eq!(
        authority.with(|oauth| (oauth.counts.granted, oauth.counts.families_revoked)),
        (1, 0)
    );
}

/// Promise 2: the server has rotated, and its answer breaks off: before it begins, or in its middle. The same token is
/// asked with again within the grace, and who waited sees nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        for (fault, said) in [
            (Fault::ResetAfterCommit, "was not answered"),
            (Fault::CutAfterCommit, "the answer broke off"),
        ] {
            let authority = Authority::new(Policy::lifetime(600.0));
            let pair = authority.login();
            let site = authority.site(HOST).alpn(alpn).start().await;
            let proxy = with(&site, &pair, "").start().await;
            authority.with(|oauth| oauth.revoke_all_access());
            authority.fail_with([fault]);
            proxy.client().get(&site.url("/echo")).await.expect(200);
            let counts = authority.with(|oauth| oauth.counts);
            assert_eq!(
                (counts.in_grace, counts.refused, counts.families_revoked),
                (1, 0, 0),
                "{said}"
            );
            assert!(proxy.log().contains(said), "{alpn:?}: no {said}");
        }
    }
}

/// Ahead of expiry, in the background: with four-second tokens no request ever meets an expired one.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_come_ahead_of_expiry() {
    let (authority, site, pair) = world(Policy::lifetime(4.0).without_grace()).await;
    let proxy = with(&site, &pair, "").start().await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let begun = Instant::now();
    let crowd = Crowd::new(&proxy.client(), 4, &site.url("/echo"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let [good, unauthorized, other, failed] = crowd.stop().await.all();
    assert_eq!((unauthorized, other, failed), (0, 0, 0), "of {good}");
    let counts = authority.with(|oauth| oauth.counts);
    // After half of a token's life, the first one's after its end.
    let most = begun.elapsed().as_secs() / 2 + 2;
    assert!((3..=most).contains(&counts.granted), "{counts:?}");
    // The first token's expiry is nowhere said, so it alone may have been found out by a rejection.
    assert!(counts.rejected <= 4, "{counts:?}");
    assert_eq!(counts.families_revoked, 0);
}

/// What the store holds outlives the source it started from: the spent token is not taken from there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_the_newest() {
    let (authority, site, pair) = world(Policy::lifetime(600.0).without_grace()).await;
    let mut proxy = with(&site, &pair, "").start().await;
    for round in 1..=3 {
        authority.with(|oauth| oauth.revoke_all_access());
        proxy.client().get(&site.url("/echo")).await.expect(200);
        assert_eq!(authority.with(|oauth| oauth.counts.granted), round);
        proxy.signal(rustix::process::Signal::TERM);
        assert!(proxy.wait(Duration::from_secs(20)).await.success());
        proxy.start().await;
        proxy.client().get(&site.url("/echo")).await.expect(200);
        assert_eq!(
            authority.with(|oauth| oauth.counts.granted),
            round,
            "a restart needs no refresh"
        );
    }
    assert_eq!(
        authority.with(|oauth| (oauth.repeated, oauth.counts.families_revoked)),
        (0, 0)
    );
}

/// A new value in the source starts the session anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_starts_anew() {
    let (authority, site, pair) = world(Policy::lifetime(600.0)).await;
    let config = session("app", HOST, "")
        .replace("env:ACCESS", "file:access")
        .replace("env:REFRESH", "file:refresh");
    let mut proxy = proxy()
        .site(&site)
        .config(config)
        .file("access", &pair.access)
        .file("refresh", &pair.refresh)
        .start()
        .await;
    authority.with(|oauth| oauth.revoke_all_access());
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let second = authority.login();
    std::fs::write(proxy.path().join("access"), &second.access).unwrap();
    std::fs::write(proxy.path().join("refresh"), &second.refresh).unwrap();
    proxy.kill();
    proxy.start().await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    assert_eq!(
        site.last().field("authorization"),
        Some(format!("Bearer {}", second.access).as_str())
    );
}

/// What the server has ended is healed by another token in the source, and what it does not know as a client by another
/// secret, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_heals_without_a_restart() {
    for (ends, name) in [("invalid_grant", "refresh"), ("invalid_client", "secret")] {
        let (authority, site, pair) = world(Policy::lifetime(600.0)).await;
        let config = session("app", HOST, "")
            .replace("env:ACCESS", "file:access")
            .replace(
                "\"env:REFRESH\"",
                "\"file:refresh\", client_secret = \"file:secret\"",
            )
            .replace("client_auth = \"none\"", "client_auth = \"basic\"");
        let proxy = proxy()
            .site(&site)
            .config(config)
            .file("access", &pair.access)
            .file("refresh", &pair.refresh)
            .file("secret", "old")
            .start()
            .await;
        authority.with(|oauth| oauth.revoke_all_access());
        authority.fail_with([Fault::Error(400, ends)]);
        let get = async || proxy.client().get(&site.url("/echo")).await;
        get().await.expect(401);
        assert_eq!(proxy.status("app")["state"], "needs_login", "{ends}");
        authority.heal();
        get().await.expect(401);
        let new = match name {
            "refresh" => authority.login().refresh,
            _ => "new".to_owned(),
        };
        std::fs::write(proxy.path().join(name), new).unwrap();
        proxy.hangup().await;
        get().await.expect(200);
        assert_eq!(proxy.status("app")["state"], "fresh", "{ends}");
    }
}

/// `staysigned refresh` forces one through the running proxy, and through the store when none runs.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_by_hand() {
    let (authority, site, pair) = world(Policy::lifetime(600.0).without_grace()).await;
    let mut proxy = with(&site, &pair, "").start().await;
    for granted in 1..=2 {
        let output = tokio::task::block_in_place(|| proxy.cli(&["refresh", "app"]));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(authority.with(|oauth| oauth.counts.granted), granted);
    }
    proxy.kill();
    let output = tokio::task::block_in_place(|| proxy.cli(&["refresh", "app"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(authority.with(|oauth| oauth.counts.granted), 3);
    proxy.start().await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    assert_eq!(
        authority.with(|oauth| (oauth.counts.granted, oauth.repeated)),
        (3, 0)
    );
}
