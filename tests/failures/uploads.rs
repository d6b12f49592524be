//! What is sent of a request over HTTP/2 ends with its answer.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, server};
use http::Response;
use tokio::sync::mpsc;

use crate::support::{
    client::eventually,
    frames::{
        DATA, END_HEADERS, Frames, HEADERS, RST_STREAM, WINDOW_UPDATE, block, frame, literal,
    },
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::raw_with,
    within,
};

const HOST: &str = "app.example.test";

const SOON: Duration = Duration::from_secs(30);

/// An upload that the origin does not read is given up with its answer: at its end, and when the client takes its
/// request back, also while the origin's window is closed.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_its_answer() {
    for ends in [false, true] {
        let (tell, mut resets) = mpsc::unbounded_channel();
        let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
        let site = raw_with(HOST, config, move |stream, _| {
            let tell = tell.clone();
            async move {
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let tell = tell.clone();
                    tokio::spawn(async move {
                        let mut answer = respond.send_response(Response::new(()), false).unwrap();
                        if ends {
                            // Once the upload has come to a stand.
                            tokio::time::sleep(Duration::from_secs(2)).await;
                            answer.send_data(Bytes::from_static(b"done"), true).unwrap();
                        }
                        let reset = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
                        let _ = tell.send(reset.map_err(|error| error.to_string()));
                        drop(request);
                    });
                }
            }
        })
        .await;
        let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
        let mut frames = Frames::open(&proxy.client(), HOST, &[]).await;
        let head = [block("POST", HOST, "/upload"), literal("te", "trailers")].concat();
        assert!(frames.send(frame(HEADERS, END_HEADERS, 1, &head)).await);
        let came = |frames: &Frames, kind| {
            let came = frames.came();
            let came = came
                .iter()
                .any(|came| (came.stream, came.kind) == (1, kind));
            came.then_some(())
        };
        eventually("the answer's head", SOON, || came(&frames, HEADERS)).await;
        let three = frame(DATA, 0, 1, &[b'x'; 16_000]).repeat(3);
        assert!(frames.send(&three).await);
        eventually("room for more", SOON, || came(&frames, WINDOW_UPDATE)).await;
        // More than the origin's window holds: the last piece has to wait.
        assert!(frames.send(&three).await);
        if !ends {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let cancel = u32::from(Reason::CANCEL).to_be_bytes();
            assert!(frames.send(frame(RST_STREAM, 0, 1, &cancel)).await);
        }
        let reset = within("the origin is told", resets.recv()).await.unwrap();
        assert_eq!(reset, Ok(Reason::CANCEL), "{ends}");
    }
}
