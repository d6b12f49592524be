//! What all sessions share: the world around them, the places for refreshes, the tasks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::history::{Event, LAG};
use crate::{env::Env, limits::Limits, origin::Origin};

/// How long the end of the process waits for refreshes and writes.
const CLOSING: Duration = Duration::from_secs(10);

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) limits: Limits,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    began: Instant,
    refreshes: Arc<Semaphore>,
    hosts: Mutex<HashMap<Origin, Arc<Semaphore>>>,
    /// Ends all tasks where they are.
    #[cfg(test)]
    pub(super) fuse: Arc<super::fuse::Fuse>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        env: Env,
        limits: Limits,
        events: Option<broadcast::Sender<Arc<Event>>>,
    ) -> Self {
        let events = events.unwrap_or_else(|| broadcast::channel(LAG).0);
        Self {
            began: env.monotonic(),
            refreshes: Arc::new(Semaphore::new(limits.refreshes.max(1))),
            env,
            limits,
            events,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            hosts: Mutex::default(),
            #[cfg(test)]
            fuse: Arc::default(),
        }
    }

    /// Returns the time since these sessions were opened.
    pub(super) fn uptime(&self) -> Duration {
        self.env.monotonic().duration_since(self.began)
    }

    /// Starts a task that a drain waits for.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        #[cfg(test)]
        let task = Arc::clone(&self.fuse).guard(task);
        self.tasks.spawn(task)
    }

    /// Waits until one more refresh may run, of all and of those to this host.
    pub(super) async fn permits(&self, host: Option<&Origin>) -> Vec<OwnedSemaphorePermit> {
        let of_host = host.map(|host| {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let most = self.limits.refreshes_per_host.max(1);
            let semaphore = hosts
                .entry(host.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(most)));
            Arc::clone(semaphore)
        });
        let mut permits = Vec::new();
        // The host's first: who waits for a slow host takes no place from others.
        for semaphore in of_host.into_iter().chain([Arc::clone(&self.refreshes)]) {
            // The semaphores are never closed.
            permits.extend(semaphore.acquire_owned().await);
        }
        permits
    }

    /// Stops what only waits, and waits a while for the rest.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        // What is cut off then is found in the journal at the next start.
        if timeout(CLOSING, self.tasks.wait()).await.is_err() {
            tracing::warn!("refreshes are cut off: they are taken up again at the next start");
        }
    }
}
