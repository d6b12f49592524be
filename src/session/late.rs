//! Answers to calls that were given up: good ones are taken in while the store has the token that they spent.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Session, calls::Calls, refresh::Renewed, write::doubt};
use crate::{life::Attempt, store::Lease};

/// How long an answer that nobody waits for any more is still worth having.
const LATE: Duration = Duration::from_secs(120);

/// How often a store that cannot be read is asked again.
const UNREADABLE: Duration = Duration::from_secs(1);

/// A good answer that came late.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) attempt: Attempt,
    pub(super) renewed: Renewed,
}

// === impl Session ===

impl Session {
    /// Takes an answer to a call that was given up, if the store still has the token that it spent.
    ///
    /// From when there is one the lease is held (or waited for): nobody may spend that token again meanwhile.
    pub(super) async fn wait_for_late(
        self: Arc<Self>,
        mut calls: Calls,
        attempt: Attempt,
        lease: Option<Lease>,
    ) {
        let began = Instant::now();
        let stop = self.shared.stop.clone();
        if stop.run_until_cancelled(calls.any(LATE)).await != Some(true) {
            return self.let_go_of(lease);
        }
        let Some(renewed) = calls.fallback() else {
            return self.let_go_of(lease);
        };
        let spends = attempt.spends.clone();
        self.inner().late = Some(Late { attempt, renewed });
        let lease = match lease {
            Some(lease) => lease,
            None => match self.lease().await {
                Ok(lease) => lease,
                Err(_) => return,
            },
        };
        // A flight that had the lease first may have taken it.
        let mut known = self.take_up(false).await.is_ok();
        while !known && began.elapsed() < LATE {
            // Who has the lease is the only one who may spend that token: it is kept until the store says what it has.
            if stop.run_until_cancelled(sleep(UNREADABLE)).await.is_none() {
                break;
            }
            known = self.take_up(false).await.is_ok();
        }
        if known && let Some(late) = self.late_answer(spends.as_deref()) {
            let better = stop.run_until_cancelled(calls.best()).await.flatten();
            let renewed = better.unwrap_or(late.renewed);
            let _ = self.renewed(renewed, &late.attempt, began.elapsed()).await;
        }
        self.let_go_of(Some(lease));
    }

    /// Tells whether the server's grace for the token is over, whichever process sent it first: then an answer to an
    /// earlier call is worth more than to send it again.
    pub(super) fn is_past_grace(&self, attempt: &Attempt) -> bool {
        let grace = self.definition.rules.grace;
        let doubt = doubt(&self.inner().held.notes, attempt.spends.as_deref());
        grace.is_some_and(|grace| !grace.is_zero())
            && doubt.is_some_and(|doubt| !doubt.in_grace(self.now(), grace))
    }

    /// Returns what came late for this refresh token.
    pub(super) fn late_answer(&self, spends: Option<&str>) -> Option<Late> {
        let mut inner = self.inner();
        let late = inner.late.take();
        late.filter(|late| late.attempt.spends.as_deref() == spends)
    }
}
