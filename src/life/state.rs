//! The states of a session, and what each of them holds.

use std::time::{Duration, SystemTime};

use super::{Failure, Moment, Reason};
use crate::grant::Generation;

/// What is held, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub generation: Generation,
    pub what: What,
    /// Whether a refresh can be tried with what is held.
    pub renewable: bool,
    pub expires_at: Option<SystemTime>,
    /// When it was obtained or last changed: with `expires_at` the lifetime.
    pub obtained_at: Option<SystemTime>,
    /// The fingerprint of the refresh token that a refresh spends; `None`: a refresh spends nothing.
    pub token: Option<String>,
}

/// How much of what a request needs is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Nothing,
    /// Something is held, but this field or cookie is missing.
    Lacks(String),
    Whole,
}

/// The states of a session; each keeps what is held, so that no transition can drop it.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Empty(Holding),
    Incomplete(Holding),
    Fresh(Holding),
    Refreshing {
        stale: Holding,
        attempt: Attempt,
    },
    Degraded {
        stale: Holding,
        since: SystemTime,
        /// When it is tried again, by both clocks.
        retry: Moment,
        failure: Failure,
    },
    NeedsLogin {
        stale: Holding,
        reason: Reason,
    },
}

/// One flight of the refresh; its number counts the calls within it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub number: u32,
    pub cause: Cause,
    /// The generation and the refresh token that it spends.
    pub generation: Generation,
    pub spends: Option<String>,
    /// When the flight began, and how long to wait before this call.
    pub started: Moment,
    pub wait: Duration,
    /// How long this call may take.
    pub limit: Duration,
    /// Somebody put in other material meanwhile.
    pub overtaken: bool,
    /// What was held when a person asked for a refresh, while this flight was under way.
    pub asked: Option<Holding>,
}

/// Why a refresh was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Ahead of expiry, or `every`.
    Background,
    /// A request waits, and nothing usable is held.
    Needed,
    /// A request was rejected.
    Rejected,
    /// A person asked.
    Asked,
}

// === impl Holding ===

impl Holding {
    /// Tells whether a request can be sent with it.
    pub fn usable(&self, now: SystemTime) -> bool {
        self.what == What::Whole && !self.expired(now)
    }

    /// Tells whether a refresh came between the two; cookies that were learnt are none where a token is spent.
    pub(super) fn is_renewed_since(&self, before: &Self) -> bool {
        match self.token {
            Some(_) => self.token != before.token,
            None => self.generation > before.generation,
        }
    }

    pub fn expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

// === impl State ===

impl State {
    /// Returns the state's name as `status` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty(_) => "empty",
            Self::Incomplete(_) => "incomplete",
            Self::Fresh(_) => "fresh",
            Self::Refreshing { .. } => "refreshing",
            Self::Degraded { .. } => "degraded",
            Self::NeedsLogin { .. } => "needs_login",
        }
    }

    pub fn holding(&self) -> &Holding {
        match self {
            Self::Empty(held) | Self::Incomplete(held) | Self::Fresh(held) => held,
            Self::Refreshing { stale, .. }
            | Self::Degraded { stale, .. }
            | Self::NeedsLogin { stale, .. } => stale,
        }
    }

    /// Returns why the state is no good one.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Empty(_) | Self::Fresh(_) | Self::Refreshing { .. } => None,
            Self::Incomplete(held) => match &held.what {
                What::Lacks(missing) => Some(format!("{missing} is missing")),
                What::Nothing | What::Whole => None,
            },
            Self::Degraded { failure, .. } => Some(failure.to_string()),
            Self::NeedsLogin { reason, .. } => Some(reason.to_string()),
        }
    }

    pub(super) fn holding_mut(&mut self) -> &mut Holding {
        match self {
            Self::Empty(held) | Self::Incomplete(held) | Self::Fresh(held) => held,
            Self::Refreshing { stale, .. }
            | Self::Degraded { stale, .. }
            | Self::NeedsLogin { stale, .. } => stale,
        }
    }

    /// Returns the state of rest for what is held.
    pub(super) fn settled(held: Holding) -> Self {
        match held.what {
            What::Nothing => Self::Empty(held),
            What::Lacks(_) => Self::Incomplete(held),
            What::Whole => Self::Fresh(held),
        }
    }
}
