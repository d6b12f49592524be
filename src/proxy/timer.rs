//! The two clocks of a client connection: how long it may be idle between requests, and how long a request head may
//! take once its first byte is there.
//!
//! One timer a connection is set for the idle limit and moved only when a head is slow; a request whose head comes at
//! once costs two atomic stores.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::interim::Interim;
use crate::limits::Limits;

/// What a connection is doing; shared by its reader, its exchanges and its timer.
#[derive(Debug)]
pub struct Activity {
    started: Instant,
    /// Exchanges under way.
    exchanges: AtomicU32,
    /// Milliseconds since the start when the last exchange ended (or the connection began).
    idle_since: AtomicU64,
    /// Milliseconds since the start when the first byte of a head came; 0: none has.
    head_since: AtomicU64,
    /// Answers of which something is there that the client does not take.
    held: AtomicU32,
    /// Counts what the client takes.
    taken: AtomicU32,
    /// Whether the connection is to end as soon as it may.
    closing: AtomicBool,
    /// What goes out before an answer; of one over HTTP/1.1.
    pub interim: Interim,
}

/// An exchange under way; the connection is busy until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

/// Notes when the client takes bytes of an answer.
#[derive(Debug)]
pub struct Watched<S> {
    io: S,
    activity: Arc<Activity>,
}

/// The timer of a connection.
#[derive(Debug)]
pub struct Timer {
    activity: Arc<Activity>,
    idle: Duration,
    head: Duration,
    /// How long an answer may wait for its client. The system takes in what a slow reader reads in minutes.
    unread: Duration,
    /// How much was taken when an answer was first seen to be held, and when that was.
    held: Option<(u32, Instant)>,
    sleep: Pin<Box<Sleep>>,
}

/// Why a timer fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    Idle,
    Head,
    /// The client has not taken a byte of an answer for too long.
    Unread,
}

// === impl Activity ===

impl Activity {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            held: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            interim: Interim::default(),
        })
    }

    /// Begins an exchange.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Notes that a part of a head has come.
    pub fn head(&self) {
        if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Lets the connection end after the exchange that is under way.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Returns how many exchanges are under way.
    pub fn exchanges(&self) -> u32 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Tells whether no exchange has begun yet.
    pub fn is_new(&self) -> bool {
        self.exchanges() == 0 && self.idle_since.load(Ordering::Relaxed) == 0
    }

    /// Is ready when no exchange has been under way for so long, from now on.
    pub async fn quiet(&self, time: Duration) {
        let asked = self.started.elapsed();
        loop {
            sleep(time).await;
            let idle_since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
            let idle = self.started.elapsed().saturating_sub(idle_since.max(asked));
            if self.exchanges() == 0 && idle >= time {
                return;
            }
        }
    }

    fn now(&self) -> u64 {
        // Never 0, which means "no head".
        u64::try_from(self.started.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn at(&self, millis: u64) -> Instant {
        self.started + Duration::from_millis(millis)
    }
}

// === impl Busy ===

impl Busy {
    /// Notes that the client has taken what there was, or that something is there for it.
    pub fn hold(&self, held: &mut bool, now: bool) {
        match (std::mem::replace(held, now), now) {
            (false, true) => _ = self.0.held.fetch_add(1, Ordering::Relaxed),
            (true, false) => {
                self.0.held.fetch_sub(1, Ordering::Relaxed);
                self.0.taken.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.exchanges.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        }
    }
}

// === impl Watched ===

impl<S> Watched<S> {
    pub fn new(io: S, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }

    pub fn into_inner(self) -> S {
        self.io
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl<S> Watched<S> {
    fn took(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(n)) if n > 0)
            && self.activity.held.load(Ordering::Relaxed) > 0
        {
            self.activity.taken.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.took(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.took(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl Timer ===

impl Timer {
    pub fn new(activity: Arc<Activity>, limits: &Limits) -> Self {
        let Limits {
            idle,
            request_head: head,
            tunnel_idle: unread,
            ..
        } = *limits;
        let first = head.min(idle).min(unread / 2);
        Self {
            sleep: Box::pin(sleep_until(activity.started + first)),
            activity,
            idle,
            head,
            unread,
            held: None,
        }
    }

    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Tells whether an answer has waited for the client for too long; looked at a few times in that time.
    fn is_unread(&mut self, now: Instant) -> bool {
        let taken = self.activity.taken.load(Ordering::Relaxed);
        if self.activity.held.load(Ordering::Relaxed) == 0 {
            self.held = None;
            return false;
        }
        match self.held {
            Some((before, since)) if before == taken => since + self.unread <= now,
            _ => {
                self.held = Some((taken, now));
                false
            }
        }
    }

    /// Is ready when the connection has waited too long; to be polled after the connection.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let head_since = self.activity.head_since.load(Ordering::Relaxed);
        let head_end = (head_since != 0).then(|| self.activity.at(head_since) + self.head);
        if let Some(end) = head_end.filter(|end| *end < self.sleep.deadline()) {
            self.sleep.as_mut().reset(end);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let busy = self.activity.exchanges.load(Ordering::Relaxed) > 0;
            if busy && self.is_unread(now) {
                return Poll::Ready(Expired::Unread);
            }
            let idle_end = self
                .activity
                .at(self.activity.idle_since.load(Ordering::Relaxed))
                + self.idle;
            let end = match head_end {
                Some(end) if end <= now && !busy => return Poll::Ready(Expired::Head),
                Some(end) if !busy => end,
                _ if busy => now + self.idle.min(self.unread / 2),
                _ if idle_end <= now => return Poll::Ready(Expired::Idle),
                _ => idle_end,
            };
            self.sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn limits() -> Limits {
        Limits {
            idle: Duration::from_secs(300),
            request_head: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(100),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_must_be_taken_in_time() {
        let activity = Activity::new();
        let mut timer = Timer::new(activity.clone(), &limits());
        let (busy, mut held) = (activity.busy(), false);
        // Each piece is taken late, but in time; and nothing is held while the upstream is slow.
        for _ in 0..10 {
            busy.hold(&mut held, true);
            sleep(Duration::from_secs(90)).await;
            assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await);
            busy.hold(&mut held, false);
            sleep(Duration::from_secs(900)).await;
            assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await);
        }
        busy.hold(&mut held, true);
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| timer.poll(cx)).await, Expired::Unread);
        assert!((100..=200).contains(&start.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_counts_from_the_last_exchange() {
        let activity = Activity::new();
        let mut timer = Timer::new(activity.clone(), &limits());
        let busy = activity.busy();
        sleep(Duration::from_secs(1000)).await;
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await);
        drop(busy);
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| timer.poll(cx)).await, Expired::Idle);
        assert_eq!(start.elapsed().as_secs(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_has_its_own_limit() {
        let activity = Activity::new();
        let mut timer = Timer::new(activity.clone(), &limits());
        drop(activity.busy());
        sleep(Duration::from_secs(100)).await;
        activity.head();
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| timer.poll(cx)).await, Expired::Head);
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
