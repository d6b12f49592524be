//! Answers to calls that were given up: good ones are taken in while the store has the token that they spent.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Session, calls::Calls, refresh::Renewed, write::doubt};
use crate::{
    life::{Attempt, Effect},
    store::{Lease, Witness},
};

/// How long an answer that nobody waits for any more is still worth having.
const LATE: Duration = Duration::from_secs(120);

/// How often a store that cannot be read is asked again.
const UNREADABLE: Duration = Duration::from_secs(1);

/// A good answer that came late.
#[derive(Debug)]
pub(super) struct Late {
    attempt: Attempt,
    renewed: Renewed,
    /// The flight, by its place in the order of all; and the token that its calls spent.
    flight: u64,
    spent: Option<String>,
}

/// A late answer that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    flight: u64,
    spent: Option<String>,
    brought: Option<String>,
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
        self.came_late(Late {
            flight: calls.flight(),
            spent: attempt.spends.clone(),
            attempt,
            renewed,
        });
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
        if known && let Some(mut late) = self.late_answer() {
            if late.flight == calls.flight() {
                let better = stop.run_until_cancelled(calls.best()).await.flatten();
                late.renewed = better.unwrap_or(late.renewed);
            }
            let _ = self.make_ours(late, began.elapsed()).await;
        }
        self.let_go_of(Some(lease));
    }

    /// Lets go of the lease when it is stored that the token is in doubt: whoever has the lease next does not send it
    /// while an answer may still come.
    pub(super) fn settles_first(self: &Arc<Self>, lease: Lease) {
        let session = Arc::clone(self);
        self.shared.spawn(async move {
            let began = Instant::now();
            let stop = session.shared.stop.clone();
            while began.elapsed() < LATE
                && stop.run_until_cancelled(sleep(UNREADABLE)).await.is_some()
                && session.settle().await.is_err()
            {}
            session.let_go_of(Some(lease));
        });
    }

    /// Tells whether the server's grace for the token is over, whichever process sent it first: then an answer to an
    /// earlier call is worth more than to send it again.
    pub(super) fn is_past_grace(&self, attempt: &Attempt) -> bool {
        let grace = self.definition.rules.grace;
        let doubt = doubt(&self.inner().held.notes, attempt.spends.as_deref());
        grace.is_some_and(|grace| !grace.is_zero())
            && doubt.is_some_and(|doubt| !doubt.in_grace(self.now(), grace))
    }

    /// What a later flight brought is worth more.
    fn came_late(&self, late: Late) {
        let mut inner = self.inner();
        let before = inner.late.take();
        let before = before.filter(|before| before.flight > late.flight);
        inner.late = Some(before.unwrap_or(late));
        self.late_at_hand.store(true, Ordering::Release);
    }

    /// Makes what came late for the token that is held the session's. The caller has the lease.
    pub(super) async fn take_late(&self) {
        let Some(late) = self.late_answer() else {
            return;
        };
        if let Some(next) = self.make_ours(late, Duration::ZERO).await {
            self.perform(vec![Effect::Refresh(next)]);
        }
    }

    /// Stores and publishes what came late; returns the next call of the flight under way, if there is one.
    pub(super) async fn make_ours(&self, late: Late, took: Duration) -> Option<Attempt> {
        let Late {
            attempt,
            renewed,
            flight,
            spent,
        } = late;
        // The token that was spent tells by itself whether it has been overtaken.
        let right = Witness::default();
        let next = self.renewed(renewed, &attempt, took, &right).await;
        let mut inner = self.inner();
        let brought = inner.held.token.clone();
        if brought != attempt.spends {
            inner.taken = Some(Taken {
                flight,
                spent,
                brought,
            });
        }
        next
    }

    /// Tells whether an answer came late that nobody has taken yet.
    pub(super) fn has_late(&self) -> bool {
        self.late_at_hand.load(Ordering::Acquire)
    }

    /// Returns what came late, if it is worth more than what is held: it came of the same token, or the same as what is
    /// held came of, by a call of a later flight.
    pub(super) fn late_answer(&self) -> Option<Late> {
        let mut inner = self.inner();
        let late = inner.late.take();
        self.late_at_hand.store(false, Ordering::Release);
        let mut late = late?;
        let held = inner.held.token.clone();
        let replaces = inner.taken.as_ref().is_some_and(|taken| {
            taken.spent == late.spent && taken.brought == held && taken.flight < late.flight
        });
        if replaces {
            late.attempt.spends.clone_from(&held);
            late.attempt.generation = inner.held.generation;
        }
        (late.attempt.spends == held).then_some(late)
    }
}
