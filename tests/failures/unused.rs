//! HTTP/2 connections that nobody uses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::server;
use http::Response;

use super::over_http2;
use crate::support::{
    client::eventually,
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::raw_with,
};

const HOST: &str = "app.example.test";

const SOON: Duration = Duration::from_secs(30);

/// What nobody uses is closed after `limits.upstream_idle_for`: a network that has forgotten it says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let open = Arc::<AtomicUsize>::default();
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let site = raw_with(HOST, config, {
        let open = open.clone();
        move |stream, _| {
            let open = open.clone();
            async move {
                open.fetch_add(1, Ordering::SeqCst);
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let slow = request.uri().path() == "/slow";
                        let mut answer = respond.send_response(Response::new(()), false).unwrap();
                        if slow {
                            tokio::time::sleep(Duration::from_secs(6)).await;
                        }
                        answer.send_data(Bytes::from_static(b"good"), true).unwrap();
                    });
                }
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let proxy = proxy()
        .raw(&site)
        .config("[limits]\nupstream_idle_for = \"1s\"")
        .bearer("app", HOST, "t1")
        .start()
        .await;
    let client = proxy.client().h2();
    client.send(over_http2(HOST, "/a")).await.expect(200);
    let gone = || (open.load(Ordering::SeqCst) == 0).then_some(());
    eventually("it is closed", SOON, gone).await;
    // One in use is not.
    let answer = client.send(over_http2(HOST, "/slow")).await.expect(200);
    assert_eq!(answer.text(), "good");
}
