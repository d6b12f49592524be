//! A session's values in JSON and form bodies.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};

use crate::support::{
    authority::Authority,
    canary::{canary, find},
    client::{Answer, Client},
    oauth::Policy,
    origin::{self, Body, Builder, Origin, full},
    proxy::{Proxy, proxy},
    routes,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// What the origin got at `/in`: fields and body.
type Got = Arc<Mutex<Vec<(http::HeaderMap, Bytes)>>>;

fn taking(site: Builder) -> (Builder, Got) {
    let got = Got::default();
    let kept = got.clone();
    let site = site.handler(move |request: Request<Incoming>| {
        let kept = kept.clone();
        async move {
            if request.uri().path() != "/in" {
                return Err(request);
            }
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|b| b.to_bytes());
            kept.lock()
                .unwrap()
                .push((parts.headers, body.unwrap_or_default()));
            Ok(routes::text("taken"))
        }
    });
    (site, got)
}

async fn bench(inject: &str, secret: &str) -> (Origin, Proxy, Client, Got) {
    bench_within("", inject, secret).await
}

async fn bench_within(limits: &str, inject: &str, secret: &str) -> (Origin, Proxy, Client, Got) {
    let (site, got) = taking(origin::origin(&["app.example.test"]));
    let site = site.start().await;
    let proxy = proxy()
        .site(&site)
        .env("TOKEN", secret)
        .config(format!(
            "{limits}[session.app]\nbind = [{{ host = \"app.example.test\", path = \"/in\" }}]\n\
             secrets = {{ token = \"env:TOKEN\" }}\n{inject}\n[session.app.refresh]\nkind = \"none\"\n"
        ))
        .start()
        .await;
    let client = proxy.client();
    (site, proxy, client, got)
}

