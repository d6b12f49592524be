//! WebSocket: relayed after injection on the handshake.

use http::{Request, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    canary::canary,
    origin::{Body, empty, origin},
    proxy::{bearer, proxy},
    routes::websocket_accept,
    usual::usual,
    wire::{Wire, field, status},
    within,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub fn handshake(host: &str, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

pub async fn converse(wire: &mut Wire) {
    let head = wire.head().await;
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(
        field(&head, "sec-websocket-accept"),
        Some(websocket_accept(KEY.as_bytes()).as_str())
    );
    for round in 0..50 {
        let message = format!("{round} {}", canary("ws"));
        wire.send(&message).await;
        assert_eq!(wire.bytes(message.len()).await, message.as_bytes());
    }
}

/// Promise 5: WebSocket streams; promise 1: its handshake carries the credential.
#[tokio::test(flavor = "multi_thread")]
async fn websocket_is_relayed_after_injection() {
    let (_site, proxy) = usual().await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    wire.send(handshake("app.example.test", "/ws")).await;
    converse(&mut wire).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_over_plain_http() {
    let site = origin(&["plain.example.test"])
        .bearer("t1")
        .start_plain()
        .await;
    let bind = r#"{ scheme = "http", host = "plain.example.test" }"#;
    let proxy = proxy()
        .site(&site)
        .config(bearer("app", bind, "T"))
        .env("T", "t1")
        .start()
        .await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    wire.send(handshake(
        "plain.example.test",
        "http://plain.example.test/ws",
    ))
    .await;
    converse(&mut wire).await;
}

/// A handshake that the origin declines leaves the connection as it was.
#[tokio::test(flavor = "multi_thread")]
async fn declined_upgrade_is_an_ordinary_answer() {
    let (_site, proxy) = usual().await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    for _ in 0..2 {
        wire.send(handshake("app.example.test", "/echo")).await;
        let (head, _) = wire.message().await;
        assert_eq!(status(&head), 200, "{head}");
    }
}

/// An extended CONNECT (RFC 8441) with this path, on the connection.
fn extended(path: &str) -> Request<Body> {
    let mut request = Request::connect(format!("https://app.example.test{path}"))
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(empty())
        .unwrap();
    let protocol = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

/// WebSocket over HTTP/2, several on one connection beside ordinary requests; to the origin it is the handshake of
/// HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn websocket_over_http2() {
    let site = origin(&["app.example.test"]).bearer("t1").start().await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .config("[limits]\nidle = \"1s\"")
        .start()
        .await;
    let url = site.url("/echo");
    let mut connection = proxy
        .client()
        .h2()
        .open(&url.parse().unwrap())
        .await
        .unwrap();
    connection.get(&url).await.unwrap().expect(200);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut answer = connection.send(extended("/ws")).await.unwrap();
        assert_eq!(answer.status(), 200);
        for field in ["connection", "upgrade", "sec-websocket-accept"] {
            assert_eq!(answer.headers().get(field), None);
        }
        let upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
        sockets.push(TokioIo::new(upgraded));
    }
    assert_eq!(site.last().version, Version::HTTP_11);
    assert_eq!(site.last().field("sec-websocket-protocol"), Some("chat"));
    // Longer than the connection may be idle: it is not.
    for round in 0..15 {
        for (number, socket) in sockets.iter_mut().enumerate() {
            let message = format!("{round} {number} {}", "x".repeat(2000));
            socket.write_all(message.as_bytes()).await.unwrap();
            let mut back = vec![0; message.len()];
            let read = within("an echo", socket.read_exact(&mut back)).await;
            read.unwrap();
            assert_eq!(back, message.as_bytes());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    connection.get(&url).await.unwrap().expect(200);
}

/// What is no WebSocket is no success to a client that asked for one, and a refusal is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn declined_websocket_over_http2() {
    let (site, proxy) = usual().await;
    let url = site.url("/echo").parse().unwrap();
    let mut connection = proxy.client().h2().open(&url).await.unwrap();
    for (path, status) in [("/echo", 502), ("/status/403", 403), ("/nowhere", 404)] {
        let answer = connection.send(extended(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}
