//! Bodies on their way: a client's to the upstream, kept while it streams if it may have to be sent again; and the
//! upstream's to the client, which carries its connection and gives it back at its end.

use std::{
    error::Error as StdError,
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
use hyper::body::Incoming as HyperBody;

use super::{
    connection::Lease,
    error::{Error, Kind, Sent},
    keep::{AgainBody, KeptBody},
    patience::Timed,
    silence::Silence,
};

/// A request body on its way out.
#[derive(Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// A client's, streamed.
    Client(ClientBody),
    /// A client's, kept while it streams.
    Kept(KeptBody),
    /// What was kept, then what the client has not sent yet.
    Again(AgainBody),
    /// Any of them, whose end is waited for.
    Timed(Timed),
}

/// A client's request body.
#[derive(Debug)]
pub struct ClientBody {
    inner: HyperBody,
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
pub struct Incoming {
    inner: HyperBody,
    lease: Option<Lease>,
    silence: Silence,
}

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

// === impl Gate ===

impl Gate {
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.waiting.wake();
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

// === impl ClientBody ===

impl ClientBody {
    pub fn new(inner: HyperBody, silence: Duration) -> Self {
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
                Poll::Ready(frame.map(|f| f.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.silence.poll(cx));
                Poll::Ready(Some(Err("the client sent nothing for too long".into())))
            }
        }
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
            Self::Client(body) => body.poll_frame(cx),
            Self::Kept(body) => body.poll_frame(cx),
            Self::Again(body) => body.poll_frame(cx),
            Self::Timed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Client(body) => body.is_end_stream(),
            Self::Kept(body) => body.is_end_stream(),
            Self::Again(body) => body.is_end_stream(),
            Self::Timed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Client(body) => body.size_hint(),
            Self::Kept(body) => body.size_hint(),
            Self::Again(body) => body.size_hint(),
            Self::Timed(body) => body.size_hint(),
        }
    }
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn new(inner: HyperBody, lease: Option<Lease>, silence: Duration) -> Self {
        Self {
            inner,
            lease,
            silence: Silence::new(silence),
        }
    }

    /// Lets a stream of events be silent for longer.
    pub fn set_silence(&mut self, limit: Duration) {
        self.silence = Silence::new(limit);
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        // The connection has no task of its own: whoever wants the body drives it.
        let frame = match &mut this.lease {
            Some(lease) => lease.poll_frame(&mut this.inner, cx),
            None => Pin::new(&mut this.inner).poll_frame(cx),
        };
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.silence.broken();
                if this.inner.is_end_stream()
                    && let Some(lease) = this.lease.take()
                {
                    lease.give_back(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.lease = None;
                Poll::Ready(Some(Err(Error::http(error, Sent::Maybe))))
            }
            Poll::Ready(None) => {
                if let Some(lease) = this.lease.take() {
                    lease.give_back(cx);
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.silence.poll(cx));
                this.lease = None;
                Poll::Ready(Some(Err(Error::new(Kind::Silence, Sent::Maybe))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
