//! What waits, taken from the library and joined.

use std::{future::poll_fn, sync::atomic::AtomicU32, time::Duration};

use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::http2::{BoxError, Streams, client};

const PIECES: u32 = 20_000;
const WINDOW: u32 = 65_535;

fn piece(n: u32) -> Bytes {
    Bytes::from(format!("{n:09} "))
}

/// An upstream whose answer is a hint, a head, pieces as its window lets them go, and trailers.
async fn upstream(io: DuplexStream, sent: Arc<AtomicU32>) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let sent = sent.clone();
        tokio::spawn(async move {
            let hint = Response::builder().status(103).body(()).unwrap();
            respond.send_informational(hint).unwrap();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            for n in 0..PIECES {
                stream.reserve_capacity(10);
                while stream.capacity() < 10 {
                    poll_fn(|cx| stream.poll_capacity(cx))
                        .await
                        .unwrap()
                        .unwrap();
                }
                stream.send_data(piece(n), false).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
            let sum = HeaderValue::from_static("all");
            let trailers = [(http::HeaderName::from_static("x-sum"), sum)];
            stream
                .send_trailers(HeaderMap::from_iter(trailers))
                .unwrap();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_joined_comes_in_its_order() {
    let (near, far) = duplex(1 << 20);
    let sent = Arc::<AtomicU32>::default();
    tokio::spawn(upstream(far, sent.clone()));
    let (streams, open) = (Streams::default(), Arc::new(()));
    let config = client::Config {
        stream_window: WINDOW,
        window: WINDOW,
        head_bytes: 4096,
    };
    let mut sender = client::handshake(near, config, &streams, &open)
        .await
        .unwrap();
    let inbox = streams.inbox().clone();
    tokio::spawn(streams.run());
    let mut request = Some(Request::get("https://origin.test/").body(()).unwrap());
    let mut answer = None;
    // It is asked for once, and then left alone.
    poll_fn(|cx| {
        let answer = answer.get_or_insert_with(|| {
            let body = Empty::new().map_err(|never| -> BoxError { match never {} });
            sender.send(cx, request.take().unwrap(), body).unwrap()
        });
        assert!(answer.poll(cx, &mut |_, _| true).is_pending());
        Poll::Ready(())
    })
    .await;
    let mut answer = answer.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (0..MANY).for_each(|_| inbox.note());
        inbox.join();
    }
    // As much as the window lets go waits, in few pieces.
    let waits = sent.load(Ordering::Relaxed);
    assert_eq!(waits, WINDOW / 10);
    {
        let streams = inbox.streams();
        let (_, stream) = streams.iter().next().unwrap();
        let joined = stream.joined.as_ref().unwrap();
        assert_eq!(joined.bytes, 10 * waits as usize);
        let room: usize = joined.pieces.iter().map(BytesMut::capacity).sum();
        assert!(room <= 2 * joined.bytes && joined.pieces.len() <= 8);
    }
    let mut hints = 0;
    let answer = poll_fn(|cx| {
        answer.poll(cx, &mut |status, _| {
            assert_eq!(status, 103);
            hints += 1;
            true
        })
    });
    let answer = answer.await.unwrap().unwrap();
    assert_eq!((answer.status(), hints), (StatusCode::OK, 1));
    // The rest comes, for what is read makes room.
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap();
    assert_eq!(trailers["x-sum"], "all");
    assert!((0..PIECES).flat_map(piece).eq(body.to_bytes()));
    assert!(inbox.streams().is_empty(), "nothing is left of it");
}
