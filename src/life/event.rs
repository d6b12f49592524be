//! What can happen to a session, and what is to be done about it.

use std::{fmt, time::SystemTime};

use super::{Attempt, Doubt, Holding, cooldown::Note};
use crate::grant::Generation;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request needs a credential, and none usable is held.
    Needed,
    /// A time that was asked for has come, or somebody looks at the clock; `used_at`: the last request.
    Due { used_at: Option<SystemTime> },
    /// A request that was sent with this generation was rejected; the store was read again before.
    Rejected(Generation),
    /// A request that was sent again with this generation, after a refresh, was rejected again.
    RejectedAgain(Generation),
    /// A request that was sent with this generation was accepted.
    Accepted(Generation),
    /// A person asks for a refresh.
    Asked,
    /// A probe reached the host that could not be reached, or wrote to the store that could not be written.
    Reachable,
    /// This is held now: learnt from an answer.
    Changed(Holding),
    /// Another process has stored this, and what it remembers beside it.
    Stored {
        held: Holding,
        doubt: Option<Doubt>,
        ended: Option<Reason>,
        vain: Option<Note>,
    },
    /// This is held now, by a login, an import or a restore.
    Imported(Holding),
    /// This is held now, by an answer that came when its flight was over.
    Late(Holding),
    /// The flight has the right to refresh: what it sends is sent from now on.
    Begun,
    /// The call of the flight ended.
    Outcome(Outcome),
}

/// How a call of the flight ended. What was obtained is stored before this is said.
#[derive(Clone, Debug)]
pub enum Outcome {
    Renewed(Holding),
    /// Another process was faster; what it stored has come as [`Event::Stored`].
    Superseded,
    /// Another process has found that this refresh token is at its end.
    Ended {
        reason: Reason,
        /// A request with what is held was rejected.
        rejected: bool,
    },
    /// The refresh token has moved, and this is held now; but what came with it was not accepted.
    Unverified(Holding, String),
    Failed(Failure),
}

/// Why a refresh failed, sorted by what may be done next; the text has no secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Not a byte of the request was written.
    Unsent(String),
    /// Bytes were written; `answered`: by a status of 5xx, else there was no whole answer.
    InDoubt {
        why: String,
        answered: bool,
    },
    /// An answer that is none: HTML, unusable fields.
    NotAnAnswer(String),
    Throttled {
        until: SystemTime,
        why: String,
    },
    /// The server has refused what was spent, for good.
    Terminal(String),
    /// The client itself was refused, or the definition of the session cannot work.
    Misconfigured(String),
    /// The store cannot be written; nothing was spent.
    Store(String),
}

/// Why a session needs a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server refused the credential.
    Terminal(String),
    /// The server refused a refresh token whose last use was never answered.
    LostRotation(String),
    Misconfigured(String),
    /// It ended, and nothing can renew it.
    Expired,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Note in the store, on the disk, that the refresh token is being spent, before the next call.
    Journal,
    /// Call the refresh: start a flight, or go on with the one that has just reported.
    Refresh(Attempt),
    /// Write what this life remembers (its end, a vain refresh) to the store.
    Persist,
    /// Ask every few seconds whether the refresh's host can be reached, or whether the store can be written again, and
    /// say so once.
    Probe,
    /// Report [`Event::Due`] at this time.
    WakeAt(SystemTime),
    Tell(Notice),
}

/// News for the log, the history and those who asked to be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Succeeded,
    Failed(Failure),
    Degraded,
    Expiring,
    Expired,
    NeedsLogin,
    Recovered,
}

// === impl Failure ===

impl Failure {
    /// The name of an end.
    pub const TERMINAL: &str = "terminal";

    /// Returns the short name that `last_refresh.result` and the metrics use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unsent(_) => "unsent",
            Self::InDoubt { .. } => "in_doubt",
            Self::NotAnAnswer(_) => "not_an_answer",
            Self::Throttled { .. } => "throttled",
            Self::Terminal(_) => Self::TERMINAL,
            Self::Misconfigured(_) => "misconfigured",
            Self::Store(_) => "store",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(why) => write!(f, "the refresh could not be sent: {why}"),
            Self::InDoubt { why, .. } => write!(f, "the refresh was not answered: {why}"),
            Self::NotAnAnswer(why) => write!(f, "the answer to the refresh is none: {why}"),
            Self::Throttled { why, .. } => write!(f, "the refresh was put off: {why}"),
            Self::Terminal(why) => write!(f, "the refresh was refused: {why}"),
            Self::Misconfigured(why) => write!(f, "the refresh cannot work: {why}"),
            Self::Store(why) => write!(f, "the refresh was not started: {why}"),
        }
    }
}

// === impl Reason ===

/// Begins the stored text of a lost rotation.
const LOST: &str = "lost rotation: ";

impl Reason {
    /// Tells whether the end outlives the process: what depends on the configuration or the clock is found anew.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Terminal(_) | Self::LostRotation(_) => true,
            Self::Misconfigured(_) | Self::Expired => false,
        }
    }

    /// Reads what [`Display`](fmt::Display) wrote into a store.
    pub fn stored(text: &str) -> Self {
        match text.strip_prefix(LOST) {
            Some(rest) => Self::LostRotation(rest.to_owned()),
            None => Self::Terminal(text.to_owned()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal(why) => f.write_str(why),
            Self::LostRotation(why) => write!(f, "{LOST}{why}"),
            Self::Misconfigured(why) => write!(f, "the refresh cannot work: {why}"),
            Self::Expired => f.write_str("it has expired, and nothing can renew it"),
        }
    }
}
