//! Origins that end their HTTP/2 connections, or refuse single streams, as RFC 9113 allows them to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use h2::{Reason, RecvStream, server};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    origin::{Body, empty, full},
    pki::{TRUSTED, Valid},
    proxy::{Proxy, bearer, proxy},
    raw::{Raw, raw_with},
};

const HOST: &str = "app.example.test";

/// What an origin does with its `n`th request; the connection is its to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Answers,
    /// `REFUSED_STREAM`: nothing was done with it (§8.7).
    Refuses,
    /// Any other reset: nobody knows.
    Resets,
    /// GOAWAY behind the answer (§6.8).
    AnswersAndLeaves,
    /// The connection ends without an answer.
    Drops,
}

async fn site(does: &'static [Does]) -> (Raw, Arc<AtomicUsize>) {
    let (asked, shared) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counted = asked.clone();
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let raw = raw_with(HOST, config, move |stream, _| {
        let (counted, next) = (counted.clone(), shared.clone());
        async move {
            let Ok(mut connection) = server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let at = next.fetch_add(1, Ordering::SeqCst);
                let does = does.get(at).copied().unwrap_or(Does::Answers);
                match does {
                    Does::Refuses => respond.send_reset(Reason::REFUSED_STREAM),
                    Does::Resets => respond.send_reset(Reason::INTERNAL_ERROR),
                    Does::Drops => return,
                    Does::Answers | Does::AnswersAndLeaves => {
                        // Whoever accepts drives the bodies too.
                        tokio::spawn(async move {
                            let whole = is_whole(request).await;
                            let answer: &[u8] = if whole { b"good" } else { b"cut" };
                            let sent = respond.send_response(Response::new(()), false);
                            let sent = sent.expect("sent").send_data(answer.into(), true);
                            sent.expect("sent");
                        });
                        if does == Does::AnswersAndLeaves {
                            connection.graceful_shutdown();
                        }
                    }
                }
            }
        }
    })
    .await;
    (raw, asked)
}

/// Tells whether a request came with the body that was sent.
async fn is_whole(request: Request<RecvStream>) -> bool {
    let expected: &[u8] = if request.method() == "POST" {
        b"hello"
    } else {
        b""
    };
    let (mut got, mut body) = (Vec::new(), request.into_body());
    while let Some(Ok(piece)) = body.data().await {
        got.extend_from_slice(&piece);
    }
    got == expected
}

/// A body that was sent again after `REFUSED_STREAM` is still there when the answer to it is a rejection.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_outlives_a_refusal_and_a_rejection() {
    let heard = Arc::<Mutex<Vec<(String, String)>>>::default();
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let site = raw_with(HOST, config, {
        let heard = heard.clone();
        move |stream, _| {
            let heard = heard.clone();
            async move {
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let heard = heard.clone();
                    tokio::spawn(async move {
                        let token = request.headers()["authorization"].to_str().unwrap();
                        let (token, mut body) = (token.to_owned(), request.into_body());
                        let mut got = String::new();
                        while let Some(Ok(piece)) = body.data().await {
                            got.push_str(&String::from_utf8_lossy(&piece));
                        }
                        let nth = {
                            let mut heard = heard.lock().unwrap();
                            heard.push((token, got));
                            heard.len()
                        };
                        let status = match nth {
                            1 | 3 => return respond.send_reset(Reason::REFUSED_STREAM),
                            2 => 401,
                            _ => 200,
                        };
                        let head = Response::builder().status(status).body(()).unwrap();
                        respond.send_response(head, true).unwrap();
                    });
                }
            }
        }
    })
    .await;
    let proxy = proxy().raw(&site).config(format!(
        "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\n\
         [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ access_token }}}}\"\n\
         [session.app.refresh]\nkind = \"command\"\ncommand = [\"sh\", \"print.sh\"]\n"
    ));
    let script = "echo x >> runs\necho t$(wc -l < runs)\n";
    let proxy = proxy.file("print.sh", script).start().await;
    let url = format!("https://{HOST}/a");
    proxy.client().post(&url, "hello").await.expect(200);
    let expected = ["t1", "t1", "t2", "t2"].map(|t| (format!("Bearer {t}"), "hello".to_owned()));
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// An origin that speaks HTTP/2 alone and selects no protocol in its handshake is understood by its first frame.
#[tokio::test(flavor = "multi_thread")]
async fn http2_without_alpn_is_understood() {
    let asked = Arc::<AtomicUsize>::default();
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&[]);
    let site = raw_with(HOST, config, {
        let asked = asked.clone();
        move |stream, _| {
            let asked = asked.clone();
            async move {
                // It leaves at once when it is spoken to in HTTP/1.1.
                let Ok(mut connection) = server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        let status = if is_whole(request).await { 200 } else { 400 };
                        let head = Response::builder().status(status).body(()).unwrap();
                        respond.send_response(head, true).unwrap();
                    });
                }
            }
        }
    })
    .await;
    // Where no session is bound the body is not kept for a rejection.
    let methods = ["GET", "POST", "PUT"];
    let cases = methods.map(|method| [("/*", method), ("/other", method)]);
    for (nth, (path, method)) in cases.into_iter().flatten().enumerate() {
        let bind = format!("{{ host = \"{HOST}\", path = \"{path}\" }}");
        let proxy = proxy().raw(&site).env("T", "t1");
        let proxy = proxy.config(bearer("app", &bind, "T")).start().await;
        for h2 in [false, true] {
            let client = proxy.client();
            let client = if h2 { client.h2() } else { client };
            let body = if method == "POST" {
                in_two_pieces()
            } else {
                empty()
            };
            let request = Request::builder().method(method);
            let request = request.uri(format!("https://{HOST}/a")).body(body);
            client.send(request.unwrap()).await.expect(200);
        }
        let times = asked.load(Ordering::SeqCst);
        assert_eq!(times, 2 * (nth + 1), "{path} {method}");
    }
}

