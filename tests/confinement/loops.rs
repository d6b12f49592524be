//! Ourselves as the target, in many spellings: refused, with at most one extra connection.

use std::time::{Duration, Instant};

use crate::support::{
    proxy::{Proxy, proxy},
    wire::{Wire, status},
};

/// Open file descriptors of the proxy: each connection is one.
fn descriptors(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid()))
        .expect("the proxy's descriptors")
        .count()
}

async fn refused(proxy: &mut Proxy, fields: &str, authority: &str) {
    for line in [
        format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n"),
        format!("GET http://{authority}/healthz HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n"),
    ] {
        let before = descriptors(proxy);
        let begun = Instant::now();
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(&line).await;
        let head = wire.head().await;
        let during = descriptors(proxy);
        let status = status(&head);
        assert!((400..600).contains(&status), "{line}: {head}");
        assert!(
            head.to_ascii_lowercase().contains("proxy-status:"),
            "{line}: {head}"
        );
        // The client's own, and one more at most (a descriptor of a look-up may be there for a moment).
        assert!(
            during <= before + 3,
            "{line}: {before} descriptors, then {during}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(9),
            "{line}: {:?}",
            begun.elapsed()
        );
    }
    assert!(proxy.running());
}

/// Promise 6 on the wire: the socket that would be dialled is compared, not its spelling.
#[tokio::test(flavor = "multi_thread")]
async fn ourselves_is_refused_in_every_spelling() {
    let mut proxy = proxy().start().await;
    let port = proxy.listen.port();
    let admin = proxy.admin.port();
    for authority in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f000001:{port}"),
        format!("127.1:{port}"),
        format!("127.0.0.1:{admin}"),
        format!("localhost:{admin}"),
        format!("0.0.0.0:{admin}"),
    ] {
        refused(&mut proxy, "", &authority).await;
    }
}

/// A name that leads to us, by `resolve` or by DNS, is us.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_us_is_us() {
    let listen = crate::support::ports::free();
    let mut proxy = proxy()
        .resolve("us.example.test:443", listen)
        .resolve("us.example.test:80", listen)
        .bearer("us", "bound.example.test", "t1")
        .resolve("bound.example.test:443", listen);
    proxy = proxy.listen(listen);
    let mut proxy = proxy.start().await;
    refused(&mut proxy, "", "us.example.test:443").await;
    refused(&mut proxy, "", "us.example.test:80").await;
    // A bound host that leads to us: whatever TLS says, nothing recurses.
    let before = descriptors(&proxy);
    let url = "https://bound.example.test/".to_owned();
    let request = http::Request::get(url)
        .body(crate::support::origin::empty())
        .unwrap();
    if let Ok(answer) = proxy.client().try_send(request).await {
        assert!(answer.status.is_client_error() || answer.status.is_server_error());
    }
    assert!(descriptors(&proxy) <= before + 3);
}

/// The same when it listens on every address, with the client's password on each hop.
#[tokio::test(flavor = "multi_thread")]
async fn ourselves_on_every_address() {
    let listen = std::net::SocketAddr::from(([0, 0, 0, 0], crate::support::ports::free().port()));
    let mut proxy = proxy()
        .listen(listen)
        .config("[clients.tests]\npassword = \"env:PASSWORD\"")
        .env("PASSWORD", "open-sesame")
        .start()
        .await;
    let fields = "Proxy-Authorization: Basic dGVzdHM6b3Blbi1zZXNhbWU=\r\n";
    let port = listen.port();
    for authority in [
        format!("127.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.2:{port}"),
        format!("127.200.3.4:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("2130706433:{port}"),
        format!("0177.0.0.1:{port}"),
        format!("localhost:{port}"),
    ] {
        refused(&mut proxy, fields, &authority).await;
    }
}
