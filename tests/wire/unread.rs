//! Clients that ask and do not read, or have sent their end: given up in time, with what they hold of the upstream; slow
//! readers are not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use crate::support::{
    client::eventually,
    frames::{END_HEADERS, END_STREAM, Frames, HEADERS, block, frame},
    origin::origin,
    proxy::proxy,
    raw::{read_head, tcp},
    wire::{Wire, status},
    within,
};

const HOST: &str = "app.example.test";

/// Counts the answers under way.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_given_up() {
    let under_way = Arc::<AtomicUsize>::default();
    let site = origin(&[HOST]).handler({
        let under_way = under_way.clone();
        move |request| {
            let under_way = under_way.clone();
            async move {
                if request.uri().path() == "/echo" {
                    return Err(request);
                }
                under_way.fetch_add(1, Ordering::SeqCst);
                let endless = stream::unfold(UnderWay(under_way), |held| async {
                    let piece = Bytes::from_static(&[b'x'; 16 * 1024]);
                    Some((Ok(Frame::data(piece)), held))
                });
                Ok(Response::new(StreamBody::new(endless).boxed_unsync()))
            }
        }
    });
    let site = site.start().await;
    let proxy = proxy()
        .site(&site)
        .level("info")
        .bearer("app", HOST, "t1")
        .config("[limits]\ntunnel_idle = \"3s\"")
        .start()
        .await;
    let client = proxy.client();
    let ask = format!("GET /endless HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let (mut silent, mut closed) = (Vec::new(), Vec::new());
    for n in 0..10 {
        let mut wire = Wire::https(&client, HOST).await;
        wire.send(&ask).await;
        silent.push(wire);
        // A window that is never opened again; PING is answered all the time.
        let mut frames = Frames::open(&client, HOST, &[]).await;
        let block = block("GET", HOST, &format!("/endless/{n}"));
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
        assert!(frames.send(ask).await);
        closed.push(frames);
    }
    let mut slow = Wire::https(&client, HOST).await;
    slow.send(&ask).await;
    assert_eq!(status(&slow.head().await), 200);
    let asked = || (under_way.load(Ordering::SeqCst) == 21).then_some(());
    eventually(
        "all have come to the origin",
        Duration::from_secs(20),
        asked,
    )
    .await;
    let reading = tokio::spawn(async move {
        // More each time than the buffers on the way may wait for.
        for _ in 0..30 {
            slow.bytes(4 * 1024 * 1024).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        slow
    });
    let gone = || (under_way.load(Ordering::SeqCst) == 1).then_some(());
    eventually("they are given up", Duration::from_secs(40), gone).await;
    let mut slow = reading.await.expect("the slow reader goes on");
    slow.bytes(100_000).await;
    drop(slow);
    let gone = || (under_way.load(Ordering::SeqCst) == 0).then_some(());
    eventually("nothing is left", Duration::from_secs(20), gone).await;
    client.get(&site.url("/echo")).await.expect(200);
}

/// A client that has sent its end is taken for gone: a closed connection looks the same. Its request is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_sent_its_end_is_gone() {
    let (asked, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (address, _site) = tcp({
        let (asked, left) = (asked.clone(), left.clone());
        move |mut socket| {
            let (asked, left) = (asked.clone(), left.clone());
            async move {
                read_head(&mut socket).await;
                asked.notify_one();
                // Until the connection ends: nothing more is sent on it.
                let _ = socket.read_to_end(&mut Vec::new()).await;
                left.notify_one();
            }
        }
    })
    .await;
    let plain = "plain.example.test:80";
    let proxy = proxy().resolve(plain, address).start().await;
    let get = format!("GET http://{plain}/ HTTP/1.1\r\nHost: {plain}\r\n\r\n");
    let post =
        format!("POST http://{plain}/ HTTP/1.1\r\nHost: {plain}\r\nContent-Length: 4\r\n\r\nbody");
    for request in [get, post] {
        let mut socket = proxy.client().socket().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        within("the request", asked.notified()).await;
        socket.shutdown().await.unwrap();
        within("the end of the upstream's connection", left.notified()).await;
        let mut got = Vec::new();
        let _ = within("the end", socket.read_to_end(&mut got)).await;
        assert!(got.is_empty(), "{}", String::from_utf8_lossy(&got));
    }
}
