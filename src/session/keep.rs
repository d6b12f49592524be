//! Looks at the clock for a session, and at what other processes store.
//!
//! Expiry is wall-clock time, and a monotonic timer stands still while a machine sleeps: so the keeper never waits
//! long without a look at the wall.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{Session, Sessions, runner::millis};
use crate::{life::Event, store::Store};

/// The longest time between two looks at the clock while something is expected.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps a session until it, or all of them, end.
pub(super) async fn keep(session: Weak<Session>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let Some(kept) = session.upgrade() else {
            return;
        };
        let wait = kept.look();
        let wake = Arc::clone(&kept.wake);
        drop(kept);
        let woken = async {
            match wait {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, wake.notified()).await;
                }
                None => wake.notified().await,
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

/// Takes up what other processes store, until the store or the sessions are closed.
pub(super) async fn follow(sessions: Weak<Sessions>, store: Store, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        let Some(Some(changed)) = stop.run_until_cancelled(changes.next()).await else {
            return;
        };
        let Some(sessions) = sessions.upgrade() else {
            return;
        };
        if !changed.foreign {
            continue;
        }
        let Some(session) = sessions.known(&changed.id) else {
            continue;
        };
        if let Err(error) = session.take_up(true).await {
            tracing::warn!(session = %changed.id, %error, "what another process stored was not read");
        }
    }
}

// === impl Session ===

impl Session {
    /// Looks at the clock, and returns how long until the next look; `None`: until woken.
    fn look(&self) -> Option<Duration> {
        self.woken.store(false, Ordering::Release);
        let now = self.now();
        let rules = &self.definition.rules;
        let due = {
            let mut inner = self.inner();
            // Nobody needs to wake who is awake.
            inner.planned = 0;
            inner
                .life
                .wake_at(now, rules)
                .is_some_and(|at| at <= now.wall)
        };
        if due {
            self.happen(Event::Due {
                used_at: self.used_at(),
            });
        }
        let mut inner = self.inner();
        let now = self.now();
        let wake_at = inner.life.wake_at(now, rules);
        let wait = wake_at.map(|at| match at.duration_since(now.wall) {
            Ok(wait) if !wait.is_zero() => wait.clamp(Duration::from_millis(1), LOOK),
            // It is not acted upon (nobody uses the session): looked at again as the clock is.
            Ok(_) | Err(_) => LOOK,
        });
        inner.planned = wait.map_or(u64::MAX, |wait| millis(now.wall + wait));
        wait
    }

    pub(super) fn used_at(&self) -> Option<SystemTime> {
        match self.used_at.load(Ordering::Relaxed) {
            0 => None,
            used_at => Some(SystemTime::UNIX_EPOCH + Duration::from_millis(used_at)),
        }
    }

    /// Wakes the keeper, once until it has looked.
    pub(super) fn kick(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The keeper finds nothing to keep.
        self.wake.notify_one();
    }
}
