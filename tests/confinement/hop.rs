//! Hop-by-hop fields end at the proxy (RFC 9110 §7.6.1).

use crate::support::{
    origin::{Origin, origin},
    proxy::{bearer, proxy},
    usual::usual,
    wire::{Wire, status},
};

const FIELDS: &str = "Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
    TE: gzip, trailers;q=0.5\r\nUpgrade: h2c, HTTP/3.0\r\nConnection: keep-alive, X-One, Upgrade, HTTP2-Settings, TE\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__\r\nX-One: 1\r\nConnection: X-Two\r\nX-Two: 2\r\nconnection:x-three , \r\n\
    X-Three: 3\r\nProxy-Foo: bar\r\nX-Kept: yes\r\n";

fn judge(site: &Origin, place: &str) {
    let seen = site.last();
    for gone in [
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "upgrade",
        "http2-settings",
        "x-one",
        "x-two",
        "x-three",
    ] {
        assert_eq!(seen.field(gone), None, "{place}: {gone} reached the origin");
    }
    assert!(
        matches!(seen.field("te"), None | Some("trailers")),
        "{place}: {:?}",
        seen.field("te")
    );
    let connection = seen
        .field("connection")
        .unwrap_or_default()
        .to_ascii_lowercase();
    for option in ["x-one", "x-two", "x-three", "upgrade"] {
        assert!(
            !connection.contains(option),
            "{place}: Connection: {connection}"
        );
    }
    assert_eq!(seen.field("x-kept"), Some("yes"), "{place}");
}

/// None of them reaches the origin: in absolute form, with a session and without, and inside TLS on either version.
#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_fields_end_here() {
    let plain = origin(&["plain.example.test", "free.example.test"])
        .start_plain()
        .await;
    let h1 = origin(&["one.example.test"])
        .alpn(&["http/1.1"])
        .start()
        .await;
    let h2 = origin(&["two.example.test"]).alpn(&["h2"]).start().await;
    let proxy = proxy()
        .site(&plain)
        .site(&h1)
        .site(&h2)
        .bearer("one", "one.example.test", "t1")
        .bearer("two", "two.example.test", "t1")
        .config(bearer(
            "plain",
            r#"{ scheme = "http", host = "plain.example.test" }"#,
            "PLAIN",
        ))
        .env("PLAIN", "t2")
        .start()
        .await;
    for host in ["plain.example.test", "free.example.test"] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        for _ in 0..2 {
            wire.send(format!(
                "GET http://{host}/echo HTTP/1.1\r\nHost: {host}\r\n{FIELDS}\r\n"
            ))
            .await;
            assert_eq!(status(&wire.message().await.0), 200);
            judge(&plain, host);
        }
    }
    for (host, site) in [("one.example.test", &h1), ("two.example.test", &h2)] {
        let mut wire = Wire::https(&proxy.client(), host).await;
        for _ in 0..2 {
            wire.send(format!(
                "GET /echo HTTP/1.1\r\nHost: {host}\r\n{FIELDS}\r\n"
            ))
            .await;
            assert_eq!(status(&wire.message().await.0), 200, "{host}");
            judge(site, host);
        }
    }
}

/// A client cannot have the credential taken off by naming its field in `Connection`.
#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_name_the_credential_away() {
    let (site, proxy) = usual().await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    wire.send(
        "GET /echo HTTP/1.1\r\nHost: app.example.test\r\nConnection: Authorization, Host\r\n\r\n",
    )
    .await;
    assert_eq!(status(&wire.message().await.0), 200);
    assert_eq!(site.last().field("host"), Some("app.example.test"));
}
