//! "No byte for too long": a bound on silence that costs nothing while bytes flow.
//!
//! A timer is made only when a body first has to wait, and is not touched by each byte: when it fires it looks at
//! when the last byte came, and goes on waiting for the rest.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug)]
pub struct Silence {
    limit: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

// === impl Silence ===

impl Silence {
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: None,
        }
    }

    /// Notes that something came.
    pub fn broken(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.last = Instant::now();
        }
    }

    /// Is ready when nothing came for the limit; to be polled when there is nothing to hand on.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            Waiting {
                last: now,
                timer: Box::pin(sleep_until(now + limit)),
            }
        });
        while waiting.timer.as_mut().poll(cx).is_ready() {
            let end = waiting.last + limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            waiting.timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_silence_counts() {
        let mut silence = Silence::new(Duration::from_secs(10));
        let start = Instant::now();
        let waits =
            tokio::time::timeout(Duration::from_secs(9), poll_fn(|cx| silence.poll(cx))).await;
        assert!(waits.is_err());
        silence.broken();
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 19);
    }
}
