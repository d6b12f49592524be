//! Origins that reset a stream with `NO_ERROR` (RFC 9113 §8.1): behind a whole answer it says that the rest of the request
//! is not wanted; it makes no whole answer of half a one. Or with a code that asks for the request once more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use h2::Reason;
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::support::{
    client::eventually,
    frames::{
        DATA, END_HEADERS, END_STREAM, Frames, HEADERS, OK, RST_STREAM, block, frame, greet, heed,
    },
    origin::{Body, empty},
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::{Raw, Stream, raw_with},
};

const HOST: &str = "app.example.test";

/// An answer without a length, and the reset behind it at once.
async fn answer(mut io: Stream, ends: bool, why: Reason) -> std::io::Result<()> {
    greet(&mut io).await?;
    loop {
        let came = heed(&mut io).await?;
        if came.kind != HEADERS {
            continue;
        }
        let flags = if ends { END_STREAM } else { 0 };
        let why = u32::from(why).to_be_bytes();
        let all = [
            frame(HEADERS, END_HEADERS, came.stream, OK),
            frame(DATA, flags, came.stream, b"good"),
            frame(RST_STREAM, 0, came.stream, &why),
        ];
        io.write_all(&all.concat()).await?;
        io.flush().await?;
    }
}

async fn site(ends: bool, why: Reason) -> Raw {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    raw_with(HOST, config, move |stream, _| async move {
        // It ends with its client.
        let _ = answer(stream, ends, why).await;
    })
    .await
}

/// A body that has a beginning and no end.
fn endless() -> Body {
    let pieces = stream::unfold(true, |first| async move {
        if !first {
            std::future::pending::<()>().await;
        }
        Some((Ok(Frame::data(Bytes::from_static(b"upload"))), false))
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_without_an_error_makes_no_answer_whole() {
    for ends in [true, false] {
        let site = site(ends, Reason::NO_ERROR).await;
        let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
        for (h2, uploads) in [(false, false), (false, true), (true, false), (true, true)] {
            let client = proxy.client();
            let client = if h2 { client.h2() } else { client };
            let (method, body) = match uploads {
                true => ("POST", endless()),
                false => ("GET", empty()),
            };
            let request = Request::builder().method(method);
            let request = request.uri(format!("https://{HOST}/a")).body(body);
            let answer = async {
                let answer = client.start(request.unwrap()).await.expect("an answer");
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await
            };
            let answer = timeout(Duration::from_secs(30), answer).await;
            let body = answer.expect("an end");
            let case = format!("whole {ends}, HTTP/2 {h2}, uploads {uploads}");
            match body {
                Ok(body) => assert!(ends && body.to_bytes() == "good", "{case}"),
                Err(error) => assert!(!ends, "{case}: {error}"),
            }
        }
    }
}

/// What has begun to answer has done something: no client is told that the request may be sent again as it was (§8.7).
#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_not_refused() {
    for why in [Reason::REFUSED_STREAM, Reason::HTTP_1_1_REQUIRED] {
        let site = site(false, why).await;
        let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
        let mut frames = Frames::open(&proxy.client(), HOST, &[]).await;
        let head = block("GET", HOST, "/a");
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
        assert!(frames.send(ask).await);
        let reset = eventually("a reset", Duration::from_secs(30), || {
            let mut came = frames.came().into_iter();
            came.find(|came| came.kind == RST_STREAM)
        });
        let internal = u32::from(Reason::INTERNAL_ERROR).to_be_bytes();
        assert_eq!(reset.await.payload, internal, "{why}");
    }
}
