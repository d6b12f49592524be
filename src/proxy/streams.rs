//! The streams of an HTTP/2 connection, in the task of their connection.
//!
//! The library would make a task of each: every frame then wakes another task, and with it often another thread. Here
//! connection and streams take turns until nothing more happens by itself, and what they wrote meanwhile goes out at
//! once ([`Corked`]).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use pin_project_lite::pin_project;

use super::cork::Corked;
use crate::upstream::{hush::Hush, io::Io};

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the streams that a connection begins; clones are the same.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Vec<Stream>>>);

pin_project! {
    /// A connection together with its streams.
    pub struct Multiplexed<C, S> {
        #[pin]
        connection: C,
        begun: Streams,
        running: FuturesUnordered<Stream>,
        io: Corked<S>,
        hush: Hush,
        end: fn(Pin<&mut C>),
    }
}

// === impl Streams ===

impl Streams {
    fn take(&self) -> Vec<Stream> {
        std::mem::take(&mut *self.0.lock().expect("no panic while streams are held"))
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut begun = self.0.lock().expect("no panic while streams are held");
        begun.push(Box::pin(stream));
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

// === impl Multiplexed ===

impl<C, S> Multiplexed<C, S> {
    /// `end` lets the connection come to a graceful end.
    pub fn new(connection: C, begun: Streams, io: Corked<S>, end: fn(Pin<&mut C>)) -> Self {
        Self {
            connection,
            begun,
            running: FuturesUnordered::new(),
            io,
            hush: Hush::default(),
            end,
        }
    }

    /// Takes no more streams, and ends with the last one.
    pub fn graceful_shutdown(self: Pin<&mut Self>) {
        let this = self.project();
        (this.end)(this.connection);
    }
}

impl<C: Future, S: Io> Future for Multiplexed<C, S> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        let (begun, running, io) = (this.begun, this.running, this.io);
        this.hush.drive_to_rest(
            cx,
            |cx| {
                let polled = this.connection.as_mut().poll(cx);
                if polled.is_pending() {
                    running.extend(begun.take());
                    while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
                }
                polled
            },
            // What could not be written is told with the next read or write: one more round.
            |cx| io.uncork(cx),
        )
    }
}
