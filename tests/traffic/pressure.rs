//! Who is slow makes the other side wait, and nothing piles up between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::timeout;

use crate::support::{
    child::resident_kib,
    client::{Client, Connection, eventually},
    origin::{Body, empty, full, origin},
    pki::{TRUSTED, Valid},
    proxy::{Proxy, proxy},
    raw::raw_with,
    within,
};

pub const HOST: &str = "app.example.test";
pub const MIB: u64 = 1024 * 1024;
/// More than all windows and buffers on the way together.
const BODY: u64 = 128 * MIB;
/// What may be on the way: windows of both connections, buffers of both sockets.
const ON_THE_WAY: u64 = 32 * MIB;

/// Streams of one connection that wait at the same time.
const WAITING: usize = 16;

pub const COMBINATIONS: [(&[&str], bool); 4] = [
    (&["http/1.1"], false),
    (&["http/1.1"], true),
    (&["h2"], false),
    (&["h2"], true),
];

/// A body of so many bytes that notes how many were asked for.
fn counted(taken: &Arc<AtomicU64>) -> Body {
    let taken = taken.clone();
    let frames = stream::unfold(0, move |sent| {
        let taken = taken.clone();
        async move {
            let piece = Bytes::from_static(&[b'x'; 32 * 1024]);
            taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
            (sent < BODY).then(|| (Ok(Frame::data(piece.clone())), sent + piece.len() as u64))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

pub fn client(proxy: &Proxy, h2: bool) -> Client {
    match h2 {
        true => proxy.client().h2(),
        false => proxy.client(),
    }
}

/// Waits until nothing more is taken, and returns how much it was.
async fn settled(taken: &AtomicU64) -> u64 {
    let mut before = u64::MAX;
    loop {
        let now = taken.load(Ordering::Relaxed);
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Checks that a sender was stopped early, and that the proxy has grown by less than `most` bytes from so many KiB.
async fn held_back(proxy: &Proxy, before: usize, sent: &AtomicU64, most: u64, case: &str) {
    let held = settled(sent).await;
    assert!(held < ON_THE_WAY, "{case}: {} MiB were sent", held / MIB);
    let grown = 1024 * resident_kib(proxy.pid()).saturating_sub(before) as u64;
    assert!(grown < most, "{case}: {} MiB are held", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_back_the_origin() {
    for (alpn, h2) in COMBINATIONS {
        let sent = Arc::<AtomicU64>::default();
        let site = origin(&[HOST]).alpn(alpn).handler({
            let sent = sent.clone();
            move |_| {
                let body = counted(&sent);
                async move { Ok(Response::new(body)) }
            }
        });
        let site = site.start().await;
        let proxy = proxy()
            .site(&site)
            .level("info")
            .bearer("app", HOST, "t1")
            .start()
            .await;
        let before = resident_kib(proxy.pid());
        let request = Request::get(site.url("/")).body(empty()).unwrap();
        let mut body = client(&proxy, h2).start(request).await.unwrap().into_body();
        within("the body", body.frame())
            .await
            .expect("a beginning")
            .expect("of the body");
        let case = format!("{alpn:?}, {h2}");
        held_back(&proxy, before, &sent, 12 * MIB, &case).await;
        // It goes on where it stood.
        let mut got = 0;
        while let Some(frame) = within(&case, body.frame()).await {
            got += frame
                .expect("a piece")
                .into_data()
                .map_or(0, |data| data.len());
        }
        assert!(got as u64 > BODY - 2 * MIB, "{got}");
    }
}

/// Answers that a client does not read, and uploads that an origin does not, hold up no other on the same connections.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_wait_hold_back_no_other() {
    for alpn in [&["http/1.1"], &["h2"]] {
        let sent = Arc::<AtomicU64>::default();
        let site = origin(&[HOST]).alpn(alpn).handler({
            let sent = sent.clone();
            move |request| {
                let body = match request.uri().path() {
                    "/large" => counted(&sent),
                    _ => full("small"),
                };
                async move {
                    match request.uri().path() {
                        "/stuck" => std::future::pending().await,
                        _ => drop(request.into_body().collect().await),
                    }
                    Ok(Response::new(body))
                }
            }
        });
        let site = site.start().await;
        let proxy = proxy()
            .site(&site)
            .level("info")
            .bearer("app", HOST, "t1")
            .start()
            .await;
        let (large, small) = (site.url("/large"), site.url("/small"));
        // What the client holds of its own connection's window is its own affair.
        let mut other = client(&proxy, true)
            .open(&small.parse().unwrap())
            .await
            .unwrap();
        other.get(&small).await.unwrap().expect(200);
        let mut crowd = client(&proxy, true)
            .open(&small.parse().unwrap())
            .await
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..WAITING {
            let request = Request::get(&large).body(empty()).unwrap();
            held.push(crowd.send(request).await.unwrap());
        }
        settled(&sent).await;
        for _ in 0..50 {
            let answer = timeout(Duration::from_secs(20), other.get(&small)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{alpn:?}: held back"));
            answer.unwrap().expect(200);
        }
        let (stuck, taken) = (site.url("/stuck"), Arc::default());
        let uploads = (0..WAITING).map(|_| Request::post(&stuck).body(counted(&taken)).unwrap());
        let mut uploader = client(&proxy, true)
            .open(&small.parse().unwrap())
            .await
            .unwrap();
        let Connection::H2(sender) = &mut uploader else {
            unreachable!("it speaks HTTP/2");
        };
        let uploads: Vec<_> = uploads.map(|upload| sender.send_request(upload)).collect();
        let uploads = tokio::spawn(futures_util::future::join_all(uploads));
        settled(&taken).await;
        let request = Request::post(&small)
            .body(full(vec![b'x'; 1 << 20]))
            .unwrap();
        let answer = timeout(Duration::from_secs(20), uploader.send(request)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{alpn:?}: an upload is held back"));
        assert_eq!(answer.unwrap().status(), 200);
        uploads.abort();
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_origins_hold_back_the_client() {
    for (alpn, h2) in COMBINATIONS {
        let read = Arc::new(tokio::sync::Semaphore::new(0));
        let site = origin(&[HOST]).alpn(alpn).handler({
            let read = read.clone();
            move |request| {
                let read = read.clone();
                async move {
                    drop(read.acquire().await);
                    let got = request
                        .into_body()
                        .collect()
                        .await
                        .expect("a body")
                        .to_bytes();
                    Ok(Response::new(full(got.len().to_string())))
                }
            }
        });
        let site = site.start().await;
        let proxy = proxy()
            .site(&site)
            .level("info")
            .bearer("app", HOST, "t1")
            .start()
            .await;
        let before = resident_kib(proxy.pid());
        let sent = Arc::<AtomicU64>::default();
        let request = Request::post(site.url("/")).body(counted(&sent)).unwrap();
        let client = client(&proxy, h2);
        let answer = tokio::spawn(async move { client.send(request).await });
        eventually("it begins", Duration::from_secs(20), || {
            (sent.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
        let case = format!("{alpn:?}, {h2}");
        // 4 MiB of them are kept, in case that they are needed again.
        held_back(&proxy, before, &sent, 16 * MIB, &case).await;
        read.add_permits(1);
        let answer = answer.await.expect("an answer").expect(200);
        assert_eq!(answer.text(), BODY.to_string());
    }
}

/// An upstream that takes one stream at once is asked on another connection, not behind the end of a long answer.
#[tokio::test(flavor = "multi_thread")]
async fn few_streams_are_no_queue() {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let site = raw_with(HOST, config, |stream, _| async move {
        let mut server = h2::server::Builder::new();
        let server = server.max_concurrent_streams(1);
        let mut connection = server.handshake::<_, Bytes>(stream).await.unwrap();
        let mut open = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let ends = request.uri().path() != "/endless";
            open.push(respond.send_response(Response::new(()), ends).unwrap());
        }
    })
    .await;
    let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
    let client = proxy.client();
    let endless = Request::get(format!("https://{HOST}/endless"));
    let endless = client.start(endless.body(empty()).unwrap()).await.unwrap();
    for _ in 0..3 {
        client.get(&format!("https://{HOST}/")).await.expect(200);
    }
    drop(endless);
}
