//! A request body that is kept while it streams, up to a bound, so that it can be sent once more.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;

use super::body::{Body, BoxError, ClientBody};

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
    pub(super) fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(ClientBody::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), ClientBody::size_hint)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep.keep(frame),
            Some(Err(_)) => self.keep.lock().over = true,
            None => {}
        }
        if frame.is_none() || self.inner.as_ref().is_some_and(ClientBody::is_end_stream) {
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
    pub(super) fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(ClientBody::is_end_stream)
    }

    /// Returns the length of what is kept and what is still to come, where both are known.
    pub(super) fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Some(rest) => rest.size_hint().exact(),
            None => self.trailers.is_none().then_some(0),
        };
        rest.map_or_else(SizeHint::default, |rest| {
            SizeHint::with_exact(self.bytes + rest)
        })
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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
