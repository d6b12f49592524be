//! A client's own refresh: its request with the real refresh token in it, under the same rules as ours (lease, look
//! again, journal, call, store, publish), and its answer for all who asked at once.

mod asking;
pub(super) mod hold;
pub(super) mod kept;
mod refused;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use self::{asking::Told, refused::Refused};
use super::{
    Session,
    calls::Calls,
    held::REFRESH_TOKEN,
    history::{Part, name},
    write::doubt,
};
use crate::{
    auth,
    life::{Attempt, Cause, Effect, Failure, journal},
    rule::{Capture, Target},
    secret::Secret,
    store::{self, Lease},
};

/// How long a client waits at most for a token in doubt, and how long a refresh that brought no other refresh token
/// is told again.
const SOON: Duration = Duration::from_secs(10);

/// A client's own refresh.
#[derive(Clone)]
pub struct Relay {
    /// Who it is, where clients have names.
    pub client: Option<Arc<str>>,
    /// With all that the session's captures take from such an answer.
    pub capture: Capture,
    /// What the client has for a refresh token.
    pub presented: Secret,
    /// Its request; the body is made when the token is known.
    pub request: auth::Request,
    pub body: Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>,
}

/// The answer to it, its body decoded; all that is in it is real.
#[derive(Clone, Debug)]
pub struct Relayed {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The refresh token that was sent, if one was.
    pub spent: Option<Secret>,
}

/// Whose refresh token a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presented {
    /// The one that is held, or what stands in for it.
    Current,
    /// One that was held before.
    Earlier,
    /// None of the session's.
    Foreign,
}

/// What a client's refresh spends.
struct Spending {
    token: Secret,
    attempt: Attempt,
    /// Whether it may have been spent before.
    doubted: bool,
}

/// A relay under way, which others may join.
pub(super) type Joint = Option<(Target, Flight)>;
type Flight = Shared<BoxFuture<'static, Result<Arc<Relayed>, Failure>>>;

// === impl Session ===

impl Session {
    /// Tells whether a client's refresh token is the session's, or stands in for one: only then is its refresh relayed.
    pub async fn is_own(&self, presented: &str) -> Result<bool, store::Error> {
        self.open().await?;
        Ok(self.presented(presented).await? != Presented::Foreign)
    }

    /// Performs a client's own refresh, in a task that no client can cancel. With `coalesce` those who ask at once
    /// share one, and who asks with an earlier refresh token is told what came of that.
    pub async fn relay(&self, relay: Relay) -> Result<Arc<Relayed>, Failure> {
        self.open().await.map_err(unstored)?;
        let Some(session) = self.me.upgrade() else {
            return Err(Failure::Store("the session has ended".to_owned()));
        };
        if !relay.capture.coalesce {
            return session.begin_relay(relay).await;
        }
        if let Some(told) = self.told_again(&relay).await? {
            return Ok(Arc::new(told));
        }
        let flight = {
            let mut joint = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
            match &*joint {
                Some((target, flight))
                    if *target == relay.capture.target && flight.peek().is_none() =>
                {
                    flight.clone()
                }
                _ => {
                    let target = relay.capture.target.clone();
                    let flight = session.begin_relay(relay);
                    *joint = Some((target, flight.clone()));
                    flight
                }
            }
        };
        flight.await
    }

    fn begin_relay(self: Arc<Self>, relay: Relay) -> Flight {
        let task = self.shared.spawn(Arc::clone(&self).relay_once(relay));
        let joined = task.map(|joined| {
            let relayed = joined.unwrap_or_else(|error| {
                Err(Failure::InDoubt {
                    why: error.to_string(),
                    answered: false,
                })
            });
            relayed.map(Arc::new)
        });
        joined.boxed().shared()
    }

    async fn relay_once(self: Arc<Self>, relay: Relay) -> Result<Relayed, Failure> {
        let _permits = self.shared.permits(Some(&relay.request.url.origin)).await;
        let mut lease = self.right_to_refresh().await?;
        let mut before = None;
        loop {
            let mut untold = None;
            let mut spends = match self.what_to_spend(&relay).await {
                Ok(spends) => spends,
                Err(told) => {
                    self.take_later(before, Some(lease));
                    return told;
                }
            };
            let mut calls = Calls::of(&self);
            let relayed = self.spend(&relay, &mut lease, &mut spends, (&mut calls, &mut untold));
            match relayed.await.transpose() {
                Some(relayed) => {
                    let kept = match untold {
                        Some(refused) if !calls.has_one() => {
                            self.notes_first(lease, move |session| {
                                let refused = refused.clone();
                                async move { session.note_refused(&refused).await }
                            });
                            None
                        }
                        _ => Some(lease),
                    };
                    self.leave(calls, spends.attempt, kept);
                    return relayed;
                }
                None => {
                    self.leave(calls, spends.attempt.clone(), None);
                    if let Err(failure) = self.hold(&mut lease).await {
                        self.take_later(Some(spends.attempt), None);
                        return Err(failure);
                    }
                    before = Some(spends.attempt);
                }
            }
        }
    }