/// A body that is too large to be kept goes out once the origin has told what it speaks, or has said nothing for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_first_body_waits_for_the_first_word() {
    const LARGE: usize = 3 << 20;
    let config = || TRUSTED.issue(&[HOST], Valid::Now).server_config(&[]);
    let speaks_http2 = raw_with(HOST, config(), |stream, _| async move {
        // As from afar.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(mut connection) = server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let (mut got, mut body) = (0, request.into_body());
                while let Some(Ok(piece)) = body.data().await {
                    got += piece.len();
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                let status = if got == LARGE { 200 } else { 400 };
                let head = Response::builder().status(status).body(()).unwrap();
                respond.send_response(head, true).unwrap();
            });
        }
    })
    .await;
    let speaks_http1 = raw_with(HOST, config(), |mut stream, _| async move {
        let (mut got, mut piece) = (Vec::new(), vec![0; 65536]);
        let head_end = |got: &[u8]| got.windows(4).position(|end| end == b"\r\n\r\n");
        while head_end(&got).is_none_or(|at| got.len() < at + 4 + LARGE) {
            match stream.read(&mut piece).await {
                Ok(n) if n > 0 => got.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    for site in [speaks_http2, speaks_http1] {
        for path in ["/*", "/other"] {
            for h2 in [false, true] {
                let bind = format!("{{ host = \"{HOST}\", path = \"{path}\" }}");
                let config = bearer("app", &bind, "T") + "[limits]\nreplay_body = \"1 MiB\"\n";
                let proxy = proxy().raw(&site).env("T", "t1").config(config);
                let proxy = proxy.start().await;
                let client = proxy.client();
                let client = if h2 { client.h2() } else { client };
                let url = format!("https://{HOST}/a");
                let request = Request::post(&url).body(full("x".repeat(LARGE)));
                client.send(request.unwrap()).await.expect(200);
            }
        }
    }
}

/// "hello", the end of it when the beginning has long been sent.
fn in_two_pieces() -> Body {
    let pieces = stream::iter([("hel", 0), ("lo", 200)]).then(|(piece, pause)| async move {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok(Frame::data(Bytes::from(piece)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

async fn facing(does: &'static [Does]) -> (Raw, Arc<AtomicUsize>, Proxy) {
    let (site, asked) = site(does).await;
    let proxy = proxy()
        .raw(&site)
        .level("info")
        .bearer("app", HOST, "t1")
        .start()
        .await;
    (site, asked, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http2_origins_may_do() {
    use Does::{Answers, AnswersAndLeaves, Drops, Refuses, Resets};
    // What it does with its requests, the method, the statuses that the client sees, and how often it was asked.
    let cases: [(&'static [Does], &str, &[u16], usize); 9] = [
        (
            &[AnswersAndLeaves, AnswersAndLeaves],
            "GET",
            &[200, 200, 200],
            3,
        ),
        (
            &[AnswersAndLeaves, AnswersAndLeaves],
            "POST",
            &[200, 200, 200],
            3,
        ),
        // Said to be untouched: sent again, once.
        (&[Refuses], "GET", &[200, 200], 3),
        (&[Refuses], "POST", &[200, 200], 3),
        (&[Answers, Refuses], "GET", &[200, 200], 3),
        (&[Refuses, Refuses], "GET", &[502, 200], 3),
        // Nobody knows what was done with it: never again by itself, on a new connection.
        (&[Resets], "GET", &[502, 200], 2),
        (&[Drops], "GET", &[502, 200], 2),
        (&[Drops], "POST", &[502, 200], 2),
    ];
    for (does, method, expected, asked) in cases {
        for h2 in [false, true] {
            let (_site, counted, proxy) = facing(does).await;
            let client = if h2 {
                proxy.client().h2()
            } else {
                proxy.client()
            };
            let url = format!("https://{HOST}/a").parse().unwrap();
            let mut connection = client.open(&url).await.unwrap();
            for status in expected {
                let body = if method == "POST" {
                    full("hello")
                } else {
                    empty()
                };
                let request = Request::builder()
                    .method(method)
                    .uri(&url)
                    .body(body)
                    .unwrap();
                let answer = connection.send(request).await.unwrap();
                assert_eq!(answer.status(), *status, "{does:?} {method}, {h2}");
                if *status == 200 {
                    let body = answer.into_body().collect().await.unwrap();
                    assert_eq!(body.to_bytes(), "good");
                }
            }
            assert_eq!(
                counted.load(Ordering::SeqCst),
                asked,
                "{does:?} {method}, {h2}"
            );
        }
    }
}
