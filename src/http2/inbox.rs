//! What has come on the streams of a connection and is not read yet.
//!
//! The library keeps each frame by itself, which takes 250 bytes and more however little it carries, and so it ends a
//! connection of whose small frames too many wait. Here these are counted as they come. After some, what waits on any
//! stream is taken from the library and joined, by whoever drives the connection. Windows are opened as ever, by what is
//! read: nobody may send more ahead.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderMap, Response, response::Parts};
use slab::Slab;

/// All streams of a connection on which something may come; clones are the same.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    streams: Mutex<Slab<Stream>>,
    /// Small frames of DATA that have come since what waited was joined.
    small: AtomicUsize,
}

/// What comes on one stream.
pub(super) struct Incoming {
    inbox: Inbox,
    key: usize,
}

/// A head that comes on a stream.
pub(super) enum Head {
    Interim(Response<()>),
    Final(Parts),
}

struct Stream {
    coming: Coming,
    joined: Option<Box<Joined>>,
}

enum Coming {
    /// An answer, and who waits for it.
    Answer(ResponseFuture, Option<Waker>),
    Body(RecvStream),
}

/// What was taken from the library, in its order.
#[derive(Default)]
struct Joined {
    heads: VecDeque<Head>,
    pieces: VecDeque<BytesMut>,
    /// Bytes of the pieces.
    bytes: usize,
}

/// A frame of DATA that carries less is small: what a frame takes by itself is more than that.
pub const SMALL: usize = 256;

/// How many small frames may come until what waits is joined: they take 64 KiB then.
const MANY: usize = 256;

/// Bytes of a piece that is joined: as many as a frame of the library carries (RFC 9113 §6.5.2).
const PIECE: usize = 16 * 1024;

// === impl Inbox ===

