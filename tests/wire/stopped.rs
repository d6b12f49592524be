//! Bodies that stop coming, before their end and without a word.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use super::crowds::{files, many, world};
use crate::support::{
    client::{Connection, eventually},
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
