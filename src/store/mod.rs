//! Where sessions are kept: SQLite on disk, or memory. An enum of real stores behind one interface, held to one
//! conformance suite.
//!
//! Safety is compare-and-set on the generation; the lease serves liveness only. A commit is one transaction:
//! a reader sees all of it or nothing, also after `kill -9` at any moment. A store that cannot write says so and
//! loses nothing; nothing is ever deleted because it could not be read.
//!
//! The interface is the one that stores on other machines (PostgreSQL, Redis) will have: one row a session with a
//! generation to compare and set, rows of cookies beside it, a lease, and a feed of what changed.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    grant::{Generation, Grant},
    jar,
    life::cooldown::Note,
    secret::Secret,
};

pub use self::{
    config::{BadUrl, Config, Kind},
    error::Error,
    feed::{Changed, Changes},
    lease::{Lease, Witness},
    memory::Memory,
    sqlite::{NewKey, Replacement, Sqlite},
    turn::Turn,
};

mod config;
mod error;
mod feed;
pub mod key;
mod lease;
mod memory;
mod record;
#[cfg(test)]
mod rough;
mod seal;
mod sqlite;
mod term;
mod turn;

#[cfg(test)]
mod conformance;

/// A store; clones are the same store.
#[derive(Clone, Debug)]
pub enum Store {
    Sqlite(Sqlite),
    Memory(Memory),
}

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
    /// How many calls were about to spend a one-time refresh token: each has its number, among all processes.
    pub calls: u64,
    /// Whose answer the refresh token that is held stood in.
    pub came_of: Option<CameOf>,
    /// The session ended, and why; only new material heals it.
    pub needs_login: Option<String>,
    /// The last forced refresh, if no request was accepted with its result.
    pub vain: Option<Note>,
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
    /// The number of the first call that was about to send it; 0: not known.
    pub call: u64,
}

/// "The answer to this call brought the refresh token with this hash."
#[derive(Clone, Debug, PartialEq)]
pub struct CameOf {
    pub call: u64,
    /// Keyed hash of the refresh token that the call spent.
    pub spent: String,
    /// Keyed hash of the one that it brought, which may be the same.
    pub brought: String,
}

/// What a commit writes. What is `None` or empty stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The generation from now on; one smaller than the expected one means that it stays.
    pub generation: Generation,
    /// The whole grant, anew.
    pub grant: Option<Grant>,
    pub cookies: Cookies,
    pub notes: Option<Notes>,
    /// Keeps the grant and the cookies as they were before this commit for `restore`, unless there were none.
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

// === impl Store ===

impl Store {
    /// Opens the store, and makes it (and its key file) if there is none. Blocks for a few file operations.
    pub fn open(config: Config) -> Result<Self, Error> {
        let Config {
            kind,
            key,
            locks,
            busy,
            suspended,
        } = config;
        match kind {
            Kind::Memory => Memory::open(key.as_ref()).map(Self::Memory),
            Kind::Sqlite(path) => {
                let key =
                    key.ok_or_else(|| Error::NoKey("none is configured (store.key)".to_owned()))?;
                Sqlite::open(&path, &key, locks, busy, suspended).map(Self::Sqlite)
            }
        }
    }

    /// Returns a store that writes nothing anywhere (`memory:`, sessions with `persist = false`).
    pub fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Returns all that is stored of a session; `None` if nothing ever was. A session that was forgotten has its
    /// generation and nothing else ([`Stored::is_empty`]).
    pub async fn load(&self, id: &SessionId) -> Result<Option<Stored>, Error> {
        match self {
            Self::Sqlite(store) => store.load(id).await,
            Self::Memory(store) => {
                store.pause().await?;
                Ok(store.load(id))
            }
        }
    }

    /// Returns the sessions that something is stored of, in order.
    pub async fn list(&self) -> Result<Vec<SessionId>, Error> {
        match self {
            Self::Sqlite(store) => store.list().await,
            Self::Memory(store) => Ok(store.list()),
        }
    }

    /// Writes a change if the stored generation is the expected one (0: nothing is stored yet), and nothing if it is
    /// not. Once polled it runs to its end, also when its future is dropped.
    pub async fn commit(
        &self,
        id: &SessionId,
        expected: Generation,
        change: Change,
        how: Durability,
    ) -> Result<Committed, Error> {
        match self {
            Self::Sqlite(store) => store.commit(id, expected, change, how).await,
            Self::Memory(store) => {
                store.pause().await?;
                store.write()?;
                let committed = store.commit(id, expected, change);
                // What is written is written.
                store.pause().await.ok();
                Ok(committed)
            }
        }
    }

