//! What the connection from a client and a request's body share: both read from the socket, in whichever task they are.

use std::{
    io,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Method, Version};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Bounds, Error, Refused,
    decode::Decoder,
    encode::Out,
    fill::Inbox,
    head::{self, Length},
    request::Source,
    server::OnConnect,
};

/// What the connection and a request's body share.
pub(super) struct Wire<S> {
    pub io: S,
    pub bounds: Bounds,
    pub on_connect: OnConnect,
    pub inbox: Inbox,
    pub out: Out,
    pub receiving: Decoder,
    /// Whether the client waits for "100 Continue".
    pub expects: bool,
    /// Whether an answer is being written: then only who serves the connection writes, so that nobody else is woken
    /// when there is room.
    pub answering: bool,
    /// Whether nobody is to read the rest of the body.
    pub abandoned: bool,
    pub method: Method,
    pub version: Version,
    pub keep_alive: bool,
    /// Who serves the connection, while a body is read elsewhere.
    pub server: Option<Waker>,
    /// Who waits for more of the body.
    pub reader: Option<Waker>,
}

/// How much of a request's body that nobody wanted is read for the sake of the connection.
const LEFT_OVER: usize = 256 * 1024;

// === impl Wire ===

impl<S> Wire<S> {
    pub fn new(io: S, bounds: Bounds, on_connect: OnConnect) -> Self {
        Self {
            io,
            bounds,
            on_connect,
            inbox: Inbox::new(),
            out: Out::default(),
            receiving: Decoder::new(Length::Exact(0)),
            expects: false,
            answering: false,
            abandoned: false,
            method: Method::GET,
            version: Version::HTTP_11,
            keep_alive: true,
            server: None,
            reader: None,
        }
    }

    /// Lets whoever reads the body know that the rest of it will not come.
    pub fn abandon(&mut self) {
        self.abandoned = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn stops_at_connect(&self) -> bool {
        self.on_connect == OnConnect::Stop && self.inbox.bytes.starts_with(b"CONNECT ")
    }

    /// Takes the next head, if all of it is there.
    pub fn head(&mut self) -> Result<Option<head::Request>, Error> {
        if self.inbox.bytes.is_empty() {
            return Ok(None);
        }
        if self.inbox.may_hold_head()
            && let Some(head) = head::request(&mut self.inbox.bytes, self.bounds)?
        {
            self.inbox.took_head();
            return Ok(Some(head));
        }
        // Also while nothing looks like an end.
        if self.inbox.bytes.len() > self.bounds.bytes {
            return Err(Refused::TooLarge.into());
        }
        Ok(None)
    }

    pub fn begin(&mut self, head: &head::Request) {
        self.method = head.method.clone();
        self.version = head.version;
        self.keep_alive = head.keep_alive;
        self.receiving = Decoder::new(head.length);
        self.expects = head.expects;
        self.answering = false;
        self.abandoned = false;
    }

    /// Writes what waits, as far as it goes.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.out.poll_flush(&mut self.io, cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Passes over what is left of a body that nobody reads, if it is there already and small.
    pub fn pass_over(&mut self, cx: &mut Context<'_>) {
        let mut passed = 0;
        while self.keep_alive && !self.receiving.is_end() && passed < LEFT_OVER {
            match self.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => passed += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(_))) | Poll::Pending => break,
            }
        }
    }

    /// Reads what comes next of the request's body.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if std::mem::take(&mut self.expects) && self.out.has_room() {
            let head = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.out.small().extend_from_slice(head);
        }
        if !self.answering {
            self.flush(cx)?;
        }
        let polled = self.inbox.poll_frame(&mut self.io, cx, &mut self.receiving);
        if self.receiving.is_end()
            && let Some(server) = self.server.take()
            && !server.will_wake(cx.waker())
        {
            server.wake();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Source for Mutex<Wire<S>> {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut wire = lock(self);
        if wire.abandoned {
            return Poll::Ready(Some(Err(Error::Incomplete)));
        }
        let polled = wire.poll_frame(cx);
        wire.reader = polled.is_pending().then(|| cx.waker().clone());
        polled
    }

    fn is_end(&self) -> bool {
        lock(self).receiving.is_end()
    }
}

pub(super) fn lock<S>(wire: &Mutex<Wire<S>>) -> MutexGuard<'_, Wire<S>> {
    wire.lock().expect("no panic while a connection is held")
}
