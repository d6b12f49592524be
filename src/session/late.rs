//! Answers to calls that were given up: good ones are taken in while the store has the token that they spent.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    select,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Session, calls::Calls, held::Held, refresh::Renewed, write::doubt};
use crate::{
    life::{Attempt, Effect},
    store::{Lease, Witness},
};

/// How long an answer that nobody waits for any more is still worth having.
const LATE: Duration = Duration::from_secs(120);

/// How often it is asked again whether the store can be read, or written.
const AGAIN: Duration = Duration::from_secs(1);

/// A good answer that came late.
#[derive(Debug)]
pub(super) struct Late {
    attempt: Attempt,
    renewed: Renewed,
}

// === impl Session ===

impl Session {
    /// Takes what comes for the calls of a flight that is over, one answer after the other: each takes the place of
    /// what an earlier call with the same token has brought.
    pub(super) async fn wait_for_late(
        self: Arc<Self>,
        mut calls: Calls,
        attempt: Attempt,
        mut lease: Option<Lease>,
    ) {
        let stop = self.shared.stop.clone();
        let until = Instant::now() + LATE;
        let late = |renewed| Late {
            attempt: attempt.clone(),
            renewed,
        };
        while let Some(Some(renewed)) = stop.run_until_cancelled(calls.any(until)).await {
            self.came_late(late(renewed));
            loop {
                let may = timeout_at(until, self.may_take_late(&mut lease));
                select! {
                    biased;
                    Some(renewed) = calls.any(until) => self.came_late(late(renewed)),
                    may = stop.run_until_cancelled(may) => {
                        if let Some(Ok(())) = may {
                            self.take_late().await;
                        }
                        break;
                    }
                }
            }
            self.let_go_of(lease.take());
        }
        self.let_go_of(lease);
    }

    /// Waits until what came late may be taken, or somebody has taken it: with the lease, or without it if nobody has
    /// it for a later call.
    async fn may_take_late(&self, lease: &mut Option<Lease>) {
        let mut right = pin!(self.store.lease(&self.id).fuse());
        while self.has_late() {
            let known = self.take_up(true).await.is_ok();
            // What could not be stored would need the lease.
            if known && (lease.is_some() || self.is_latest() && self.store.writable().await.is_ok())
            {
                return;
            }
            if lease.is_some() {
                sleep(AGAIN).await;
            } else if let Ok(Ok(held)) = timeout(AGAIN, right.as_mut()).await {
                *lease = Some(held);
            }
        }
    }

    /// Tells whether nothing newer than what came late is under way: no later call is noted with the token that is
    /// held, or its grace is over. Else whoever made that may be about to hear its answer, or to ask for it once more.
    fn is_latest(&self) -> bool {
        let inner = self.inner();
        let (held, late) = (&inner.held, inner.late.as_ref());
        let in_doubt = doubt(&held.notes, held.token.as_deref()).is_some();
        late.map(|late| &late.renewed.of).is_some_and(|of| {
            !in_doubt || held.notes.calls == of.number || self.is_over(held, of.spent.as_deref())
        })
    }

    /// Lets go of the lease when it is stored that the token is in doubt: whoever has the lease next does not send it
    /// while an answer may still come.
    pub(super) fn settles_first(self: &Arc<Self>, lease: Lease) {
        let session = Arc::clone(self);
        self.shared.spawn(async move {
            let began = Instant::now();
            let stop = session.shared.stop.clone();
            while began.elapsed() < LATE
                && stop.run_until_cancelled(sleep(AGAIN)).await.is_some()
                && session.settle().await.is_err()
            {}
            session.let_go_of(Some(lease));
        });
    }

    /// Tells whether the server's grace for the token is over, whichever process sent it first: then an answer to an
    /// earlier call is worth more than to send it again.
    pub(super) fn is_past_grace(&self, attempt: &Attempt) -> bool {
        self.is_over(&self.inner().held, attempt.spends.as_deref())
    }

    fn is_over(&self, held: &Held, token: Option<&str>) -> bool {
        let grace = self.definition.rules.grace;
        grace.is_some_and(|grace| !grace.is_zero())
            && doubt(&held.notes, token).is_some_and(|doubt| !doubt.in_grace(self.now(), grace))
    }

    /// What a later call brought is worth more.
    fn came_late(&self, late: Late) {
        let mut inner = self.inner();
        let before = inner.late.take();
        let number = late.renewed.of.number;
        let before = before.filter(|before| before.renewed.of.number > number);
        inner.late = Some(before.unwrap_or(late));
        self.late_at_hand.store(true, Ordering::Release);
    }

    /// Makes what came late for the token that is held the session's, which the caller may.
    pub(super) async fn take_late(&self) {
        if let Some(late) = self.late_answer()
            && let Some(next) = self.make_ours(late).await
        {
            self.perform(vec![Effect::Refresh(next)]);
        }
    }

    /// Stores and publishes what came late; returns the next call of the flight under way, if there is one.
    pub(super) async fn make_ours(&self, late: Late) -> Option<Attempt> {
        let Late { attempt, renewed } = late;
        let took = attempt.started.age(self.now()).unwrap_or_default();
        // The token that was spent tells by itself whether it has been overtaken.
        let right = Witness::default();
        self.renewed(renewed, &attempt, took, &right).await
    }

    /// Tells whether an answer came late that nobody has taken yet.
    pub(super) fn has_late(&self) -> bool {
        self.late_at_hand.load(Ordering::Acquire)
    }

    /// Returns what came late, if it is worth more than what is held.
    pub(super) fn late_answer(&self) -> Option<Late> {
        let mut inner = self.inner();
        let late = inner.late.take();
        self.late_at_hand.store(false, Ordering::Release);
        late.filter(|late| {
            let of = &late.renewed.of;
            inner.held.gives_way_to(of.number, of.spent.as_deref())
        })
    }
}
