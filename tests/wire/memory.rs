//! No input makes memory grow by more than ten times the bytes that were sent and 64 KiB for each connection. What HPACK has
//! made small counts with the size that HTTP/2 gives it (RFC 9113 §6.5.2), since honest clients compress as well.

use std::time::Duration;

use crate::support::{
    child::{peak_kib, resident_kib},
    frames::{
        DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, SETTINGS, block, frame, literal,
    },
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    wire::{Wire, status},
};

const HOST: &str = "app.example.test";

/// Connections of each kind.
const EACH: usize = 20;

/// KiB that the allocator may keep of what was given back.
const KEPT: usize = 4 * 1024;

/// One connection's bytes, over HTTP/1.1 or in frames of HTTP/2; these with what their fields are larger unpacked.
enum Input {
    Http1(Vec<u8>),
    Http2(Vec<u8>, usize),
}

fn inputs() -> Vec<(&'static str, Input)> {
    use Input::{Http1, Http2};
    let post = |path: &str| frame(HEADERS, END_HEADERS, 1, &block("POST", HOST, path));
    let get = |stream: u32, more: &[u8]| {
        let block = [&block("GET", HOST, "/late/60000")[..], more].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    let fields: String = (0..90).map(|n| format!("{n}:\r\n")).collect();
    // Each counts its name, its value and 32.
    let crumbs: Vec<u8> = (0..90).flat_map(|_| literal("c", "")).collect();
    let indexed = [&[0x40, 1, b'a', 1, b'b'][..], &[0xbe; 85]].concat();
    let large = [
        &[0x40, 3][..],
        b"x-a",
        &[0x7f, 0xa1, 0x1e],
        &[b'a'; 4000],
        &[0xbe; 49],
    ]
    .concat();
    let head = |method: &str, rest: &str| {
        format!("{method} /late/60000 HTTP/1.1\r\nHost: {HOST}\r\n{rest}\r\n")
    };
    vec![
        (
            "fields of one byte",
            Http1(head("GET", &fields).into_bytes()),
        ),
        (
            "fields of one byte, and no end",
            Http1(head("GET", &fields).trim_end().as_bytes().to_vec()),
        ),
        (
            "chunks of one byte that nobody reads",
            Http1(
                [
                    head("POST", "Transfer-Encoding: chunked\r\n").into_bytes(),
                    b"1\r\na\r\n".repeat(20_000),
                ]
                .concat(),
            ),
        ),
        (
            "requests one behind the other",
            Http1(head("GET", "").into_bytes().repeat(500)),
        ),
        (
            "DATA of one byte that nobody reads",
            Http2(
                [post("/late/60000"), frame(DATA, 0, 1, b"a").repeat(10_000)].concat(),
                0,
            ),
        ),
        (
            "DATA with nothing but padding",
            Http2(
                [
                    post("/late/60000"),
                    frame(DATA, 8, 1, &[255; 256]).repeat(3000),
                ]
                .concat(),
                0,
            ),
        ),
        (
            "streams with many fields",
            Http2(
                (0..100).flat_map(|n| get(2 * n + 1, &crumbs)).collect(),
                100 * 90 * 32,
            ),
        ),
        (
            "streams with indexed fields",
            Http2(
                (0..100).flat_map(|n| get(2 * n + 1, &indexed)).collect(),
                100 * 86 * 34,
            ),
        ),
        (
            "streams with large indexed fields",
            Http2(
                (0..100).flat_map(|n| get(2 * n + 1, &large)).collect(),
                100 * 50 * 4035,
            ),
        ),
        (
            "PING and SETTINGS whose answers are not read",
            Http2(
                [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])]
                    .concat()
                    .repeat(1500),
                0,
            ),
        ),
    ]
}

