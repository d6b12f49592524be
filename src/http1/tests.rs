//! Both ends of a connection: facing each other, and before bytes written by hand.
//!
//! Time is paused: where all sides wait for each other, the limit is over at once.

mod by_hand;

use std::{
    fmt,
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    io::{BufStream, DuplexStream, duplex},
    sync::mpsc,
    time::timeout,
};

use super::{Bounds, BoxError, Error, PLAIN, client, request::Duplex, server};

type Body = UnsyncBoxBody<Bytes, BoxError>;
type Client = client::Connection<Box<dyn Duplex>, Body>;
type Server = server::Connection<Box<dyn Duplex>>;

const BOUNDS: Bounds = Bounds {
    bytes: 4096,
    fields: 16,
};

/// Connections that take little at once, and such that hold what they took until they are flushed, as TLS does.
const WIRES: [(usize, Option<usize>); 5] = [
    (1, None),
    (7, None),
    (64 * 1024, None),
    (3, Some(16)),
    (100, Some(8 * 1024)),
];

fn wire((room, held): (usize, Option<usize>)) -> (Client, Server) {
    let (near, far) = duplex(room);
    let wrap = |io: DuplexStream| -> Box<dyn Duplex> {
        match held {
            Some(held) => Box::new(BufStream::with_capacity(held, held, io)),
            None => Box::new(io),
        }
    };
    (
        Client::new(wrap(near), BOUNDS),
        Server::new(wrap(far), BOUNDS, server::OnConnect::Serve),
    )
}

