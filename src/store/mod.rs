//! Where sessions are kept: SQLite on disk, or memory. An enum of real stores behind one interface, held to one
//! conformance suite.
//!
//! Safety is compare-and-set on the generation; the lease serves liveness only. A commit is one transaction:
//! a reader sees all of it or nothing, also after `kill -9` at any moment.

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use crate::{
    grant::{Generation, Grant},
    jar,
};

/// Which grant: a session's, or one client's own in a session that is `per_client`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub name: Arc<str>,
    pub client: Option<Arc<str>>,
}

/// All that a store holds of one session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub generation: Generation,
    pub grant: Grant,
    pub cookies: Vec<jar::Cookie>,
    pub notes: Notes,
}

/// What the engine must remember beside the grant; every field survives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// A one-time refresh token that is being spent: written before the call, cleared with its outcome.
    pub attempt: Option<Attempt>,
    /// The session ended, and why; only new material heals it.
    pub needs_login: Option<String>,
    /// When the last forced refresh ended without an accepted request since.
    pub vain_at: Option<SystemTime>,
    /// Answers that stayed the same after a refresh (`confirm`): hash of method, URL and rule → hash of the answer.
    pub confirmed: BTreeMap<String, String>,
    /// Name of a source → keyed fingerprint of what was last taken from it.
    pub taken: BTreeMap<String, String>,
    /// The last refresh: when, how it ended (`ok`, or an error's name), how long it took in milliseconds.
    pub last_refresh: Option<(SystemTime, String, u64)>,
}

/// "Spending the refresh token with this hash, since then."
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Keyed hash of the refresh token.
    pub token: String,
    /// The generation that is being spent.
    pub generation: Generation,
    pub started: SystemTime,
}

/// What a commit writes. What is `None` or empty stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The generation from now on; equal to the expected one if the credential stays.
    pub generation: Generation,
    /// The whole grant, anew.
    pub grant: Option<Grant>,
    pub cookies: Cookies,
    pub notes: Option<Notes>,
    /// Keeps the grant and the cookies as they were before this commit for `restore`.
    pub keep_previous: bool,
}

#[derive(Clone, Debug, Default)]
pub enum Cookies {
    #[default]
    Keep,
    /// These rows alone.
    Patch {
        put: Vec<jar::Cookie>,
        remove: Vec<jar::Key>,
    },
    Replace(Vec<jar::Cookie>),
}

/// How safe a commit is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives the death of the process; on the disk within a second.
    Written,
    /// It is on the disk (fsync).
    Synced,
}

#[derive(Debug)]
pub enum Committed {
    Done,
    /// Another generation is stored than the expected one; nothing was written. This is what is stored.
    Conflict(Box<Stored>),
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store's key is wrong: {0} cannot be opened with it")]
    WrongKey(String),
    #[error("the store has sealed records, but no key: {0}")]
    NoKey(String),
    #[error("a record of session {0} is damaged or was moved")]
    Damaged(String),
    #[error("the store was made by a newer version (schema {0})")]
    Newer(i64),
    #[error("the store cannot be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store cannot be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store is closed")]
    Closed,
}

// === impl SessionId ===

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client {
            Some(client) => write!(f, "{}/{client}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
