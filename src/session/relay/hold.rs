//! Pauses of clients' own refreshes: what the server has refused, or put off, is not sent again at once. Who asks
//! meanwhile is told what the server said. Anything new that is held ends a pause.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::{Relay, Relayed, kept};
use crate::{
    auth::token,
    life::{Failure, Moment, Now, State, put_off},
    secret::Secret,
    session::{Session, held::Held, refresh::Answered, runner::Inner, write::doubt},
};

/// As many different requests are remembered: clients of one session hardly differ.
const MOST: usize = 16;

/// A longer body is not told again.
const LONGEST: usize = 64 * 1024;

/// The pause of a token in doubt that is put off while the server's grace lasts: behind that it would be lost.
const IN_GRACE: Duration = Duration::from_secs(1);

/// A pause of what one answer was about.
#[derive(Clone, Debug)]
pub(in crate::session) struct Hold {
    /// What was sent, and when it was obtained.
    token: Secret,
    obtained_at: Option<SystemTime>,
    /// The request that was refused; `None`: the token was, or everybody is put off.
    request: Option<u64>,
    until: Moment,
    told: Relayed,
}

// === impl Hold ===

impl Hold {
    /// Tells whether nothing newer is held than what was sent.
    fn is_of(&self, held: &Held, token: &Secret) -> bool {
        self.obtained_at == held.grant.obtained_at && self.token.expose() == token.expose()
    }

    fn lasts(&self, now: Now) -> bool {
        self.until.at(now) > now.wall
    }

    /// Returns the answer as it is true now.
    fn told(&self, now: Now) -> Relayed {
        let mut told = self.told.clone();
        if told.headers.contains_key(RETRY_AFTER) {
            let left = self.until.at(now).duration_since(now.wall);
            let seconds = left.unwrap_or_default().as_millis().div_ceil(1000) as u64;
            told.headers.insert(RETRY_AFTER, seconds.into());
        }
        told
    }
}

// === impl Session ===

impl Session {
    /// Returns how long a client that is put off until then waits.
    pub fn left_until(&self, then: SystemTime) -> Duration {
        let left = then.duration_since(self.shared.env.wall());
        left.unwrap_or_default()
    }

    /// Remembers an answer that says not to ask again at once.
    pub(super) fn hold_off(
        &self,
        relay: &Relay,
        token: &Secret,
        answered: &Answered,
        failure: &Failure,
    ) {
        let (now, rules) = (self.now(), &self.definition.rules);
        let mut inner = self.inner();
        let (wait, request) = match failure {
            // For how long is the server's to say.
            Failure::Throttled { .. } if !answered.headers.contains_key(RETRY_AFTER) => return,
            Failure::Throttled { until, .. } => {
                let doubt = doubt(&inner.held.notes, inner.held.token.as_deref());
                let wait = match doubt {
                    Some(doubt) if doubt.in_grace(now, rules.grace) => IN_GRACE,
                    Some(_) | None => put_off(*until, now),
                };
                (wait, None)
            }
            Failure::Terminal(_) => {
                let terminal = &self.definition.recipe.refresh.terminal;
                let of_token = token::refuses(terminal, &answered.headers, &answered.body);
                (rules.cooldown, (!of_token).then(|| sum(relay, token)))
            }
            Failure::Unsent(_)
            | Failure::InDoubt { .. }
            | Failure::NotAnAnswer(_)
            | Failure::Misconfigured(_)
            | Failure::Store(_) => return,
        };
        let mut headers = answered.headers.clone();
        kept::OF_ITS_TIME.iter().for_each(|name| {
            headers.remove(name);
        });
        let body = Some(&answered.body).filter(|body| body.len() <= LONGEST);
        let hold = Hold {
            token: token.clone(),
            obtained_at: inner.held.grant.obtained_at,
            request,
            until: now.moment().after(wait),
            told: Relayed {
                status: answered.status,
                headers,
                body: body.cloned().unwrap_or_default(),
                spent: None,
            },
        };
        if inner.holds.len() >= MOST {
            inner.holds.remove(0);
        }
        inner.holds.push(hold);
    }

    /// Returns what a client is told without that anything is sent, while a pause lasts: its own, another client's, or
    /// the session's.
    pub(super) fn held_off(
        &self,
        relay: &Relay,
        token: &Secret,
    ) -> Option<Result<Relayed, Failure>> {
        let now = self.now();
        let mut inner = self.inner();
        let Inner { holds, held, .. } = &mut *inner;
        holds.retain(|hold| hold.lasts(now) && hold.is_of(held, token));
        let request = sum(relay, token);
        let is_of_it = |hold: &&Hold| hold.request.is_none_or(|of| of == request);
        if let Some(hold) = inner.holds.iter().find(is_of_it) {
            return Some(Ok(hold.told(now)));
        }
        let rules = &self.definition.rules;
        match &inner.life.state {
            State::NeedsLogin { reason, .. } if reason.is_lasting() => {
                let (_, result, _) = inner.held.notes.last_refresh.as_ref()?;
                let until = inner.refreshed?.after(rules.cooldown).at(now);
                let refused = result == Failure::TERMINAL && until > now.wall;
                refused.then(|| Ok(refusal()))
            }
            State::Degraded {
                failure: Failure::Throttled { why, .. },
                ..
            } => {
                let until = inner.life.due_at(now, rules)?;
                let why = why.clone();
                (until > now.wall).then(|| Err(Failure::Throttled { until, why }))
            }
            _ => None,
        }
    }
}

/// Tells requests apart.
fn sum(relay: &Relay, token: &Secret) -> u64 {
    let mut hasher = DefaultHasher::new();
    let credential = relay.request.headers.get(AUTHORIZATION);
    credential.map(HeaderValue::as_bytes).hash(&mut hasher);
    (relay.body)(token.expose()).hash(&mut hasher);
    hasher.finish()
}

/// What a server says of a refresh token that it does not take (RFC 6749 §5.2), as the session was told it.
fn refusal() -> Relayed {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Relayed {
        status: StatusCode::BAD_REQUEST,
        headers: HeaderMap::from_iter(headers),
        body: br#"{"error":"invalid_grant"}"#.to_vec(),
        spent: None,
    }
}
