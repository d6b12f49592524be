//! Answers to calls that were given up: good ones are taken in while the store has the token that they spent.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    Session,
    calls::Calls,
    held::Held,
    refresh::{Permit, Renewed},
    runner::Inner,
    write::doubt,
};
use crate::{
    life::{Attempt, Effect},
    store::{self, Lease, Witness},
};

/// How long an answer that nobody waits for any more is still worth having.
const LATE: Duration = Duration::from_secs(120);

/// How often it is asked again whether the store can be read, or written.
const AGAIN: Duration = Duration::from_secs(1);

/// Stands for the number of a call where none is made: the first is 1.
const NO_CALL: u64 = 0;

/// A good answer that came late.
#[derive(Clone, Debug)]
pub(super) struct Late {
    attempt: Attempt,
    renewed: Renewed,
}

// === impl Session ===

impl Session {
    /// Ends a flight: what may still come for its calls is waited for, with the lease if it is at hand, or if it would be
    /// worth more than what is held.
    pub(super) fn leave(
        self: &Arc<Self>,
        mut calls: Calls,
        attempt: Attempt,
        mut lease: Option<Lease>,
    ) {
        if attempt.spends.is_none() || calls.are_over() {
            return self.let_go_of(lease);
        }
        if !calls.has_one() && !self.awaits_better() {
            self.let_go_of(lease.take());
        }
        let late = Arc::clone(self).wait_for_late(calls, attempt, lease);
        self.shared.spawn(late);
    }

    /// Ends a flight that could not store what came late: it is taken when the store can be read and written again.
    pub(super) fn take_later(self: &Arc<Self>, attempt: Option<Attempt>, lease: Option<Lease>) {
        match attempt {
            Some(attempt) if self.has_late() => {
                let late = Arc::clone(self).wait_for_late(Calls::of(self), attempt, lease);
                self.shared.spawn(late);
            }
            _ => self.let_go_of(lease),
        }
    }

    /// Takes what comes for the calls of a flight that is over, one answer after the other: each takes the place of
    /// what an earlier call with the same token has brought.
    async fn wait_for_late(
        self: Arc<Self>,
        mut calls: Calls,
        attempt: Attempt,
        mut lease: Option<Lease>,
    ) {
        let stop = self.shared.stop.clone();
        let until = Instant::now() + LATE;
        loop {
            while self.has_late() {
                let may = timeout_at(until, self.may_take_late(&mut lease));
                select! {
                    biased;
                    answer = calls.any(until), if !calls.are_over() => {
                        if let Some(renewed) = answer {
                            self.came_late(&attempt, renewed);
                        }
                    }
                    may = stop.run_until_cancelled(may) => {
                        if !matches!(may, Some(Ok(()))) {
                            return self.let_go_of(lease);
                        }
                        self.take_late(NO_CALL).await;
                    }
                }
            }
            if !calls.has_one() && !self.awaits_better() {
                self.let_go_of(lease.take());
            }
            // With the lease it is looked again whether what may come is still worth waiting for.
            let again = Instant::now() + AGAIN;
            let until = if lease.is_some() {
                until.min(again)
            } else {
                until
            };
            match stop.run_until_cancelled(calls.any(until)).await {
                Some(Some(renewed)) => self.came_late(&attempt, renewed),
                Some(None) if until == again => sleep_until(again).await,
                Some(None) | None => return self.let_go_of(lease),
            }
        }
    }

    /// Tells whether what is held came of an earlier call than one that may still be answered: that answer, if there is
    /// one, is what the server takes, so that nobody is to spend what is held before.
    fn awaits_better(&self) -> bool {
        let inner = self.inner();
        let held = &inner.held;
        held.notes.came_of.as_ref().is_some_and(|of| {
            held.token.as_ref() == Some(&of.brought)
                && self.awaited.has_later_than(of.call, Some(&of.spent))
        })
    }