impl Inbox {
    /// Notes that a small frame has come.
    pub fn note(&self) {
        self.0.small.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether so many small frames have come that no more are to be read before they are joined.
    pub fn is_full(&self) -> bool {
        self.0.small.load(Ordering::Relaxed) >= MANY
    }

    /// Joins what waits, if there are many small frames.
    pub(super) fn join(&self) {
        if !self.is_full() {
            return;
        }
        for (_, stream) in &mut *self.streams() {
            stream.join();
        }
        self.0.small.store(0, Ordering::Relaxed);
    }

    pub(super) fn answer(&self, response: ResponseFuture) -> Incoming {
        self.add(Coming::Answer(response, None))
    }

    pub(super) fn body(&self, stream: RecvStream) -> Incoming {
        self.add(Coming::Body(stream))
    }

    fn add(&self, coming: Coming) -> Incoming {
        let stream = Stream {
            coming,
            joined: None,
        };
        Incoming {
            inbox: self.clone(),
            key: self.streams().insert(stream),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Slab<Stream>> {
        let streams = self.0.streams.lock();
        // A panic has ended its connection: what the library gives is an error then.
        streams.unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Incoming ===

impl Incoming {
    /// Waits for the next head of an answer.
    pub(super) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Head, h2::Error>> {
        self.inbox.streams()[self.key].poll_head(cx)
    }

    /// Waits for a part of the body, whose room in the window is given back with it; `None`: trailers are next, if
    /// anything.
    pub(super) fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        self.inbox.streams()[self.key].poll_data(cx)
    }

    /// Waits for the trailers.
    pub(super) fn poll_trailers(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        self.inbox.streams()[self.key].body().poll_trailers(cx)
    }

    /// Tells whether all has been read.
    pub(super) fn is_end_stream(&self) -> bool {
        let stream = &mut self.inbox.streams()[self.key];
        stream.joined.is_none() && stream.body().is_end_stream()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut streams = self.inbox.streams();
        let mut stream = streams.remove(self.key);
        drop(streams);
        if let Some(joined) = stream.joined.take() {
            // Nobody reads it: it is to take no room of others, however long an answer goes on.
            stream.release(joined.bytes);
        }
    }
}

// === impl Stream ===

impl Stream {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, h2::Error>> {
        if let Some(head) = self.joined.as_mut().and_then(|j| j.heads.pop_front()) {
            self.settle();
            return Poll::Ready(Ok(head));
        }
        let Coming::Answer(response, waits) = &mut self.coming else {
            unreachable!("its last head has been taken");
        };
        let polled = poll_response(response, cx);
        match polled {
            Poll::Ready(Ok((head, body))) => {
                if let Some(body) = body {
                    self.coming = Coming::Body(body);
                }
                Poll::Ready(Ok(head))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                match waits {
                    Some(waits) => waits.clone_from(cx.waker()),
                    None => *waits = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = match self.joined.as_mut().and_then(|j| j.take()) {
            Some(piece) => {
                self.settle();
                piece
            }
            None => match ready!(self.body().poll_data(cx)) {
                Some(Ok(data)) => data,
                other => return Poll::Ready(other),
            },
        };
        self.release(data.len());
        Poll::Ready(Some(Ok(data)))
    }

    /// Takes what waits from the library. What it waits for itself stays as it was: whoever reads is woken.
    fn join(&mut self) {
        if let Coming::Answer(response, Some(waits)) = &mut self.coming {
            let waits = waits.clone();
            let mut cx = Context::from_waker(&waits);
            while let Poll::Ready(Ok((head, body))) = poll_response(response, &mut cx) {
                let joined = self.joined.get_or_insert_default();
                joined.heads.push_back(head);
                if let Some(body) = body {
                    self.coming = Coming::Body(body);
                    break;
                }
            }
        }
        let Coming::Body(stream) = &mut self.coming else {
            return;
        };
        let bytes = self.joined.as_ref().map_or(0, |joined| joined.bytes);
        let mut more = stream.flow_control().used_capacity();
        more = more.saturating_sub(bytes);
        // Only as long as there is something: else it would be us who is woken.
        let mut cx = Context::from_waker(Waker::noop());
        while more > 0
            && let Poll::Ready(Some(Ok(data))) = stream.poll_data(&mut cx)
        {
            let joined = self.joined.get_or_insert_default();
            joined.push(&data, more);
            more = more.saturating_sub(data.len());
        }
    }

    /// Gives room in the window back.
    fn release(&mut self, bytes: usize) {
        if let Coming::Body(stream) = &mut self.coming {
            // Whoever reads slowly does not ask for more. A stream that has failed says so next.
            drop(stream.flow_control().release_capacity(bytes));
        }
    }

    /// Forgets what was joined if all of it has been taken.
    fn settle(&mut self) {
        let empty = |joined: &mut Box<Joined>| joined.heads.is_empty() && joined.pieces.is_empty();
        self.joined.take_if(empty);
    }

    fn body(&mut self) -> &mut RecvStream {
        match &mut self.coming {
            Coming::Body(stream) => stream,
            Coming::Answer(..) => unreachable!("its head has been taken"),
        }
    }
}

// === impl Joined ===

impl Joined {
    /// Adds a frame; `more` bytes are to come with it.
    fn push(&mut self, data: &[u8], more: usize) {
        self.bytes += data.len();
        match self.pieces.back_mut() {
            Some(last) if last.len() + data.len() <= PIECE => last.extend_from_slice(data),
            _ => {
                let mut piece = BytesMut::with_capacity(more.min(PIECE));
                piece.extend_from_slice(data);
                self.pieces.push_back(piece);
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece.freeze())
    }
}

/// Waits for the next head of an answer, with the body if it is the last one.
fn poll_response(
    response: &mut ResponseFuture,
    cx: &mut Context<'_>,
) -> Poll<Result<(Head, Option<RecvStream>), h2::Error>> {
    if let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
        return Poll::Ready(Ok((Head::Interim(head), None)));
    }
    let (head, body) = ready!(Pin::new(response).poll(cx))?.into_parts();
    Poll::Ready(Ok((Head::Final(head), Some(body))))
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

#[cfg(test)]
mod tests;
