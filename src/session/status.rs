//! What `status` prints of a session. No secret is in it.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Session, history::format, runner::Inner};
use crate::life::{State, What};

/// What is said of a one-time token that was not answered, once the server's grace is over.
const MAY_BE_LOST: &str = "; if the server has rotated the refresh token all the same, the session is lost \
                           (a lost rotation), and the next attempt shows it";

/// A one-time token may be without an answer for so long before that is said.
const UNANSWERED: Duration = Duration::from_secs(4);

/// A session's state as facts; times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    pub name: String,
    pub client: Option<String>,
    pub provider: Option<String>,
    pub state: &'static str,
    /// Whether a request would be sent with a usable credential now.
    pub valid: bool,
    pub requires_login: bool,
    pub message: Option<String>,
    pub generation: u64,
    pub expires_at: Option<String>,
    pub next_refresh_at: Option<String>,
    pub last_refresh: Option<LastRefresh>,
    pub last_error: Option<String>,
    pub bound_to: Vec<String>,
    pub cookies: Cookies,
    pub counters: Counts,
}

/// The last refresh, whoever made it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastRefresh {
    pub at: String,
    /// `ok`, or the name of what went wrong.
    pub result: String,
    pub took_ms: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Cookies {
    pub stored: usize,
    /// The names of required cookies that are not there.
    pub missing: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Counts {
    pub requests: u64,
    pub injected: u64,
    pub rejected: u64,
    pub replayed: u64,
    pub refreshes: u64,
    pub rotations: u64,
}

// === impl Session ===

impl Session {
    /// Returns when the credential that is held ends, if that is known.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.inner().life.state.holding().expires_at
    }

    /// Returns the session's state as facts.
    pub fn status(&self) -> Status {
        let now = self.shared.env.wall();
        let recipe = &self.definition.recipe;
        let counter = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let inner = self.inner();
        let state = &inner.life.state;
        let held = state.holding();
        let missing = recipe.cookies.required.iter();
        let missing = missing
            .filter(|name| inner.held.jar.named(name, now).is_none())
            .cloned()
            .collect();
        let last_refresh = inner.held.notes.last_refresh.as_ref();
        Status {
            name: self.id.name.to_string(),
            client: self.id.client.as_deref().map(str::to_owned),
            provider: recipe.provider.clone(),
            state: state.name(),
            valid: inner.life.serving(now).is_some() && inner.ready.is_some(),
            requires_login: requires_login(&inner),
            message: self.message(&inner),
            generation: inner.held.generation.0,
            expires_at: held.expires_at.map(format),
            next_refresh_at: inner
                .life
                .due_at(self.now(), &self.definition.rules)
                .map(format),
            last_refresh: last_refresh.map(|(at, result, took_ms)| LastRefresh {
                at: format(*at),
                result: result.clone(),
                took_ms: *took_ms,
            }),
            last_error: inner.last_error.as_ref().map(|(_, text)| text.clone()),
            bound_to: recipe.bound_to(),
            cookies: Cookies {
                stored: inner.held.jar.len(),
                missing,
            },
            counters: Counts {
                requests: counter(&self.counters.requests),
                injected: counter(&self.counters.injected),
                rejected: counter(&self.counters.rejected),
                replayed: counter(&self.counters.replayed),
                refreshes: counter(&self.counters.refreshes),
                rotations: counter(&self.counters.rotations),
            },
        }
    }

    fn message(&self, inner: &Inner) -> Option<String> {
        let state = &inner.life.state;
        let (now, rules) = (self.now(), &self.definition.rules);
        let due = inner.life.due_at(now, rules);
        let doubt = inner.life.doubt();
        let may_be_lost = doubt.is_some_and(|doubt| !doubt.in_grace(now, rules.grace));
        let reason = state.reason();
        let help = |text: String| format!("{text}; {}", self.hint_in(state));
        let message = match state {
            State::NeedsLogin { .. } => reason.map(help),
            State::Incomplete(held) if !held.renewable => reason.map(help),
            State::Incomplete(_) => reason.map(|text| format!("{text}; obtained at first use")),
            State::Empty(held) if held.renewable => {
                Some("nothing is held yet; obtained at first use".to_owned())
            }
            State::Empty(_) => Some(help("nothing is held".to_owned())),
            State::Degraded { retry, .. } => {
                let again = format(due.unwrap_or(retry.at(now)));
                let lost = if may_be_lost { MAY_BE_LOST } else { "" };
                reason.map(|text| format!("{text}{lost}; tried again at {again}"))
            }
            State::Fresh(_) if may_be_lost => {
                let text = "an earlier refresh was not answered";
                due.map(|due| format!("{text}{MAY_BE_LOST}; tried again at {}", format(due)))
            }
            State::Refreshing { attempt, .. } if attempt.spends.is_some() => {
                let silent = attempt.started.age(now).unwrap_or_default();
                let text = || format!("no answer to the refresh for {} s", silent.as_secs());
                (silent >= UNANSWERED).then(text)
            }
            State::Fresh(_) if inner.life.is_rejected() && self.definition.never_refreshes() => {
                Some(help("rejected, and nothing renews it".to_owned()))
            }
            State::Fresh(_) | State::Refreshing { .. } => None,
        };
        match (&inner.unsaved, message) {
            (None, message) => message,
            (Some(unsaved), None) => Some(format!("in memory only: {}", unsaved.why)),
            (Some(unsaved), Some(text)) => Some(format!("{text}; in memory only: {}", unsaved.why)),
        }
    }
}

fn requires_login(inner: &Inner) -> bool {
    match &inner.life.state {
        State::NeedsLogin { .. } => true,
        State::Empty(held) | State::Incomplete(held) => !held.renewable && held.what != What::Whole,
        State::Fresh(_) | State::Refreshing { .. } | State::Degraded { .. } => false,
    }
}
