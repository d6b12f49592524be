//! HTTP/1.1 on a client connection: a request is read, answered, and only then the next one is read.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::time::timeout;

use super::{
    Proxy,
    body::Counted,
    timer::{Activity, Busy},
};
use crate::{
    http1::{
        Bounds, Error, PLAIN, Refused,
        server::{Answer, Body, Connection, OnConnect},
    },
    upstream::{RequestBody, io::Io},
};

/// How long a client has to read the last answer while it still sends.
const LINGER: Duration = Duration::from_millis(500);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What is left of a connection on which something else follows.
type Left<S> = Option<(S, BytesMut)>;

/// Serves a connection until the client leaves, it is to end, or a CONNECT follows.
pub(super) fn serve<S: Io + 'static, A: Future<Output = Response<Counted>>>(
    io: S,
    on_connect: OnConnect,
    proxy: Arc<Proxy>,
    activity: Arc<Activity>,
    answer: impl Fn(Request<RequestBody>, Busy) -> A,
) -> impl Future<Output = Result<Left<S>, Error>> {
    let bounds = Bounds {
        bytes: proxy.limits.head_bytes,
        fields: proxy.limits.fields,
    };
    // Here, so that what serves it has no room for the stream.
    let connection = Connection::new(io, bounds, on_connect);
    serve_all(connection, proxy, activity, answer)
}

async fn serve_all<S: Io + 'static, A: Future<Output = Response<Counted>>>(
    connection: Connection<S>,
    proxy: Arc<Proxy>,
    activity: Arc<Activity>,
    answer: impl Fn(Request<RequestBody>, Busy) -> A,
) -> Result<Left<S>, Error> {
    // Only an answer can say that it is the last one.
    let is_over = || activity.is_closing() || proxy.stop.draining.load(Ordering::Acquire);
    loop {
        let read = poll_fn(|cx| next(cx, &connection, &activity)).await;
        let mut request = match read {
            Ok(Some(request)) => request,
            Ok(None) if connection.stops_at_connect() => return Ok(connection.into_parts()),
            Ok(None) => break,
            Err(Error::Head(refused)) => {
                refuse(&connection, refused).await?;
                end(&connection).await;
                return Err(refused.into());
            }
            Err(error) => return Err(error),
        };
        let upgrade = request.body_mut().offer();
        let response = {
            let exchange = answer(request.map(RequestBody::Http1), activity.busy());
            let mut exchange = pin!(exchange);
            poll_fn(|cx| {
                let answered = exchange.as_mut().poll(cx);
                if let Some(heads) = activity.interim.take() {
                    connection.announce(&heads);
                }
                match answered {
                    Poll::Ready(response) => Poll::Ready(Some(response)),
                    Poll::Pending => connection.poll_gone(cx).map(|()| None),
                }
            })
            .await
        };
        // What is left of the exchange goes on by itself, if it has to (`outlive`).
        let Some(response) = response else {
            return Err(Error::Incomplete);
        };
        let (head, mut body) = response.into_parts();
        let mut answering = connection.answer(Answer {
            status: head.status,
            headers: &head.headers,
            spelling: body.spelling(),
            length: body.size_hint().exact(),
            last: is_over(),
        });
        drop(head.headers);
        poll_fn(|cx| connection.poll_answer(cx, &mut answering, &mut body)).await?;
        drop(body);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            if let (Some(upgrade), Some((io, read))) = (upgrade, connection.into_parts()) {
                // Nobody may be there to take it: then it ends here.
                drop(upgrade.send((Box::new(io), read)));
            }
            return Ok(None);
        }
        if !poll_fn(|cx| Poll::Ready(connection.finish(cx))).await {
            break;
        }
    }
    end(&connection).await;
    Ok(None)
}

/// Reads the next request; `None`: there is none, none is wanted, or it is a CONNECT.
fn next<S: Io + 'static>(
    cx: &mut Context<'_>,
    connection: &Connection<S>,
    activity: &Activity,
) -> Poll<Result<Option<Request<Body>>, Error>> {
    let read = connection.poll_request(cx);
    if read.is_pending() {
        if connection.has_begun() {
            activity.head();
        } else if activity.is_closing() {
            return Poll::Ready(Ok(None));
        }
    }
    read
}

/// Tells the client why its request is not taken. Where it ends is anybody's guess, so the connection does.
async fn refuse<S: Io + 'static>(
    connection: &Connection<S>,
    refused: Refused,
) -> Result<(), Error> {
    let mut answering = connection.answer(Answer {
        status: refused.status(),
        headers: &HeaderMap::new(),
        spelling: &PLAIN,
        length: Some(0),
        last: true,
    });
    let mut body = http_body_util::Empty::<Bytes>::new();
    poll_fn(|cx| connection.poll_answer(cx, &mut answering, &mut body)).await
}

/// Ends the connection so that the client can read the last answer.
async fn end<S: Io + 'static>(connection: &Connection<S>) {
    let shut = timeout(GOODBYE, poll_fn(|cx| connection.poll_shutdown(cx))).await;
    if matches!(shut, Ok(Ok(()))) && !connection.is_read_to_end() {
        drop(timeout(LINGER, poll_fn(|cx| connection.poll_linger(cx))).await);
    }
}
