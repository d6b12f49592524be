//! A request body that is kept while it streams, up to a bound, so that it can be sent once more.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::body::{Body, ClientBody};
use crate::http1::BoxError;

/// A body that leaves a copy of itself behind.
#[derive(Debug)]
pub struct KeptBody(Arc<Keep>);

/// The copy of a body, up to a bound.
#[derive(Debug)]
pub struct Keep {
    limit: usize,
    total: Arc<Total>,
    state: Mutex<Kept>,
}

/// The bytes kept of all bodies together.
#[derive(Debug)]
pub struct Total {
    limit: usize,
    used: AtomicUsize,
}

/// Bytes that count among those of all kept bodies, until it is dropped.
#[derive(Debug)]
pub struct Loan {
    total: Arc<Total>,
    bytes: usize,
}

/// Bytes and the room for them.
struct Lent {
    bytes: Vec<u8>,
    _loan: Loan,
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
    /// What has not been sent yet; taken away from the first attempt when there is a second one.
    rest: Option<Rest>,
    /// The first attempt, while it waits for more.
    waiting: Option<Waker>,
}

/// Where what is kept comes from.
#[derive(Debug)]
enum Rest {
    Client(ClientBody),
    Again(AgainBody),
}

/// What was kept, and then what has not been sent yet.
#[derive(Debug)]
struct AgainBody {
    frames: VecDeque<Bytes>,
    bytes: u64,
    rest: Option<Box<Rest>>,
    trailers: Option<HeaderMap>,
}

// === impl Total ===

impl Total {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Counts what is held in another way than as a copy; `None`: there is no room for it.
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Option<Loan> {
        let total = self.clone();
        self.take(bytes).then(|| Loan { total, bytes })
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

// === impl Loan ===

impl Loan {
    /// Counts for as long as these bytes are held.
    pub fn on(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, _loan: self })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.total.give_back(self.bytes);
    }
}

// === impl Keep ===

impl Keep {
    /// Makes a body that is kept while it streams, up to `limit` bytes, and its copy.
    pub fn body(inner: ClientBody, limit: usize, total: Arc<Total>) -> (Body, Arc<Self>) {
        Self::of(Rest::Client(inner), limit, total)
    }

    fn of(rest: Rest, limit: usize, total: Arc<Total>) -> (Body, Arc<Self>) {
        let keep = Arc::new(Self {
            limit,
            total,
            state: Mutex::new(Kept {
                rest: Some(rest),
                ..Kept::default()
            }),
        });
        (Body::Kept(KeptBody(keep.clone())), keep)
    }

    /// Returns the body once more, and only once, if all of it that was sent is kept; it leaves a copy, too. What the
    /// client has not sent yet goes with it; the first attempt, if it still wants more, is told that there is none.
    pub fn again(&self) -> Option<(Body, Arc<Self>)> {
        let mut state = self.lock();
        if state.over {
            return None;
        }
        state.over = true;
        let bytes = state.bytes as u64;
        self.total.give_back(state.bytes);
        state.bytes = 0;
        let rest = state.rest.take().filter(|_| !state.complete);
        let again = AgainBody {
            frames: std::mem::take(&mut state.frames),
            bytes,
            rest: rest.map(Box::new),
            trailers: state.trailers.take(),
        };
        let waiting = state.waiting.take();
        drop(state);
        if let Some(first) = waiting {
            first.wake();
        }
        Some(Self::of(Rest::Again(again), self.limit, self.total.clone()))
    }

    /// Tells whether the whole body was sent.
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().expect("no panic while a copy is held")
    }
}

// === impl Kept ===

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>, limit: usize, total: &Total) {
        if self.over {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if self.bytes + data.len() > limit || !total.take(data.len()) {
                self.over = true;
                total.give_back(self.bytes);
                self.bytes = 0;
                self.frames.clear();
                return;
            }
            self.bytes += data.len();
            self.frames.push_back(data.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }

    /// Remembers whom to tell when the rest is taken away.
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
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
    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.rest.as_ref().is_some_and(Rest::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.0.lock();
        let rest = state.rest.as_ref();
        rest.map_or_else(SizeHint::default, Rest::size_hint)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Keep { limit, total, .. } = &*self.0;
        let mut state = self.0.lock();
        let Some(rest) = &mut state.rest else {
            return Poll::Ready(Some(Err("the request is being sent again".into())));
        };
        let Poll::Ready(frame) = rest.poll_frame(cx) else {
            state.wait(cx);
            return Poll::Pending;
        };
        state.complete = frame.is_none() || rest.is_end_stream();
        match &frame {
            Some(Ok(frame)) => state.keep(frame, *limit, total),
            Some(Err(_)) => state.over = true,
            None => {}
        }
        Poll::Ready(frame)
    }
}

// === impl Rest ===

impl Rest {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Again(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Again(body) => body.size_hint(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Client(body) => body.poll_frame(cx),
            Self::Again(body) => body.poll_frame(cx),
        }
    }
}

// === impl AgainBody ===

impl AgainBody {
    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    /// Returns the length of what is kept and what is still to come, where both are known.
    fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Some(rest) => rest.size_hint().exact(),
            None => self.trailers.is_none().then_some(0),
        };
        rest.map_or_else(SizeHint::default, |rest| {
            SizeHint::with_exact(self.bytes + rest)
        })
    }

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
