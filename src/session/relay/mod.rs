//! A client's own refresh: its request with the real refresh token in it, under the same rules as ours (lease, look
//! again, journal, call, store, publish), and its answer for all who asked at once.

pub(super) mod kept;
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
use tokio::time::{Instant, sleep, timeout};

use super::{
    Session,
    held::{ACCESS_TOKEN, REFRESH_TOKEN},
    history::name,
    refresh::{Answered, Call, Permit, Renewed},
    write::doubt,
};
use crate::{
    auth,
    life::{Attempt, Cause, Effect, Failure, Outcome, journal},
    rule::{Capture, Target, capture},
    secret::Secret,
    store::{self, Durability, Lease},
};

/// The waits before a token whose use was not answered is sent again, while the server's grace lasts.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How long a client waits at most for a token in doubt, and how long a refresh that brought no other refresh token
/// is told again.
const SOON: Duration = Duration::from_secs(10);

/// A client's own refresh.
#[derive(Clone)]
pub struct Relay {
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
        loop {
            match self.relay_under(&mut lease, &relay).await {
                // Nothing was sent, for another process has or had the right to, or something newer has come.
                Err(Failure::Unsent(_)) if self.has_late() || !lease.is_held() => {
                    self.hold(&mut lease).await?;
                }
                relayed => {
                    self.let_go_of(Some(lease));
                    return relayed;
                }
            }
        }
    }

    async fn relay_under(&self, lease: &mut Lease, relay: &Relay) -> Result<Relayed, Failure> {
        self.take_up(true).await.map_err(unstored)?;
        self.take_late().await;
        if relay.capture.coalesce
            && let Some(told) = self.told_again(relay).await?
        {
            return Ok(told);
        }
        let held = self.inner().held.clone();
        let mut doubted = doubt(&held.notes, held.token.as_deref()).is_some();
        let Some(token) = held.grant.field(REFRESH_TOKEN).cloned() else {
            return Err(Failure::Misconfigured(
                "no refresh token is held".to_owned(),
            ));
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
            return Err(failure);
        }
        let mut number = self.may_spend(lease, &attempt).await?;
        self.record(name::STARTED, "asked by a client".to_owned());
        let began = Instant::now();
        let sends = (&mut *lease, &attempt, &mut number);
        let answered = self.ask_for(relay, &token, sends, &mut doubted);
        let answered = match answered.await {
            Ok(answered) => answered,
            Err(failure) => {
                self.refused(&failure, doubted, began.elapsed()).await;
                return Err(failure);
            }
        };
        let took = began.elapsed();
        match self.renewal(relay, &answered, &token) {
            Ok(mut renewed) => {
                self.counters.attempt("ok", took);
                renewed.of = Call {
                    number,
                    spent: attempt.spends.clone(),
                };
                let brought = renewed.field(REFRESH_TOKEN).cloned();
                let right = lease.witness();
                if let Some(next) = self.renewed(renewed, &attempt, took, &right).await {
                    self.perform(vec![Effect::Refresh(next)]);
                }
                if let Some(told) = self.told_instead(relay, brought).await? {
                    return Ok(told);
                }
            }
            Err(failure) => self.refused(&failure, doubted, took).await,
        }
        Ok(Relayed {
            status: answered.status,
            headers: answered.headers,
            body: answered.body,
            spent: Some(token),
        })
    }

    /// Looks again, and journals, before each call.
    async fn may_spend(&self, lease: &mut Lease, attempt: &Attempt) -> Result<u64, Failure> {
        match self.prepare(lease, attempt).await {
            Ok(number) => Ok(number),
            Err(Outcome::Failed(failure)) => Err(failure),
            Err(_) => Err(Failure::Store("it was refreshed meanwhile".to_owned())),
        }
    }

    /// Sends the client's request, and again while it was not answered and the server's grace lasts.
    async fn ask_for(
        &self,
        relay: &Relay,
        token: &Secret,
        (lease, attempt, number): (&mut Lease, &Attempt, &mut u64),
        doubted: &mut bool,
    ) -> Result<Answered, Failure> {
        let (began, grace) = (Instant::now(), self.definition.rules.grace);
        let grace = grace.unwrap_or(SOON).min(SOON);
        let mut waits = AGAIN.into_iter();
        loop {
            let request = auth::Request {
                body: Secret::new((relay.body)(token.expose())),
                ..relay.request.clone()
            };
            let permit = Permit::under(lease.witness(), Arc::clone(&self.late_at_hand));
            // A process that was suspended goes on here, and its client was given up long ago.
            let permit = permit.until(Instant::now() + attempt.limit);
            let call = Arc::clone(&self.refresh).relay(request, permit.clone());
            let failure = match timeout(attempt.limit, call).await {
                Ok(Ok(answered)) => return Ok(answered),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    let millis = attempt.limit.as_millis();
                    match permit.revoke() {
                        true => Failure::Unsent(format!("it took {millis} ms to connect")),
                        false => Failure::InDoubt {
                            why: format!("no answer within {millis} ms"),
                            answered: false,
                        },
                    }
                }
            };
            let wait = waits.next().filter(|wait| began.elapsed() + *wait < grace);
            match (&failure, wait) {
                (Failure::InDoubt { .. }, Some(wait)) => sleep(wait).await,
                _ => return Err(failure),
            }
            *doubted = true;
            // The process may have been suspended meanwhile, and the token be spent by another.
            if began.elapsed() >= grace {
                return Err(failure);
            }
            *number = self.may_spend(lease, attempt).await?;
        }
    }

    /// Reads an answer as a new credential.
    fn renewal(
        &self,
        relay: &Relay,
        answered: &Answered,
        token: &Secret,
    ) -> Result<Renewed, Failure> {
        if let Some(trouble) = answered.trouble() {
            return Err(trouble);
        }
        let status = answered.status;
        if !status.is_success() {
            return Err(Failure::Terminal(format!("status {}", status.as_u16())));
        }
        let answer = capture::Answer {
            headers: &answered.headers,
            body: &answered.body,
        };
        let taken = capture::take(&relay.capture.answer, answer)
            .map_err(|error| Failure::NotAnAnswer(error.to_string()))?;
        if !taken.fields.iter().any(|(field, _)| field == ACCESS_TOKEN) {
            return Err(Failure::NotAnAnswer("no access token".to_owned()));
        }
        let mut renewed = if self.definition.recipe.cookies.enabled {
            let before = Arc::clone(&self.inner().held.jar);
            Renewed::of_answer(&before, &relay.request.url, answered)
        } else {
            Renewed {
                skew: answered.skew(),
                ..Renewed::default()
            }
        };
        renewed.take(taken.fields, answered);
        if relay.capture.coalesce {
            let answer = kept::keep(answered, Some(token), std::slice::from_ref(&relay.capture));
            let answer = answer.map(|answer| (kept::ANSWER.to_owned(), answer));
            renewed.fields.extend(answer);
        }
        Ok(renewed)
    }

    /// Notes a refresh that brought nothing. What was answered is not in doubt, unless it was before.
    async fn refused(&self, failure: &Failure, doubted: bool, took: Duration) {
        self.counters.attempt(failure.name(), took);
        self.record(name::FAILED, format!("asked by a client: {failure}"));
        let in_doubt = matches!(failure, Failure::InDoubt { .. } | Failure::NotAnAnswer(_));
        let now = self.shared.env.wall();
        let noted = async {
            self.note(Durability::Written, |notes| {
                if matches!(failure, Failure::InDoubt { .. }) {
                    // Whoever has the lease next sends it no sooner than after a minute, if its grace is over.
                    let took = took.as_millis() as u64;
                    notes.last_refresh = Some((now, failure.name().to_owned(), took));
                } else if !in_doubt && !doubted {
                    notes.attempt = None;
                }
            })
            .await?;
            // The life learns what the journal says now.
            self.take_up(true).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(session = %self.id, %error, "the session's notes were not stored");
        }
    }

    async fn presented(&self, presented: &str) -> Result<Presented, store::Error> {
        let held = Arc::clone(&self.inner().held.grant);
        let Some(token) = held.field(REFRESH_TOKEN).map(Secret::expose) else {
            return Ok(Presented::Foreign);
        };
        if token == presented {
            return Ok(Presented::Current);
        }
        if let Some(standins) = &self.standins {
            let maker = standins.maker();
            if maker.recognises(REFRESH_TOKEN, presented) {
                let current = maker.make(REFRESH_TOKEN, token) == presented;
                return Ok(if current {
                    Presented::Current
                } else {
                    Presented::Earlier
                });
            }
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
