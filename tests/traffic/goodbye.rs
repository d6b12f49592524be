//! A client's connection that has been idle for `limits.idle` ends; what its client asks at that moment is answered.

use std::time::Duration;

use crate::support::{
    client::eventually,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, block, frame},
    usual::{HOST, prepared},
};

const SOON: Duration = Duration::from_secs(30);

/// GOAWAY names no last stream at first (RFC 9113 §6.8): a request may be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_crosses_the_goodbye_is_answered() {
    let (_site, proxy) = prepared().await;
    let proxy = proxy.config("[limits]\nidle = \"1s\"").start().await;
    let mut frames = Frames::open(&proxy.client(), HOST, &[]).await;
    let came = |frames: &Frames, kind, flags| {
        let came = frames.came();
        came.iter()
            .any(|came| came.kind == kind && came.flags & flags == flags)
            .then_some(())
    };
    eventually("the goodbye", SOON, || came(&frames, GOAWAY, 0)).await;
    // Longer than a goodbye takes.
    let head = block("GET", HOST, "/late/8000");
    let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    assert!(frames.send(ask).await);
    eventually("an answer", SOON, || came(&frames, HEADERS, 0)).await;
    eventually("its end", SOON, || came(&frames, DATA, END_STREAM)).await;
    assert!(frames.end(SOON).await, "and then it ends");
}
