//! The session engine: what every session holds, and how it stays signed in.
//!
//! The data path asks four things of a session: what a request is sent with ([`Session::ready`],
//! [`Session::current_for`]), whose turn it is ([`Session::turn`]), what an answer taught ([`Session::learn`]), and what
//! to do about a rejection ([`Session::reject`]). `ready` is one atomic load when nothing is new.
//!
//! Decisions are made by [`crate::life`]; what is held lies behind one small lock for each session; what must
//! outlive the process goes through the store before it is published. A refresh runs in a task of its own, which no
//! client can cancel.

mod ask;
mod awaited;
mod calls;
mod confirm;
mod counters;
mod flight;
mod heartbeat;
mod held;
mod history;
mod keep;
mod late;
mod learn;
mod lesson;
mod lessons;
mod mirror;
mod moved;
mod opening;
mod pace;
mod people;
pub mod refresh;
mod relay;
mod renew;
mod right;
mod runner;
mod seeds;
mod sessions;
mod shared;
mod standins;
mod status;
mod stubborn;
mod write;

#[cfg(test)]
mod bench;
#[cfg(test)]
mod double;
#[cfg(test)]
mod fuse;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore};

pub use self::{
    counters::{BUCKETS, Counters},
    history::Event,
    pace::Paced,
    people::{Before, Material, Restored},
    relay::{Relay, Relayed},
    sessions::{Context, Error, Keeping, Sessions},
    standins::Standins,
    status::{LastRefresh, Status},
    stubborn::About,
};
use self::{held::Definition, history::History, refresh::Refresh, runner::Inner, shared::Shared};
use crate::{
    env::Env,
    grant::{Generation, Grant},
    jar::Jar,
    origin::Origin,
    rule::{
        Recipe, inject,
        template::{self, Template},
    },
    secret::Secret,
    store::{self, SessionId, Store},
};

/// One session (of one client, if it is `per_client`).
pub struct Session {
    id: SessionId,
    definition: Definition,
    shared: Arc<Shared>,
    store: Store,
    refresh: Arc<dyn Refresh>,
    me: Weak<Self>,
    /// What is held, once it was read from the store.
    opened: OnceCell<()>,
    /// What requests are sent with; `None` when nothing usable is held.
    current: ArcSwapOption<Current>,
    generation: AtomicU64,
    inner: Mutex<Inner>,
    /// Held from reading what a change is based on until the change is published.
    writing: tokio::sync::Mutex<()>,
    /// Answers that have something to teach, for whoever has `writing` next.
    untaught: Mutex<Vec<learn::Untaught>>,
    /// Ticks whenever the life or what is held has changed.
    moved: moved::Moved,
    /// Wakes the keeper.
    wake: Arc<Notify>,
    /// Whether the keeper was woken by a request already.
    woken: AtomicBool,
    /// Whether it matters that a request was accepted.
    attentive: AtomicBool,
    stubborn: stubborn::Stubborn,
    /// When real traffic last showed what each heartbeat would, in milliseconds since the start.
    felt_at: Box<[AtomicU64]>,
    probing: AtomicBool,
    /// When the last request came, in milliseconds since the epoch; kept only for `idle`.
    used_at: AtomicU64,
    reads: write::Reads,
    turns: Option<Arc<Semaphore>>,
    pacer: Option<Arc<pace::Pacer>>,
    standins: Option<Standins>,
    awaited: awaited::Awaited,
    /// The refresh of clients that is under way.
    relays: Mutex<relay::Joint>,
    counters: Arc<Counters>,
    history: Arc<Mutex<History>>,
    /// Who has taken this session's place.
    successor: OnceLock<Weak<Self>>,
}

