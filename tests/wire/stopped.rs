//! Bodies and heads that stop coming, before their end and without a word.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::crowds::{files, many, world};
use crate::support::{
    client::{Connection, Parts, eventually},
    frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, SETTINGS, block, frame, literal},
    origin::origin,
    wire::{Wire, status},
};

const HOST: &str = "app.example.test";

/// A body that stops coming ends its request, and the upstream's connection with it, on every leg.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_stop_are_given_up() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let site = origin(&[HOST]).alpn(alpn).start().await;
        let plain = origin(&["plain.example.test"]).start_plain().await;
        let proxy = world(&site).site(&plain);
        let proxy = proxy.config("[limits]\nsilence = \"2s\"").start().await;
        let client = proxy.client();
        client.get(&site.url("/echo")).await.expect(200);
        let before = files(&proxy);
        let half = |target: &str, host: &str| {
            format!(
                "POST {target}/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nhalf"
            )
        };
        let wires = many(100, async |n| {
            let (mut wire, request) = match n % 2 {
                0 => (Wire::https(&client, HOST).await, half("", HOST)),
                _ => {
                    let host = "plain.example.test";
                    let target = format!("http://{host}");
                    (Wire::proxy(&client).await, half(&target, host))
                }
            };
            wire.send(request).await;
            wire
        })
        .await;
        // Over HTTP/2, beside others on their connection.
        let url = site.url("/upload").parse().unwrap();
        let mut newer = client.clone().h2().open(&url).await.unwrap();
        let Connection::H2(sender) = &mut newer else {
            panic!("HTTP/2 was asked for");
        };
        let streams: Vec<_> = (0..20)
            .map(|_| {
                let half = stream::iter([Ok(Frame::data(Bytes::from_static(b"half")))]);
                let body = StreamBody::new(half.chain(stream::pending())).boxed_unsync();
                sender.send_request(Request::post(&url).body(body).unwrap())
            })
            .collect();
        client.get(&site.url("/echo")).await.expect(200);
        for mut wire in wires {
            assert_eq!(status(&wire.head().await), 400, "{alpn:?}");
        }
        for answer in futures_util::future::join_all(streams).await {
            assert_eq!(answer.expect("an answer").status(), 400, "{alpn:?}");
        }
        newer.get(&site.url("/echo")).await.unwrap().expect(200);
        let gone = || (files(&proxy) < before + 16).then_some(());
        eventually("they are gone", Duration::from_secs(20), gone).await;
    }
}

/// Whoever does not finish a head over HTTP/2, or what comes before the first, is let go, also when a byte comes now and
/// then; whoever waits for an answer is not.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_stop_over_http2_are_given_up() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let site = origin(&[HOST]).start().await;
    let proxy = world(&site);
    let limits = "[limits]\nrequest_head = \"2s\"\nhandshake = \"2s\"\nidle = \"2s\"";
    let proxy = proxy.config(limits).start().await;
    let client = proxy.client();
    let parts = Parts {
        connect: format!("{HOST}:443"),
        sni: Some(HOST.to_owned()),
        tls: true,
        h2: true,
    };
    let settings = frame(SETTINGS, 0, 0, &[]);
    let begun = [PREFACE, &settings].concat();
    let head = block("GET", HOST, "/late/8000");
    let whole = [
        &begun[..],
        &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head),
    ]
    .concat();
    let open = [&begun[..], &frame(HEADERS, END_STREAM, 1, &head)].concat();
    let more = frame(CONTINUATION, 0, 1, &literal("x-a", "a"));
    let cases = [
        ("nothing", Vec::new(), Vec::new()),
        ("half a preface", PREFACE[..10].to_vec(), Vec::new()),
        ("a preface", PREFACE.to_vec(), Vec::new()),
        (
            "half of SETTINGS",
            begun[..begun.len() - 3].to_vec(),
            Vec::new(),
        ),
        ("no request", begun.clone(), Vec::new()),
        (
            "half a frame",
            whole[..whole.len() - 5].to_vec(),
            Vec::new(),
        ),
        ("a head without its end", open.clone(), Vec::new()),
        ("a head that grows", open, more),
    ];
    let given_up = many(cases.len(), async |n| {
        let (what, first, each) = &cases[n];
        let stream = client.stream(&parts).await.expect("a connection");
        let (mut read, mut write) = tokio::io::split(stream);
        let begun = Instant::now();
        let ended = async {
            let mut rest = Vec::new();
            // However it ends.
            let _ = read.read_to_end(&mut rest).await;
        };
        let sends = async {
            let mut piece = first;
            // When it cannot be sent any more it has ended.
            while write.write_all(piece).await.is_ok() && write.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                piece = each;
            }
            std::future::pending().await
        };
        let over = async {
            tokio::select! { () = ended => {}, () = sends => {} }
        };
        let over = tokio::time::timeout(Duration::from_secs(20), over).await;
        let took = begun.elapsed();
        let fine = over.is_ok() && took > Duration::from_millis(1_500);
        (!fine).then(|| format!("{what}: {over:?} after {took:?}"))
    });
    let waits = async {
        let mut connection = client
            .clone()
            .h2()
            .open(&site.url("/").parse().unwrap())
            .await
            .unwrap();
        connection
            .get(&site.url("/late/8000"))
            .await
            .unwrap()
            .expect(200);
    };
    let (wrong, ()) = tokio::join!(given_up, waits);
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
