//! A request body that is kept while it streams, up to a bound, so that it can be sent once more.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
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
    /// Small ones behind these, joined.
    joined: BytesMut,
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

/// A piece that carries less is small.
const SMALL: usize = 1024;

/// Bytes of small pieces that are joined.
const PIECE: usize = 16 * 1024;

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
        state.flush();
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
                self.joined = BytesMut::new();
                return;
            }
            self.bytes += data.len();
            self.push(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }

    /// Adds a piece. One takes more than itself, however small it is, and so small ones that follow each other are joined.
    fn push(&mut self, data: &Bytes) {
        let is_small = |piece: &Bytes| piece.len() < SMALL;
        if is_small(data) && self.joined.is_empty() {
            if !self.frames.back().is_some_and(is_small) {
                return self.frames.push_back(data.clone());
            }
            let before = self.frames.pop_back().expect("it was looked at");
            self.joined.extend_from_slice(&before);
        }
        if !is_small(data) || self.joined.len() + data.len() > PIECE {
            self.flush();
        }
        if is_small(data) {
            self.joined.extend_from_slice(data);
        } else {
            self.frames.push_back(data.clone());
        }
    }

    fn flush(&mut self) {
        if !self.joined.is_empty() {
            let joined = std::mem::take(&mut self.joined);
            self.frames.push_back(joined.freeze());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_in_their_order() {
        let total = Total::new(1 << 20);
        let mut kept = Kept::default();
        let lengths = [1, 2, SMALL, 3, SMALL, SMALL, 5, 6, 7].into_iter();
        let lengths = lengths.chain(std::iter::repeat_n(1, 40_000));
        let (mut whole, mut next) = (Vec::new(), 0_u8);
        for length in lengths {
            next = next.wrapping_add(1);
            let data = Bytes::from(vec![next; length]);
            whole.extend_from_slice(&data);
            kept.keep(&Frame::data(data), 1 << 20, &total);
        }
        kept.flush();
        assert_eq!(kept.bytes, whole.len());
        assert_eq!(Vec::from(kept.frames.clone()).concat(), whole);
        // Three joined ones and six by themselves: nothing is copied without need.
        assert!(kept.frames.len() < 10, "{}", kept.frames.len());
        assert_eq!(kept.frames[2].len(), 3);
    }
}
