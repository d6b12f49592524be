//! Bodies as they are: every framing, trailers, interim answers, and nothing held back.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::Semaphore;

use crate::support::{
    client::Client,
    content::{Content, sha256},
    origin::{Body, Origin, empty, origin},
    proxy::{Builder, Proxy, proxy},
    raw::{After, says},
    routes,
    wire::{Wire, status},
    within,
};

use super::pressure::{COMBINATIONS, client};

const HOST: &str = "app.example.test";

fn bound() -> Builder {
    proxy().bearer("app", HOST, "t1")
}

async fn site_and_proxy(alpn: &[&'static str]) -> (Origin, Proxy) {
    let site = origin(&[HOST]).alpn(alpn).bearer("t1").start().await;
    let proxy = bound().site(&site).start().await;
    (site, proxy)
}

fn both(proxy: &Proxy) -> [Client; 2] {
    [proxy.client(), proxy.client().h2()]
}

/// An answer of 204 has no length (RFC 9110 §8.6), whatever its origin says.
#[tokio::test(flavor = "multi_thread")]
async fn no_content_has_no_length() {
    let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n";
    let site = says(HOST, answer, After::Keep).await;
    let proxy = bound().raw(&site).start().await;
    for client in both(&proxy) {
        let answer = client.get(&format!("https://{HOST}/")).await.expect(204);
        let headers = &answer.headers;
        assert_eq!(headers["x-a"], "1");
        assert_eq!(headers.get("content-length"), None, "{headers:?}");
    }
}

/// HEAD, 204 and 304 have no body, and the connection goes on behind them.
#[tokio::test(flavor = "multi_thread")]
async fn bodiless_answers() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let (site, proxy) = site_and_proxy(alpn).await;
        for client in both(&proxy) {
            let mut connection = client.open(&site.url("/").parse().unwrap()).await.unwrap();
            for (method, path, expected, length) in [
                ("HEAD", "/bytes/5000/1", 200, Some("5000")),
                ("GET", "/status/204", 204, None),
                ("GET", "/status/304", 304, None),
                ("GET", "/bytes/10/1", 200, Some("10")),
            ] {
                let request = Request::builder()
                    .method(method)
                    .uri(site.url(path))
                    .body(empty())
                    .unwrap();
                let response = connection.send(request).await.unwrap();
                assert_eq!(response.status(), expected, "{method} {path}");
                let declared = response
                    .headers()
                    .get("content-length")
                    .map(|value| value.to_str().unwrap());
                if length.is_some() {
                    assert_eq!(declared, length, "{method} {path}");
                }
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(
                    body.len(),
                    if path == "/bytes/10/1" { 10 } else { 0 },
                    "{method} {path}"
                );
            }
        }
    }
}

/// Ranges, and a body of several megabytes in each combination of versions, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_identical() {
    let content = Content::new(5_000_000, 11);
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let (site, proxy) = site_and_proxy(alpn).await;
        for client in both(&proxy) {
            let answer = client.get(&site.url("/bytes/5000000/11")).await.expect(200);
            assert_eq!(sha256(&answer.body), content.sha256());
            let request = Request::get(site.url("/bytes/5000000/11"))
                .header("range", "bytes=4999000-")
                .body(empty())
                .unwrap();
            let answer = client.send(request).await.expect(206);
            assert_eq!(answer.body, content.bytes()[4_999_000..]);
            let answer = client
                .post(&site.url("/upload"), content.bytes())
                .await
                .expect(200);
            assert_eq!(answer.json()["sha256"], content.sha256());
        }
    }
}

