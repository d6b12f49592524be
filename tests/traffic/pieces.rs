//! Bodies in pieces of a few bytes, over HTTP/2 on both sides: while nobody reads them the rest of their connection goes
//! on, and they come whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{self, SendRequest},
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::support::{
    client::Parts,
    pki::{TRUSTED, Valid},
    proxy::{Proxy, proxy},
    raw::{Raw, raw_with},
    within,
};

const HOST: &str = "app.example.test";

/// Pieces of a body, all different: together more than any window on the way.
const PIECES: u64 = 60_000;

/// What one who reads slowly lets the other side send ahead.
const WINDOW: u32 = 1000;

/// How long the whole may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn piece(n: u64) -> Bytes {
    Bytes::from(format!("{n:09} "))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-sum"),
        HeaderValue::from_static("all"),
    )])
}

/// Sends the pieces as the window lets them go, and counts them.
async fn send(mut stream: SendStream<Bytes>, sent: &AtomicU64) -> Result<(), h2::Error> {
    for n in 0..PIECES {
        let piece = piece(n);
        stream.reserve_capacity(piece.len());
        while stream.capacity() < piece.len() {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => drop(room?),
                None => return Ok(()),
            }
        }
        stream.send_data(piece, false)?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    stream.send_trailers(trailers())
}

/// Reads to the end; whether that was all, in its order.
async fn all(mut stream: RecvStream) -> Result<bool, h2::Error> {
    let mut read = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        read.extend_from_slice(&data);
    }
    let ended = stream.trailers().await?;
    let whole = (0..PIECES).flat_map(piece).eq(read);
    Ok(whole && ended == Some(trailers()))
}

/// Waits until no more pieces are sent; returns how many that were.
async fn settled(sent: &AtomicU64) -> u64 {
    let mut before = 0;
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before && now > 0 {
            return now;
        }
        before = now;
    }
}

/// An origin that sends pieces for `/down`, reads them for `/up` when it may, and answers the rest at once.
async fn site(sent: &Arc<AtomicU64>, read: &Arc<Semaphore>) -> Raw {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let (sent, read) = (sent.clone(), read.clone());
    raw_with(HOST, config, move |stream, _| {
        let (sent, read) = (sent.clone(), read.clone());
        async move {
            let mut server = server::Builder::new();
            let mut connection = server
                .initial_window_size(WINDOW)
                .handshake(stream)
                .await
                .unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                let (sent, read) = (sent.clone(), read.clone());
                tokio::spawn(answer(request, respond, sent, read));
            }
        }
    })
    .await
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    sent: Arc<AtomicU64>,
    read: Arc<Semaphore>,
) {
    let head = Response::new(());
    match request.uri().path() {
        "/down" => {
            let stream = respond.send_response(head, false).unwrap();
            let _ = send(stream, &sent).await;
        }
        "/up" => {
            drop(read.acquire().await);
            let came = all(request.into_body()).await;
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(format!("{came:?}").into(), true).unwrap();
        }
        _ => drop(respond.send_response(head, true)),
    }
}

/// A client's connection that reads little ahead.
async fn connect(proxy: &Proxy) -> SendRequest<Bytes> {
    let parts = Parts {
        connect: format!("{HOST}:443"),
        sni: Some(HOST.to_owned()),
        tls: true,
        h2: true,
    };
    let stream = proxy.client().stream(&parts).await.unwrap();
    let mut client = client::Builder::new();
    client.initial_window_size(WINDOW);
    let (sender, connection) = client.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: Method, path: &str) -> Request<()> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("https://{HOST}{path}"));
    request.header("te", "trailers").body(()).unwrap()
}

/// Others on the same connection are answered.
async fn others(sender: &mut SendRequest<Bytes>) {
    for _ in 0..20 {
        let (answer, _) = sender
            .send_request(request(Method::GET, "/"), true)
            .unwrap();
        let answer = within("another answer", answer).await;
        assert_eq!(answer.expect("the connection goes on").status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_that_nobody_reads_end_nothing() {
    let (sent, read) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let site = site(&sent, &read).await;
    let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
    let mut sender = connect(&proxy).await;

    let (answer, _) = sender
        .send_request(request(Method::GET, "/down"), true)
        .unwrap();
    let answer = within("the head", answer).await.unwrap().into_body();
    let held = settled(&sent).await;
    assert!(held < PIECES, "nobody asks for more: {held}");
    others(&mut sender).await;
    let whole = timeout(LIMIT, all(answer)).await.expect("an end in time");
    assert_eq!(whole.ok(), Some(true), "an answer");

    sent.store(0, Ordering::Relaxed);
    let (answer, upload) = sender
        .send_request(request(Method::POST, "/up"), false)
        .unwrap();
    let sending = tokio::spawn({
        let sent = sent.clone();
        async move { send(upload, &sent).await }
    });
    let held = settled(&sent).await;
    assert!(held < PIECES, "nobody reads: {held}");
    others(&mut sender).await;
    read.add_permits(1);
    let answered = timeout(LIMIT, async {
        let mut body = answer.await?.into_body();
        body.data().await.expect("what came")
    });
    let came = answered.await.expect("an answer in time");
    assert_eq!(came.expect("an answer"), "Ok(true)", "an upload");
    sending.await.unwrap().unwrap();
}

/// Frames of DATA that carry nothing, more than the library takes in the life of a connection.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_nothing_end_nothing() {
    const MANY: usize = 500;
    async fn nothing(stream: &mut SendStream<Bytes>) {
        for _ in 0..MANY {
            stream.send_data(Bytes::new(), false).unwrap();
            tokio::task::yield_now().await;
        }
    }
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let site = raw_with(HOST, config, |stream, _| async move {
        let mut connection = server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.data().await {}
                let mut answer = respond.send_response(Response::new(()), false).unwrap();
                nothing(&mut answer).await;
                answer.send_data(Bytes::from_static(b"all"), true).unwrap();
            });
        }
    })
    .await;
    let proxy = proxy().raw(&site).bearer("app", HOST, "t1").start().await;
    let mut sender = connect(&proxy).await;
    for _ in 0..3 {
        let (answer, mut upload) = sender
            .send_request(request(Method::POST, "/up"), false)
            .unwrap();
        nothing(&mut upload).await;
        upload.send_data(Bytes::from_static(b"all"), true).unwrap();
        let answer = within("an answer", answer).await.unwrap();
        let mut body = answer.into_body();
        let came = within("its body", body.data()).await;
        assert_eq!(came.unwrap().unwrap(), "all");
    }
}
