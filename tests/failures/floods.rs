//! Origins that flood us with frames of HTTP/2 in place of an answer: each is left, at a bounded cost, and its client is
//! told; what is sent before a good answer is borne.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    child::resident_kib,
    frames::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, OK, PING, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, frame, literal,
    },
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::{Raw, raw_with},
};

const HOST: &str = "app.example.test";

/// So many frames are sent at most; what nobody reads any more may lie in buffers.
const ENOUGH: u32 = 60_000;

/// KiB that a flood may leave in memory.
const KEPT: usize = 8 * 1024;

struct Flood {
    name: &'static str,
    first: Vec<u8>,
    each: fn(u32) -> Vec<u8>,
    /// What the client may see: the answer had begun, or never came.
    statuses: &'static [u16],
}

fn informational(_: u32) -> Vec<u8> {
    let block = [&literal(":status", "103")[..], &literal("link", "</a>")].concat();
    frame(HEADERS, END_HEADERS, 1, &block)
}

fn floods() -> Vec<Flood> {
    let flood = |name, first: Vec<u8>, each| Flood {
        name,
        first,
        each,
        statuses: &[502],
    };
    let begun = || frame(HEADERS, END_HEADERS, 1, OK);
    vec![
        flood("PING", vec![], |_| frame(PING, 0, 0, &[0; 8])),
        flood("PING answers", vec![], |_| frame(PING, 1, 0, &[7; 8])),
        flood("SETTINGS", vec![], |_| frame(SETTINGS, 0, 0, &[])),
        flood("SETTINGS that change", vec![], |n| {
            let window = [&[0, 4][..], &(n % 65536).to_be_bytes()].concat();
            frame(SETTINGS, 0, 0, &window)
        }),
        flood("PRIORITY", vec![], |_| {
            frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])
        }),
        flood("WINDOW_UPDATE", vec![], |_| {
            frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes())
        }),
        flood("windows too large", vec![], |_| {
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes())
        }),
        flood("frames of no known kind", vec![], |_| {
            frame(0xbe, 0, 0, &[1])
        }),
        flood("RST_STREAM of what there is not", vec![], |n| {
            frame(RST_STREAM, 0, 2 * n + 3, &8u32.to_be_bytes())
        }),
        flood("RST_STREAM", vec![], |_| {
            frame(RST_STREAM, 0, 1, &8u32.to_be_bytes())
        }),
        flood("CONTINUATION", frame(HEADERS, 0, 1, OK), |_| {
            frame(CONTINUATION, 0, 1, &literal("x-a", &"a".repeat(100)))
        }),
        flood("empty CONTINUATION", frame(HEADERS, 0, 1, OK), |_| {
            frame(CONTINUATION, 0, 1, &[])
        }),
        flood("PUSH_PROMISE", vec![], |n| {
            frame(
                5,
                END_HEADERS,
                1,
                &[&(2 * n + 2).to_be_bytes()[..], OK].concat(),
            )
        }),
        flood("informational answers", vec![], informational),
        Flood {
            statuses: &[200, 502],
            ..flood("empty DATA", begun(), |_| frame(DATA, 0, 1, &[]))
        },
        Flood {
            statuses: &[200, 502],
            ..flood("DATA beyond the window", begun(), |_| {
                frame(DATA, 0, 1, &[0; 16384])
            })
        },
    ]
}

/// Begins as a server of HTTP/2 does, and floods; notes how many frames went out.
async fn flooding(flood: Arc<Flood>, sent: Arc<AtomicU32>) -> Raw {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    raw_with(HOST, config, move |mut stream, _| {
        let (flood, sent) = (flood.clone(), sent.clone());
        async move {
            // The preface, SETTINGS and the request come together or nearly so.
            let mut seen = vec![0; 4096];
            let mut length = 0;
            let asked = |bytes: &[u8]| bytes.windows(5).any(|w| w[0] == HEADERS && w[4] == 1);
            while !asked(&seen[..length]) {
                match stream.read(&mut seen[length..]).await {
                    Ok(n @ 1..) => length += n,
                    _ => return,
                }
            }
            let (mut read, mut write) = tokio::io::split(stream);
            let drain = tokio::spawn(async move {
                let mut sink = [0; 16384];
                while matches!(read.read(&mut sink).await, Ok(1..)) {}
            });
            let first = [frame(SETTINGS, 0, 0, &[]), flood.first.clone()].concat();
            if write.write_all(&first).await.is_err() {
                return;
            }
            let mut count = 0;
            while count < ENOUGH && !drain.is_finished() {
                let batch: Vec<u8> = (count..count + 50).flat_map(flood.each).collect();
                count += 50;
                if write.write_all(&batch).await.is_err() || write.flush().await.is_err() {
                    break;
                }
                sent.store(count, Ordering::SeqCst);
            }
            let _ = drain.await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_origins_are_left() {
    let mut wrong = Vec::new();
    for flood in floods() {
        let (flood, sent) = (Arc::new(flood), Arc::<AtomicU32>::default());
        let site = flooding(flood.clone(), sent.clone()).await;
        let proxy = proxy()
            .raw(&site)
            .level("info")
            .bearer("app", HOST, "t1")
            .config("[limits]\nsilence = \"5s\"\nresponse_head = \"10s\"")
            .start()
            .await;
        let memory = resident_kib(proxy.pid());
        let url = format!("https://{HOST}/a");
        let ask = http::Request::get(&url)
            .body(crate::support::origin::empty())
            .unwrap();
        let client = proxy.client().h2();
        let limit = Duration::from_secs(40);
        let answer = tokio::time::timeout(limit, client.start(ask)).await;
        let Ok(answer) = answer else {
            wrong.push(format!("{}: no answer", flood.name));
            continue;
        };
        // A reset may overtake the head of an answer that had begun.
        let (status, ended) = match answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let body = http_body_util::BodyExt::collect(answer.into_body());
                (
                    status,
                    tokio::time::timeout(limit, body)
                        .await
                        .map(|body| body.is_ok()),
                )
            }
            Err(_) => (200, Ok(false)),
        };
        let whole = ended == Ok(true);
        let grown = resident_kib(proxy.pid()).saturating_sub(memory);
        let sent = sent.load(Ordering::SeqCst);
        println!(
            "{}: {status}, whole {whole}, {sent} frames, {grown} KiB",
            flood.name
        );
        if !flood.statuses.contains(&status)
            || ended.is_err()
            || (status == 200 && whole)
            || grown > KEPT
        {
            wrong.push(format!(
                "{}: {status}, ended {}, whole {whole}, {sent} frames, {grown} KiB",
                flood.name,
                ended.is_ok()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
