//! One transaction of the writing connection: many tasks, each atomic for itself.

use std::{
    collections::HashMap,
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use tracing::warn;

use super::{
    super::{Change, Committed, Error, SessionId, seal::Seal},
    commit::Session,
    courtesy::{AGAIN, Courtesy},
    keys::Keys,
    read::Problem,
};
use crate::grant::Generation;

/// What must be free on the disk before a token is spent: a refresh writes tens of kilobytes.
const SPARE: u64 = 1 << 20;

/// What is asked of a transaction.
#[derive(Debug)]
pub(super) enum Task {
    Commit {
        id: SessionId,
        expected: Generation,
        change: Box<Change>,
    },
    Forget(SessionId),
    /// Writes something, to see whether that works.
    Touch,
}

/// The connection that writes.
pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    keys: Arc<Keys>,
    /// `synchronous`: FULL if true, else NORMAL.
    full: bool,
    courtesy: Courtesy,
    /// How long another process's transaction is waited for.
    pub(super) busy: Duration,
}

/// A transaction that did not come about.
pub(super) struct Failed {
    /// Whether it could not even begin: another process is writing, or the disk is read-only.
    pub(super) at_begin: bool,
    pub(super) error: rusqlite::Error,
}

/// Where something went wrong; the cause is shared by all that were in a transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}")]
pub(super) struct At {
    place: String,
    #[source]
    source: Arc<dyn StdError + Send + Sync>,
}

/// What a transaction wrote.
pub(super) struct Written {
    pub(super) outcomes: Vec<Result<Committed, Error>>,
    /// The numbers of our commits are those above this and up to `last`.
    pub(super) base: i64,
    pub(super) last: i64,
    /// Whether it was synced.
    pub(super) synced: bool,
    /// The sessions that we wrote over another handle's commit, with the number of that.
    pub(super) overwritten: HashMap<SessionId, i64>,
}

// === impl Database ===

impl Database {
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        keys: Arc<Keys>,
        (courtesy, busy): (Courtesy, Duration),
    ) -> Self {
        Self {
            connection,
            path: path.to_owned(),
            keys,
            // As it was opened.
            full: true,
            courtesy,
            busy,
        }
    }

    /// Does all tasks in one transaction; one that fails for itself leaves the others alone. With `synced` all of it
    /// is on the disk before anybody can see it.
    pub(super) fn transaction(&mut self, tasks: &[&Task], synced: bool) -> Result<Written, Failed> {
        self.begin(synced).map_err(|error| Failed {
            at_begin: true,
            error,
        })?;
        let written = self.parts(tasks).and_then(|written| {
            self.execute("COMMIT")?;
            // A transaction that wrote nothing has synced nothing either.
            let synced = synced && written.last > written.base;
            Ok(Written { synced, ..written })
        });
        written.map_err(|error| {
            self.roll_back();
            Failed {
                at_begin: false,
                error,
            }
        })
    }

    /// Begins a transaction that writes; with `synced` it is on the disk before anybody can see it.
    pub(super) fn begin(&mut self, synced: bool) -> rusqlite::Result<()> {
        self.set_full(synced)?;
        let until = Instant::now() + self.busy;
        let next = self.courtesy.wait();
        self.connection.busy_timeout(Duration::ZERO)?;
        let begun = loop {
            let begun = self.execute("BEGIN IMMEDIATE");
            let is_busy = |e: &rusqlite::Error| {
                e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until
            };
            if !begun.as_ref().is_err_and(is_busy) {
                break begun;
            }
            thread::sleep(AGAIN);
        };
        drop(next);
        self.connection.busy_timeout(self.busy)?;
        begun
    }

    pub(super) fn roll_back(&self) {
        // After some errors (a full disk) SQLite has done this itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            warn!(%error, "a transaction could not be rolled back");
        }
    }

    fn parts(&self, tasks: &[&Task]) -> rusqlite::Result<Written> {
        let mut written = Written::nothing(last_change(&self.connection)?);
        let seal = match self.keys.follow(&self.connection) {
            Ok(seal) => seal,
            Err(error) => {
                // Nothing is sealed with a key that is the store's no more.
                let error = self.at(error);
                let refused = tasks.iter().map(|_| Err(error.clone().into()));
                written.outcomes.extend(refused);
                return Ok(written);
            }
        };
        for task in tasks {
            let outcome = match self.part(task, &seal, &mut written) {
                Ok(done) if matches!(task, Task::Touch) => self.has_room().map(|()| done),
                Ok(committed) => Ok(committed),
                Err(Problem::Damaged) => Err(Error::Damaged(task.session())),
                Err(Problem::Sql(error)) => return Err(error),
            };
            written.outcomes.push(outcome);
        }
        Ok(written)
    }

    fn part(&self, task: &Task, seal: &Seal, written: &mut Written) -> Result<Committed, Problem> {
        let (id, number) = match task {
            Task::Touch => {
                self.execute("UPDATE meta SET value = value + 1 WHERE name = 'heartbeat'")?;
                return Ok(Committed::Done);
            }
            Task::Commit { id, .. } | Task::Forget(id) => (id, written.last + 1),
        };
        let session = Session::read(&self.connection, seal, id, number)?;
        let before = session.head().change;
        if before == 0 && matches!(task, Task::Forget(_)) {
            // Nothing is stored. A number that no row has would hide another's commit from the feed.
            return Ok(Committed::Done);
        }
        self.execute("SAVEPOINT part")?;
        let outcome = match task {
            Task::Commit {
                expected, change, ..
            } => session.commit(*expected, change),
            _ => session.forget(),
        };
        if let Err(Problem::Damaged) = outcome {
            self.execute("ROLLBACK TO part")?;
        }
        if !matches!(outcome, Err(Problem::Sql(_))) {
            self.execute("RELEASE part")?;
        }
        if let Ok(Committed::Done) = outcome {
            written.last = number;
            if before <= written.base {
                written.overwritten.insert(id.clone(), before);
            }
        }
        outcome
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        if self.full != full {
            let mode = if full { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", mode)?;
            self.full = full;
        }
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(()).map(drop)
    }

    /// Says whether the disk has room for what a refresh brings.
    fn has_room(&self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let disk = rustix::fs::statvfs(folder).map_err(|e| self.at(e))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < SPARE {
            return Err(self.at(io::Error::from(io::ErrorKind::StorageFull)).into());
        }
        Ok(())
    }

    pub(super) fn at(&self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> At {
        At {
            place: self.path.display().to_string(),
            source: source.into().into(),
        }
    }
}

// === impl Written ===

impl Written {
    pub(super) fn nothing(base: i64) -> Self {
        Self {
            outcomes: Vec::new(),
            base,
            last: base,
            synced: false,
            overwritten: HashMap::new(),
        }
    }
}

// === impl At ===

impl From<At> for Error {
    fn from(at: At) -> Self {
        Self::Write(Box::new(at))
    }
}

// === impl Task ===

impl Task {
    fn session(&self) -> String {
        match self {
            Self::Commit { id, .. } | Self::Forget(id) => id.to_string(),
            Self::Touch => String::new(),
        }
    }
}

/// Returns the number of the newest commit.
pub(super) fn last_change(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(change), 0) FROM session")?
        .query_row((), |row| row.get(0))
}
