//! Presigned URLs: what carries a signature of its own is left alone.

use std::time::{Duration, Instant};

use http::Request;

use crate::support::{
    authority::{Fault, holding, logged_in, session},
    client::{Answer, Client},
    oauth::Policy,
    origin::{Origin, empty},
};

const HOST: &str = "files.example.test";

/// Of S3, Google Cloud Storage, Azure's blobs and CloudFront, as they are written.
const SIGNED: &[&str] = &[
    "/echo?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261122%2Feu&X-Amz-Signature=0a1b",
    "/echo?x-goog-algorithm=GOOG4-RSA-SHA256&x-goog-signature=0a1b",
    "/echo?sv=2024-11-04&se=2026-11-22T00%3A00%3A00Z&sp=r&sig=a%2Fb%3D",
    "/echo?Expires=1800000000&Signature=a~b_&Key-Pair-Id=K1",
];

/// With a session of bearer tokens and cookies, by which presigned requests would be refused.
fn config(more: &str) -> String {
    session("app", HOST, "").replace("[session.app]", &format!("[session.app]\n{more}"))
        + "[session.app.cookies]\nmerge = \"only\"\n"
}

async fn ask(client: &Client, site: &Origin, target: &str) -> Answer {
    let request = Request::builder()
        .uri(site.url(target))
        .header("authorization", "Own of-the-client")
        .header("cookie", "own=1")
        .body(empty())
        .unwrap();
    client.send(request).await
}

/// Neither is anything put on or taken off, nor is their refusal one of the session's credential.
#[tokio::test(flavor = "multi_thread")]
async fn signed_urls_are_left_alone() {
    let (authority, site, pair) = logged_in(HOST, Policy::lifetime(600.0)).await;
    let proxy = holding(&site, &pair, config("")).start().await;
    for client in [proxy.client(), proxy.client().h2()] {
        for target in SIGNED {
            let before = site.seen().len();
            ask(&client, &site, target).await.expect(401);
            assert_eq!(site.seen().len(), before + 1, "{target} is not sent again");
            let seen = site.last();
            assert_eq!(seen.target, *target);
            assert_eq!(seen.field("authorization"), Some("Own of-the-client"));
            assert_eq!(seen.field("cookie"), Some("own=1"));
        }
        assert_eq!(
            authority.attempts().len(),
            0,
            "nothing is refreshed for them"
        );
        // What only looks like one is a request of the session.
        for target in ["/echo?signature=1", "/echo?Signature=1", "/echo?signed=sig"] {
            ask(&client, &site, target).await.expect(200);
            let ours = format!("Bearer {}", pair.access);
            assert_eq!(site.last().field("authorization"), Some(ours.as_str()));
        }
    }
    assert_eq!(proxy.status("app")["counters"]["rejected"], 0);
}

/// They are answered as fast as ever by a session that has nothing to put on, whatever it says to others.
#[tokio::test(flavor = "multi_thread")]
async fn signed_urls_wait_for_nothing() {
    let (authority, site, pair) = logged_in(HOST, Policy::lifetime(600.0)).await;
    let config = config("on_dead = \"fail\"").replace("access_token = \"env:ACCESS\", ", "");
    let proxy = holding(&site, &pair, config).start().await;
    let client = proxy.client();
    // The token endpoint says nothing at first, and then that it is over.
    authority.delay(Duration::from_secs(2));
    authority.fail_with([Fault::Error(400, "invalid_grant")]);
    let waits = tokio::spawn({
        let (client, url) = (client.clone(), site.url("/echo"));
        async move { client.get(&url).await }
    });
    let began = Instant::now();
    for target in SIGNED {
        ask(&client, &site, target).await.expect(401);
    }
    let took = began.elapsed();
    assert!(!waits.is_finished() || took > Duration::from_secs(2));
    waits.await.unwrap().expect(511);
    for target in SIGNED {
        ask(&client, &site, target).await.expect(401);
        assert_eq!(
            site.last().field("authorization"),
            Some("Own of-the-client")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_urls_are_served_where_that_is_wanted() {
    let (_authority, site, pair) = logged_in(HOST, Policy::lifetime(600.0)).await;
    let proxy = holding(&site, &pair, config("presigned = \"inject\""))
        .start()
        .await;
    for target in SIGNED {
        ask(&proxy.client(), &site, target).await.expect(200);
        let ours = format!("Bearer {}", pair.access);
        assert_eq!(site.last().field("authorization"), Some(ours.as_str()));
        assert_eq!(site.last().target, *target);
    }
}