    /// Returns the grant and the cookies as they were before the last commit that kept them, with the generation
    /// they had then, for `restore`.
    pub async fn previous(&self, id: &SessionId) -> Result<Option<Stored>, Error> {
        match self {
            Self::Sqlite(store) => store.previous(id).await,
            Self::Memory(store) => Ok(store.previous(id)),
        }
    }

    /// Deletes everything of a session, what `previous` returns too, and is on the disk when it returns. The
    /// generation moves on and stays, so that who still holds the old one conflicts.
    pub async fn forget(&self, id: &SessionId) -> Result<(), Error> {
        match self {
            Self::Sqlite(store) => store.forget(id).await,
            Self::Memory(store) => {
                store.forget(id);
                Ok(())
            }
        }
    }

    /// Says whether the store can be written now, by writing: asked before a one-time token is spent, since what
    /// comes back for it must find its place.
    pub async fn writable(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(store) => store.writable().await,
            Self::Memory(store) => {
                store.pause().await?;
                store.write()
            }
        }
    }

    /// Waits for the right to refresh a session: one holder among all tasks and processes on this store. It ends
    /// with the guard, and with its process. Dropping the future leaves the queue.
    ///
    /// The guard shows that its process lives, several times within `limit`; whoever is silent for so long loses the
    /// lease to the next, and sees it by [`Lease::is_held`]. SQLite's, a locked file, takes its own, longer limit in place
    /// of this one ([`Config::suspended`]). The lease serves liveness alone: what keeps one who has lost it from writing
    /// is the comparison of generations in [`commit`](Self::commit).
    pub async fn lease(&self, id: &SessionId, limit: Duration) -> Result<Lease, Error> {
        match self {
            Self::Sqlite(store) => store.lease(id, limit).await,
            Self::Memory(store) => store.lease(id, limit).await,
        }
    }

    /// Waits for the turn to send a request of a serial session, among all tasks and processes on this store. A
    /// process keeps it between requests until another asks; those that wait get it in turn. Dropping the future
    /// leaves the queue.
    pub async fn turn(&self, id: &SessionId) -> Result<Turn, Error> {
        match self {
            Self::Sqlite(store) => store.turn(id).await,
            Self::Memory(store) => store.turn(id).await,
        }
    }

    /// Tells of the sessions that were changed from now on, by this handle or by another process; the latter within
    /// 100 ms. Several changes of one session may be told once; none is left out.
    pub fn changes(&self) -> Changes {
        match self {
            Self::Sqlite(store) => store.changes(),
            Self::Memory(store) => store.changes(),
        }
    }

    /// Returns a keyed fingerprint (HMAC-SHA256, 16 bytes in hexadecimal): equal for equal bytes and purpose under one
    /// key, and no help in guessing the bytes without it.
    pub fn fingerprint(&self, purpose: &str, bytes: &[u8]) -> String {
        match self {
            Self::Sqlite(store) => store.fingerprint(purpose, bytes),
            Self::Memory(store) => store.fingerprint(purpose, bytes),
        }
    }

    /// Returns a key for a purpose: the same under one key of the store, and no help in finding another.
    pub fn key(&self, purpose: &str) -> Secret<[u8; 32]> {
        match self {
            Self::Sqlite(store) => store.key(purpose),
            Self::Memory(store) => store.key(purpose),
        }
    }

    /// Replaces the store's key and seals everything again with the new one: all of it or nothing, also after `kill -9`
    /// at any moment. Returns how many records that were; `None` if the key is not old enough. Other processes on the
    /// store go on with the new key, if theirs is in the file. Fingerprints and keys for a purpose stay the same.
    pub async fn replace_key(&self, asked: Replacement) -> Result<Option<usize>, Error> {
        match self {
            Self::Sqlite(store) => store.replace_key(asked).await,
            Self::Memory(_) => Err(Error::InMemory),
        }
    }

    /// Returns when everything committed so far is on the disk.
    pub async fn flush(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(store) => store.flush().await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// Flushes and closes the store; what is asked of it afterwards is [`Error::Closed`], also through clones.
    pub async fn close(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Memory(_) => Ok(()),
        }
    }
}

// === impl Stored ===

impl Stored {
    /// Says whether there is neither a field nor a cookie.
    pub fn is_empty(&self) -> bool {
        self.grant.fields.is_empty() && self.cookies.is_empty()
    }
}

// === impl SessionId ===

impl SessionId {
    pub fn new(name: &str, client: Option<&str>) -> Self {
        Self {
            name: name.into(),
            client: client.map(Into::into),
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client {
            Some(client) => write!(f, "{}/{client}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Returns what makes a cookie the same cookie.
fn cookie_key(cookie: &jar::Cookie) -> jar::Key {
    cookie.key()
}

/// Makes a folder that only its owner can enter; one that exists stays as it is.
fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
