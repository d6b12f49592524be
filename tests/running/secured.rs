//! TLS to the proxy itself (`listen_tls`): what is spoken in it is the same, and who does not finish the handshake is let go.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    client::Parts,
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    secured::secured,
    tool::{clean, find, succeed},
    wire::{Wire, status},
    within,
};

const HOST: &str = "app.example.test";
const PLAIN: &str = "plain.example.test";
/// The proxy's own name.
const NAME: &str = "localhost";

/// The beginning of a ClientHello: a record of 512 bytes of which hardly any come.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

async fn world() -> (Origin, Origin, Proxy) {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let plain = origin(&[PLAIN]).start_plain().await;
    let builder = proxy()
        .site(&site)
        .site(&plain)
        .bearer("app", HOST, "t1")
        .config("[limits]\nhandshake = \"1s\"\nrequest_head = \"1s\"");
    let proxy = secured(builder, NAME).await;
    (site, plain, proxy)
}

/// A connection to the proxy, in TLS.
async fn open(proxy: &Proxy) -> Wire {
    let parts = Parts {
        connect: format!("{NAME}:{}", proxy.listen.port()),
        sni: Some(NAME.to_owned()),
        tls: true,
        h2: false,
    };
    let client = proxy.client();
    let stream = client.tls(client.socket().await, &parts).await;
    Wire::new(Box::pin(stream.expect("TLS")))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_spoken_in_tls_too() {
    let (site, plain, proxy) = world().await;
    let mut wire = open(&proxy).await;
    let absolute = format!(
        "GET {} HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
        plain.url("/echo")
    );
    for _ in 0..2 {
        wire.send(&absolute).await;
        assert_eq!(status(&wire.message().await.0), 200);
    }
    // No authentication, then CONNECT by name (RFC 1928).
    let mut wire = open(&proxy).await;
    let name = PLAIN.as_bytes();
    let length = u8::try_from(name.len()).unwrap();
    wire.send(
        [
            &[5, 1, 0, 5, 1, 0, 3, length][..],
            name,
            &80u16.to_be_bytes(),
        ]
        .concat(),
    )
    .await;
    assert_eq!(wire.bytes(2).await, [5, 0]);
    assert_eq!(wire.bytes(10).await[..2], [5, 0]);
    wire.send(format!("GET /echo HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n"))
        .await;
    assert_eq!(status(&wire.message().await.0), 200);
    // CONNECT, and TLS within TLS.
    for version in ["--http1.1", "--http2"] {
        let mut curl = clean(&find("curl"), proxy.path());
        let url = format!("https://{NAME}:{}", proxy.listen.port());
        let roots = proxy.path().join("roots.pem");
        curl.args(["-sSf", version, "-x", &url, "--proxy-cacert"])
            .arg(&roots)
            .arg("--cacert")
            .arg(proxy.ca_path())
            .arg(site.url("/gate"));
        succeed(curl).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_a_handshake_is_let_go() {
    let (site, _plain, proxy) = world().await;
    for (what, begin, waits) in [
        ("nothing at all", &b""[..], true),
        ("half a ClientHello", HELLO, true),
        (
            "no TLS",
            b"GET http://plain.example.test/ HTTP/1.1\r\n\r\n",
            false,
        ),
    ] {
        let mut socket = proxy.client().socket().await;
        let begun = Instant::now();
        socket.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        // However it ends.
        let _ = within(what, socket.read_to_end(&mut rest)).await;
        let took = begun.elapsed();
        assert!(
            !waits || took >= Duration::from_millis(900),
            "{what}: {took:?}"
        );
        assert!(!rest.starts_with(b"HTTP"), "{what}");
    }
    for (what, begin) in [("no request", ""), ("half a head", "GET http://plain.ex")] {
        let mut wire = open(&proxy).await;
        let begun = Instant::now();
        wire.send(begin).await;
        wire.rest().await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(900), "{what}: {took:?}");
    }
    drop(site);
    assert!(!proxy.log().contains("panic"), "{}", proxy.log());
}
