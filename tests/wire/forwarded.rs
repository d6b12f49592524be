//! What a proxy does to a message because it passes it on (RFC 9110 §7.6, §10.1), and what it does not.

use std::time::Duration;

use http::{Method, Request};
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    origin::empty,
    proxy::proxy,
    raw::{After, read_head, says, tcp},
    wire::{Wire, field, status},
};

const HOST: &str = "app.example.test";
const PLAIN: &str = "plain.example.test:80";

/// `TE` is for the next hop, and `Connection` says so there (§10.1.4).
#[tokio::test(flavor = "multi_thread")]
async fn te_is_named_in_connection() {
    let site = says(HOST, "HTTP/1.1 204 No\r\n\r\n", After::Keep).await;
    let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    for te in ["TE: trailers\r\nConnection: TE\r\n", "TE: gzip\r\n", ""] {
        wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{te}\r\n"))
            .await;
        assert_eq!(status(&wire.head().await), 204);
        let head = site.heads.all().pop().unwrap();
        let expected = te.contains("trailers").then_some(("trailers", "TE"));
        let seen = field(&head, "te").zip(field(&head, "connection"));
        assert_eq!(seen, expected, "{head}");
    }
}

/// An expectation in a request of HTTP/1.0 is ignored (§10.1.1), and not handed on to who would not; `Via` has the
/// version in which a message came (§7.6.3).
#[tokio::test(flavor = "multi_thread")]
async fn http10_is_known_on_either_side() {
    let heads = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
    let (address, _site) = tcp({
        let heads = heads.clone();
        move |mut socket| {
            let heads = heads.clone();
            async move {
                let head = read_head(&mut socket).await.unwrap_or_default();
                heads.lock().unwrap().push(head);
                let _ = socket.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
            }
        }
    })
    .await;
    let proxy = proxy().resolve(PLAIN, address).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    let expect = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    wire.send(format!("POST http://{PLAIN}/ HTTP/1.0\r\n{expect}"))
        .await;
    let answer = wire.rest().await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(field(&answer, "via"), Some("1.0 staysigned"), "{answer}");
    let head = heads.lock().unwrap().pop().unwrap();
    assert_eq!(field(&head, "expect"), None, "{head}");
    assert!(field(&head, "via").unwrap().starts_with("1.0 "), "{head}");
}

/// An answer of ours to HEAD has no body over HTTP/2 either (§9.3.2): a client would take one for an error.
#[tokio::test(flavor = "multi_thread")]
async fn our_answers_to_head_have_no_body() {
    let proxy = proxy().bearer("app", HOST, "t1").start().await;
    for client in [proxy.client(), proxy.client().h2()] {
        let request = Request::builder().method(Method::HEAD);
        let request = request.uri(format!("https://{HOST}/")).body(empty());
        let answer = client.send(request.unwrap()).await.expect(502);
        assert_eq!(answer.text(), "");
    }
}

/// Some clients send an empty line behind a body: it is passed over (RFC 9112 §2.2), and no beginning of a head that would
/// have to go on in time.
#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_are_nothing() {
    let site = says(HOST, "HTTP/1.1 204 No\r\n\r\n", After::Keep).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = proxy().raw(&site).bearer("app", HOST, "t1");
    let proxy = proxy.resolve(PLAIN, address);
    let limits = "[limits]\nrequest_head = \"1s\"\n";
    let proxy = proxy.config(limits).start().await;
    let post = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi");
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    for lines in ["\r\n", "\n", "\r\n\r\n\n"] {
        wire.send(format!("{post}{lines}")).await;
        assert_eq!(status(&wire.head().await), 204);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    // As much as a head may have, and no more.
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    wire.send("\r\n".repeat(256 * 1024)).await;
    assert_eq!(status(&wire.head().await), 431);
    // Before a CONNECT, at first and behind something else.
    let get = format!("GET http://{PLAIN}/ HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n");
    for before in ["", &get] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!("{before}\r\n")).await;
        if !before.is_empty() {
            assert_eq!(status(&wire.message().await.0), 502);
        }
        wire.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\n\r\n"))
            .await;
        assert_eq!(status(&wire.head().await), 200);
    }
}

/// Also where an origin says so, before its answer.
#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_of_an_origin_have_an_end() {
    for (lines, expected) in [(3, 204), (200_000, 502)] {
        let (address, _site) = tcp(move |mut socket| async move {
            let _ = read_head(&mut socket).await;
            let lines = "\r\n".repeat(lines);
            let _ = socket.write_all(lines.as_bytes()).await;
            let _ = socket.write_all(b"HTTP/1.1 204 No\r\n\r\n").await;
        })
        .await;
        let proxy = proxy().resolve(PLAIN, address).start().await;
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!(
            "GET http://{PLAIN}/ HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n"
        ))
        .await;
        assert_eq!(status(&wire.head().await), expected, "{lines}");
    }
}
