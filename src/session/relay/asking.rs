//! The calls of a client's own refresh: sent, sent again, and waited for when the client was told that there is no answer.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::{Relay, SOON, Spending, kept};
use crate::{
    auth,
    life::{Attempt, Failure, Outcome},
    rule::capture,
    secret::Secret,
    session::{
        Session,
        calls::Calls,
        held::ACCESS_TOKEN,
        refresh::{self, Answered, Call, Renewed},
        write::doubt,
    },
    store::Lease,
};

/// The waits before a token whose use was not answered is sent again, while the server's grace lasts.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// An answer, and what it is as a new credential.
pub(super) struct Told {
    pub(super) answered: Answered,
    pub(super) renewal: Result<Renewed, Failure>,
}

// === impl Session ===

impl Session {
    /// Looks again, and journals, before each call; `None`: it was refreshed meanwhile.
    pub(super) async fn may_spend(
        &self,
        lease: &mut Lease,
        attempt: &Attempt,
    ) -> Result<Option<u64>, Failure> {
        match self.prepare(lease, attempt).await {
            Ok(number) => Ok(Some(number)),
            Err(Outcome::Failed(failure)) => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// Sends the client's request, and again while it was not answered and the server's grace lasts; `None`: something
    /// newer has come meanwhile. What was given up and may still be answered stays among the calls.
    pub(super) async fn ask_for(
        &self,
        relay: &Relay,
        (lease, mut number): (&mut Lease, u64),
        spends: &mut Spending,
        calls: &mut Calls,
    ) -> Result<Option<Told>, Failure> {
        let Spending {
            token,
            attempt,
            doubted,
        } = spends;
        let (began, grace) = (Instant::now(), self.grace_left(attempt));
        let mut waits = AGAIN.into_iter();
        loop {
            let request = auth::Request {
                body: Secret::new((relay.body)(token.expose())),
                ..relay.request.clone()
            };
            let of = Call {
                number,
                spent: attempt.spends.clone(),
            };
            // A process that was suspended goes on here, and its client was given up long ago.
            let permit = self.permit(lease, attempt, number);
            let permit = permit.until(Instant::now() + attempt.limit);
            let mut call = Arc::clone(&self.refresh).relay(request, permit.clone());
            let millis = attempt.limit.as_millis();
            let failure = match timeout(attempt.limit, &mut call).await {
                Ok(Ok(answered)) => {
                    let renewal = self.renewal(relay, &answered, token);
                    let renewal = renewal.map(|renewed| Renewed { of, ..renewed });
                    return Ok(Some(Told { answered, renewal }));
                }
                Ok(Err(failure)) => failure,
                Err(_) if permit.revoke() => {
                    Failure::Unsent(format!("it took {millis} ms to connect"))
                }
                Err(_) => {
                    let call = self.heard_late(relay, token, call);
                    calls.add(of, Duration::ZERO, call);
                    Failure::InDoubt {
                        why: format!("no answer within {millis} ms"),
                        answered: false,
                    }
                }
            };
            if let Failure::Unsent(_) = failure {
                // Another process has or had the right to, or something newer has come.
                if !lease.is_held() {
                    return Ok(None);
                }
                self.take_late(number).await;
                if self.overtaken(attempt).is_some() {
                    return Ok(None);
                }
            }
            let wait = waits.next().filter(|wait| began.elapsed() + *wait < grace);
            let (Failure::InDoubt { .. }, Some(wait)) = (&failure, wait) else {
                return Err(failure);
            };
            *doubted = true;
            if let Some(renewed) = calls.wait(wait).await {
                // It is stored first, and then told as to anybody who asks again.
                self.came_late(attempt, renewed);
                return Ok(None);
            }
            // The process may have been suspended meanwhile, and the token be spent by another.
            if began.elapsed() >= grace {
                return Err(failure);
            }
            match self.may_spend(lease, attempt).await? {
                Some(next) => number = next,
                None => return Ok(None),
            }
        }
    }

    /// Returns for how long a token is sent again: what is left of its grace, since its first use by any process. A use
    /// whose grace was over is taken for one that did not arrive.
    fn grace_left(&self, attempt: &Attempt) -> Duration {
        let grace = self.definition.rules.grace.unwrap_or(SOON).min(SOON);
        let now = self.now();
        let used = doubt(&self.inner().held.notes, attempt.spends.as_deref())
            .filter(|doubt| doubt.in_grace(now, Some(grace)))
            .and_then(|doubt| now.wall.duration_since(doubt.since()).ok());
        grace.saturating_sub(used.unwrap_or_default())
    }

    /// Waits for an answer that the client no longer waits for.
    fn heard_late(
        &self,
        relay: &Relay,
        token: &Secret,
        call: BoxFuture<'static, Result<Answered, Failure>>,
    ) -> impl Future<Output = refresh::Outcome> + Send + use<> {
        let (session, relay, token) = (self.me.clone(), relay.clone(), token.clone());
        async move {
            let renewed = match (call.await, session.upgrade()) {
                (Ok(answered), Some(session)) => session.renewal(&relay, &answered, &token),
                (Ok(_), None) => Err(Failure::Store("the session has ended".to_owned())),
                (Err(failure), _) => Err(failure),
            };
            renewed.map_or_else(refresh::Outcome::Failed, refresh::Outcome::Renewed)
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
}