fn chunked(content: &Content, trailers: Option<HeaderMap>) -> Body {
    let frames = content
        .chunks(0..content.size)
        .map(|chunk| Ok(Frame::data(chunk)));
    let frames = frames.chain(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Bodies of unknown length and trailers, both ways, in each combination of versions.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let content = Content::new(200_000, 5);
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let (site, proxy) = site_and_proxy(alpn).await;
        for client in both(&proxy) {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "abc".parse().unwrap());
            // They would stand beside the session's, or frame another message (RFC 9110 §6.5.1).
            for name in ["authorization", "cookie", "host", "content-length"] {
                trailers.insert(name, "3".parse().unwrap());
            }
            let request = Request::post(site.url("/upload"))
                .header("trailer", "x-sum")
                .body(chunked(&content, Some(trailers)))
                .unwrap();
            let answer = client.send(request).await.expect(200).json();
            assert_eq!(answer["sha256"], content.sha256());
            assert_eq!(
                answer["trailers"],
                serde_json::json!(["x-sum: abc"]),
                "{alpn:?}"
            );
            let request = Request::get(site.url("/trailers"))
                .header("te", "trailers")
                .body(empty())
                .unwrap();
            let answer = client.send(request).await.expect(200);
            assert_eq!(answer.text(), "with trailers");
            let trailers = answer
                .trailers
                .unwrap_or_else(|| panic!("trailers from {alpn:?}"));
            assert_eq!(trailers["x-checksum"], "42");
            assert_eq!(trailers.len(), 1, "{trailers:?} from {alpn:?}");
        }
    }
}

/// An answer that ends with its connection is whole for the client, on either version.
#[tokio::test(flavor = "multi_thread")]
async fn close_delimited_answers() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
    let site = says(HOST, format!("{head}{}", "x".repeat(100_000)), After::Close).await;
    let proxy = bound().raw(&site).start().await;
    for client in both(&proxy) {
        let answer = client.get(&format!("https://{HOST}/")).await.expect(200);
        assert_eq!(answer.body.len(), 100_000);
    }
}

/// `Expect: 100-continue` asks the origin, not the proxy: its refusal comes before the body is sent.
#[tokio::test(flavor = "multi_thread")]
async fn expectations_go_to_the_origin() {
    let site = says(
        HOST,
        "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        After::Close,
    )
    .await;
    let proxy = bound().raw(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    let head = wire.head().await;
    assert_eq!(status(&head), 417, "{head}");

    let site = origin(&[HOST]).start().await;
    let proxy = bound().site(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    wire.send(format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    let head = wire.head().await;
    assert_eq!(status(&head), 100, "{head}");
    wire.send("hello").await;
    let (head, body) = wire.message().await;
    assert_eq!(status(&head), 200);
    assert!(body.contains(&sha256(b"hello")), "{body}");
}

/// Promise 5: bodies stream from the first byte: the origin sends the second piece only when the client has the first.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_held_back() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        for kind in [
            "text/event-stream",
            "text/plain",
            "application/octet-stream",
        ] {
            let gate = Arc::new(Semaphore::new(0));
            let opened = gate.clone();
            let site = origin(&[HOST])
                .alpn(alpn)
                .handler(move |_| {
                    let gate = gate.clone();
                    async move {
                        Ok(routes::gated(
                            kind,
                            Bytes::from_static(b"data: 1\n\n"),
                            gate,
                        ))
                    }
                })
                .start()
                .await;
            let proxy = bound().site(&site).start().await;
            for client in both(&proxy) {
                let request = Request::get(site.url("/")).body(empty()).unwrap();
                let body = client.start(request).await.unwrap().into_body();
                routes::ungate(body, &opened).await;
            }
        }
    }
}

/// Promise 5, upwards: the origin has the first bytes of an upload before the client has sent the last, and the client
/// the answer's.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_stream_from_the_first_byte() {
    for (alpn, h2) in COMBINATIONS {
        let echo = origin(&[HOST]).alpn(alpn).handler(|request| async move {
            let body = request.into_body().map_err(Into::into);
            Ok(Response::new(body.boxed_unsync()))
        });
        let echo = echo.start().await;
        let proxy = bound().site(&echo).start().await;
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let data = receiver.recv().await?;
            Some((Ok(Frame::data(data)), receiver))
        });
        let request = Request::post(echo.url("/"))
            .body(StreamBody::new(frames).boxed_unsync())
            .unwrap();
        let what = format!("{alpn:?}, {h2}");
        let client = client(&proxy, h2);
        let answer = within(&what, client.start(request)).await;
        let mut body = answer.unwrap().into_body();
        for round in 0..5 {
            let message = Bytes::from(format!("message {round}"));
            sender.send(message.clone()).await.unwrap();
            let frame = within(&what, body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), message, "{what}");
        }
        drop(sender);
        let end = within(&what, body.collect()).await.unwrap();
        assert!(end.to_bytes().is_empty(), "{what}");
    }
}
