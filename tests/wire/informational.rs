//! Informational answers (1xx) reach HTTP/1.1 clients, each before its answer, and nobody else.

use std::sync::Arc;

use tokio::{io::AsyncWriteExt as _, sync::Notify};

use crate::support::{
    proxy::{Builder, proxy},
    raw::{Raw, raw},
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
                        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <{path}.css>; rel=preload\r\n\
                         Connection: x-hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\n\r\n"
                    ),
                };
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
            "HTTP/1.1 103 Early Hints\r\nlink: <{path}.css>; rel=preload\r\nset-cookie: a=b\r\n\r\n"
        ),
    ]
}

/// They come at once, not with the answer; the connection goes on; hop-by-hop fields stay behind.
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

/// HTTP/1.0 does not know them (RFC 9110 §15.2), and over HTTP/2 they cannot be sent yet: the answer comes as always.
#[tokio::test(flavor = "multi_thread")]
async fn others_get_the_answer_alone() {
    let site = hinting(Arc::default()).await;
    let proxy = bound().raw(&site).start().await;
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    for path in ["/a", "/b"] {
        wire.send(get(path, "1.0")).await;
        assert_eq!(answer(&mut wire).await, (vec![], path.to_owned()));
    }
    let client = proxy.client().h2();
    let answer = client.get(&format!("https://{HOST}/c")).await.expect(200);
    assert_eq!(answer.text(), "/c");
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
