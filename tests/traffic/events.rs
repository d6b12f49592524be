//! Answers that take their time: event streams with long pauses (HTML, "Server-sent events"), and requests that are
//! answered when there is news.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::Semaphore;

use crate::support::{
    BoxError, LIMIT,
    client::{Answer, Client, eventually},
    origin::{Origin, Reply, empty, origin},
    proxy::{Builder, Proxy, bearer, proxy},
    within,
};

const HOST: &str = "app.example.test";

const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// `limits.silence` and `limits.idle`; every pause is twice as long.
const SILENCE: &str = "silence = \"2s\"\nidle = \"2s\"";
const PAUSE: Duration = Duration::from_secs(4);

fn streaming(
    content_type: &str,
    pieces: impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
) -> Reply {
    Response::builder()
        .header("content-type", content_type)
        .body(StreamBody::new(pieces).boxed_unsync())
        .unwrap()
}

/// A comment, a pause, a comment …, and an event at last.
fn comments(content_type: &str) -> Reply {
    let pieces =
        stream::iter(["", KEEP_ALIVE, KEEP_ALIVE, "data: news\n\n"]).then(|piece| async move {
            match piece {
                "" => Ok(Frame::data(KEEP_ALIVE.into())),
                piece => {
                    tokio::time::sleep(PAUSE).await;
                    Ok(Frame::data(piece.into()))
                }
            }
        });
    streaming(content_type, pieces)
}

async fn site(alpn: &[&'static str], plain: bool) -> Origin {
    let site = origin(&[HOST]).alpn(alpn).handler(|request| async move {
        match request.uri().path() {
            "/events" => Ok(comments("text/event-stream; charset=utf-8")),
            "/text" => Ok(comments("text/plain")),
            _ => Err(request),
        }
    });
    match plain {
        true => site.start_plain().await,
        false => site.start().await,
    }
}

fn bound() -> Builder {
    let plain = format!("{{ scheme = \"http\", host = \"{HOST}\" }}");
    proxy()
        .bearer("app", HOST, "t1")
        .config(bearer("plain", &plain, "TOKEN_APP"))
}

/// The three ways in, each with an origin's URL: HTTP/1.1, HTTP/2, and http without TLS.
fn ways(proxy: &Proxy) -> [(Client, String); 3] {
    let (secure, plain) = (format!("https://{HOST}"), format!("http://{HOST}"));
    [
        (proxy.client(), secure.clone()),
        (proxy.client().h2(), secure),
        (proxy.client(), plain),
    ]
}

/// An event stream may be silent for as long as a tunnel may (`tunnel_idle`), other answers only for `silence`; a request
/// may wait for its answer as long as it takes (`response_head`: none).
#[tokio::test(flavor = "multi_thread")]
async fn pauses_end_no_event_stream_and_no_long_poll() {
    let protocols = [&["http/1.1"][..], &["h2"]].into_iter();
    let worlds = protocols.map(|alpn| async move {
        let (secure, plain) = (site(alpn, false).await, site(alpn, true).await);
        let limits = format!("[limits]\n{SILENCE}\ntunnel_idle = \"60s\"");
        let proxy = bound().site(&secure).site(&plain).config(limits);
        let proxy = proxy.start().await;
        let ways = ways(&proxy);
        let asked = ways.iter().map(|(client, site)| async move {
            let events = async {
                let answer = client.get(&format!("{site}/events")).await.expect(200);
                let expected = [KEEP_ALIVE, KEEP_ALIVE, KEEP_ALIVE, "data: news\n\n"].concat();
                assert_eq!(answer.text(), expected, "{alpn:?} {site}");
            };
            let text = async {
                let request = Request::get(format!("{site}/text")).body(empty());
                let answer = client.start(request.unwrap()).await.unwrap();
                let read = Answer::read(answer).await;
                // Nobody takes what came for the whole.
                read.expect_err("the limit is in force");
            };
            let poll = async {
                let answer = client.get(&format!("{site}/late/6000")).await.expect(200);
                assert_eq!(answer.json()["method"], "GET");
            };
            tokio::join!(events, text, poll);
        });
        join_all(asked).await;
    });
    join_all(worlds).await;
}

/// Sets a flag when it is gone.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One that is silent for longer ends for both sides, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_event_stream_is_given_up() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        for number in 0..2 {
            let gone = Arc::<AtomicBool>::default();
            let held = gone.clone();
            let ended = Arc::new(Semaphore::new(0));
            let over = ended.clone();
            let site = origin(&[HOST])
                .alpn(alpn)
                .handler(move |request| {
                    let (gone, ended) = (held.clone(), ended.clone());
                    async move {
                        if request.uri().path() != "/events" {
                            return Err(request);
                        }
                        let gone = Gone(gone);
                        let first = stream::once(async { Ok(Frame::data(KEEP_ALIVE.into())) });
                        // A closed connection shows when something is written to it.
                        let rest = stream::repeat(()).then(move |()| {
                            let ended = ended.clone();
                            let _held = &gone;
                            async move {
                                let ended = ended.acquire().await;
                                ended.expect("never closed").forget();
                                Ok(Frame::data(KEEP_ALIVE.into()))
                            }
                        });
                        Ok(streaming("text/event-stream", first.chain(rest)))
                    }
                })
                .start()
                .await;
            let limits = "[limits]\ntunnel_idle = \"2s\"";
            let proxy = bound().site(&site).config(limits).start().await;
            let (client, url) = &ways(&proxy)[number];
            let request = Request::get(format!("{url}/events")).body(empty());
            let mut body = client.start(request.unwrap()).await.unwrap().into_body();
            let first = within("an event", body.frame()).await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), KEEP_ALIVE);
            let end = within("the end", body.frame()).await;
            assert!(!matches!(end, None | Some(Ok(_))), "{alpn:?}: {end:?}");
            eventually("the origin is told", LIMIT, || {
                over.add_permits(1);
                gone.load(Ordering::SeqCst).then_some(())
            })
            .await;
            client.get(&format!("{url}/echo")).await.expect(200);
        }
    }
}
