//! `Expect: 100-continue` (RFC 9110 §10.1.1) on every leg: the origin decides, and what it refuses is not sent to it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::support::{
    content::sha256,
    origin::{empty, full, origin},
    proxy::{Proxy, bearer, proxy},
    raw::{raw, read_head, tcp},
    routes,
    wire::{Wire, field, status},
    within,
};

const HOST: &str = "app.example.test";

/// The proxy waits for the origin's word for a second. On a busy machine that may be over before the word is there:
/// then it is no proof, and the next attempt counts.
const ATTEMPTS: usize = 5;

/// How a client speaks to the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leg {
    Tls,
    Plain,
    Http2,
}

const LEGS: [Leg; 3] = [Leg::Tls, Leg::Plain, Leg::Http2];

fn bound() -> crate::support::proxy::Builder {
    let plain = format!("{{ scheme = \"http\", host = \"{HOST}\" }}");
    proxy()
        .bearer("app", HOST, "t1")
        .config(bearer("plain", &plain, "TOKEN_APP"))
}

/// What a client sees: every head up to the answer's, and the answer's body. Over HTTP/1.1 it sends its body when it is
/// told to go on; over HTTP/2 it does not wait.
async fn ask(proxy: &Proxy, leg: Leg) -> (Vec<u16>, String) {
    let client = proxy.client();
    if leg == Leg::Http2 {
        let request = Request::post(format!("https://{HOST}/upload"))
            .header("expect", "100-continue")
            .body(full("hello"))
            .unwrap();
        let answer = client.h2().send(request).await;
        return (vec![answer.status.as_u16()], answer.text().to_owned());
    }
    let (mut wire, target) = match leg {
        Leg::Plain => (Wire::proxy(&client).await, format!("http://{HOST}/upload")),
        _ => (Wire::https(&client, HOST).await, "/upload".to_owned()),
    };
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    wire.send(head).await;
    let mut seen = Vec::new();
    loop {
        let head = wire.head().await;
        seen.push(status(&head));
        match status(&head) {
            100 => wire.send("hello").await,
            0 => return (seen, String::new()),
            _ => {
                let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
                let body = wire.bytes(length).await;
                return (seen, String::from_utf8(body).unwrap());
            }
        }
    }
}

/// Refuses by the head alone, and counts what comes all the same.
async fn refuses(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: Arc<AtomicUsize>) {
    let Some(head) = read_head(&mut io).await else {
        return;
    };
    assert_eq!(field(&head, "expect"), Some("100-continue"), "{head}");
    let no = b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    if io.write_all(no).await.is_err() || io.flush().await.is_err() {
        return;
    }
    let mut rest = Vec::new();
    // However it ends.
    let _ = io.read_to_end(&mut rest).await;
    bytes.fetch_add(rest.len(), Ordering::SeqCst);
    let _ = io.shutdown().await;
}

/// Says that it is to go on, and answers when it has all.
async fn goes_on(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    while let Some(head) = read_head(&mut io).await {
        assert_eq!(field(&head, "expect"), Some("100-continue"), "{head}");
        let _ = io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let _ = io.flush().await;
        let mut body = [0; 5];
        if io.read_exact(&mut body).await.is_err() {
            return;
        }
        let _ = io
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            .await;
        let _ = io.write_all(&body).await;
        let _ = io.flush().await;
    }
}

/// Asks until the origin's word came in time.
async fn in_time(what: &str, proxy: &Proxy, leg: Leg, fine: impl Fn(&[u16]) -> bool) {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let (statuses, _) = ask(proxy, leg).await;
        if fine(&statuses) {
            return;
        }
        seen.push(statuses);
    }
    panic!("{what}, {leg:?}: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_not_sent() {
    let bytes = Arc::<AtomicUsize>::default();
    let count = bytes.clone();
    let tls = raw(HOST, move |io, _| refuses(io, count.clone())).await;
    let count = bytes.clone();
    let (plain, _task) = tcp(move |io| refuses(io, count.clone())).await;
    let proxy = bound()
        .raw(&tls)
        .resolve(&format!("{HOST}:80"), plain)
        .start()
        .await;
    for leg in LEGS {
        in_time("an origin on HTTP/1.1", &proxy, leg, |statuses| {
            statuses == [417] && bytes.swap(0, Ordering::SeqCst) == 0
        })
        .await;
    }
    // Over HTTP/2 to the origin, too.
    let bytes = Arc::<AtomicUsize>::default();
    let count = bytes.clone();
    let site = origin(&[HOST])
        .alpn(&["h2"])
        .handler(move |request| {
            let count = count.clone();
            async move {
                let mut body = request.into_body();
                tokio::spawn(async move {
                    while let Some(Ok(frame)) = body.frame().await {
                        let data = frame.into_data().unwrap_or_default();
                        count.fetch_add(data.len(), Ordering::SeqCst);
                    }
                });
                Ok(routes::reply(StatusCode::EXPECTATION_FAILED, empty()))
            }
        })
        .start()
        .await;
    let proxy = bound().site(&site).start().await;
    for leg in [Leg::Tls, Leg::Http2] {
        in_time("an origin on HTTP/2", &proxy, leg, |statuses| {
            statuses == [417] && bytes.swap(0, Ordering::SeqCst) == 0
        })
        .await;
    }
}

/// The origin's word is passed on, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_body_follows() {
    let tls = raw(HOST, |io, _| goes_on(io)).await;
    let (plain, _task) = tcp(goes_on).await;
    let proxy = bound()
        .raw(&tls)
        .resolve(&format!("{HOST}:80"), plain)
        .start()
        .await;
    for leg in LEGS {
        let (statuses, body) = within("an answer", ask(&proxy, leg)).await;
        let expected: &[u16] = match leg {
            Leg::Http2 => &[200],
            Leg::Tls | Leg::Plain => &[100, 200],
        };
        assert_eq!((statuses.as_slice(), body.as_str()), (expected, "hello"));
    }
}

/// An origin that says nothing of it gets the body after a second, over HTTP/2 as well: nobody waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_not_held_for_ever() {
    let site = origin(&[HOST]).alpn(&["h2"]).bearer("t1").start().await;
    let proxy = bound().site(&site).start().await;
    for leg in [Leg::Tls, Leg::Http2] {
        let (statuses, body) = within("an answer", ask(&proxy, leg)).await;
        let expected: &[u16] = match leg {
            Leg::Http2 => &[200],
            Leg::Tls | Leg::Plain => &[100, 200],
        };
        assert_eq!(statuses, expected, "{leg:?}");
        assert!(body.contains(&sha256(b"hello")), "{leg:?}: {body}");
        assert_eq!(site.last().field("expect"), Some("100-continue"));
    }
}
