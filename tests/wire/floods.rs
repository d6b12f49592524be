//! HTTP/2 floods: many frames that cost their sender nothing. Each ends its own connection, at a bounded cost, while
//! others go on.

use std::time::Duration;

use crate::support::{
    child::resident_kib,
    client::eventually,
    frames::{
        CONTINUATION, Came, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, literal,
    },
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
};

const HOST: &str = "app.example.test";

/// So many frames nobody may send: the connection ends before.
const ENOUGH: u32 = 20_000;

/// KiB that a flood may leave in memory: what the allocator keeps, and not what the flood is large.
const KEPT: usize = 6 * 1024;

/// Requests that reach the origin before a flood of them ends.
const REACHED: usize = 3_000;

/// Lines of the log that a flood leaves: of exchanges that it cut off, and none for its frames.
const LOGGED: usize = 128;

async fn world() -> (Origin, Proxy) {
    let site = origin(&[HOST]).start().await;
    let proxy = proxy()
        .site(&site)
        .level("info")
        .bearer("app", HOST, "t1")
        .start()
        .await;
    (site, proxy)
}

/// The number of the `n`th stream of a client.
const fn nth(n: u32) -> u32 {
    2 * n + 1
}

fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &block("GET", HOST, path),
    )
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// What is sent first, and then again and again, with the count of what went before.
struct Flood {
    name: &'static str,
    first: Vec<u8>,
    each: fn(u32) -> Vec<u8>,
    /// A pause after so many, so that what was sent is taken up before it is taken back.
    pause: u32,
}

