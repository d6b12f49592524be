//! Again, once: a rejected request is sent again whole, and never a second time.

use http::Request;
use http_body_util::BodyExt as _;

use crate::support::{
    authority::{Authority, session},
    content::{Content, sha256},
    oauth::{Pair, Policy},
    origin::{Origin, full, origin},
    proxy::{Builder, Proxy, proxy},
    routes,
};

const HOST: &str = "api.example.test";
const BODY: &str = "replay_body = \"1 MiB\"";
/// One request may keep all of it; together they may not.
const TOTAL: &str = "replay_total = \"1 MiB\"";

async fn world() -> (Authority, Origin, Proxy) {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site(HOST).start().await;
    let proxy = limited(&site, &pair, BODY).start().await;
    (authority, site, proxy)
}

fn limited(site: &Origin, pair: &Pair, limits: &str) -> Builder {
    proxy()
        .site(site)
        .config(session("app", HOST, "cooldown = \"0s\""))
        .config(format!("[limits]\n{limits}"))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
}

fn uploads(site: &Origin) -> usize {
    site.seen()
        .iter()
        .filter(|seen| seen.path == "/upload")
        .count()
}

/// Promise 4: every method and body within the limit is sent again, whole, on both versions.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_again_whole() {
    let (authority, site, proxy) = world().await;
    let content = Content::new(900_000, 3);
    for client in [proxy.client(), proxy.client().h2()] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            authority.with(|oauth| oauth.revoke_all_access());
            let before = uploads(&site);
            let request = Request::builder()
                .method(method)
                .uri(site.url("/upload"))
                .body(full(content.bytes()))
                .unwrap();
            let answer = client.send(request).await.expect(200);
            assert_eq!(answer.json()["sha256"], content.sha256());
            assert_eq!(uploads(&site), before + 2, "once, and again once");
        }
    }
    assert_eq!(authority.with(|oauth| oauth.counts.granted), 8);
}

/// Over the limit: the refresh runs, the client gets the original answer, and the next request works.
#[tokio::test(flavor = "multi_thread")]
async fn too_big_to_be_kept() {
    for limits in [BODY, TOTAL] {
        is_too_big(limits).await;
    }
}

async fn is_too_big(limits: &str) {
    // This origin reads all of it before it says no.
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let judge = authority.clone();
    let site = authority
        .endpoint(origin(&[HOST]))
        .handler(move |request| {
            let judge = judge.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("whole").to_bytes();
                if !judge.admits(&head.headers) {
                    return Ok(routes::unauthorized());
                }
                Ok(routes::text(sha256(&body)))
            }
        })
        .start()
        .await;
    let content = Content::new(3_000_000, 3);
    let proxy = limited(&site, &pair, limits).start().await;
    for client in [proxy.client(), proxy.client().h2()] {
        authority.with(|oauth| oauth.revoke_all_access());
        let before = uploads(&site);
        let answer = client
            .post(&site.url("/upload"), content.bytes())
            .await
            .expect(401);
        assert_eq!(answer.text(), "who are you?", "the origin's own answer");
        assert!(
            answer.field("proxy-status").is_some(),
            "{:?}",
            answer.headers
        );
        assert_eq!(uploads(&site), before + 1);
        let answer = client
            .post(&site.url("/upload"), content.bytes())
            .await
            .expect(200);
        assert_eq!(answer.text(), content.sha256());
    }
    assert_eq!(authority.with(|oauth| oauth.counts.granted), 2);
}

/// Rejected at its head, an upload of any size can be sent again: what is not sent yet need not be kept. If more is
/// sent than can be kept, however late that shows, the client gets the answer as it was.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_before_it_was_read() {
    let content = Content::new(8_000_000, 3);
    for alpn in ["http/1.1", "h2"] {
        let authority = Authority::new(Policy::lifetime(600.0));
        let pair = authority.login();
        let site = authority.site(HOST).alpn(&[alpn]).start().await;
        let proxy = limited(&site, &pair, BODY).start().await;
        for round in 0..6 {
            let client = match round % 2 {
                0 => proxy.client(),
                _ => proxy.client().h2(),
            };
            authority.with(|oauth| oauth.revoke_all_access());
            let answer = client.post(&site.url("/upload"), content.bytes()).await;
            // How much was on its way when the answer came is chance; more than may be kept is a 401.
            match answer.status.as_u16() {
                200 => assert_eq!(answer.json()["sha256"], content.sha256()),
                401 => assert_eq!(answer.text(), "who are you?"),
                other => panic!("{other}: {}", answer.text()),
            }
            let answer = client
                .post(&site.url("/upload"), content.bytes())
                .await
                .expect(200);
            assert_eq!(answer.json()["sha256"], content.sha256());
            assert_eq!(authority.with(|oauth| oauth.counts.granted), round + 1);
        }
    }
}

/// Promise 4 and 6: an origin that always says 401 gets each request twice at most.
#[tokio::test(flavor = "multi_thread")]
async fn never_more_than_one_extra_request() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let token = authority
        .endpoint(origin(&["auth.example.test"]))
        .start()
        .await;
    let deaf = origin(&[HOST]).gate(|_| false).start().await;
    let config = session("app", HOST, "").replace(
        &format!("https://{HOST}/token"),
        "https://auth.example.test/token",
    );
    let proxy = proxy()
        .site(&token)
        .site(&deaf)
        .config(config)
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .start()
        .await;
    for _ in 0..20 {
        proxy.client().get(&deaf.url("/echo")).await.expect(401);
    }
    assert!(
        deaf.seen().len() <= 21,
        "{} requests for 20",
        deaf.seen().len()
    );
    assert_eq!(
        authority.with(|oauth| oauth.counts.granted),
        1,
        "one vain refresh, then the cooldown"
    );
}
