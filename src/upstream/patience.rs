//! How long the head of an answer may take (`limits.response_head`), counted from the end of the request: a client
//! that sends slowly takes nothing away from it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::sleep;

use super::body::Body;
use crate::http1::BoxError;

/// A request body that tells when it has ended.
#[derive(Debug)]
pub struct Timed {
    body: Box<Body>,
    end: Arc<End>,
}

/// The limit for the answer to one request.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    end: Arc<End>,
}

/// Whether a body has ended, or is of no more interest to whoever sent it.
#[derive(Debug, Default)]
struct End {
    reached: AtomicBool,
    waiting: AtomicWaker,
}

// === impl Patience ===

impl Patience {
    /// Watches a request's body, if there is a limit.
    pub(super) fn with(body: Body, limit: Option<Duration>) -> (Body, Option<Self>) {
        let Some(limit) = limit else {
            return (body, None);
        };
        let end = Arc::<End>::default();
        let body = Body::Timed(Timed {
            body: Box::new(body),
            end: end.clone(),
        });
        if body.is_end_stream() {
            end.reach();
        }
        (body, Some(Self { limit, end }))
    }

    /// Waits for an answer; `None`: it took too long.
    pub(super) async fn bear<T>(
        patience: Option<Self>,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        let mut over = patience.map(|patience| Box::pin(patience.over()));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            match &mut over {
                Some(over) => over.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn over(self) {
        poll_fn(|cx| self.end.poll(cx)).await;
        sleep(self.limit).await;
    }
}

// === impl End ===

impl End {
    fn reach(&self) {
        self.reached.store(true, Ordering::Release);
        self.waiting.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiting.register(cx.waker());
        if self.reached.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

// === impl Timed ===

impl Timed {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut *self.body).poll_frame(cx);
        if polled.is_ready() && (matches!(polled, Poll::Ready(None)) || self.is_end_stream()) {
            self.end.reach();
        }
        polled
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.end.reach();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_end_of_the_body() {
        let body = Body::Full(Bytes::from_static(b"all of it"));
        let (mut body, patience) = Patience::with(body, Some(LIMIT));
        let began = Instant::now();
        let slow = async {
            sleep(Duration::from_secs(100)).await;
            poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            std::future::pending::<()>().await;
        };
        assert!(Patience::bear(patience, slow).await.is_none());
        assert_eq!(began.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_body_it_counts_at_once() {
        let (_body, patience) = Patience::with(Body::Empty, Some(LIMIT));
        let began = Instant::now();
        let never = std::future::pending::<()>();
        assert!(Patience::bear(patience, never).await.is_none());
        assert_eq!(began.elapsed().as_secs(), 20);
    }
}
