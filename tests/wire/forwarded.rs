//! What a proxy does to a message because it passes it on (RFC 9110 §7.6, §10.1), and what it does not.

use http::{Method, Request};
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    origin::empty,
    proxy::proxy,
    raw::{After, read_head, says, tcp},
    wire::{Wire, field, status},
};

const HOST: &str = "app.example.test";

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
    let plain = "plain.example.test:80";
    let proxy = proxy().resolve(plain, address).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    let expect = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    wire.send(format!("POST http://{plain}/ HTTP/1.0\r\n{expect}"))
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
