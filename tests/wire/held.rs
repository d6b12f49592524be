//! Intercepted connections that have made a request and wait: all of them are answered again, and none holds more than
//! its own state.

use futures_util::{StreamExt as _, stream};

use crate::support::{
    child::{raise_files, resident_kib},
    cost::start,
    origin::origin,
    proxy::{Proxy, proxy},
    wire::{Wire, status},
};

const HOST: &str = "app.example.test";

/// So many are opened, or ask, at the same time.
const WIDTH: usize = 64;

/// Beside the connections: the origin's and the tests' own.
const OTHERS: usize = 1_000;

async fn ask(wire: &mut Wire) {
    wire.send(format!("GET /gate HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await;
    let (head, body) = wire.message().await;
    assert_eq!((status(&head), body.as_str()), (200, "welcome"), "{head}");
}

/// Opens so many, each with one request.
async fn open(proxy: &Proxy, count: usize) -> Vec<Wire> {
    let client = proxy.client();
    let opened = stream::iter(0..count).map(|_| {
        let client = client.clone();
        async move {
            let mut wire = Wire::https(&client, HOST).await;
            ask(&mut wire).await;
            wire
        }
    });
    opened.buffer_unordered(WIDTH).collect().await
}

/// Holds so many, and asks each again; returns what each took of the proxy's memory, in bytes.
async fn hold(count: usize) -> usize {
    raise_files(count + OTHERS);
    let site = origin(&[HOST]).bearer("t1").start().await;
    let builder = proxy()
        .site(&site)
        .bearer("app", HOST, "t1")
        .memory()
        .level("warn")
        .config(format!(
            "[limits]\nconnections = {}\nidle = \"1h\"",
            count + 2 * WIDTH
        ));
    let proxy = start(builder).await;
    // What is there for all of them comes with the first.
    drop(open(&proxy, 2 * WIDTH).await);
    let before = resident_kib(proxy.pid());
    let held = open(&proxy, count).await;
    let grown = resident_kib(proxy.pid()).saturating_sub(before);
    assert_eq!(held.len(), count);

    let asked = stream::iter(held).map(|mut wire| async move {
        ask(&mut wire).await;
        wire
    });
    let asked: Vec<Wire> = asked.buffer_unordered(WIDTH).collect().await;
    let again = resident_kib(proxy.pid()).saturating_sub(before);
    let each = |kib: usize| kib * 1024 / count;
    println!(
        "{count} connections: {} bytes each, {} when all have been asked again",
        each(grown),
        each(again)
    );
    drop(asked);
    each(grown.max(again))
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_are_answered() {
    let each = hold(500).await;
    assert!(each < 64 * 1024, "{each} bytes a connection");
}

/// As many as `limits.connections` allows by default.
///
/// `STAYSIGNED_PROGRAM=target/release/staysigned cargo test --test tests ten_thousand_that_wait -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of a release build: docs/benchmarks.md has the command"]
async fn ten_thousand_that_wait() {
    let each = hold(10_000).await;
    assert!(each <= 20 * 1024, "{each} bytes a connection");
}
