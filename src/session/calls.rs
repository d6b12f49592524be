//! The calls of one flight. One that was given up may still be answered, and which answer counts is not indifferent:
//! the server has replaced what an earlier call obtained by what the latest one did.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Session,
    refresh::{Outcome, Renewed, Spend},
};
use crate::life::{Attempt, Failure};

/// How long a late answer waits for that of a later call.
const BETTER: Duration = Duration::from_secs(10);

/// The calls of one flight, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: JoinSet<(u32, Outcome)>,
    latest: u32,
    /// A good answer to a call that was not the latest.
    kept: Option<(u32, Renewed)>,
}

// === impl Calls ===

impl Calls {
    /// Asks once more and returns the answer to that. Answers to earlier calls are kept.
    pub(super) async fn ask(&mut self, session: &Session, attempt: &Attempt) -> Outcome {
        let spend = {
            let inner = session.inner();
            Spend {
                grant: Arc::clone(&inner.held.grant),
                jar: Arc::clone(&inner.held.jar),
            }
        };
        let number = attempt.number;
        self.latest = number;
        let call = Arc::clone(&session.refresh).refresh(spend);
        self.open.spawn(call.map(move |outcome| (number, outcome)));
        let answered = timeout(attempt.limit, async {
            loop {
                match self.open.join_next().await {
                    Some(Ok((of, outcome))) if of == number => return outcome,
                    Some(Ok((of, Outcome::Renewed(renewed)))) => self.keep(of, renewed),
                    Some(Ok((_, Outcome::Failed(_)))) => {}
                    Some(Err(error)) => return broken(error.to_string()),
                    None => return broken("it was not answered".to_owned()),
                }
            }
        });
        let outcome = answered.await.unwrap_or_else(|_| {
            broken(format!("no answer within {} ms", attempt.limit.as_millis()))
        });
        if attempt.spends.is_none() {
            // Nothing was spent: a late answer is worth nothing.
            self.open.abort_all();
        }
        outcome
    }

    /// Waits, and returns the answer to the latest call if it is a good one and comes meanwhile.
    pub(super) async fn wait(&mut self, wait: Duration) -> Option<Renewed> {
        let answered = timeout(wait, async {
            while let Some(joined) = self.open.join_next().await {
                match joined {
                    Ok((of, Outcome::Renewed(renewed))) if of == self.latest => return renewed,
                    Ok((of, Outcome::Renewed(renewed))) => self.keep(of, renewed),
                    Ok((_, Outcome::Failed(_))) | Err(_) => {}
                }
            }
            std::future::pending().await
        });
        answered.await.ok()
    }

    /// Waits for a good answer to any call, the later the better.
    pub(super) async fn late(&mut self, wait: Duration) -> Option<Renewed> {
        let mut until = Instant::now() + wait;
        while let Ok(Some(joined)) = timeout_at(until, self.open.join_next()).await {
            let Ok((of, Outcome::Renewed(renewed))) = joined else {
                continue;
            };
            if of == self.latest {
                return Some(renewed);
            }
            self.keep(of, renewed);
            until = until.min(Instant::now() + BETTER);
        }
        self.fallback()
    }

    /// Returns the best answer to an earlier call: better than none.
    pub(super) fn fallback(&mut self) -> Option<Renewed> {
        self.kept.take().map(|(_, renewed)| renewed)
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
