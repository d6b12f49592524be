//! The one thread that writes. Whatever was asked for while a transaction ran is written by the next one, together
//! (group commit); each part is atomic for itself.
//!
//! How a commit becomes durable. SQLite's WAL makes a commit visible, to other processes too, at the moment its last
//! frame is in the log. With `synchronous = FULL` the log is synced *before* that moment, so that nobody can use a
//! refresh token that a loss of power would take back, and a sync that fails leaves nothing behind: batches with a
//! [`Durability::Synced`] part are written so. With `NORMAL` the frames are in the kernel's hands when the commit
//! returns, which survives the death of the process, and the log is synced by us, at most [`SYNC_AFTER`] later, for
//! all commits since. (The log may be synced through a descriptor of its own: SQLite's locks are not on that file.)
//!
//! A sync that fails is said once: afterwards the system takes the pages for written (fsync(2)), and what follows such
//! frames in the log is lost with them when the power goes. So nothing more is called durable until all of the log has
//! been brought into the database, and the log begins anew.

use std::{
    error::Error as StdError,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ffi};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::warn;

use super::{
    super::{Committed, Durability, Error, feed::Feed},
    courtesy::Courtesy,
    keys::Keys,
    read,
    rekey::Replacement,
    schema,
    transaction::{At, Database, Failed, Task, Written, last_change},
};

/// When the commits that were not synced are: "on the disk within a second".
const SYNC_AFTER: Duration = Duration::from_millis(500);

/// How often other processes' commits are looked for while somebody listens: they are told within 100 ms.
const POLL: Duration = Duration::from_millis(40);

/// Parts of one transaction: the first of them waits for the last.
const BATCH: usize = 256;

/// Pages of the log after which they are brought into the database, SQLite's own figure. Not within a commit: after
/// its answer.
const CHECKPOINT: i32 = 1000;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Job {
    Write(Write),
    /// Syncs what is not.
    Flush(oneshot::Sender<Result<(), Error>>),
    /// Seals everything again with another key.
    Rekey(Replacement, oneshot::Sender<Result<Option<usize>, Error>>),
    /// Somebody listens from now on.
    Listen,
    Close(oneshot::Sender<Result<(), Error>>),
}

/// One part of a transaction.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) task: Task,
    pub(super) how: Durability,
    pub(super) answer: oneshot::Sender<Result<Committed, Error>>,
    /// Its place in the queue.
    pub(super) place: OwnedSemaphorePermit,
}

