//! The tests' own servers and client do what the other tests take for granted.

use std::time::{Duration, Instant};

use http::{Request, Version};

use crate::support::{
    authority::{Authority, Fault},
    canary,
    client::Client,
    content::{Content, sha256},
    oauth::{Oauth, Policy},
    origin::{empty, full, origin},
    raw::{After, says},
    rotating::{Manner, Rotating},
    within,
};

#[tokio::test(flavor = "multi_thread")]
async fn origin_speaks_both_versions() {
    let site = origin(&["app.example.test"]).bearer("t1").start().await;
    let client = Client::direct(&site);
    let ask = |url: String| {
        Request::get(url)
            .header("authorization", "Bearer t1")
            .body(empty())
            .unwrap()
    };
    for (client, version) in [
        (client.clone(), Version::HTTP_11),
        (client.clone().h2(), Version::HTTP_2),
    ] {
        let answer = client.send(ask(site.url("/echo/x?y=1"))).await.expect(200);
        assert_eq!(answer.json()["version"], format!("{version:?}"));
        assert_eq!(client.get(&site.url("/echo")).await.status, 401);
        let answer = client.send(ask(site.url("/trailers"))).await.expect(200);
        assert_eq!(answer.text(), "with trailers");
    }
    assert_eq!(site.seen().len(), 6);
    assert!(canary::find(&site.recorder.everything(), "Bearer t1").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_can_be_made_again() {
    let site = origin(&["app.example.test"]).start().await;
    let client = Client::direct(&site);
    let content = Content::new(300_000, 7);
    assert_eq!(content.bytes().len(), 300_000);
    assert_eq!(sha256(&content.bytes()), content.sha256());
    let whole = client.get(&site.url("/bytes/300000/7")).await.expect(200);
    assert_eq!(sha256(&whole.body), content.sha256());
    let request = Request::get(site.url("/bytes/300000/7"))
        .header("range", "bytes=131000-")
        .body(empty())
        .unwrap();
    let rest = client.send(request).await.expect(206);
    assert_eq!(rest.body, content.bytes()[131_000..]);
    assert_eq!(
        rest.field("content-range"),
        Some("bytes 131000-299999/300000")
    );
    let request = Request::post(site.url("/upload"))
        .body(full(content.bytes()))
        .unwrap();
    assert_eq!(
        client.send(request).await.expect(200).json()["sha256"],
        content.sha256()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripted_origin_says_what_it_is_told() {
    let site = says(
        "raw.example.test",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        After::Close,
    )
    .await;
    let client = Client::direct(&origin(&["raw.example.test"]).start().await);
    let mut stream = client
        .tls(
            tokio::net::TcpStream::connect(site.address).await.unwrap(),
            &crate::support::client::Parts {
                connect: "raw.example.test:443".into(),
                sni: Some("raw.example.test".into()),
                tls: true,
                h2: false,
            },
        )
        .await
        .unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let mut text = String::new();
    let read = within("the rest", stream.read_to_string(&mut text)).await;
    read.unwrap();
    assert!(text.ends_with("ok"), "{text}");
    assert_eq!(site.heads.all().len(), 1);
}

/// The rules of a server with grace: the token before the newest works while the newest is unused.
#[test]
fn authority_keeps_its_rules() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut oauth = Oauth::new(Policy::lifetime(60.0));
    let first = oauth.login(start);
    let second = oauth.redeem(&first.refresh, at(1)).expect("the newest");
    let third = oauth
        .redeem(&first.refresh, at(2))
        .expect("in grace, the newest unused");
    assert!(oauth.admit(&third.access, at(3)));
    assert!(
        oauth.redeem(&first.refresh, at(4)).is_none(),
        "the newest was used"
    );
    assert!(!oauth.alive());
    assert!(
        !oauth.admit(&second.access, at(4)),
        "the whole family is revoked"
    );

    let mut oauth = Oauth::new(Policy::lifetime(60.0));
    let first = oauth.login(start);
    oauth.redeem(&first.refresh, at(1)).expect("the newest");
    assert!(
        oauth.redeem(&first.refresh, at(12)).is_none(),
        "the grace is over"
    );
    assert!(!oauth.alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn authority_answers_and_fails() {
    let authority = Authority::new(Policy::lifetime(60.0));
    let site = authority.site("api.example.test").start().await;
    let client = Client::direct(&site);
    let pair = authority.login();
    let form = |refresh: &str| format!("grant_type=refresh_token&refresh_token={refresh}");
    authority.fail_with([Fault::Status(503), Fault::ResetAfterCommit]);
    client
        .post(&site.url("/token"), form(&pair.refresh))
        .await
        .expect(503);
    let request = Request::post(site.url("/token"))
        .body(full(form(&pair.refresh)))
        .unwrap();
    client.try_send(request).await.expect_err("reset");
    let answer = client
        .post(&site.url("/token"), form(&pair.refresh))
        .await
        .expect(200)
        .json();
    assert_eq!(authority.with(|oauth| oauth.counts.in_grace), 1);
    let access = answer["access_token"].as_str().unwrap();
    let request =
        Request::get(site.url("/echo")).header("authorization", format!("Bearer {access}"));
    client
        .send(request.body(empty()).unwrap())
        .await
        .expect(200);
    client.get(&site.url("/echo")).await.expect(401);
    assert_eq!(authority.attempts().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_sites_keep_their_rules() {
    for (manner, ended) in [(Manner::Strict, true), (Manner::Mild, false)] {
        let rotating = Rotating::new(manner);
        let site = rotating.site("site.example.test").start().await;
        let client = Client::direct(&site);
        let first = rotating.newest();
        for expected in [200, 200, 401] {
            let request = Request::get(site.url("/")).header("cookie", format!("a=b; sid={first}"));
            client
                .send(request.body(empty()).unwrap())
                .await
                .expect(expected);
        }
        assert_eq!(rotating.with(|state| state.ended), ended);
    }
}

#[test]
fn secrets_are_found_in_every_form() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let secret = canary::canary("x");
    assert_eq!(secret.len(), 32);
    for before in ["", "a", "ab"] {
        let text = STANDARD.encode(format!("{before}{secret}tail"));
        assert!(
            canary::find(text.as_bytes(), &secret).is_some(),
            "{before:?}"
        );
    }
    assert!(canary::find(format!("x{secret}y").as_bytes(), &secret).is_some());
    assert!(canary::find(b"nothing here", &secret).is_none());
}