    /// Waits until what came late may be taken, or nobody needs it any more: with the lease, or without it where that is
    /// better.
    async fn may_take_late(&self, lease: &mut Option<Lease>) {
        let mut right = pin!(self.leased().fuse());
        while self.has_late() {
            let known = self.take_up(true).await.is_ok();
            // What could not be stored would need the lease.
            if known
                && (lease.is_some()
                    || self.goes_without_lease() && self.store.writable().await.is_ok())
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

    /// Tells whether what came late is stored at once, whoever has the lease: nothing newer is under way. That is: no later
    /// call is noted with the token that is held, or it is an answer to one of those, their grace is over, and none of this
    /// process may still be answered. Else whoever made the later one may be about to hear its answer, or to ask for it once
    /// more. But what an earlier call brought, and another process is about to send for the first time, is replaced: the
    /// server no longer takes it.
    fn goes_without_lease(&self) -> bool {
        let inner = self.inner();
        let (held, Some(late)) = (&inner.held, &inner.late) else {
            return false;
        };
        let (of, token) = (&late.renewed.of, held.token.as_deref());
        let is_last = doubt(&held.notes, token).is_none() || held.notes.calls == of.number;
        if !is_last && of.spent != held.token {
            let is_ours = self.awaited.has_later_than(NO_CALL, token);
            return held.is_first_sent_by(held.notes.calls) && !is_ours;
        }
        (is_last || self.is_in_grace(held) == Some(false))
            && !self.awaited.has_later_than(of.number, of.spent.as_deref())
    }

    /// Lets go of the lease when it is noted that the token is in doubt: whoever has it next does not send the token a
    /// moment later, while an answer may still come.
    pub(super) fn notes_first<F>(
        self: &Arc<Self>,
        lease: Lease,
        note: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), store::Error>> + Send,
    {
        let session = Arc::clone(self);
        self.shared.spawn(async move {
            let began = Instant::now();
            let stop = session.shared.stop.clone();
            while began.elapsed() < LATE
                && stop.run_until_cancelled(sleep(AGAIN)).await.is_some()
                && note(Arc::clone(&session)).await.is_err()
            {}
            session.let_go_of(Some(lease));
        });
    }

    /// Tells whether the server's grace for the token is over, whichever process sent it first: then an answer to an
    /// earlier call is worth more than to send it again.
    pub(super) fn is_past_grace(&self) -> bool {
        self.is_in_grace(&self.inner().held) == Some(false)
    }

    /// `None`: the token is not in doubt, or the grace has no end, or there is none.
    fn is_in_grace(&self, held: &Held) -> Option<bool> {
        let grace = self.definition.rules.grace?;
        let doubt = doubt(&held.notes, held.token.as_deref())?;
        (!grace.is_zero()).then(|| doubt.in_grace(self.now(), Some(grace)))
    }

    /// Returns the right to send the token of a flight by the call with this number.
    pub(super) fn permit(&self, lease: &Lease, attempt: &Attempt, number: u64) -> Permit {
        let (session, attempt) = (self.me.clone(), attempt.clone());
        let one_time = attempt.spends.is_some();
        Permit::under(lease.witness(), move || {
            let session = session.upgrade().filter(|_| one_time);
            session.is_some_and(|session| {
                session.late_answer(number).is_some() || session.overtaken(&attempt).is_some()
            })
        })
    }

    /// What a later call brought is worth more.
    pub(super) fn came_late(&self, attempt: &Attempt, renewed: Renewed) {
        let mut inner = self.inner();
        let is_later = |late: &Late| late.renewed.of.number > renewed.of.number;
        if !inner.late.as_ref().is_some_and(is_later) {
            let attempt = attempt.clone();
            inner.late = Some(Late { attempt, renewed });
        }
    }

    /// Makes what came late for the token that is held the session's, which the caller may, if that is worth more than
    /// a call with this number.
    pub(super) async fn take_late(&self, number: u64) {
        if let Some(late) = self.late_answer(number)
            && let Some(next) = self.make_ours(late).await
        {
            self.perform(vec![Effect::Refresh(next)]);
        }
    }

    /// Stores and publishes what came late; returns the next call of the flight under way, if there is one.
    pub(super) async fn make_ours(&self, late: Late) -> Option<Attempt> {
        let Late { attempt, renewed } = late;
        let took = attempt.started.age(self.now()).unwrap_or_default();
        let number = renewed.of.number;
        // The token that was spent tells by itself whether it has been overtaken.
        let right = Witness::default();
        let next = self.renewed(renewed, &attempt, took, &right).await;
        // Only now: until it is stored, nobody is to send the token again.
        let mut inner = self.inner();
        inner.late = inner
            .late
            .take()
            .filter(|late| late.renewed.of.number > number);
        next
    }

    /// Tells whether an answer came late that is worth more than what is held.
    fn has_late(&self) -> bool {
        let mut inner = self.inner();
        let late = inner.late.take();
        inner.late = late.filter(|late| inner.is_worth_having(late));
        inner.late.is_some()
    }

    /// Returns what came late, if it is worth more than what is held, and than what a call with this number would bring:
    /// within the grace, that saves what an answer cannot to a call that is not the one right before. The first call
    /// with a token brings nothing that is worth more: the server has replaced it by what came late.
    pub(super) fn late_answer(&self, number: u64) -> Option<Late> {
        let inner = self.inner();
        let late = inner.late.as_ref()?;
        let is_worth_more = inner.is_worth_having(late)
            && (late.renewed.of.number + 1 >= number
                || inner.held.is_first_sent_by(number)
                || self.is_in_grace(&inner.held) != Some(true));
        is_worth_more.then(|| late.clone())
    }
}

impl Inner {
    fn is_worth_having(&self, late: &Late) -> bool {
        let of = &late.renewed.of;
        self.held.gives_way_to(of.number, of.spent.as_deref())
    }
}
