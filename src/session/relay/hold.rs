//! Pauses of clients' own refreshes: what the server has refused, put off, or answered with something else (a portal's
//! page), is not sent again at once. Who asks meanwhile is told what was said. Anything new that is held ends a pause.

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
    life::{Doubt, Failure, Moment, Now, Rules, State, put_off},
    secret::Secret,
    session::{Session, held::Held, refresh::Answered, runner::Inner, write::doubt},
};

/// As many different requests are remembered: clients of one session hardly differ.
const MOST: usize = 16;

/// A longer body is not told again.
const LONGEST: usize = 64 * 1024;

/// The pause of a token in doubt that is put off while the server's grace lasts: behind that it would be lost.
const IN_GRACE: Duration = Duration::from_secs(1);

/// The pause behind an answer that is none, once the grace of what it may have spent is over: as for our own refreshes.
const MINUTE: Duration = Duration::from_secs(60);

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
            // Whether the token was spent is not known: nobody sends it again at once.
            Failure::NotAnAnswer(_) => {
                let doubt = doubt(&inner.held.notes, inner.held.token.as_deref());
                (until_next(doubt, now, rules), None)
            }
            Failure::Unsent(_)
            | Failure::InDoubt { .. }
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
            // Ours has met a page: a client's goes there no sooner than the next of ours would.
            State::Degraded {
                failure: Failure::NotAnAnswer(why),
                retry,
                ..
            } => {
                let (until, why) = (retry.at(now), why.clone());
                (until > now.wall).then(|| Err(Failure::Throttled { until, why }))
            }
            _ => None,
        }
    }
}

/// Returns how long a token is left alone that was answered with something else: while its grace lasts half as long as it
/// has been in doubt, at least a second, so that it is tried again in time; then a minute.
fn until_next(doubt: Option<Doubt>, now: Now, rules: &Rules) -> Duration {
    match doubt {
        Some(doubt) if doubt.in_grace(now, rules.grace) => {
            let age = now.wall.duration_since(doubt.since()).unwrap_or_default();
            (age / 2).clamp(IN_GRACE, MINUTE)
        }
        Some(_) | None => MINUTE,
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
pub(super) fn refusal() -> Relayed {
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

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{asks, recipe, standin, started},
        *,
    };
    use crate::{
        rule::RefreshKind,
        session::{
            bench::Bench,
            double::{Authority, Away, Fault},
            tests::pass,
        },
    };

    /// A portal answers with its page: who asked gets it, and who asks within the pause gets it again.
    #[tokio::test(start_paused = true)]
    async fn a_page_is_told_again_and_the_token_left_alone() {
        // Whether the server takes a spent token again decides how soon it is tried: a few times at once, or once a minute.
        for (grace, most) in [
            (Some(Duration::ZERO), 10),
            (Some(Duration::from_secs(10)), 18),
            (None, 24),
        ] {
            for coalesce in [false, true] {
                let bench = Bench::new();
                let mut recipe = recipe(coalesce);
                recipe.refresh.grace = grace;
                recipe.refresh.kind = RefreshKind::None;
                let (_sessions, session) = bench.open(recipe).await;
                session.relay(asks(&session, "rt-0")).await.unwrap();
                let presented = standin(&session);
                let before = bench.authority.calls();
                *bench.authority.away.lock().unwrap() = Some(Away::Portal);
                for _ in 0..600 {
                    let told = session.relay(asks(&session, &presented)).await.unwrap();
                    assert_eq!(told.status, StatusCode::OK);
                    assert_eq!(told.headers[CONTENT_TYPE], "text/html");
                    assert_eq!(told.body, b"<html>no JSON</html>");
                    pass(1.0).await;
                }
                let sent = bench.authority.calls() - before;
                assert!((9..=most).contains(&sent), "{grace:?}: {sent}");
                // The portal is gone: within the minute a refresh goes through.
                *bench.authority.away.lock().unwrap() = None;
                pass(60.0).await;
                let told = session.relay(asks(&session, &presented)).await.unwrap();
                assert_ne!(
                    told.headers.get(CONTENT_TYPE).map(|t| t.as_bytes()),
                    Some(&b"text/html"[..])
                );
                assert_eq!(bench.authority.calls() - before, sent + 1);
                assert!(!bench.authority.is_revoked());
            }
        }
    }

    /// Our own refresh has met the portal: a client's does not go there sooner than ours would.
    #[tokio::test(start_paused = true)]
    async fn a_page_that_we_were_told_puts_clients_off_too() {
        let mut authority = Authority::new();
        authority.grace = Duration::ZERO;
        let bench = Bench::of(authority);
        let mut recipe = recipe(true);
        recipe.refresh.grace = Some(Duration::ZERO);
        let (_sessions, session) = started(&bench, recipe).await;
        let presented = standin(&session);
        let portal = || Fault::Say(Failure::NotAnAnswer("a page".to_owned()));
        for _ in 0..2 {
            bench.authority.then(portal());
            let _ = session.refresh_now().await;
            pass(2.0).await;
        }
        let calls = bench.authority.calls();
        let asked = session.relay(asks(&session, &presented)).await;
        assert!(matches!(asked, Err(Failure::Throttled { .. })), "{asked:?}");
        assert_eq!(bench.authority.calls(), calls);
    }
}