/// What a request is sent with: a snapshot that never changes.
#[derive(Debug)]
pub struct Current {
    pub generation: Generation,
    pub grant: Arc<Grant>,
    pub jar: Arc<Jar>,
    /// The injections, rendered for this generation.
    pub ready: Arc<[inject::Ready]>,
    env: Env,
    /// How far the server's clock is ahead of ours, in milliseconds.
    skew: i64,
    /// Milliseconds since the epoch: until when it may be used, and from when on the keeper must look.
    usable_until: u64,
    look_at: u64,
}

/// Why a request cannot be sent with the session's credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing is held that can be used, and only a person or new material can help.
    #[error("the session needs a login: {hint}")]
    NeedsLogin { hint: String },
    /// Nothing is held that can be used, and the next attempt is at a known time.
    #[error("the session cannot be renewed at the moment")]
    Degraded { retry_after: Duration },
    /// A required field or cookie is missing.
    #[error("the session is incomplete: {missing}")]
    Incomplete { missing: String },
    /// The refresh did not end within `limits.refresh_wait`.
    #[error("the refresh takes too long")]
    Waiting,
}

/// What an answer has that the session may learn.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The generation that the request was sent with ([`Session::generation`] if it was sent without).
    pub seen: Generation,
    /// What was asked for.
    pub about: About<'a>,
    pub headers: &'a HeaderMap,
    /// Whether the answer was a rejection: what it sets never makes that rejection look stale, and a deletion of a
    /// required cookie is held back until the refresh has spoken.
    pub rejected: bool,
    /// Fields captured from the answer (`capture`); `expires_in` and `expires_at` among them are read as the
    /// token's expiry.
    pub fields: Vec<(String, Secret)>,
}

/// What to do about a rejection.
#[derive(Debug)]
pub enum Verdict {
    /// Send again with this, once.
    Again(Arc<Current>),
    /// Pass the answer on; the reason is for `Proxy-Status`.
    Pass(&'static str),
}

/// The turn of one request in a serial session; the next one's begins when it is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    // In this order: the next task in this process asks only when it is free.
    _among_processes: Option<store::Turn>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why a request of a serial session does not get its turn.
#[derive(Debug, thiserror::Error)]
pub enum NoTurn {
    /// The session's queue did not move for `limits.serial_wait`.
    #[error("another request of this session takes too long")]
    Busy,
    /// The store does not say whose turn it is, or what the one before has learnt.
    #[error("whether another process sends is not known")]
    Unknown(#[source] store::Error),
}

// === impl Unusable ===

impl Unusable {
    /// Returns the reason alone, for `Proxy-Status`.
    pub fn why(&self) -> &'static str {
        match self {
            Self::NeedsLogin { .. } => "the session needs a login",
            Self::Degraded { .. } => "the refresh failed",
            Self::Incomplete { .. } => "the session is incomplete",
            Self::Waiting => "the refresh takes too long",
        }
    }
}

// === impl Session ===

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

// === impl Current ===

impl Current {
    /// Returns the `Cookie` field for a request, if the session keeps a jar and has cookies for it.
    pub fn cookie_string(
        &self,
        recipe: &Recipe,
        origin: &Origin,
        path: &str,
    ) -> Option<HeaderValue> {
        if !recipe.cookies.enabled {
            return None;
        }
        self.jar.cookie_string(origin, path, self.env.wall())
    }

    /// Returns the time that goes onto what is signed: the server's, as far as its answers have told it.
    pub fn now(&self) -> SystemTime {
        let (wall, by) = (
            self.env.wall(),
            Duration::from_millis(self.skew.unsigned_abs()),
        );
        let there = match self.skew {
            0.. => wall.checked_add(by),
            _ => wall.checked_sub(by),
        };
        there.unwrap_or(wall)
    }

    /// Renders a template that has another value each time (`now()`, `uuid()`, `totp()`).
    pub fn render(&self, recipe: &Recipe, template: &Template) -> Result<String, template::Error> {
        let env = &self.env;
        held::scope(
            recipe,
            &self.grant,
            &self.jar,
            env.wall(),
            env.bytes(),
            |scope| template.render(scope),
        )
    }
}
