//! How a simulated process crashes: at one await of one of its tasks, and all the others with it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
};

use tokio_util::sync::CancellationToken;

/// The fuse of a process.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    burnt: CancellationToken,
    /// How often tasks are polled until it burns; zero: it is not lit.
    left: AtomicI64,
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
                if self.is_burnt() {
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