    /// Looks what is to be spent; else says what the client is told without that.
    async fn what_to_spend(&self, relay: &Relay) -> Result<Spending, Result<Relayed, Failure>> {
        let taken_up = self.take_up(true).await;
        taken_up.map_err(|error| Err(unstored(error)))?;
        let next = self.inner().held.notes.calls + 1;
        self.take_late(next).await;
        if relay.capture.coalesce
            && let Some(told) = self.told_again(relay).await.map_err(Err)?
        {
            return Err(Ok(told));
        }
        let held = self.inner().held.clone();
        let doubted = doubt(&held.notes, held.token.as_deref()).is_some();
        // The session was ended here: its client has to sign in, as if the server had said so.
        let Some(token) = held.grant.field(REFRESH_TOKEN).cloned() else {
            return Err(Ok(hold::refusal()));
        };
        let rules = &self.definition.rules;
        let attempt = Attempt {
            number: 1,
            cause: Cause::Asked,
            generation: held.generation,
            limit: match held.token {
                Some(_) => journal::limit(rules.timeout, rules.grace),
                None => rules.timeout,
            },
            spends: held.token,
            started: self.now().moment(),
            wait: Duration::ZERO,
            overtaken: false,
            asked: None,
        };
        if let Some(failure) = self.not_answered_just_now(&attempt) {
            return Err(Err(failure));
        }
        match self.held_off(relay, &token) {
            Some(told) => Err(told),
            None => Ok(Spending {
                token,
                attempt,
                doubted,
            }),
        }
    }

    /// Asks, and makes the answer the session's; `None`: something newer has come than what was spent, or would have been,
    /// and all is looked at again.
    async fn spend(
        &self,
        relay: &Relay,
        lease: &mut Lease,
        spends: &mut Spending,
        (calls, untold): (&mut Calls, &mut Option<Refused>),
    ) -> Result<Option<Relayed>, Failure> {
        let Some(number) = self.may_spend(lease, &spends.attempt).await? else {
            return Ok(None);
        };
        let asked = Part::of_client(relay.client.clone());
        self.inner().asked = asked.clone();
        self.record_of(name::STARTED, "asked by a client".to_owned(), asked);
        let began = Instant::now();
        let answered = self.ask_for(relay, (lease, number), spends, calls).await;
        let took = began.elapsed();
        let Spending {
            token,
            attempt,
            doubted,
        } = spends;
        let (answered, renewal) = match answered {
            Ok(Some(Told { answered, renewal })) => (answered, renewal),
            Ok(None) => return Ok(None),
            Err(failure) => {
                let unknown = (*doubted, calls.are_open());
                *untold = self.refused(&failure, unknown, took).await;
                return Err(failure);
            }
        };
        match renewal {
            Ok(renewed) => {
                self.counters.attempt("ok", took);
                let brought = renewed.field(REFRESH_TOKEN).cloned();
                let right = lease.witness();
                if let Some(next) = self.renewed(renewed, attempt, took, &right).await {
                    self.perform(vec![Effect::Refresh(next)]);
                }
                // Another process was faster with a later call: nobody would know the refresh token that this one brought.
                let holds = self.inner().held.grant.field(REFRESH_TOKEN).cloned();
                if brought.is_some() && holds != brought && self.overtaken(attempt).is_some() {
                    return Ok(None);
                }
            }
            Err(failure) => {
                *untold = self.refused(&failure, (*doubted, false), took).await;
                self.hold_off(relay, token, &answered, &failure);
            }
        }
        Ok(Some(Relayed {
            status: answered.status,
            headers: answered.headers,
            body: answered.body,
            spent: Some(token.clone()),
        }))
    }

    async fn presented(&self, presented: &str) -> Result<Presented, store::Error> {
        let held = Arc::clone(&self.inner().held.grant);
        let token = held.field(REFRESH_TOKEN).map(Secret::expose);
        if token.is_some_and(|token| token == presented) {
            return Ok(Presented::Current);
        }
        if let Some(standins) = &self.standins {
            let maker = standins.maker();
            if maker.recognises(REFRESH_TOKEN, presented) {
                let of_it = |token: &String| maker.make(REFRESH_TOKEN, token) == presented;
                return Ok(if token.is_some_and(of_it) {
                    Presented::Current
                } else {
                    Presented::Earlier
                });
            }
        }
        if token.is_none() {
            return Ok(Presented::Foreign);
        }
        let fingerprint = self
            .definition
            .fingerprint_of(&self.store, &self.id, presented);
        if kept::was_spent(&held, &fingerprint) {
            return Ok(Presented::Earlier);
        }
        let previous = self.store.previous(&self.id).await?;
        let previous = previous.as_ref().and_then(|p| p.grant.field(REFRESH_TOKEN));
        Ok(match previous.map(Secret::expose) {
            Some(previous) if previous == presented => Presented::Earlier,
            _ => Presented::Foreign,
        })
    }
}

fn unstored(error: store::Error) -> Failure {
    Failure::Store(error.with_causes())
}

// === impl Relay ===

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("url", &self.request.url)
            .finish_non_exhaustive()
    }
}
