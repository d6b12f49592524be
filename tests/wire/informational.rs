//! Informational answers (1xx) reach clients, each before its answer; not those on HTTP/1.0, which does not know them.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use crate::support::{
    client::{Client, Parts},
    pki::{TRUSTED, Valid},
    proxy::{Builder, proxy},
    raw::{Raw, raw, raw_with},
    wire::{Wire, field, status},
    within,
};

const HOST: &str = "app.example.test";

/// An origin that hints, and goes on when it is told to: at once, unless the path is `/wait`.
async fn hinting(go: Arc<Notify>) -> Raw {
    raw(HOST, move |mut stream, heads| {
        let go = go.clone();
        async move {
            while let Some(head) = heads.read(&mut stream).await {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut say = match path.as_str() {
                    "/plain" => String::new(),
                    _ => format!(
                        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Some Hints\r\nLINK:  <{path}.css>; rel=preload\r\n\
                         Connection: x-hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\n\r\n"
                    ),
                };
                if path == "/expects" {
                    stream.read_exact(&mut [0; 4]).await.unwrap();
                }
                if path == "/wait" {
                    stream.write_all(say.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    go.notified().await;
                    say.clear();
                }
                say.push_str(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
                if stream.write_all(say.as_bytes()).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
            }
        }
    })
    .await
}

fn bound() -> Builder {
    proxy().bearer("app", HOST, "t1")
}

fn get(path: &str, version: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n")
}

/// Reads what belongs to one request: the heads before its answer, and the answer's body.
async fn answer(wire: &mut Wire) -> (Vec<String>, String) {
    let mut before = Vec::new();
    loop {
        let head = wire.head().await;
        match status(&head) {
            100..200 => before.push(head),
            200 => {
                let length = field(&head, "content-length").unwrap().parse().unwrap();
                let body = wire.bytes(length).await;
                return (before, String::from_utf8(body).unwrap());
            }
            _ => panic!("{head}"),
        }
    }
}

fn hints(path: &str) -> Vec<String> {
    vec![
        "HTTP/1.1 102 Processing\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 103 Some Hints\r\nLINK:  <{path}.css>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n"
        ),
    ]
}

/// They come at once, not with the answer, and as they were written; the connection goes on; hop-by-hop fields stay behind.
#[tokio::test(flavor = "multi_thread")]
async fn hints_come_before_the_answer() {
    let go = Arc::new(Notify::new());
    let site = hinting(go.clone()).await;
    let proxy = bound().raw(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    wire.send(get("/wait", "1.1")).await;
    assert_eq!([wire.head().await, wire.head().await], *hints("/wait"));
    go.notify_one();
    assert_eq!(answer(&mut wire).await, (vec![], "/wait".to_owned()));
    for path in ["/plain", "/a", "/plain", "/b"] {
        wire.send(get(path, "1.1")).await;
        let (before, body) = answer(&mut wire).await;
        assert_eq!(body, path);
        let expected = if path == "/plain" {
            vec![]
        } else {
            hints(path)
        };
        assert_eq!(before, expected, "{path}");
    }
}

/// A client that sends requests ahead gets each answer whole, and each hint before its own.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_keep_their_order() {
    let site = hinting(Arc::default()).await;
    let proxy = bound().raw(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    let paths = ["/a", "/plain", "/b", "/c", "/plain", "/d"];
    wire.send(paths.map(|path| get(path, "1.1")).concat()).await;
    for path in paths {
        let (before, body) = answer(&mut wire).await;
        assert_eq!(body, path);
        // Those that would come too late are left out, never put anywhere else.
        let expected = hints(path);
        assert!(
            before.is_empty() || (path != "/plain" && before == expected),
            "{path}: {before:?}"
        );
    }
}

/// An origin on HTTP/2 that hints, and answers when it is told to; what it has read of the body is its answer.
async fn hinting_http2(go: Arc<Notify>) -> Raw {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    raw_with(HOST, config, move |stream, _| {
        let go = go.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let go = go.clone();
                tokio::spawn(async move {
                    let head = |status: u16| Response::builder().status(status);
                    let path = request.uri().path().to_owned();
                    let mut said = path.clone();
                    let mut body = request.into_body();
                    if path == "/expects" {
                        respond
                            .send_informational(head(100).body(()).unwrap())
                            .unwrap();
                        while let Some(piece) = body.data().await {
                            said.push_str(&String::from_utf8_lossy(&piece.unwrap()));
                        }
                    }
                    let hint = head(103).header("link", format!("<{path}.css>; rel=preload"));
                    respond
                        .send_informational(head(102).body(()).unwrap())
                        .unwrap();
                    respond.send_informational(hint.body(()).unwrap()).unwrap();
                    go.notified().await;
                    let answer = head(200).header("content-length", said.len());
                    let mut sending = respond
                        .send_response(answer.body(()).unwrap(), false)
                        .unwrap();
                    sending.send_data(said.into(), true).unwrap();
                });
            }
        }
    })
    .await
}

/// What came of a request over HTTP/2.
type Told = (Vec<(StatusCode, Vec<String>)>, String);

