//! The session engine: what every session holds, and how it stays signed in.
//!
//! The data path asks four things of a session: what a request is sent with ([`Session::ready`],
//! [`Session::current`]), whose turn it is ([`Session::turn`]), what an answer taught ([`Session::learn`]), and what
//! to do about a rejection ([`Session::reject`]). `ready` is one atomic load when nothing is new.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};

use crate::{
    env::Env,
    grant::{Generation, Grant},
    jar::Jar,
    limits::Limits,
    origin::Origin,
    rule::{
        Recipe, inject,
        matcher::{Conflict, Matcher},
        template::{self, Template},
    },
    secret::Secret,
    store::{self, SessionId, Store},
    upstream::Upstream,
};

/// All sessions of one configuration.
#[derive(Debug)]
pub struct Sessions;

/// What sessions live on.
#[derive(Clone, Debug)]
pub struct Context {
    pub store: Store,
    pub upstream: Upstream,
    pub env: Env,
    pub limits: Limits,
}

/// Why the sessions of a configuration cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("a session cannot be read from the store")]
    Store(#[from] store::Error),
}

/// One session (of one client, if it is `per_client`).
#[derive(Debug)]
pub struct Session;

/// What a request is sent with: a snapshot that never changes.
#[derive(Debug)]
pub struct Current {
    pub generation: Generation,
    pub grant: Arc<Grant>,
    pub jar: Arc<Jar>,
    /// The injections, rendered for this generation.
    pub ready: Vec<inject::Ready>,
}

/// Why a request cannot be sent with the session's credential.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// The generation that the request was sent with.
    pub seen: Generation,
    pub origin: &'a Origin,
    /// The request's path, for cookies without one.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// Whether the answer was a rejection: what it sets never makes that rejection look stale, and a deletion of a
    /// required cookie is held back until the refresh has spoken.
    pub rejected: bool,
    /// Fields captured from the answer (`capture`).
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
#[derive(Debug)]
pub struct Turn;

/// The session's queue did not move for `limits.serial_wait`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another request of this session takes too long")]
pub struct Busy;

// === impl Sessions ===

impl Sessions {
    /// Reads what the store holds of these sessions, and begins to look after them.
    pub async fn open(recipes: Vec<Arc<Recipe>>, context: Context) -> Result<Arc<Self>, Error> {
        let _ = (recipes, context);
        todo!()
    }

    /// Stops looking after the sessions: others have taken their place (a reload). Flights under way go on.
    pub fn retire(&self) {
        todo!()
    }

    /// Waits for the flights under way, a moment, and stops.
    pub async fn close(&self) {
        todo!()
    }

    pub fn matcher(&self) -> &Matcher {
        todo!()
    }

    /// Returns the session that the recipe with this index is for this client.
    pub fn session(&self, recipe: usize, client: Option<&Arc<str>>) -> Arc<Session> {
        let _ = (recipe, client);
        todo!()
    }
}

// === impl Session ===

impl Session {
    pub fn id(&self) -> &SessionId {
        todo!()
    }

    pub fn recipe(&self) -> &Arc<Recipe> {
        todo!()
    }

    /// Returns the generation that is held; 0 if nothing is.
    pub fn generation(&self) -> Generation {
        todo!()
    }

    /// Counts a request that was sent again.
    pub fn replayed(&self) {
        todo!()
    }

    /// Tells whether this answer to this question stayed the same after a refresh (`confirm`).
    pub fn is_confirmed(&self, question: &str, answer: &[u8]) -> bool {
        let _ = (question, answer);
        todo!()
    }

    /// Remembers that this answer to this question stayed the same after a refresh.
    pub async fn confirm(&self, question: &str, answer: &[u8]) {
        let _ = (question, answer);
        todo!()
    }

    /// Returns what a request is sent with if it is usable now (a look at the wall clock included); starts a
    /// background refresh if one is due.
    pub fn ready(&self) -> Option<Arc<Current>> {
        todo!()
    }

    /// As [`ready`](Self::ready), but waits for a refresh, at most `limits.refresh_wait`, when nothing usable is held.
    pub async fn current(&self) -> Result<Arc<Current>, Unusable> {
        todo!()
    }

    /// Waits for this request's turn, at most `limits.serial_wait`; at once in a parallel session.
    pub async fn turn(&self) -> Result<Turn, Busy> {
        todo!()
    }

    /// Learns what an answer taught, and returns when it is stored; at once if nothing is new.
    pub async fn learn(&self, answer: Answer<'_>) -> Result<(), store::Error> {
        let _ = answer;
        todo!()
    }

    /// Reports that a request sent with generation `seen` was rejected; waits for the one refresh.
    pub async fn reject(&self, seen: Generation) -> Verdict {
        let _ = seen;
        todo!()
    }

    /// Reports that a request sent with generation `seen` was accepted.
    pub fn accepted(&self, seen: Generation) {
        let _ = seen;
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
        let _ = (recipe, origin, path);
        todo!()
    }

    /// Renders a template that has another value each time (`now()`, `uuid()`, `totp()`).
    pub fn render(&self, recipe: &Recipe, template: &Template) -> Result<String, template::Error> {
        let _ = (recipe, template);
        todo!()
    }
}
