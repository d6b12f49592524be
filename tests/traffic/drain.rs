//! SIGTERM: what is in flight is finished, tunnels included, within a limit; nothing new is taken.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    client::{Answer, Client, Direct, eventually},
    frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, block, frame},
    origin::{empty, origin},
    proxy::proxy,
    raw::tcp,
    usual::usual,
    wire::{Wire, status},
    within,
};

/// Far more than is needed, and less than the default of `limits.drain`.
const SOON: Duration = Duration::from_secs(20);

/// A download and a late answer, on both versions, end whole after SIGTERM; the exit status is 0.
#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_finished() {
    let (site, mut proxy) = usual().await;
    let mut running = Vec::new();
    for client in [proxy.client(), proxy.client().h2()] {
        for path in ["/slow/8/200", "/late/1200"] {
            let request = Request::get(site.url(path)).body(empty()).unwrap();
            let client = client.clone();
            running.push(tokio::spawn(async move {
                Answer::read(client.start(request).await?).await
            }));
        }
    }
    let mut idle = Wire::https(&proxy.client(), "app.example.test").await;
    idle.send("GET /echo HTTP/1.1\r\nHost: app.example.test\r\n\r\n")
        .await;
    assert_eq!(status(&idle.message().await.0), 200);
    let under_way = || (site.seen().len() == 5).then_some(());
    eventually("all have come to the origin", SOON, under_way).await;
    proxy.signal(Signal::TERM);
    let begun = Instant::now();
    for answer in running {
        let answer = answer.await.unwrap().expect("finished");
        assert_eq!(answer.status, 200);
        assert!(
            answer.text().contains("line 7") || answer.text().contains("late"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(proxy.wait(SOON).await.code(), Some(0));
    assert!(
        begun.elapsed() < SOON,
        "idle connections do not hold it up, the limit is 30 s"
    );
    assert_eq!(idle.rest().await, "", "idle connections are closed");
}

/// Who speaks HTTP/2 and does not answer the PING behind the GOAWAY is not waited for until the limit.
#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_do_not_hold_up_the_end() {
    let site = origin(&["app.example.test"]).start().await;
    let mut proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .config("[limits]\ndrain = \"5m\"")
        .start()
        .await;
    // It answers nothing by itself.
    let mut frames = Frames::open(&proxy.client(), "app.example.test", &[]).await;
    let head = block("GET", "app.example.test", "/echo");
    let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    assert!(frames.send(ask).await);
    let came = |kind| frames.came().iter().any(|came| came.kind == kind);
    eventually("an answer", SOON, || came(HEADERS).then_some(())).await;
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait(2 * SOON).await.code(), Some(0));
    assert!(came(GOAWAY) && came(PING), "it was told, and asked");
}

/// A tunnel in use goes on until its end; the limit ends one that never does.
#[tokio::test(flavor = "multi_thread")]
async fn tunnels_are_drained_within_the_limit() {
    let (address, _echo) = tcp(|mut socket| async move {
        let mut buffer = [0; 100];
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            let _ = socket.write_all(&buffer[..read]).await;
        }
    })
    .await;
    let mut proxy = proxy()
        .resolve("raw.example.test:7777", address)
        .config("[limits]\ndrain = \"10s\"")
        .start()
        .await;
    let probe = |path: &str| {
        let url = format!("http://{}{path}", proxy.admin);
        Request::get(url).extension(Direct).body(empty()).unwrap()
    };
    let [ready, alive, still_alive] = ["/readyz", "/healthz", "/healthz"].map(probe);
    let [late] = ["/readyz"].map(probe);
    let admin = Client::to(proxy.admin);
    admin.send(ready).await.expect(200);
    admin.send(alive).await.expect(200);
    let mut socket = proxy
        .client()
        .connect("raw.example.test:7777")
        .await
        .unwrap();
    let begun = Instant::now();
    proxy.signal(Signal::TERM);
    let stopping = || proxy.log().contains("stopping").then_some(());
    eventually("it has heard", SOON, stopping).await;
    let mut buffer = [0; 5];
    socket.write_all(b"still").await.unwrap();
    let back = within("an echo", socket.read_exact(&mut buffer)).await;
    back.unwrap();
    assert_eq!(&buffer, b"still");
    // Who asks is told: nothing new here, but what is under way goes on.
    admin.send(late).await.expect(503);
    admin.send(still_alive).await.expect(200);
    proxy.wait(SOON).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(10),
        "the tunnel was given its time"
    );
}

/// A body that is being read when the limit ends is cut, and cannot be taken for a whole one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_is_seen_to_be_cut() {
    let site = origin(&["app.example.test"]).start().await;
    let mut proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .config("[limits]\ndrain = \"1s\"")
        .start()
        .await;
    let mut bodies = Vec::new();
    for client in [proxy.client(), proxy.client().h2()] {
        let request = Request::get(site.url("/slow/100/200"))
            .body(empty())
            .unwrap();
        let response = client.start(request).await.unwrap();
        bodies.push(tokio::spawn(response.into_body().collect()));
    }
    proxy.signal(Signal::TERM);
    proxy.wait(SOON).await;
    for body in bodies {
        within("its end", body).await.unwrap().expect_err("cut");
    }
}
