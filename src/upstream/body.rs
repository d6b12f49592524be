//! Bodies on their way: a client's to the upstream, kept while it streams if it may have to be sent again; and the
//! upstream's to the client, which carries its connection and gives it back at its end.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{
    connection::Lease,
    error::{Error, Kind, Sent},
    guarded::Guarded,
    http2::Held,
    keep::KeptBody,
    patience::Timed,
    silence::Silence,
    unread::Unread,
};
use crate::{
    http1::{self, BoxError, Spelling, request::Upgraded},
    http2,
    message::trailers,
};

/// A request body on its way out.
#[derive(Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Bytes, if they may be sent when it comes to that.
    Guarded(Guarded),
    /// A client's, streamed.
    Client(Box<ClientBody>),
    /// A client's, kept while it streams.
    Kept(KeptBody),
    /// Any of them, whose end is waited for.
    Timed(Timed),
}

/// A request's body as its connection has it.
#[derive(Debug)]
pub enum RequestBody {
    Http1(http1::server::Body),
    Http2(Unread),
}

/// A client's request body.
#[derive(Debug)]
pub struct ClientBody {
    inner: RequestBody,
    silence: Silence,
    gate: Option<Arc<Gate>>,
}

/// Holds a body back until the upstream says "100 Continue", or for a second (RFC 9110 §10.1.1).
#[derive(Debug, Default)]
pub struct Gate {
    open: AtomicBool,
    waiting: AtomicWaker,
}

/// A response body on its way in. Its connection goes back to the pool at its end, and is closed if it is dropped
/// before.
#[derive(Debug)]
pub struct Incoming(Box<Parts>);

/// In a box: a head and its body are handed on many times.
#[derive(Debug)]
struct Parts {
    source: Source,
    spelling: Spelling,
    silence: Silence,
}

/// Where a response body comes from.
enum Source {
    Http1(Lease),
    Http2 {
        body: http2::Body,
        _held: Held,
    },
    /// It is over.
    Ended,
    /// There is none: the connection speaks another protocol now.
    Upgraded(Upgraded),
}

// === impl Gate ===

impl Gate {
    /// Lets the body through; tells whether that is new.
    pub fn open(&self) -> bool {
        let new = !self.open.swap(true, Ordering::AcqRel);
        self.waiting.wake();
        new
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiting.register(cx.waker());
        if self.open.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

// === impl RequestBody ===

impl RequestBody {
    /// Returns how the request's head was written.
    pub fn spelling(&self) -> Spelling {
        match self {
            Self::Http1(body) => body.spelling().clone(),
            Self::Http2(_) => Spelling::default(),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

// === impl ClientBody ===

impl ClientBody {
    pub fn new(inner: RequestBody, silence: Duration) -> Self {
        Self {
            inner,
            silence: Silence::new(silence),
            gate: None,
        }
    }

    /// Holds the body back until the gate opens.
    pub fn gated(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(gate) = &self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence.broken();
                Poll::Ready(frame.map(|frame| frame.map(trailers_cleaned)))
            }
            Poll::Pending => {
                ready!(self.silence.poll(cx));
                Poll::Ready(Some(Err("the client sent nothing for too long".into())))
            }
        }
    }
}

/// Takes out of trailers what may not stand there, whichever way they go.
fn trailers_cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(trailers::clean(trailers)),
        Err(data) => data,
    }
}

// === impl Body ===

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            body @ Self::Full(_) => match std::mem::take(body) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Guarded(body) => Poll::Ready(body.next()),
            Self::Client(body) => body.poll_frame(cx),
            Self::Kept(body) => body.poll_frame(cx),
            Self::Timed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Guarded(body) => body.len() == 0,
            Self::Client(body) => body.is_end_stream(),
            Self::Kept(body) => body.is_end_stream(),
            Self::Timed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Guarded(body) => SizeHint::with_exact(body.len() as u64),
            Self::Client(body) => body.size_hint(),
            Self::Kept(body) => body.size_hint(),
            Self::Timed(body) => body.size_hint(),
        }
    }
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn http1(lease: Lease, spelling: Spelling, silence: Duration) -> Self {
        let source = if lease.is_complete() {
            lease.give_back();
            Source::Ended
        } else {
            Source::Http1(lease)
        };
        Self::new(source, spelling, silence)
    }

    pub(super) fn http2(body: http2::Body, held: Held, silence: Duration) -> Self {
        let source = Source::Http2 { body, _held: held };
        Self::new(source, Spelling::default(), silence)
    }

    /// Of an answer that has none.
    pub(super) fn ended(silence: Duration) -> Self {
        Self::new(Source::Ended, Spelling::default(), silence)
    }

    pub(super) fn upgraded(upgraded: Upgraded, spelling: Spelling, silence: Duration) -> Self {
        Self::new(Source::Upgraded(upgraded), spelling, silence)
    }

    fn new(source: Source, spelling: Spelling, silence: Duration) -> Self {
        Self(Box::new(Parts {
            source,
            spelling,
            silence: Silence::new(silence),
        }))
    }

    /// Lets a stream of events be silent for longer.
    pub fn set_silence(&mut self, limit: Duration) {
        self.0.silence = Silence::new(limit);
    }

    /// Returns how the response's head was written.
    pub fn spelling(&self) -> &Spelling {
        &self.0.spelling
    }

    /// Returns the connection of a response that changed over to another protocol.
    pub fn take_upgraded(&mut self) -> Option<Upgraded> {
        match std::mem::replace(&mut self.0.source, Source::Ended) {
            Source::Upgraded(upgraded) => Some(upgraded),
            source => {
                self.0.source = source;
                None
            }
        }
    }

    /// Notes that nothing more comes; the connection goes back to the pool.
    fn end(&mut self) {
        if let Source::Http1(lease) = std::mem::replace(&mut self.0.source, Source::Ended) {
            lease.give_back();
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1(_) => "Http1",
            Self::Http2 { .. } => "Http2",
            Self::Ended => "Ended",
            Self::Upgraded(_) => "Upgraded",
        })
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let incoming = self.get_mut();
        let this = &mut *incoming.0;
        let frame = match &mut this.source {
            Source::Http1(lease) => lease.poll_frame(cx).map_err(Error::http1),
            Source::Http2 { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| Error::http2(error, Sent::Maybe)),
            Source::Ended | Source::Upgraded(_) => Poll::Ready(None),
        };
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.silence.broken();
                if matches!(&this.source, Source::Http1(lease) if lease.is_complete()) {
                    incoming.end();
                }
                Poll::Ready(Some(Ok(trailers_cleaned(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                this.source = Source::Ended;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                incoming.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.silence.poll(cx));
                this.source = Source::Ended;
                Poll::Ready(Some(Err(Error::new(Kind::Silence, Sent::Maybe))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0.source {
            Source::Http1(lease) => lease.is_complete(),
            Source::Http2 { body, .. } => body.is_end_stream(),
            Source::Ended | Source::Upgraded(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.source {
            Source::Http1(lease) => lease
                .remaining()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Http2 { body, .. } => body.size_hint(),
            Source::Ended | Source::Upgraded(_) => SizeHint::with_exact(0),
        }
    }
}
