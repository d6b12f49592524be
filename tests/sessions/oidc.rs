//! A real, certified OAuth server: rotation with reuse detection and no grace at all.

use std::time::{Duration, Instant};

use crate::support::{
    oidc::{HOST, Server, session},
    proxy::proxy,
};

use super::Crowd;

const LIFETIME: f64 = 5.0;
const MINUTE: Duration = Duration::from_secs(60);

/// Promises 2 and 3: 32 parallel clients for a minute, five-second tokens, tokens in use revoked at random: no client
/// sees a 401, no refresh token comes twice, and each access token that ended cost one refresh at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_certified_server_never_sees_reuse() {
    let server = Server::start(LIFETIME).await;
    let proxy = proxy()
        .resolve(&format!("{HOST}:443"), server.address)
        .config(session())
        .env("SECRET", "tests-secret")
        .env("ACCESS", &server.access)
        .env("REFRESH", &server.refresh)
        .level("info")
        .start()
        .await;
    let begun = Instant::now();
    let crowd = Crowd::new(&proxy.client(), 32, &format!("https://{HOST}/resource/x"));
    let mut revoked = 0;
    while begun.elapsed() < MINUTE {
        let mut random = [0; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        // From 0.7 to 4 seconds: within a token's life, and past its refresh ahead of time.
        tokio::time::sleep(Duration::from_millis(
            700 + u64::from(u16::from_le_bytes(random)) / 20,
        ))
        .await;
        // Whoever met the last revocation is through with it: nobody meets two within one request.
        crowd.each_answered(2).await;
        revoked += server.revoke().await;
    }
    let [good, unauthorized, other, failed] = crowd.stop().await.all();
    let elapsed = begun.elapsed().as_secs_f64();
    let stats = server.stats().await;
    println!("{good} requests in {elapsed:.0} s; {revoked} tokens revoked early; {stats}");
    assert_eq!((unauthorized, other, failed), (0, 0, 0), "of {good}");
    assert!(good > 1_000, "{good} requests");
    assert!(revoked > 5);
    for never in ["grants_revoked", "repeated"] {
        assert_eq!(stats[never], 0, "{never}: {stats}");
    }
    assert_eq!(stats["errors"], serde_json::json!([]));
    let granted = stats["granted"].as_f64().expect("a number");
    // A token ends early, or half its life is over; the first one's end is not known.
    let ended = revoked as f64 + elapsed / (LIFETIME / 2.0) + 2.0;
    assert!(
        granted <= ended,
        "{granted} refreshes for at most {ended:.0} ended tokens"
    );
    assert!(granted >= 8.0, "{stats}");
    let answer = proxy
        .client()
        .get(&format!("https://{HOST}/resource/end"))
        .await
        .expect(200);
    assert_eq!(answer.text(), "in");
}
