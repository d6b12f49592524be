//! The calls of one flight. One that was given up may still be answered, and which answer counts is not indifferent:
//! the server has replaced what an earlier call obtained by what the latest one did.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Session,
    refresh::{Outcome, Permit, Renewed, Spend},
};
use crate::life::{Attempt, Cause, Failure};

/// How long a late answer waits for that of a later call.
const BETTER: Duration = Duration::from_secs(10);

/// The calls of one flight, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The flight's place in the order of all.
    flight: u64,
    open: JoinSet<(u32, Outcome)>,
    /// The numbers of those that have not ended.
    pending: BTreeSet<u32>,
    latest: u32,
    /// A good answer to a call that was not the latest.
    kept: Option<(u32, Renewed)>,
    /// The call whose answer was taken for want of a better one; only a later one's is worth more.
    taken: u32,
}

// === impl Calls ===

impl Calls {
    pub(super) fn of(flight: u64) -> Self {
        Self {
            flight,
            ..Self::default()
        }
    }

    pub(super) fn flight(&self) -> u64 {
        self.flight
    }

    /// Asks once more and returns the answer to that. Answers to earlier calls are kept.
    pub(super) async fn ask(
        &mut self,
        session: &Session,
        attempt: &Attempt,
        permit: Permit,
    ) -> Outcome {
        let spend = {
            let inner = session.inner();
            Spend {
                grant: Arc::clone(&inner.held.grant),
                jar: Arc::clone(&inner.held.jar),
                cause: match inner.life.is_rejected() {
                    true => Cause::Rejected,
                    false => attempt.cause,
                },
                permit: permit.clone(),
            }
        };
        let (number, before) = (attempt.number, self.latest);
        self.latest = number;
        self.pending.insert(number);
        let call = Arc::clone(&session.refresh).refresh(spend);
        let call = self.open.spawn(call.map(move |outcome| (number, outcome)));
        let answered = timeout(attempt.limit, async {
            loop {
                match self.next().await {
                    Some((of, outcome)) if of == number => return outcome,
                    // Nothing was sent since: this is the newest that there is.
                    Some((of, Outcome::Renewed(renewed))) if of == before && permit.revoke() => {
                        return Outcome::Renewed(renewed);
                    }
                    Some((of, Outcome::Renewed(renewed))) => self.keep(of, renewed),
                    Some((_, Outcome::Failed(_))) => {}
                    None => return broken("it was not answered".to_owned()),
                }
            }
        });
        let outcome = match answered.await {
            Ok(outcome) => outcome,
            // What was not sent by now is not sent at all.
            Err(_) if permit.revoke() => {
                let why = format!("it took {} ms to connect", attempt.limit.as_millis());
                Outcome::Failed(Failure::Unsent(why))
            }
            Err(_) => broken(format!("no answer within {} ms", attempt.limit.as_millis())),
        };
        if permit.is_revoked() {
            call.abort();
            self.pending.remove(&number);
            self.latest = before;
        }
        if attempt.spends.is_none() {
            // Nothing was spent: a late answer is worth nothing.
            self.open.abort_all();
        }
        outcome
    }

    /// Waits, and returns the answer to the latest call if it is a good one and comes meanwhile.
    pub(super) async fn wait(&mut self, wait: Duration) -> Option<Renewed> {
        let answered = timeout(wait, async {
            while let Some((of, outcome)) = self.next().await {
                match outcome {
                    Outcome::Renewed(renewed) if of == self.latest => return renewed,
                    Outcome::Renewed(renewed) => self.keep(of, renewed),
                    Outcome::Failed(_) => {}
                }
            }
            std::future::pending().await
        });
        answered.await.ok()
    }

    /// Waits until a good answer is at hand, to whichever call; tells whether one is.
    pub(super) async fn any(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while !self.has_one() && self.hears(until).await {}
        self.has_one()
    }

    /// Waits a while for the answer to a later call than the one whose answer is at hand, and returns the best.
    pub(super) async fn best(&mut self) -> Option<Renewed> {
        let until = Instant::now() + BETTER;
        let best = |calls: &Self| calls.kept.as_ref().map_or(calls.taken, |(of, _)| *of);
        while self.pending.last() > Some(&best(self)) && self.hears(until).await {}
        self.fallback()
    }

    /// Waits for the end of a call, and keeps its answer if that is a better one; tells whether there was a call.
    async fn hears(&mut self, until: Instant) -> bool {
        match timeout_at(until, self.next()).await {
            Ok(Some((of, Outcome::Renewed(renewed)))) => {
                if of > self.taken {
                    self.keep(of, renewed);
                }
                true
            }
            Ok(Some((_, Outcome::Failed(_)))) => true,
            Ok(None) | Err(_) => false,
        }
    }

    /// Waits for the end of any call.
    async fn next(&mut self) -> Option<(u32, Outcome)> {
        let (of, outcome) = match self.open.join_next().await? {
            Ok(ended) => ended,
            // Which one it was is not known, and does not matter: it has no answer.
            Err(error) => (0, broken(error.to_string())),
        };
        self.pending.remove(&of);
        if self.open.is_empty() {
            self.pending.clear();
        }
        Some((of, outcome))
    }

    /// Returns the best answer to an earlier call: better than none.
    pub(super) fn fallback(&mut self) -> Option<Renewed> {
        let (of, renewed) = self.kept.take()?;
        self.taken = of;
        Some(renewed)
    }

    pub(super) fn has_taken_less_than_the_latest(&self) -> bool {
        self.taken > 0
    }

    /// Tells whether a good answer is at hand.
    pub(super) fn has_one(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn keep(&mut self, of: u32, renewed: Renewed) {
        if self.kept.as_ref().is_none_or(|(kept, _)| *kept < of) {
            self.kept = Some((of, renewed));
        }
    }
}

/// A call that ended without an answer of its own: whether anything was sent is not known.
fn broken(why: String) -> Outcome {
    Outcome::Failed(Failure::InDoubt {
        why,
        answered: false,
    })
}