/// Asks over HTTP/2; the origin is told to answer once two hints have come. With `Expect`, the body is sent when it is
/// asked for, and not before.
async fn ask_http2(client: &Client, path: &str, go: &Notify) -> Told {
    let parts = Parts {
        connect: format!("{HOST}:443"),
        sni: Some(HOST.to_owned()),
        tls: true,
        h2: true,
    };
    let stream = client.stream(&parts).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let expects = path == "/expects";
    let mut request = Request::get(format!("https://{HOST}{path}"));
    if expects {
        request = Request::post(format!("https://{HOST}{path}"))
            .header("expect", "100-continue")
            .header("content-length", 4);
    }
    let request = request.body(()).unwrap();
    let (mut answer, mut sending) = requests.send_request(request, !expects).unwrap();
    let mut before = Vec::new();
    let told = within("the answer", async {
        while before.len() < 2 {
            let head = poll_fn(|cx| answer.poll_informational(cx)).await;
            let head = head.expect("a hint comes before the answer").unwrap();
            if head.status() == StatusCode::CONTINUE {
                assert!(expects, "nobody asked");
                sending
                    .send_data(Bytes::from_static(b"body"), true)
                    .unwrap();
                continue;
            }
            let fields = head.headers().iter();
            let fields = fields.map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()));
            before.push((head.status(), fields.collect()));
        }
        go.notify_one();
        let mut body = answer.await.unwrap().into_body();
        let mut text = String::new();
        while let Some(piece) = body.data().await {
            text.push_str(&String::from_utf8_lossy(&piece.unwrap()));
        }
        (before, text)
    })
    .await;
    driver.abort();
    told
}

/// Whoever speaks HTTP/2, client, origin or both, hears and is heard at once.
#[tokio::test(flavor = "multi_thread")]
async fn hints_pass_in_all_combinations() {
    let go = Arc::new(Notify::new());
    let early = |path: &str| {
        let link = format!("link: <{path}.css>; rel=preload");
        vec![
            (StatusCode::PROCESSING, vec![]),
            (
                StatusCode::EARLY_HINTS,
                vec![link, "set-cookie: a=b".to_owned()],
            ),
        ]
    };
    let site = hinting(go.clone()).await;
    let first = bound().raw(&site).start().await;
    let told = ask_http2(&first.client(), "/wait", &go).await;
    assert_eq!(told, (early("/wait"), "/wait".to_owned()), "h1 to h2");

    let site = hinting_http2(go.clone()).await;
    let second = bound().raw(&site).start().await;
    let mut wire = Wire::https(&second.client(), HOST).await;
    for path in ["/a", "/b"] {
        wire.send(get(path, "1.1")).await;
        let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: <{path}.css>; rel=preload\r\n\r\n");
        assert_eq!(wire.head().await, "HTTP/1.1 102 Processing\r\n\r\n");
        assert_eq!(wire.head().await, hint, "h2 to h1");
        go.notify_one();
        assert_eq!(answer(&mut wire).await, (vec![], path.to_owned()));
    }

    for path in ["/a", "/b"] {
        let mut early = early(path);
        early[1].1.pop();
        let told = ask_http2(&second.client(), path, &go).await;
        assert_eq!(told, (early, path.to_owned()), "h2 to h2");
    }
}

/// A client on HTTP/2 that waits for it is told "100 Continue": the upstream's, or ours when that says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_held_back_are_asked_for_over_http2() {
    let go = Arc::new(Notify::new());
    let site = hinting_http2(go.clone()).await;
    let proxy = bound().raw(&site).start().await;
    let (_, said) = ask_http2(&proxy.client(), "/expects", &go).await;
    assert_eq!(said, "/expectsbody");
    // This one never says 100.
    let site = hinting(go.clone()).await;
    let proxy = bound().raw(&site).start().await;
    let (_, said) = ask_http2(&proxy.client(), "/expects", &go).await;
    assert_eq!(said, "/expects");
}

/// HTTP/1.0 does not know them (RFC 9110 §15.2): the answer comes as always.
#[tokio::test(flavor = "multi_thread")]
async fn others_get_the_answer_alone() {
    let site = hinting(Arc::default()).await;
    let proxy = bound().raw(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    for path in ["/a", "/b"] {
        wire.send(get(path, "1.0")).await;
        assert_eq!(answer(&mut wire).await, (vec![], path.to_owned()));
    }
}

/// Nothing but hints, for ever, is no answer: 502, and the origin's connection is not used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_no_answer() {
    let ended = Arc::new(Notify::new());
    let site = raw(HOST, {
        let ended = ended.clone();
        move |mut stream, heads| {
            let ended = ended.clone();
            async move {
                heads.read(&mut stream).await;
                let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100);
                while stream.write_all(&hint).await.is_ok() {}
                ended.notify_one();
            }
        }
    })
    .await;
    let proxy = bound().raw(&site).start().await;
    for (client, hinted) in [(proxy.client(), true), (proxy.client().h2(), false)] {
        if hinted {
            let mut wire = Wire::https(&client, HOST).await;
            wire.send(get("/", "1.1")).await;
            let (mut head, mut bytes) = (wire.head().await, 0);
            while status(&head) == 103 {
                bytes += head.len();
                head = wire.head().await;
            }
            assert_eq!(status(&head), 502, "{head}");
            assert!(bytes <= 256 * 1024, "{bytes} bytes of hints");
        } else {
            let answer = client.get(&format!("https://{HOST}/")).await.expect(502);
            assert!(
                answer
                    .field("proxy-status")
                    .unwrap()
                    .contains("http_protocol_error")
            );
        }
        within("the end of the hints", ended.notified()).await;
    }
}
