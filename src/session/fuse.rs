//! How a simulated process crashes: at one await of one of its tasks, and all the others with it; and how it is
//! suspended.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::{Poll, Waker},
};

use tokio_util::sync::CancellationToken;

/// The fuse of a process.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    burnt: CancellationToken,
    /// How often tasks are polled until it burns; zero: it is not lit.
    left: AtomicI64,
    suspended: AtomicBool,
    /// Who goes on when the process does.
    waiting: Mutex<Vec<Waker>>,
}

// === impl Fuse ===

impl Fuse {
    /// Ends all tasks where they are.
    pub(super) fn burn(&self) {
        self.burnt.cancel();
    }

    /// Ends all tasks when they have been polled so often.
    pub(super) fn light(&self, polls: i64) {
        self.left.store(polls + 1, Ordering::Relaxed);
    }

    /// Stops all tasks where they are, or lets them go on.
    pub(super) fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::Relaxed);
        for waker in self.waiting.lock().unwrap().drain(..) {
            waker.wake();
        }
    }

    fn holds(&self, waker: &Waker) -> bool {
        let suspended = self.suspended.load(Ordering::Relaxed);
        if suspended {
            self.waiting.lock().unwrap().push(waker.clone());
        }
        suspended
    }

    pub(super) fn is_burnt(&self) -> bool {
        self.burnt.is_cancelled()
    }

    /// Runs a task until it ends or the fuse burns; then it never ends, and all that it holds is let go of.
    pub(super) async fn guard<F: Future>(self: Arc<Self>, task: F) -> F::Output {
        let burnt = self.burnt.clone();
        let counted = async move {
            let mut task = pin!(task);
            std::future::poll_fn(|cx| {
                if self.left.load(Ordering::Relaxed) > 0
                    && self.left.fetch_sub(1, Ordering::Relaxed) == 1
                {
                    self.burn();
                }
                if self.is_burnt() || self.holds(cx.waker()) {
                    return Poll::Pending;
                }
                task.as_mut().poll(cx)
            })
            .await
        };
        match burnt.run_until_cancelled_owned(counted).await {
            Some(output) => output,
            None => std::future::pending().await,
        }
    }
}
