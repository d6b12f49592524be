//! WebSocket: relayed after injection on the handshake.

use crate::support::{
    canary::canary,
    origin::origin,
    proxy::{bearer, proxy},
    routes::websocket_accept,
    usual::usual,
    wire::{Wire, field, status},
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn handshake(host: &str, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

async fn converse(wire: &mut Wire) {
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
    let site = origin(&["app.example.test"]).start().await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    for _ in 0..2 {
        wire.send(handshake("app.example.test", "/echo")).await;
        let (head, _) = wire.message().await;
        assert_eq!(status(&head), 200, "{head}");
    }
}