/// The thread's state.
pub(super) struct Writer {
    database: Database,
    wal: File,
    keys: Arc<Keys>,
    feed: Arc<Feed>,
    handle: u64,
    /// Pages in the log, as SQLite's hook says after each commit.
    pages: Arc<AtomicI32>,
    checkpoint_at: i32,
    /// The time of the first commit that is not synced.
    unsynced: Option<Instant>,
    /// Whether a sync of the log has failed since it began.
    torn: bool,
    polled: Instant,
    data_version: i64,
    /// The number of the newest commit that listeners were told of.
    told: i64,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        path: &Path,
        keys: Arc<Keys>,
        feed: Arc<Feed>,
        handle: u64,
        patience: (Courtesy, Duration),
    ) -> Result<Self, Error> {
        let open = |source: Box<dyn StdError + Send + Sync>| Error::Open {
            place: path.display().to_string(),
            source,
        };
        let pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&pages);
        // Takes the place of SQLite's automatic checkpoint.
        connection
            .wal_hook(Some(move |_: &mut _, pages| {
                told.store(pages, Ordering::Relaxed);
                Ok(())
            }))
            .map_err(|e| open(Box::new(e)))?;
        let told = last_change(&connection).map_err(|e| open(Box::new(e)))?;
        let data_version = data_version(&connection).map_err(|e| open(Box::new(e)))?;
        let wal = File::options()
            .write(true)
            .open(schema::beside(path, "-wal"))
            .map_err(|e| open(Box::new(e)))?;
        Ok(Self {
            database: Database::new(connection, path, Arc::clone(&keys), patience),
            wal,
            keys,
            feed,
            handle,
            pages,
            checkpoint_at: CHECKPOINT,
            unsynced: None,
            torn: false,
            polled: Instant::now(),
            data_version,
            told,
        })
    }

    /// Works until it is told to close, or until all handles are gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => Ok(job),
                None => self.wait(jobs),
            };
            match job {
                Ok(Job::Write(first)) => {
                    let mut batch = vec![first];
                    while batch.len() < BATCH && next.is_none() {
                        match jobs.try_recv() {
                            Ok(Job::Write(write)) => batch.push(write),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write(batch);
                }
                Ok(Job::Flush(answer)) => {
                    // Who asked may be gone.
                    answer.send(self.sync()).ok();
                }
                Ok(Job::Rekey(asked, answer)) => {
                    let done = self.database.replace_key(&self.keys, &asked);
                    // Its reason is not looked into: to begin the log anew costs little.
                    self.torn |= done.is_err();
                    answer.send(done).ok();
                }
                Ok(Job::Listen) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Close(answer)) => {
                    let closed = self.close();
                    // The connection first: who was answered may move the files away.
                    drop(self);
                    answer.send(closed).ok();
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.close() {
                        warn!(%error, "the store was not synced when it was closed");
                    }
                    return;
                }
            }
            self.tend();
        }
    }

    /// Waits for a job, or until there is something to tend to.
    fn wait(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        let sync = self.unsynced.map(|since| since + SYNC_AFTER);
        let poll = self.feed.has_listeners().then(|| self.polled + POLL);
        match sync.into_iter().chain(poll).min() {
            Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Does what is due: sync, checkpoint, a look at what other processes did.
    fn tend(&mut self) {
        let now = Instant::now();
        if self.unsynced.is_some_and(|since| now >= since + SYNC_AFTER)
            && let Err(error) = self.sync()
        {
            // Again in a while; who needs it synced commits with FULL and is told.
            self.unsynced = Some(now);
            warn!(%error, "the store could not be synced");
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if pages >= self.checkpoint_at {
            // Passive: it waits for nobody. One that does not get through is tried again after as many pages.
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            match self
                .database
                .connection
                .query_row(sql, (), |row| row.get::<_, i64>(0))
            {
                Ok(0) => self.checkpoint_at = CHECKPOINT,
                outcome => {
                    self.checkpoint_at = pages.saturating_add(CHECKPOINT);
                    // A checkpoint begins with a sync of the log.
                    self.torn |= outcome.is_err_and(|error| is_unsynced(&error));
                }
            }
        } else if pages < self.checkpoint_at - CHECKPOINT {
            self.checkpoint_at = CHECKPOINT;
        }
        if now >= self.polled + POLL && self.feed.has_listeners() {
            self.polled = now;
            match data_version(&self.database.connection) {
                Ok(version) if version == self.data_version => {}
                Ok(version) => {
                    self.data_version = version;
                    self.tell(&Written::nothing(self.told));
                }
                Err(error) => warn!(%error, "the store's changes could not be read"),
            }
        }
    }

    fn write(&mut self, batch: Vec<Write>) {
        let how = |write: &Write| write.how;
        let synced = batch.iter().map(how).any(|how| how == Durability::Synced);
        let tasks: Vec<&Task> = batch.iter().map(|write| &write.task).collect();
        let outcomes = match self.transaction(&tasks, synced) {
            Ok(written) => self.announce(written),
            Err(Failed { at_begin, error }) if at_begin || tasks.len() == 1 => {
                let error: At = self.database.at(error);
                tasks.iter().map(|_| Err(error.clone().into())).collect()
            }
            // One that is too large for the disk must not take the others with it.
            Err(_) => batch
                .iter()
                .map(|write| {
                    let synced = write.how == Durability::Synced;
                    match self.transaction(&[&write.task], synced) {
                        Ok(written) => self.announce(written).remove(0),
                        Err(Failed { error, .. }) => Err(self.database.at(error).into()),
                    }
                })
                .collect(),
        };
        for (write, outcome) in batch.into_iter().zip(outcomes) {
            let Write { answer, place, .. } = write;
            // Who asked may be gone; what it asked for is done.
            answer.send(outcome).ok();
            drop(place);
        }
    }

    fn transaction(&mut self, tasks: &[&Task], synced: bool) -> Result<Written, Failed> {
        if synced {
            self.mend().map_err(|error| Failed {
                at_begin: true,
                error,
            })?;
        }
        let written = self.database.transaction(tasks, synced);
        if let Err(Failed { error, .. }) = &written {
            self.torn |= is_unsynced(error);
        }
        written
    }

    /// Begins the log anew if it is torn.
    fn mend(&mut self) -> rusqlite::Result<()> {
        if self.torn {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            let mut checkpoint = self.database.connection.prepare(sql)?;
            let is_busy = checkpoint.query_row((), |row| row.get(0))?;
            if is_busy {
                let busy = ffi::Error::new(ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
            self.torn = false;
            self.unsynced = None;
        }
        Ok(())
    }

    fn announce(&mut self, written: Written) -> Vec<Result<Committed, Error>> {
        if written.synced {
            self.unsynced = None;
        } else if written.last > written.base {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        if self.feed.has_listeners() {
            self.tell(&written);
        } else {
            // Who listens from now on looks after this commit.
            self.told = written.last;
        }
        written.outcomes
    }

    /// Tells of every commit since the last that was told of, ours and others'.
    fn tell(&mut self, written: &Written) {
        let changed = match read::changed_since(&self.database.connection, self.told) {
            Ok(changed) => changed,
            Err(error) => return warn!(%error, "the store's changes could not be read"),
        };
        let Written {
            base,
            last,
            overwritten,
            ..
        } = written;
        let told = self.told;
        for (id, number) in changed {
            let in_batch = number > *base && number <= *last;
            // What we wrote over may be something that nobody was told of.
            let ours = in_batch && overwritten.get(&id).is_none_or(|before| *before <= told);
            self.feed.tell(&id, ours.then_some(self.handle));
            self.told = self.told.max(number);
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.mend().map_err(|e| self.database.at(e))?;
        if self.unsynced.is_some() {
            self.wal.sync_data().map_err(|e| {
                self.torn = true;
                self.database.at(e)
            })?;
            self.unsynced = None;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let synced = self.sync();
        self.feed.close();
        synced
    }
}

/// Tells whether something failed because a file could not be synced.
fn is_unsynced(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(ffi::SQLITE_IOERR_FSYNC)
}

/// Differs from the last time if another connection has committed since.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row((), |row| row.get(0))
}