fn floods() -> Vec<Flood> {
    let flood = |name, first: &[Vec<u8>], each| Flood {
        name,
        first: first.concat(),
        each,
        pause: 0,
    };
    let upload = frame(HEADERS, END_HEADERS, 1, &block("POST", HOST, "/upload"));
    let begun = frame(HEADERS, END_STREAM, 1, &block("GET", HOST, "/echo"));
    vec![
        // CVE-2023-44487.
        flood("rapid reset", &[], |n| {
            [request(nth(n), "/echo"), reset(nth(n))].concat()
        }),
        Flood {
            pause: 50,
            ..flood("reset of what is under way", &[], |n| {
                [
                    request(nth(n), "/late/1000"),
                    if n < 50 { vec![] } else { reset(nth(n - 50)) },
                ]
                .concat()
            })
        },
        // CVE-2025-8671: the server is made to reset.
        flood("made you reset", &[], |n| {
            [request(nth(n), "/echo"), update(nth(n), 0)].concat()
        }),
        flood("more streams than allowed", &[], |n| {
            request(nth(n), "/late/60000")
        }),
        // CVE-2024-27316.
        flood("CONTINUATION", std::slice::from_ref(&begun), |_| {
            frame(CONTINUATION, 0, 1, &literal("x-a", &"a".repeat(100)))
        }),
        flood("empty CONTINUATION", &[begun], |_| {
            frame(CONTINUATION, 0, 1, &[])
        }),
        // CVE-2019-9512, -9515, -9518, -9513.
        flood("PING", &[], |_| frame(PING, 0, 0, &[0; 8])),
        flood("SETTINGS", &[], |_| frame(SETTINGS, 0, 0, &[])),
        flood("SETTINGS that change", &[], |n| {
            frame(
                SETTINGS,
                0,
                0,
                &[&[0, 4][..], &(n % 65536).to_be_bytes()].concat(),
            )
        }),
        flood("empty DATA", std::slice::from_ref(&upload), |_| {
            frame(DATA, 0, 1, &[])
        }),
        flood("PRIORITY", &[], |n| {
            frame(PRIORITY, 0, nth(n), &[0, 0, 0, 0, 1])
        }),
        flood("WINDOW_UPDATE", &[upload], |_| update(1, 1)),
        flood("WINDOW_UPDATE of the connection", &[], |_| update(0, 1)),
        flood("frames of no known kind", &[], |_| frame(0xbe, 0, 0, &[1])),
        flood("PING answers", &[], |_| frame(PING, 1, 0, &[7; 8])),
        flood("SETTINGS answers", &[], |_| frame(SETTINGS, 1, 0, &[])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_their_connection() {
    let (site, proxy) = world().await;
    let (client, other) = (proxy.client(), proxy.client().h2());
    other.get(&site.url("/echo")).await.expect(200);
    let mut wrong = Vec::new();
    for flood in floods() {
        let (before, memory) = (site.seen().len(), resident_kib(proxy.pid()));
        let logged = proxy.log().lines().count();
        let mut frames = Frames::open(&client, HOST, &[]).await;
        let mut sent = 0;
        let mut open = frames.send(&flood.first).await;
        while open && sent < ENOUGH {
            let batch = if flood.pause == 0 { 100 } else { flood.pause };
            let all: Vec<u8> = (sent..sent + batch).flat_map(flood.each).collect();
            sent += batch;
            open = frames.send(all).await;
            if flood.pause != 0 {
                // What was sent is taken up meanwhile.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if sent % 2000 == 0 {
                other.get(&site.url("/echo")).await.expect(200);
            }
        }
        let ended = frames.end(Duration::from_secs(30)).await;
        let grown = resident_kib(proxy.pid()).saturating_sub(memory);
        let reached = site.seen().len() - before;
        let lines = proxy.log().lines().count() - logged;
        // What is under way has a connection to the origin, for as many streams as there may be.
        let most = KEPT + 192 * reached.min(128);
        if !ended || grown > most || reached > REACHED || lines > LOGGED {
            wrong.push(format!(
                "{}: after {sent}: ended {ended}, {reached} requests, {grown} KiB more, {lines} lines",
                flood.name
            ));
        }
        other.get(&site.url("/echo")).await.expect(200);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let log = proxy.log();
    assert!(!log.contains("PING"), "frames are logged: {log}");
}

/// A client that opens no window and asks for a lot: nothing is read for it beyond what fits the buffers.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_holds_nothing() {
    const MIB: u64 = 1024 * 1024;
    let (site, proxy) = world().await;
    let other = proxy.client().h2();
    other.get(&site.url("/echo")).await.expect(200);
    let memory = resident_kib(proxy.pid());
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut frames = Frames::open(&proxy.client(), HOST, &[0, 4, 0, 0, 0, 0]).await;
    let path = format!("/bytes/{}/1", 64 * MIB);
    for n in 0..100 {
        assert!(frames.send(request(nth(n), &path)).await);
    }
    let heads = || {
        let came = frames.came();
        let heads = came.iter().filter(|frame| frame.kind == HEADERS).count();
        (heads == 100).then_some(())
    };
    eventually("all are answered", Duration::from_secs(60), heads).await;
    // The window is opened by one byte at a time.
    for n in 0..1000 {
        assert!(frames.send(update(nth(n % 100), 1)).await);
    }
    other.get(&site.url("/echo")).await.expect(200);
    let grown = resident_kib(proxy.pid()).saturating_sub(memory);
    assert!(grown < 100 * 1024, "{grown} KiB for 100 bodies of 64 MiB");
}

/// Small in the frame, large when it is unpacked (RFC 7541 §7.3), or too large at once: refused, and kept nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn header_bombs_are_refused() {
    let (site, proxy) = world().await;
    let other = proxy.client().h2();
    other.get(&site.url("/echo")).await.expect(200);
    let memory = resident_kib(proxy.pid());
    let begin = block("GET", HOST, "/echo");
    // A field of nearly 4 KiB that the table keeps, and then its index, 0xbe, again and again.
    let value = "a".repeat(4000);
    let kept = [
        &[0x40, 3][..],
        b"x-a",
        &[0x7f, 0xa1, 0x1e],
        value.as_bytes(),
    ]
    .concat();
    for n in 0..20 {
        let mut frames = Frames::open(&proxy.client(), HOST, &[]).await;
        let block = [&begin[..], &kept, &[0xbe; 10_000]].concat();
        frames
            .send(frame(HEADERS, END_HEADERS | END_STREAM, nth(n), &block))
            .await;
        let answered = || {
            let refused = |frame: &Came| match frame.kind {
                // 431, from the static table or as a literal.
                HEADERS => {
                    String::from_utf8_lossy(&frame.payload).contains("431")
                        || frame.payload.len() < 40
                }
                kind => kind == RST_STREAM || kind == GOAWAY,
            };
            (frames.ended() || frames.came().iter().any(refused)).then_some(())
        };
        eventually("an answer", Duration::from_secs(30), answered).await;
    }
    assert!(site.seen().len() == 1, "{} requests", site.seen().len());
    let grown = resident_kib(proxy.pid()).saturating_sub(memory);
    assert!(grown < 16 * 1024, "{grown} KiB");
    other.get(&site.url("/echo")).await.expect(200);
}
