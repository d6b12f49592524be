//! A connection from a client: one request after another, each answered before the next is read.
//!
//! Whoever serves the connection polls it; a request's body reads from the same connection, in whichever task it is
//! polled, so both share it.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Bounds, Error,
    answer::Asked,
    encode::Encoder,
    wire::{Wire, lock},
};
pub use super::{
    answer::{Answer, informational},
    request::{Body, Duplex, Upgrade},
};

/// A connection from a client.
pub struct Connection<S>(Arc<Mutex<Wire<S>>>);

/// What a CONNECT is where requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConnect {
    /// A request like any other.
    Serve,
    /// The end of what is served here: what follows its head is no request (RFC 9110 §9.3.6).
    Stop,
}

/// An answer's body on its way.
#[derive(Debug)]
pub struct Answering(Encoder);

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection<S> {
    pub fn new(io: S, bounds: Bounds, on_connect: OnConnect) -> Self {
        Self(Arc::new(Mutex::new(Wire::new(io, bounds, on_connect))))
    }

    /// Reads the next request's head; `None`: the client has closed the connection, or it [stops at a
    /// CONNECT](Self::stops_at_connect).
    pub fn poll_request(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<http::Request<Body>>, Error>> {
        let mut wire = self.lock();
        loop {
            let bounds = wire.bounds;
            wire.inbox.skip_empty_lines(bounds)?;
            if wire.stops_at_connect() {
                return Poll::Ready(Ok(None));
            }
            if let Some(head) = wire.head()? {
                let body = Body::new(&head, || self.0.clone());
                wire.begin(&head);
                let mut request = http::Request::new(body);
                *request.method_mut() = head.method;
                *request.uri_mut() = head.uri;
                *request.version_mut() = head.version;
                *request.headers_mut() = head.headers;
                return Poll::Ready(Ok(Some(request)));
            }
            let Wire { io, inbox, .. } = &mut *wire;
            if inbox.closed {
                return Poll::Ready(match inbox.bytes.is_empty() {
                    true => Ok(None),
                    false => Err(Error::Incomplete),
                });
            }
            ready!(inbox.poll_some(io, cx))?;
        }
    }

    /// Tells whether what comes next is a CONNECT that is not served here.
    pub fn stops_at_connect(&self) -> bool {
        self.lock().stops_at_connect()
    }

    /// Tells whether a part of a head has come.
    pub fn has_begun(&self) -> bool {
        !self.lock().inbox.bytes.is_empty()
    }

    /// Writes informational answers, before the answer to a request that is being served.
    pub fn announce(&self, heads: &[u8]) {
        let mut wire = self.lock();
        if wire.version == Version::HTTP_11 && wire.out.has_room() {
            wire.out.small().extend_from_slice(heads);
        }
    }

    /// Is ready when the client has left while its request is served. What comes meanwhile is its next request.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.lock();
        let wire = &mut *wire;
        if wire.flush(cx).is_err() {
            return Poll::Ready(());
        }
        if !wire.receiving.is_end() {
            // The body is read by whoever wants it, and says when it is there.
            match &mut wire.server {
                Some(server) => server.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        while !wire.inbox.closed && wire.inbox.bytes.len() < wire.bounds.bytes {
            match wire.inbox.poll_some(&mut wire.io, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        match wire.inbox.closed {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Begins an answer. One that comes before the end of the request says that the connection ends behind it, if it
    /// does (RFC 9112 §9.6).
    pub fn answer(&self, answer: Answer<'_>) -> Answering {
        // The body holds the other reference.
        let is_read = Arc::strong_count(&self.0) > 1;
        let mut wire = self.lock();
        let wire = &mut *wire;
        wire.expects = false;
        wire.answering = true;
        if !is_read {
            wire.pass_over(&mut Context::from_waker(Waker::noop()));
        }
        // Whoever says yes may go on reading; whoever says anything else does not.
        let may_end = is_read && answer.status.is_success();
        wire.keep_alive &= may_end || wire.receiving.is_end();
        let asked = Asked {
            method: &wire.method,
            version: wire.version,
        };
        let length = answer.write(asked, &mut wire.keep_alive, wire.out.small());
        Answering(Encoder::new(length, answer.headers))
    }

    /// Writes an answer's body to its end.
    pub fn poll_answer<B>(
        &self,
        cx: &mut Context<'_>,
        answering: &mut Answering,
        body: &mut B,
    ) -> Poll<Result<(), Error>>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<super::BoxError>,
    {
        let encoder = &mut answering.0;
        loop {
            let mut waits = false;
            while !encoder.is_end() && self.lock().out.has_room() {
                // Not under the lock: it may read from this connection.
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => encoder.encode(frame, &mut self.lock().out)?,
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(Error::Sending(error.into())));
                    }
                    Poll::Ready(None) => encoder.end(&mut self.lock().out)?,
                    Poll::Pending => {
                        waits = true;
                        break;
                    }
                }
            }
            {
                let mut wire = self.lock();
                let Wire { io, out, .. } = &mut *wire;
                if encoder.is_end() {
                    return out.poll_flush(io, cx).map_err(Error::Io);
                }
                ready!(out.poll_write(io, cx))?;
            }
            if waits {
                ready!(self.poll_gone(cx));
                return Poll::Ready(Err(Error::Incomplete));
            }
        }
    }

    /// Ends an exchange; tells whether another request may follow.
    pub fn finish(&self, cx: &mut Context<'_>) -> bool {
        let mut wire = self.lock();
        wire.abandon();
        wire.pass_over(cx);
        wire.keep_alive && wire.receiving.is_end()
    }

    /// Ends the connection so that the client can read the last answer (RFC 9112 §9.6): unread input would make it a reset.
    pub fn poll_linger(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.lock();
        let Wire { io, inbox, .. } = &mut *wire;
        while !inbox.closed {
            inbox.bytes.clear();
            ready!(inbox.poll_some(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the client that nothing more comes.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.lock();
        let Wire { io, out, .. } = &mut *wire;
        ready!(out.poll_write(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }

    /// Tells whether the client may still be sending.
    pub fn is_read_to_end(&self) -> bool {
        let wire = self.lock();
        wire.receiving.is_end() && wire.inbox.bytes.is_empty() || wire.inbox.closed
    }

    /// Takes the connection apart after the change to another protocol; `None`: something of it is still in use.
    pub fn into_parts(self) -> Option<(S, BytesMut)> {
        let wire = self.0.clone();
        drop(self);
        let wire = Arc::into_inner(wire)?.into_inner().ok()?;
        Some((wire.io, wire.inbox.bytes))
    }
}

impl<S> Connection<S> {
    fn lock(&self) -> MutexGuard<'_, Wire<S>> {
        lock(&self.0)
    }
}

impl<S> Drop for Connection<S> {
    /// A body that is still read would hold the socket.
    fn drop(&mut self) {
        if let Ok(mut wire) = self.0.lock() {
            wire.abandon();
        }
    }
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
