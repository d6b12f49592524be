//! A waker that keeps quiet while its own connection is being driven.
//!
//! An exchange drives its upstream connection in the same task that waits for the answer. The library's channels
//! between the two then wake the task that is running: it would be scheduled once more, and an idle worker woken to
//! look for it, several times a request. Inside [`Hush::drive`] such a wake-up is noted, and the connection driven
//! again at once; outside, and from the socket, it wakes the task as usual.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::task::coop::has_budget_remaining;

/// The waker of one connection, whichever task drives it at the moment.
#[derive(Debug)]
pub(super) struct Hush {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether the connection is being driven now.
    inside: AtomicBool,
    /// Whether there was a wake-up meanwhile.
    again: AtomicBool,
    task: AtomicWaker,
}

/// How often one poll goes round: enough for a request and its answer to pass through all channels; a connection
/// that has ever more to do gives way to others.
const ROUNDS: usize = 16;

// === impl Hush ===

impl Default for Hush {
    fn default() -> Self {
        let shared = Arc::<Shared>::default();
        let waker = Waker::from(shared.clone());
        Self { shared, waker }
    }
}

impl Hush {
    /// Polls until there is a result, or nothing more happens by itself. What `poll` is given must be registered with
    /// all that the connection waits for.
    pub(super) fn drive<T>(
        &self,
        cx: &Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.drive_to_rest(cx, poll, |_| false)
    }

    /// As `drive`; `rest` is called when nothing more happens by itself, or there is a result, and says whether that
    /// gave the connection more to do.
    pub(super) fn drive_to_rest<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
        mut rest: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Poll<T> {
        let Shared {
            inside,
            again,
            task,
        } = &*self.shared;
        task.register(cx.waker());
        let mut own = Context::from_waker(&self.waker);
        let mut rounds = 0..ROUNDS;
        inside.store(true, Ordering::SeqCst);
        let polled = loop {
            again.store(false, Ordering::SeqCst);
            let polled = poll(&mut own);
            let more = polled.is_pending()
                && again.load(Ordering::SeqCst)
                && rounds.next().is_some()
                && has_budget_remaining();
            if !more && (!rest(&mut own) || polled.is_ready() || rounds.next().is_none()) {
                break polled;
            }
        };
        inside.store(false, Ordering::SeqCst);
        // A wake-up between the last look and the store, or more rounds than one poll may take.
        if polled.is_pending() && again.swap(false, Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again.store(true, Ordering::SeqCst);
        if !self.inside.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};

    use super::*;

    #[tokio::test]
    async fn its_own_wake_ups_are_rounds() {
        let hush = Hush::default();
        let mut rounds = 0;
        let result = poll_fn(|cx| {
            Poll::Ready(hush.drive(cx, |cx| {
                rounds += 1;
                if rounds == 3 {
                    return Poll::Ready("done");
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }))
        })
        .await;
        assert_eq!((result, rounds), (Poll::Ready("done"), 3));
    }

    #[tokio::test]
    async fn a_wake_up_from_outside_wakes_the_task() {
        let hush = Hush::default();
        let (send, mut receive) = tokio::sync::oneshot::channel();
        let waiting = poll_fn(|cx| hush.drive(cx, |cx| std::pin::Pin::new(&mut receive).poll(cx)));
        tokio::spawn(async move { send.send(7) });
        assert_eq!(waiting.await, Ok(7));
    }
}
