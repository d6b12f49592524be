//! The calls of one flight. One that was given up may still be answered, and which answer counts is not indifferent:
//! the server has replaced what an earlier call obtained by what the latest one did.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Session,
    awaited::{Await, Awaited},
    refresh::{Call, Outcome, Permit, Renewed, Spend},
};
use crate::life::{Attempt, Cause, Failure};

/// The calls of one flight, by their numbers.
#[derive(Debug)]
pub(super) struct Calls {
    open: JoinSet<(u64, Outcome)>,
    /// Those of the open ones that may be answered: what was given up before it was sent ends unheard.
    sent: Vec<Await>,
    /// Those of all flights.
    awaited: Awaited,
    grace: Duration,
    latest: u64,
    /// A good answer to a call that was not the latest.
    kept: Option<Renewed>,
}

// === impl Calls ===

impl Calls {
    /// Begins with none.
    pub(super) fn of(session: &Session) -> Self {
        Self {
            open: JoinSet::new(),
            sent: Vec::new(),
            awaited: session.awaited.clone(),
            grace: session.definition.rules.grace.unwrap_or_default(),
            latest: 0,
            kept: None,
        }
    }

    /// Asks once more and returns the answer to that. Answers to earlier calls are kept.
    pub(super) async fn ask(
        &mut self,
        session: &Session,
        attempt: &Attempt,
        number: u64,
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
        let before = self.latest;
        let of = Call {
            number,
            spent: attempt.spends.clone(),
        };
        let call = Arc::clone(&session.refresh).refresh(spend);
        let call = self.add(of, attempt.limit, call);
        let answered = timeout(attempt.limit, async {
            loop {
                match self.next().await {
                    Some((of, outcome)) if of == number => return outcome,
                    // Nothing was sent since: this is the newest that there is.
                    Some((of, Outcome::Renewed(renewed))) if of == before && permit.revoke() => {
                        return Outcome::Renewed(renewed);
                    }
                    Some((_, Outcome::Renewed(renewed))) => self.keep(renewed),
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
            self.sent.retain(|sent| sent.number != number);
            self.latest = before;
        }
        if attempt.spends.is_none() {
            // Nothing was spent: a late answer is worth nothing.
            self.open.abort_all();
        }
        outcome
    }

    /// Waits for the answer to a call, which is the latest from now on, and is given up after this long.
    pub(super) fn add(
        &mut self,
        of: Call,
        limit: Duration,
        call: impl Future<Output = Outcome> + Send + 'static,
    ) -> AbortHandle {
        let number = of.number;
        self.latest = number;
        // So long the server may take what was sent.
        let until = Instant::now() + limit + self.grace;
        self.sent.push(self.awaited.add(of.clone(), until));
        self.open.spawn(call.map(move |outcome| match outcome {
            Outcome::Renewed(renewed) => (number, Outcome::Renewed(Renewed { of, ..renewed })),
            failed @ Outcome::Failed(_) => (number, failed),
        }))
    }

    /// Waits, and returns the answer to the latest call if it is a good one and comes meanwhile.
    pub(super) async fn wait(&mut self, wait: Duration) -> Option<Renewed> {
        let answered = timeout(wait, async {
            while let Some((of, outcome)) = self.next().await {
                match outcome {
                    Outcome::Renewed(renewed) if of == self.latest => return renewed,
                    Outcome::Renewed(renewed) => self.keep(renewed),
                    Outcome::Failed(_) => {}
                }
            }
            std::future::pending().await
        });
        answered.await.ok()
    }

    /// Waits for a good answer to any call; `None`: none comes.
    pub(super) async fn any(&mut self, until: Instant) -> Option<Renewed> {
        while self.kept.is_none() {
            if let (_, Outcome::Renewed(renewed)) = timeout_at(until, self.next()).await.ok()?? {
                self.keep(renewed);
            }
        }
        self.fallback()
    }

    /// Waits for the end of any call.
    async fn next(&mut self) -> Option<(u64, Outcome)> {
        let ended = self.open.join_next().await?;
        // Which one it was that broke is not known, and does not matter: it has no answer.
        let ended = ended.unwrap_or_else(|error| (0, broken(error.to_string())));
        self.sent.retain(|sent| sent.number != ended.0);
        Some(ended)
    }

    /// Returns the best answer to an earlier call: better than none.
    pub(super) fn fallback(&mut self) -> Option<Renewed> {
        self.kept.take()
    }

    /// Tells whether a good answer is at hand.
    pub(super) fn has_one(&mut self) -> bool {
        while let Some(Some((_, outcome))) = self.next().now_or_never() {
            if let Outcome::Renewed(renewed) = outcome {
                self.keep(renewed);
            }
        }
        self.kept.is_some()
    }

    /// Tells whether an answer may still come.
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty() && !self.sent.is_empty()
    }

    /// Tells whether there is no answer, and none can come.
    pub(super) fn are_over(&mut self) -> bool {
        !self.has_one() && !self.are_open()
    }

    fn keep(&mut self, renewed: Renewed) {
        let better = |kept: &Renewed| kept.of.number < renewed.of.number;
        if self.kept.as_ref().is_none_or(better) {
            self.kept = Some(renewed);
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
