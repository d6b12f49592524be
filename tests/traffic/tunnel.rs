//! Hosts without a session: tunnelled byte for byte, or denied.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    client::{Client, Parts},
    content::{Content, sha256},
    origin::origin,
    proxy::proxy,
    raw::{read_head, tcp},
    wire::{Wire, field, status},
    within,
};

/// Promise 5: a host without a session is tunnelled, its own certificate and all.
#[tokio::test(flavor = "multi_thread")]
async fn unbound_hosts_are_never_decrypted() {
    let app = origin(&["app.example.test"]).start().await;
    let other = origin(&["other.example.test"]).start().await;
    let proxy = proxy()
        .site(&app)
        .site(&other)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    // This client trusts the test origins' CA alone: with our CA's certificate it would fail.
    let client = Client::proxied(proxy.listen, "");
    let answer = client.get(&other.url("/bytes/1000000/3")).await.expect(200);
    assert_eq!(sha256(&answer.body), Content::new(1_000_000, 3).sha256());
    client
        .clone()
        .h2()
        .get(&other.url("/echo"))
        .await
        .expect(200);
    assert_eq!(other.last().field("authorization"), None);
    let request = http::Request::get(app.url("/echo"))
        .body(crate::support::origin::empty())
        .unwrap();
    client
        .try_send(request)
        .await
        .expect_err("the bound host is intercepted");
}

/// Any bytes at all pass a tunnel, in both directions, and its half-closes too.
#[tokio::test(flavor = "multi_thread")]
async fn tunnels_pass_any_bytes() {
    let (address, echo) = tcp(|mut socket| async move {
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all).await;
        all.reverse();
        let _ = socket.write_all(&all).await;
    })
    .await;
    let proxy = proxy()
        .resolve("raw.example.test:7777", address)
        .start()
        .await;
    let mut socket = proxy
        .client()
        .connect("raw.example.test:7777")
        .await
        .unwrap();
    let content = Content::new(500_000, 9).bytes();
    socket.write_all(&content).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut back = Vec::new();
    let read = within("all of it, and the end", socket.read_to_end(&mut back)).await;
    read.unwrap();
    back.reverse();
    assert_eq!(sha256(&back), sha256(&content));
    echo.abort();
}

/// A connection to the proxy that has carried requests in absolute form may carry a CONNECT next (RFC 9110 §9.3.6):
/// clients keep their connections for whatever comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_connect_may_follow_requests() {
    const PLAIN: &str = "plain.example.test";
    let (plain, app) = (origin(&[PLAIN]), origin(&["app.example.test"]));
    let (plain, app) = (plain.start_plain().await, app.bearer("t1").start().await);
    let (address, echo) = tcp(|mut socket| async move {
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all).await;
        all.reverse();
        let _ = socket.write_all(&all).await;
    })
    .await;
    let proxy = proxy()
        .site(&plain)
        .site(&app)
        .resolve("raw.example.test:7777", address)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    let client = proxy.client();
    let get = format!("GET http://{PLAIN}/echo HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n");
    let connect = |to: &str| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    // One after another, all in one piece, and byte by byte; a tunnel, and what is intercepted.
    for pieces in [1, 2, usize::MAX] {
        let sent = format!("{get}{get}{}ping", connect("raw.example.test:7777"));
        let mut socket = client.socket().await;
        let size = match pieces {
            1 => sent.len(),
            2 => 2 * get.len() + 3,
            _ => 1,
        };
        for piece in sent.as_bytes().chunks(size) {
            socket.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        for at in 0..3 {
            let head = within("an answer", read_head(&mut socket)).await.unwrap();
            assert_eq!(status(&head), 200, "{size}, {at}: {head}");
            let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
            socket.read_exact(&mut vec![0; length]).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        let mut got = String::new();
        within("the echo", socket.read_to_string(&mut got))
            .await
            .unwrap();
        assert_eq!(got, "gnip", "{size}");
    }
    let mut socket = client.socket().await;
    socket.write_all(get.as_bytes()).await.unwrap();
    let head = within("the answer", read_head(&mut socket)).await.unwrap();
    let length = field(&head, "content-length").unwrap().parse().unwrap();
    socket.read_exact(&mut vec![0; length]).await.unwrap();
    let to = "app.example.test:443";
    socket.write_all(connect(to).as_bytes()).await.unwrap();
    let head = within("the answer", read_head(&mut socket)).await.unwrap();
    assert_eq!(status(&head), 200, "{head}");
    let parts = Parts {
        connect: to.to_owned(),
        sni: None,
        tls: true,
        h2: false,
    };
    let mut wire = Wire::new(Box::pin(client.tls(socket, &parts).await.unwrap()));
    wire.send("GET /echo HTTP/1.1\r\nHost: app.example.test\r\n\r\n")
        .await;
    assert_eq!(status(&wire.head().await), 200);
    assert_eq!(app.last().field("authorization"), Some("Bearer t1"));
    echo.abort();
}

/// `unmatched = "deny"`: hosts without a session are refused, and not connected to.
#[tokio::test(flavor = "multi_thread")]
async fn unmatched_hosts_can_be_denied() {
    let app = origin(&["app.example.test"]).start().await;
    let other = origin(&["other.example.test"]).start().await;
    let proxy = proxy()
        .site(&app)
        .site(&other)
        .key("unmatched = \"deny\"")
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    proxy.client().get(&app.url("/echo")).await.expect(200);
    let error = proxy
        .client()
        .connect("other.example.test:443")
        .await
        .expect_err("denied")
        .to_string();
    assert!(error.contains(" 403 "), "{error}");
    assert!(
        error.to_ascii_lowercase().contains("proxy-status:"),
        "{error}"
    );
    assert_eq!(other.recorder.count(), 0);
}

/// Inside a CONNECT to a bound host, neither TLS nor HTTP: passed on as it is where hosts without a session are, else
/// not at all. Nothing is guessed, and nothing is added.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_tls_nor_http_is_not_guessed_at() {
    for unmatched in ["tunnel", "deny"] {
        let (address, _echo) = tcp(|mut socket| async move {
            let mut buffer = [0; 100];
            while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                let _ = socket.write_all(&buffer[..read]).await;
            }
        })
        .await;
        let proxy = proxy()
            .resolve("app.example.test:443", address)
            .key(&format!("unmatched = \"{unmatched}\""))
            .bearer("app", "app.example.test", "canary-of-tunnel")
            .start()
            .await;
        for first in [&b"\x00\x01binary"[..], b"\x15\x03\x01", b"(not http)"] {
            let client = proxy.client();
            let mut socket = client.connect("app.example.test:443").await.unwrap();
            socket.write_all(first).await.unwrap();
            let mut back = vec![0; first.len()];
            let read = within("an end", socket.read_exact(&mut back)).await;
            if unmatched == "tunnel" {
                read.expect("it comes back");
                assert_eq!(back, first);
            } else {
                read.expect_err("refused");
            }
        }
    }
}
