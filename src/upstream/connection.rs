//! An HTTP/1.1 connection: driven by whoever has taken it, on loan to a response body, given back at its end.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming as HyperBody,
    client::conn::{TrySendError, http1},
};
use tokio::time::Instant;

use super::{
    Counted,
    body::Body,
    hush::Hush,
    peer::{Io, Peer},
};

/// An HTTP/1.1 connection that nobody uses, or that one exchange has taken.
#[derive(Debug)]
pub(super) struct Http1(Box<Connection>);

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Body>,
    driver: http1::Connection<Io, Body>,
    /// Whether the driver has ended.
    ended: bool,
    hush: Hush,
    idle_since: Instant,
    _counted: Counted,
}

/// A connection on loan to a response body.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Http1,
    peer: Arc<Peer>,
}

// === impl Http1 ===

impl Http1 {
    pub(super) fn new(
        sender: http1::SendRequest<Body>,
        driver: http1::Connection<Io, Body>,
        counted: Counted,
    ) -> Self {
        Self(Box::new(Connection {
            sender,
            driver,
            ended: false,
            hush: Hush::default(),
            idle_since: Instant::now(),
            _counted: counted,
        }))
    }

    /// Sends a request and drives the connection until the answer's head is there.
    pub(super) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<HyperBody>, TrySendError<Request<Body>>>> {
        let answer = self.0.sender.try_send_request(request);
        let Connection {
            driver,
            ended,
            hush,
            ..
        } = &mut *self.0;
        async move {
            let mut answer = pin!(answer);
            poll_fn(|cx| {
                hush.drive(cx, |cx| {
                    drive(driver, ended, cx);
                    let answer = answer.as_mut().poll(cx);
                    if let Poll::Ready(Ok(response)) = &answer
                        && response.body().is_end_stream()
                    {
                        // Nothing will poll this body: one more look lets the connection end the exchange.
                        drive(driver, ended, cx);
                    }
                    answer
                })
            })
            .await
        }
    }

    /// Takes one look at the socket: a close that has arrived is seen before a request is written.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(self.is_ready())
        })
        .await
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.0.idle_since.elapsed()
    }

    /// Tells whether another request can be sent. A request body that is still on its way would leave the
    /// connection in the middle of a message.
    fn is_ready(&self) -> bool {
        !self.0.ended && self.0.sender.is_ready()
    }

    /// Lets the connection read and write.
    fn drive(&mut self, cx: &Context<'_>) {
        let Connection {
            driver,
            ended,
            hush,
            ..
        } = &mut *self.0;
        let driven: Poll<()> = hush.drive(cx, |cx| {
            drive(driver, ended, cx);
            Poll::Pending
        });
        debug_assert!(driven.is_pending());
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(connection: Http1, peer: Arc<Peer>) -> Self {
        Self { connection, peer }
    }

    /// Polls a body together with the connection that it comes from.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut HyperBody,
        cx: &Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Connection {
            driver,
            ended,
            hush,
            ..
        } = &mut *self.connection.0;
        hush.drive(cx, |cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            drive(driver, ended, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    /// Gives the connection back to the pool, if it is ready for another request.
    pub(super) fn give_back(mut self, cx: &Context<'_>) {
        self.connection.drive(cx);
        self.keep_if_ready();
    }

    /// As `give_back`, when the connection was driven to the end of its exchange already.
    pub(super) fn keep_if_ready(mut self) {
        if self.connection.is_ready() {
            self.connection.0.idle_since = Instant::now();
            self.peer.keep(self.connection);
        }
    }
}

/// Polls a connection that has not ended.
fn drive(driver: &mut http1::Connection<Io, Body>, ended: &mut bool, cx: &mut Context<'_>) {
    if *ended {
        return;
    }
    if let Poll::Ready(result) = Pin::new(driver).poll(cx) {
        *ended = true;
        if let Err(error) = result {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "upstream connection ended"
            );
        }
    }
}
