//! Bodies on their way: a client's to the upstream, kept while it streams if it may have to be sent again; and the
//! upstream's to the client, which carries its connection and gives it back at its end.

use std::{
    collections::VecDeque,
    error::Error as StdError,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming as HyperBody;
use tokio::sync::Notify;

use super::{
    error::{Error, Kind, Sent},
    peer::Lease,
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

/// A body that leaves a copy of itself behind.
#[derive(Debug)]
pub struct KeptBody {
    inner: Option<ClientBody>,
    keep: Arc<Keep>,
}

/// The copy of a body, up to a bound.
#[derive(Debug)]
pub struct Keep {
    limit: usize,
    total: Arc<Total>,
    state: Mutex<Kept>,
    returned: Notify,
}

/// The bytes kept of all bodies together.
#[derive(Debug)]
pub struct Total {
    limit: usize,
    used: AtomicUsize,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    /// Whether the whole body went by.
    complete: bool,
    /// Whether it was more than may be kept.
    over: bool,
    /// What the client has not sent yet, given back when the body is dropped unfinished.
    rest: Option<ClientBody>,
}

#[derive(Debug)]
pub struct AgainBody {
    frames: VecDeque<Bytes>,
    bytes: u64,
    rest: Option<ClientBody>,
    trailers: Option<HeaderMap>,
}

/// A response body on its way in. Its connection goes back to the pool at its end, and is closed if it is dropped
/// before.
#[derive(Debug)]
pub struct Incoming {
    inner: HyperBody,
    lease: Option<Lease>,
    silence: Silence,
}

type BoxError = Box<dyn StdError + Send + Sync>;

// === impl Gate ===

impl Gate {
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.waiting.wake();
    }

    fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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

// === impl Total ===

impl Total {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used + bytes <= self.limit;
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// === impl Keep ===

impl Keep {
    /// Makes a body that is kept while it streams, up to `limit` bytes, and its copy.
    pub fn body(inner: ClientBody, limit: usize, total: Arc<Total>) -> (Body, Arc<Self>) {
        let keep = Arc::new(Self {
            limit,
            total,
            state: Mutex::default(),
            returned: Notify::new(),
        });
        (
            Body::Kept(KeptBody {
                inner: Some(inner),
                keep: keep.clone(),
            }),
            keep,
        )
    }

    /// Returns the body once more, if all of it that was sent is kept; waits a moment for a connection that is
    /// still letting go of the rest.
    pub async fn again(&self) -> Option<Body> {
        /// A dropped HTTP/1.1 exchange lets go at once; an HTTP/2 stream needs its connection's task to run.
        const LETTING_GO: Duration = Duration::from_millis(500);
        let let_go = async {
            loop {
                let returned = self.returned.notified();
                {
                    let state = self.lock();
                    if state.over || state.complete || state.rest.is_some() {
                        return;
                    }
                }
                returned.await;
            }
        };
        tokio::time::timeout(LETTING_GO, let_go).await.ok()?;
        let mut state = self.lock();
        if state.over {
            return None;
        }
        let bytes = state.bytes as u64;
        self.total.give_back(state.bytes);
        state.bytes = 0;
        Some(Body::Again(AgainBody {
            frames: std::mem::take(&mut state.frames),
            bytes,
            rest: state.rest.take(),
            trailers: state.trailers.take(),
        }))
    }

    /// Tells whether all of it that was sent so far is kept.
    pub fn fits(&self) -> bool {
        !self.lock().over
    }

    /// Tells whether the whole body was sent.
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.state.lock().expect("no panic while a copy is held")
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        let mut state = self.lock();
        if state.over {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if state.bytes + data.len() > self.limit || !self.total.take(data.len()) {
                state.over = true;
                self.total.give_back(state.bytes);
                state.bytes = 0;
                state.frames.clear();
                return;
            }
            state.bytes += data.len();
            state.frames.push_back(data.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            state.trailers = Some(trailers.clone());
        }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.total.give_back(bytes);
    }
}

// === impl KeptBody ===

impl KeptBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep.keep(frame),
            Some(Err(_)) => self.keep.lock().over = true,
            None => {}
        }
        if frame.is_none() || self.inner.as_ref().is_some_and(|i| i.inner.is_end_stream()) {
            self.keep.lock().complete = true;
        }
        Poll::Ready(frame)
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        let mut state = self.keep.lock();
        if !state.complete {
            state.rest = self.inner.take();
        }
        drop(state);
        self.keep.returned.notify_one();
    }
}

// === impl AgainBody ===

impl AgainBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(data) = self.frames.pop_front() {
            self.bytes -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(rest) = &mut self.rest {
            return rest.poll_frame(cx);
        }
        Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t))))
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Client(body) => body.inner.is_end_stream(),
            Self::Kept(body) => body.inner.as_ref().is_none_or(|b| b.inner.is_end_stream()),
            Self::Again(body) => {
                body.frames.is_empty()
                    && body.trailers.is_none()
                    && body.rest.as_ref().is_none_or(|b| b.inner.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Client(body) => body.inner.size_hint(),
            Self::Kept(body) => body
                .inner
                .as_ref()
                .map_or_else(|| SizeHint::with_exact(0), |b| b.inner.size_hint()),
            Self::Again(AgainBody {
                bytes,
                rest: None,
                trailers: None,
                ..
            }) => SizeHint::with_exact(*bytes),
            Self::Again(body) => {
                let mut hint = body
                    .rest
                    .as_ref()
                    .map(|b| b.inner.size_hint())
                    .unwrap_or_default();
                if let Some(exact) = hint.exact().filter(|_| body.rest.is_some()) {
                    hint.set_exact(exact + body.bytes);
                }
                hint
            }
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
