//! `kill -9` at random moments: after each restart the session works without a login.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::support::{
    authority::{Authority, session},
    client::Client,
    dice::Dice,
    oauth::Policy,
    proxy::{Proxy, proxy},
    rotating::{Manner, Rotating},
};

use super::{Crowd, cookie_session, import};

const KILLS: u32 = 50;

/// The first answer after a restart, within the time that a lost token answer may take.
async fn works(client: Client, url: &str, round: u32) {
    let begun = Instant::now();
    let answer = client.get(url).await;
    assert_eq!(
        answer.status,
        200,
        "after kill {round}, in {:?}: {:?} {}",
        begun.elapsed(),
        answer.headers,
        answer.text()
    );
}

/// Promise 2, OAuth with the usual grace: no family is revoked, whichever moment it was (5.4.14, in mid-burst).
#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_no_rotating_token() {
    let mut dice = Dice::new();
    let authority = Authority::new(Policy::lifetime(3.0));
    let pair = authority.login();
    let site = authority.site("api.example.test").start().await;
    let mut proxy: Proxy = proxy()
        .site(&site)
        .config(session("app", "api.example.test", "timeout = \"2s\""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .level("info")
        .start()
        .await;
    let url = site.url("/echo");
    for round in 0..KILLS {
        authority.delay(dice.millis(60));
        let crowd = Crowd::new(&proxy.client(), 6, &url);
        crowd.each_answered(1).await;
        if round % 2 == 0 {
            // Around a refresh that is forced now; otherwise at any moment of the token's life.
            authority.with(|oauth| oauth.revoke_used(Instant::now()));
            tokio::time::sleep(dice.millis(120)).await;
        } else {
            tokio::time::sleep(dice.millis(1_500)).await;
        }
        proxy.kill();
        let [_, unauthorized, ..] = crowd.stop().await.all();
        assert_eq!(unauthorized, 0, "a client saw a 401 before kill {round}");
        proxy.start().await;
        works(proxy.client(), &url, round).await;
    }
    let (counts, alive) = authority.with(|oauth| (oauth.counts, oauth.alive()));
    println!("{KILLS} kills: {counts:?}");
    assert!(alive, "{counts:?}");
    assert_eq!(counts.families_revoked, 0);
    assert!(counts.granted > u64::from(KILLS) / 2, "{counts:?}");
    assert_eq!(proxy.status("app")["requires_login"], false);
}

/// Promise 2, a cookie for every answer: the session goes on, though it ends at a value two generations old.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_no_rotating_cookie() {
    let mut dice = Dice::new();
    let rotating = Rotating::new(Manner::Strict);
    let site = rotating.site("site.example.test").start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(cookie_session(
            "site.example.test",
            "concurrency = \"serial\"",
        ))
        .level("info")
        .prepare();
    import(&proxy, &rotating, "site.example.test");
    proxy.start().await;
    let url = site.url("/");
    let log: Arc<Mutex<Vec<u64>>> = Arc::default();
    for round in 0..KILLS {
        let crowd = Crowd::new(&proxy.client(), 6, &url);
        tokio::time::sleep(dice.millis(250)).await;
        proxy.kill();
        let [good, unauthorized, ..] = crowd.stop().await.all();
        log.lock().unwrap().push(good);
        assert_eq!(unauthorized, 0, "a client saw a 401 before kill {round}");
        proxy.start().await;
        works(proxy.client(), &url, round).await;
    }
    let requests: u64 = log.lock().unwrap().iter().sum();
    rotating.with(|state| {
        println!(
            "{KILLS} kills in {requests} requests; {} cookies",
            state.values.len()
        );
        assert!(!state.ended);
        assert_eq!(state.rejected, 0);
    });
    assert!(requests > u64::from(KILLS), "{requests} requests");
}