fn post(url: &str, media: &str, body: Body) -> Request<Body> {
    let request = Request::post(url).header(CONTENT_TYPE, media);
    request.body(body).unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Rows of JSON, which shrink to a twentieth.
fn rows(token: &str) -> String {
    let rows: String = (0..4000)
        .map(|n| format!(",{{\"id\":{n},\"name\":\"a row\",\"state\":\"open\",\"tags\":[]}}"))
        .collect();
    format!("{{\"auth\":{{\"token\":\"{token}\"}},\"rows\":[0{rows}]}}")
}

/// Without a length: chunked.
fn chunked(pieces: &[&str]) -> Body {
    let frames: Vec<_> = pieces
        .iter()
        .map(|piece| Ok(Frame::data(Bytes::from((*piece).to_owned()))))
        .collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

const INJECT: &str = "[[session.app.inject]]\njson = \"/auth/token\"\nvalue = \"{{ token }}\"\n\
    [[session.app.inject]]\nform = \"token\"\nvalue = \"{{ token }}\"\n";

/// The value is exchanged or put in; every other byte is as it came, and the length is right.
#[tokio::test(flavor = "multi_thread")]
async fn values_are_put_into_bodies() {
    let secret = canary("body");
    let (site, _proxy, client, got) = bench(INJECT, &secret).await;
    let url = site.url("/in");
    let long = "x".repeat(2 << 20);
    let json = |token: &str| {
        format!("{{ \"a\" : 1.0,\r\n\t\"auth\":{{\"token\":\"{token}\" }}, \"a\":\"\\u00e9é\" }}")
    };
    let big = |token: &str| format!("{{\"auth\":{{\"token\":\"{token}\"}},\"long\":\"{long}\"}}");
    let cases = [
        (JSON, full(json("x")), json(&secret)),
        (
            "application/vnd.app+json; charset=utf-8",
            full(json("x")),
            json(&secret),
        ),
        (JSON, full(big("x")), big(&secret)),
        (
            JSON,
            chunked(&["{\"auth\":{\"tok", "en\":\"x\"},\"", "n\":[ ]}"]),
            format!("{{\"auth\":{{\"token\":\"{secret}\"}},\"n\":[ ]}}"),
        ),
        (
            JSON,
            full("{\"auth\":{}}"),
            format!("{{\"auth\":{{\"token\":\"{secret}\"}}}}"),
        ),
        (
            FORM,
            full("a=%20+b&token=x&c"),
            format!("a=%20+b&token={secret}&c"),
        ),
        (FORM, full("a=1"), format!("a=1&token={secret}")),
        // What has no place for it stays.
        (JSON, full("{\"auth\":[]}"), "{\"auth\":[]}".to_owned()),
        (
            JSON,
            full("{\"auth\":{\"token\":\"x\"}"),
            "{\"auth\":{\"token\":\"x\"}".to_owned(),
        ),
        (
            "text/plain",
            full("{\"auth\":{\"token\":\"x\"}}"),
            "{\"auth\":{\"token\":\"x\"}}".to_owned(),
        ),
    ];
    for (media, body, expected) in cases {
        client.send(post(&url, media, body)).await.expect(200);
        let (headers, body) = got.lock().unwrap().pop().unwrap();
        let shown = expected.chars().take(60).collect::<String>();
        assert!(body == expected.as_bytes(), "{media} {shown}: {body:?}");
        if media != "text/plain" {
            assert_eq!(
                headers["content-length"],
                expected.len().to_string(),
                "{shown}"
            );
        }
        assert_eq!(headers["content-type"], media);
    }
}

/// An encoded body is read, and goes on without its coding if something in it was exchanged, else as it came.
#[tokio::test(flavor = "multi_thread")]
async fn encoded_bodies_are_read() {
    let secret = canary("gzip");
    let (site, _proxy, client, got) = bench(INJECT, &secret).await;
    let url = site.url("/in");
    let send = async |coding: &str, body: Vec<u8>| -> Answer {
        let mut request = post(&url, JSON, full(body));
        let headers = request.headers_mut();
        headers.insert("content-encoding", coding.parse().unwrap());
        headers.insert("content-md5", "b2xk".parse().unwrap());
        client.send(request).await
    };
    send("gzip", gzip(r#"{"auth":{"token":"x"}}"#))
        .await
        .expect(200);
    let (headers, body) = got.lock().unwrap().pop().unwrap();
    assert_eq!(
        body,
        format!("{{\"auth\":{{\"token\":\"{secret}\"}}}}").as_bytes()
    );
    assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-md5"));

    for (coding, plain) in [
        ("gzip", gzip(r#"{"other":1}"#)),
        ("zstd", b"anything".to_vec()),
        ("gzip", b"broken".to_vec()),
    ] {
        send(coding, plain.clone()).await.expect(200);
        let (headers, body) = got.lock().unwrap().pop().unwrap();
        assert_eq!(body, plain);
        assert_eq!(headers["content-encoding"], coding);
        assert!(headers.contains_key("content-md5"));
    }

    let packed = gzip(&rows("x"));
    assert!(rows("x").len() > 15 * packed.len());
    send("gzip", packed).await.expect(200);
    let (_, body) = got.lock().unwrap().pop().unwrap();
    assert_eq!(body, rows(&secret));

    let bomb = gzip(&format!(
        "{{\"auth\":{{\"token\":\"{}\"}}}}",
        "x".repeat(8 << 20)
    ));
    let refused = send("gzip", bomb).await.expect(413);
    assert!(refused.text().contains("whole_body"), "{}", refused.text());
    assert!(got.lock().unwrap().is_empty());
}

/// What is out of proportion unpacked needs room among the kept bodies, and gives it back.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_so_much_room_for_packed_bodies() {
    let secret = canary("room");
    let send = async |client: &Client, site: &Origin, rest: &str| -> Answer {
        let packed = gzip(&format!("{}{rest}", rows("x")));
        let mut request = post(&site.url("/in"), JSON, full(packed));
        let gzip = http::HeaderValue::from_static("gzip");
        request.headers_mut().insert("content-encoding", gzip);
        client.send(request).await
    };
    let limits = "[limits]\nreplay_total = \"400 KiB\"\n";
    let (site, _proxy, client, got) = bench_within(limits, INJECT, &secret).await;
    assert!(rows("x").len() > 200 * 1024);
    for _ in 0..3 {
        send(&client, &site, "").await.expect(200);
        assert_eq!(got.lock().unwrap().pop().unwrap().1, rows(&secret));
        let refused = send(&client, &site, &" ".repeat(400 * 1024)).await;
        let status = refused.field("proxy-status").unwrap_or_default().to_owned();
        assert!(status.contains("error=proxy_internal_error"), "{status}");
        let refused = refused.expect(503);
        assert!(
            refused.text().contains("limits.replay_total"),
            "{}",
            refused.text()
        );
        assert!(got.lock().unwrap().is_empty(), "nothing of it was sent");
    }
}

/// A body that is too large to be read is refused, with a length and without; and nothing of it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_413_and_never_without() {
    let (site, _proxy, client, got) = bench(INJECT, &canary("large")).await;
    let url = site.url("/in");
    let long = "x".repeat(5 << 20);
    for body in [full(long.clone()), chunked(&[&long])] {
        let refused = client.send(post(&url, JSON, body)).await.expect(413);
        assert!(
            refused
                .field("proxy-status")
                .unwrap()
                .contains("http_request_error")
        );
    }
    // Another media type has no place for a value, and streams.
    let body = full(long.clone());
    client
        .send(post(&url, "application/octet-stream", body))
        .await
        .expect(200);
    assert_eq!(got.lock().unwrap().pop().unwrap().1.len(), long.len());
    assert!(got.lock().unwrap().is_empty());
}

/// After a rejection the same body goes again, with the new value in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_resend_has_the_new_value() {
    let authority = Authority::new(Policy::lifetime(3600.0));
    let first = authority.login();
    let (site, got) = taking(authority.site("app.example.test"));
    let site = site.start().await;
    let proxy = proxy()
        .site(&site)
        .env("ACCESS", &first.access)
        .env("REFRESH", &first.refresh)
        .config(
            "[session.app]\nbind = [{ host = \"app.example.test\", path = \"/in\" }]\n\
             secrets = { access_token = \"env:ACCESS\", refresh_token = \"env:REFRESH\" }\n\
             [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{ access_token }}\"\n\
             [[session.app.inject]]\njson = \"/token\"\nvalue = \"{{ access_token }}\"\nmode = \"if_present\"\n\
             [session.app.refresh]\ntoken_url = \"https://app.example.test/token\"\nclient_auth = \"none\"\n",
        )
        .start()
        .await;
    authority.with(|oauth| oauth.revoke_all_access());
    let body = full(r#"{"token":"mine","n":1}"#);
    let request = post(&site.url("/in"), JSON, body);
    proxy.client().send(request).await.expect(200);
    let (headers, body) = got.lock().unwrap().pop().unwrap();
    let bearer = headers["authorization"].to_str().unwrap();
    let token = bearer.strip_prefix("Bearer ").unwrap();
    assert_ne!(token, first.access);
    assert_eq!(
        body,
        format!("{{\"token\":\"{token}\",\"n\":1}}").as_bytes()
    );
    assert_eq!(find(&body, &first.access), None);
}
