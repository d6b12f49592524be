//! The streams of an HTTP/2 connection, in the task of their connection.
//!
//! The library would make a task of each: every frame then wakes another task, and with it often another thread. Here
//! connection and streams take turns until nothing more happens by itself.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream::FuturesUnordered, task::AtomicWaker};
use pin_project_lite::pin_project;

use super::{hush::Hush, inbox::Inbox};

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the streams that a connection begins; clones are the same.
#[derive(Clone, Default)]
pub struct Streams(Arc<Begun>);

#[derive(Default)]
struct Begun {
    streams: Mutex<Vec<Stream>>,
    /// Who drives them, in a task of its own.
    task: AtomicWaker,
    inbox: Inbox,
}

/// Streams until the last of them has ended.
struct Running {
    begun: Streams,
    running: FuturesUnordered<Stream>,
}

pin_project! {
    /// A connection together with its streams, which end with it.
    pub struct Multiplexed<C, R> {
        #[pin]
        connection: C,
        streams: Running,
        hush: Hush,
        // Called when nothing more happens by itself; says whether that gave the connection more to do.
        rest: R,
        end: fn(Pin<&mut C>),
    }
}

// === impl Streams ===

impl Streams {
    /// Takes a stream that the connection has begun, and that is driven next.
    pub fn add(&self, stream: impl Future<Output = ()> + Send + 'static) {
        self.begun().push(Box::pin(stream));
    }

    /// Takes a stream that another task has begun.
    pub(super) fn spawn(&self, stream: impl Future<Output = ()> + Send + 'static) {
        self.add(stream);
        self.0.task.wake();
    }

    /// Returns where what comes on them waits: whoever reads the connection notes small frames there.
    pub fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    /// Drives all streams until the last of them has ended.
    pub async fn run(self) {
        let begun = self.0.clone();
        let (mut streams, hush) = (Running::new(self), Hush::default());
        let mut all = |cx: &mut Context<'_>| {
            begun.task.register(cx.waker());
            streams.poll(cx)
        };
        std::future::poll_fn(|cx| hush.drive(cx, &mut all)).await;
    }

    fn begun(&self) -> MutexGuard<'_, Vec<Stream>> {
        let begun = self.0.streams.lock();
        begun.expect("no panic while streams are held")
    }

    fn take(&self) -> Vec<Stream> {
        std::mem::take(&mut *self.begun())
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

// === impl Running ===

impl Running {
    fn new(begun: Streams) -> Self {
        Self {
            begun,
            running: FuturesUnordered::new(),
        }
    }

    /// Lets each go on that can; ready when there is none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.begun.inbox().join();
            self.running.extend(self.begun.take());
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

// === impl Multiplexed ===

impl<C, R> Multiplexed<C, R> {
    /// `end` lets the connection come to a graceful end.
    pub fn new(connection: C, streams: Streams, rest: R, end: fn(Pin<&mut C>)) -> Self {
        Self {
            connection,
            streams: Running::new(streams),
            hush: Hush::default(),
            rest,
            end,
        }
    }

    /// Takes no more streams, and ends with the last one.
    pub fn graceful_shutdown(self: Pin<&mut Self>) {
        let this = self.project();
        (this.end)(this.connection);
    }
}

impl<C: Future, R: FnMut(&mut Context<'_>) -> bool> Future for Multiplexed<C, R> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        let (streams, rest) = (this.streams, this.rest);
        this.hush.drive_to_rest(
            cx,
            |cx| {
                let polled = this.connection.as_mut().poll(cx);
                if polled.is_pending() {
                    let _: Poll<()> = streams.poll(cx);
                }
                polled
            },
            rest,
        )
    }
}