async fn soon<F: Future>(what: impl fmt::Display, future: F) -> F::Output {
    let limit = timeout(Duration::from_secs(60), future).await;
    limit.unwrap_or_else(|_| panic!("{what}: both sides wait"))
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    let body = Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A body of which the length is not known.
fn pieces(pieces: Vec<Bytes>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// A body that is written by hand.
fn slowly() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let frames = stream::poll_fn(move |cx| {
        let frame = receiver.poll_recv(cx);
        frame.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

fn begin(client: &mut Client, body: Body) {
    let request = client::Request {
        method: &Method::POST,
        target: "/",
        headers: &HeaderMap::new(),
        spelling: &PLAIN,
        authority: "origin.test",
    };
    client.begin(request, body);
}

async fn head(client: &mut Client) -> Result<StatusCode, Error> {
    let head = poll_fn(|cx| client.poll_head(cx, &mut |_, _, _| true)).await?;
    Ok(head.status)
}

async fn rest(client: &mut Client) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| client.poll_body(cx)).await {
        bytes.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
    }
    Ok(bytes)
}

async fn request(server: &Server) -> Option<http::Request<server::Body>> {
    let request = poll_fn(|cx| server.poll_request(cx)).await;
    request.expect("a request")
}

/// Answers; tells whether the connection goes on.
async fn answer(server: &Server, status: u16, mut body: Body) -> Result<bool, Error> {
    let mut answering = server.answer(server::Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &HeaderMap::new(),
        spelling: &PLAIN,
        length: body.size_hint().exact(),
        last: false,
    });
    poll_fn(|cx| server.poll_answer(cx, &mut answering, &mut body)).await?;
    Ok(poll_fn(|cx| Poll::Ready(server.finish(cx))).await)
}

#[tokio::test(start_paused = true)]
async fn bodies_cross_both_ways() {
    let long: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
    for wires in WIRES {
        let (mut client, server) = wire(wires);
        let serving = tokio::spawn(async move {
            let mut served = 0;
            while let Some(request) = request(&server).await {
                let known = request.body().size_hint().exact().is_some();
                let got = request.into_body().collect().await.unwrap().to_bytes();
                let body = match known {
                    true => full(got),
                    false => pieces(vec![got.slice(..got.len() / 2), got.slice(got.len() / 2..)]),
                };
                assert!(answer(&server, 200, body).await.unwrap());
                served += 1;
            }
            served
        });
        let bodies: [(&[u8], Body); 6] = [
            (b"", empty()),
            (b"", pieces(vec![])),
            (b"x", full(&b"x"[..])),
            (&long, full(long.clone())),
            (b"abc", pieces(vec!["a".into(), "bc".into()])),
            (
                &long,
                pieces(vec![long[..9].to_vec().into(), long[9..].to_vec().into()]),
            ),
        ];
        let asked = bodies.len();
        for (expected, body) in bodies {
            let name = format!("{wires:?} {}", expected.len());
            let got = soon(name.clone(), async {
                begin(&mut client, body);
                assert_eq!(head(&mut client).await.unwrap(), 200);
                rest(&mut client).await.unwrap()
            });
            assert!(got.await == expected, "{name}");
            assert!(client.is_sent() && client.is_reusable(), "{name}");
        }
        drop(client);
        assert_eq!(soon("the end", serving).await.unwrap(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn events_leave_at_once() {
    for wires in WIRES {
        let (mut client, server) = wire(wires);
        let serving = async {
            let mut request = request(&server).await.unwrap();
            // Each piece of the upload is answered by one, while both stay open.
            let (events, body) = slowly();
            let echo = async move {
                while let Some(frame) = request.body_mut().frame().await {
                    let frame = frame.unwrap().into_data().unwrap();
                    events.send(frame).await.unwrap();
                }
            };
            tokio::join!(echo, answer(&server, 200, body)).1.unwrap()
        };
        let asking = async {
            let (upload, body) = slowly();
            begin(&mut client, body);
            for event in ["one", "another that is longer than what fits at once"] {
                upload.send(event.into()).await.unwrap();
                if event == "one" {
                    assert_eq!(head(&mut client).await.unwrap(), 200);
                }
                let mut got = Vec::new();
                while got.len() < event.len() {
                    let frame = poll_fn(|cx| client.poll_body(cx)).await.unwrap().unwrap();
                    got.extend_from_slice(&frame.into_data().unwrap());
                }
                assert_eq!(got, event.as_bytes());
            }
            drop(upload);
            assert_eq!(rest(&mut client).await.unwrap(), b"");
            assert!(client.is_reusable());
        };
        let both = soon(format!("{wires:?}"), async {
            tokio::join!(serving, asking)
        });
        assert!(both.await.0, "{wires:?}");
    }
}

/// A body may be read in the task of another connection: it and the answer wait for the same socket.
#[tokio::test(start_paused = true)]
async fn bodies_are_read_in_another_task() {
    for wires in WIRES {
        let (mut client, server) = wire(wires);
        let serving = tokio::spawn(async move {
            let mut request = request(&server).await.unwrap();
            let reading =
                tokio::spawn(
                    async move { while let Some(Ok(_)) = request.body_mut().frame().await {} },
                );
            let piece = Bytes::from(vec![b'x'; 20_000]);
            answer(&server, 200, pieces(vec![piece; 5])).await.unwrap();
            drop(server);
            reading.await.unwrap();
        });
        let (upload, body) = slowly();
        begin(&mut client, body);
        let got = soon(format!("{wires:?}"), async {
            assert_eq!(head(&mut client).await.unwrap(), 200);
            // The reader looks at the socket again, and from then on nothing wakes it.
            let (mut got, mut sent) = (0, 0);
            while let Some(frame) = poll_fn(|cx| client.poll_body(cx)).await {
                got += frame.unwrap().data_ref().unwrap().len();
                if sent < 20 {
                    drop(upload.try_send("x".into()));
                    sent += 1;
                    tokio::task::yield_now().await;
                }
            }
            got
        });
        assert_eq!(got.await, 100_000, "{wires:?}");
        soon("the end", serving).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn readers_learn_that_nobody_serves_the_connection() {
    let (mut client, server) = wire((64, None));
    let (upload, body) = slowly();
    begin(&mut client, body);
    upload.send("some".into()).await.unwrap();
    let asking = tokio::spawn(async move { (head(&mut client).await, upload) });
    let mut request = request(&server).await.unwrap();
    let reading = tokio::spawn(async move {
        while let Some(frame) = request.body_mut().frame().await {
            frame?;
        }
        Ok::<_, Error>(())
    });
    tokio::task::yield_now().await;
    drop(server);
    let read = soon("the body", reading).await.unwrap();
    assert!(matches!(read, Err(Error::Incomplete)), "{read:?}");
    // With the body the socket is closed.
    let (head, _upload) = soon("the answer", asking).await.unwrap();
    assert!(matches!(head, Err(Error::Incomplete)), "{head:?}");
}

#[tokio::test(start_paused = true)]
async fn early_answers_are_read() {
    for wires in WIRES {
        let (mut client, server) = wire(wires);
        let serving = tokio::spawn(async move {
            let _unread = request(&server).await.unwrap();
            let goes_on = answer(&server, 413, full("too large")).await.unwrap();
            poll_fn(|cx| server.poll_shutdown(cx)).await.unwrap();
            poll_fn(|cx| server.poll_linger(cx)).await.unwrap();
            goes_on
        });
        begin(&mut client, full(vec![b'x'; 1 << 20]));
        let got = soon(format!("{wires:?}"), async {
            assert_eq!(head(&mut client).await.unwrap(), 413);
            rest(&mut client).await.unwrap()
        });
        assert_eq!(got.await, b"too large", "{wires:?}");
        assert!(!client.is_reusable(), "{wires:?}");
        drop(client);
        assert!(!soon("the end", serving).await.unwrap(), "{wires:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_are_noticed() {
    let (client, server) = wire((64, None));
    let mut client = client;
    begin(&mut client, full("body"));
    let asking = tokio::spawn(async move {
        poll_fn(|cx| {
            let polled = client.poll_head(cx, &mut |_, _, _| true);
            assert!(polled.is_pending());
            Poll::Ready(client.is_sent())
        })
        .await
    });
    let mut request = request(&server).await.unwrap();
    assert!(asking.await.unwrap(), "it fits");
    let body = request.body_mut().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "body");
    soon("the end", poll_fn(|cx| server.poll_gone(cx))).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_nothing_was_sent_is_given_back() {
    let (near, far) = duplex(64);
    drop(far);
    let mut client = Client::new(Box::new(near), BOUNDS);
    begin(&mut client, full("again"));
    let failed = head(&mut client).await;
    assert!(failed.is_err(), "{failed:?}");
    // The body was taken into the buffer with the head.
    assert!(client.unsent().is_none());
    let (mut client, server) = wire((64, None));
    drop(server);
    begin(&mut client, empty());
    assert!(head(&mut client).await.is_err());
    assert!(client.unsent().is_some());
}