/// A proxy that keeps nothing and says little, so that what it holds is what it was sent.
async fn quiet(site: &Origin) -> Proxy {
    let proxy = proxy().site(site).level("warn").memory();
    proxy.bearer("app", HOST, "t1").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_takes_more_than_ten_times_its_bytes() {
    let site = origin(&[HOST]).start().await;
    let proxy = quiet(&site).await;
    let client = proxy.client();
    for client in [client.clone(), client.clone().h2()] {
        for _ in 0..20 {
            client.get(&site.url("/echo")).await.expect(200);
        }
    }
    let mut wrong = Vec::new();
    for (name, input) in inputs() {
        let memory = resident_kib(proxy.pid());
        let (mut wires, mut frames, mut most) = (Vec::new(), Vec::new(), 0);
        let sent = match &input {
            Input::Http1(bytes) => bytes.len(),
            Input::Http2(bytes, more) => bytes.len() + more,
        };
        for _ in 0..EACH {
            match &input {
                Input::Http1(bytes) => {
                    let mut wire = Wire::https(&client, HOST).await;
                    // What is not taken is not sent.
                    let _ =
                        tokio::time::timeout(Duration::from_millis(300), wire.send(bytes)).await;
                    wires.push(wire);
                }
                Input::Http2(bytes, _) => {
                    let mut wire = Frames::open(&client, HOST, &[]).await;
                    let _ =
                        tokio::time::timeout(Duration::from_millis(300), wire.send(bytes)).await;
                    frames.push(wire);
                }
            }
            most = most.max(resident_kib(proxy.pid()));
        }
        client.get(&site.url("/echo")).await.expect(200);
        most = most.max(resident_kib(proxy.pid()));
        let grown = most.saturating_sub(memory);
        let allowed = EACH * (64 + 10 * sent / 1024) + KEPT;
        println!("{name}: {grown} KiB for {EACH} times {sent} bytes; {allowed} KiB are allowed");
        if grown > allowed {
            wrong.push(format!("{name}: {grown} KiB, and not {allowed}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is kept of a body takes little more than its bytes, however small the pieces are in which it comes: a record of
/// TLS for each byte.
#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_take_little_more_than_themselves() {
    const PIECES: usize = 3_000;
    /// A record with one byte (RFC 8446 §5.2).
    const RECORD: usize = 5 + 1 + 1 + 16;
    let site = origin(&[HOST]).start().await;
    let proxy = proxy().site(&site).level("warn").memory();
    let proxy = proxy.bearer("app", HOST, "t1").start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    let head = format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {PIECES}\r\n\r\n");
    wire.send(head.as_bytes()).await;
    wire.send(b"a").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = resident_kib(proxy.pid());
    for _ in 2..PIECES {
        wire.send(b"a").await;
        // Each is to be read by itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let grown = resident_kib(proxy.pid()).saturating_sub(before);
    let allowed = 10 * PIECES * RECORD / 1024 + 64;
    assert!(grown < allowed, "{grown} KiB, {allowed} are allowed");
    wire.send(b"a").await;
    assert_eq!(status(&wire.next_head().await), 200);
}

/// A head that shows no sign of an end is refused at its limit too, wherever it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_holds_no_more_than_its_limit() {
    let site = origin(&[HOST]).start().await;
    let proxy = quiet(&site).await;
    let client = proxy.client();
    client.get(&site.url("/echo")).await.expect(200);
    let piece = vec![b'a'; 1 << 20];
    for begun in [
        "",
        "GET /",
        "GET / HTTP/1.1\r\nX",
        "GET / HTTP/1.1\r\nX: ",
        "GET / HTTP/1.1\r\nX: a\r\n\tb",
    ] {
        for https in [true, false] {
            let memory = peak_kib(proxy.pid());
            let mut wire = match https {
                true => Wire::https(&client, HOST).await,
                false => Wire::proxy(&client).await,
            };
            wire.send(begun).await;
            for _ in 0..32 {
                wire.send(&piece).await;
            }
            let grown = peak_kib(proxy.pid()).saturating_sub(memory);
            assert!(grown < KEPT + 4 * 256, "{begun:?}, {https}: {grown} KiB");
            let head = wire.head().await;
            let refused = matches!(status(&head), 0 | 400 | 414 | 431);
            assert!(refused, "{begun:?}, {https}: {head}");
        }
    }
}
