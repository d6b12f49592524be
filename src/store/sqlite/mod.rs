//! The store in SQLite: one file, any number of processes.
//!
//! One thread owns the connection that writes ([`writer`]); loads have a connection of their own, so that they wait
//! neither for a sync nor for another process that holds the write lock. Both see whatever was committed before
//! they were asked.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use self::{
    courtesy::Courtesy,
    keys::Keys,
    read::Problem,
    transaction::Task,
    writer::{Job, Write, Writer},
};
use super::{
    Change, Changes, Committed, Durability, Error, Generation, Lease, SessionId, Stored,
    feed::Feed,
    key,
    lease::{Folder, Leases},
    seal::Seal,
    turn::{Turn, Turns},
};
use crate::secret::Secret;

mod commit;
mod courtesy;
mod keys;
mod read;
mod rekey;
mod schema;
mod transaction;
mod writer;

pub use self::rekey::{NewKey, Replacement};

#[cfg(test)]
mod tests;

/// Writes that wait: their askers, that is requests in flight, are bounded; this bounds what those leave behind
/// who go away.
const QUEUE: usize = 4096;

/// Our own commits carry this in the feed; those of other processes nothing.
const OURS: u64 = 0;

/// A store in a SQLite database; clones are the same handle.
#[derive(Clone, Debug)]
pub struct Sqlite(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    reader: Arc<Mutex<Option<Connection>>>,
    keys: Arc<Keys>,
    feed: Arc<Feed>,
    leases: Leases,
    turns: Turns,
}

// === impl Sqlite ===

impl Sqlite {
    pub(super) fn open(
        path: &Path,
        key: &key::Source,
        locks: Option<PathBuf>,
        busy: Duration,
        suspended: Duration,
    ) -> Result<Self, Error> {
        let schema::Opened {
            path,
            writer,
            reader,
            seal,
        } = schema::open(path, key, busy)?;
        let open = |place: &Path, source| Error::Open {
            place: place.display().to_string(),
            source: Box::new(source),
        };
        let locks = locks.unwrap_or_else(|| schema::beside(&path, ".locks"));
        let folder = Folder {
            path: locks.clone(),
            suspended,
        };
        let leases = Leases::in_folder(folder.clone()).map_err(|e| open(&locks, e))?;
        let keys = Arc::new(Keys::new(&path, key, seal, &locks)?);
        keys.mend(&writer)?;
        let feed = Arc::new(Feed::default());
        let (keys_too, feed_too) = (Arc::clone(&keys), Arc::clone(&feed));
        let patience = (Courtesy::in_folder(&locks), busy);
        let writer = Writer::new(writer, &path, keys_too, feed_too, OURS, patience)?;
        let (jobs, asked) = mpsc::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&asked))
            .map_err(|e| open(&path, e))?;
        Ok(Self(Arc::new(Handle {
            jobs,
            room: Arc::new(Semaphore::new(QUEUE)),
            reader: Arc::new(Mutex::new(Some(reader))),
            keys,
            feed,
            leases,
            turns: Turns::in_folder(folder),
        })))
    }

    pub(super) async fn load(&self, id: &SessionId) -> Result<Option<Stored>, Error> {
        self.opened(id, read::load).await
    }

    pub(super) async fn list(&self) -> Result<Vec<SessionId>, Error> {
        self.read(|reader| read::list(reader).map_err(|e| Error::Read(Box::new(e))))
            .await
    }

    pub(super) async fn commit(
        &self,
        id: &SessionId,
        expected: Generation,
        change: Change,
        how: Durability,
    ) -> Result<Committed, Error> {
        let task = Task::Commit {
            id: id.clone(),
            expected,
            change: Box::new(change),
        };
        self.write(task, how).await
    }

    pub(super) async fn previous(&self, id: &SessionId) -> Result<Option<Stored>, Error> {
        self.opened(id, read::previous).await
    }

    pub(super) async fn forget(&self, id: &SessionId) -> Result<(), Error> {
        let task = Task::Forget(id.clone());
        self.write(task, Durability::Synced).await.map(drop)
    }

    pub(super) async fn writable(&self) -> Result<(), Error> {
        self.write(Task::Touch, Durability::Written).await.map(drop)
    }

    pub(super) async fn lease(&self, id: &SessionId, limit: Duration) -> Result<Lease, Error> {
        self.0.leases.lease(id, OURS, limit).await
    }

    pub(super) async fn turn(&self, id: &SessionId) -> Result<Turn, Error> {
        self.0.turns.turn(id, 0).await
    }

    pub(super) fn changes(&self) -> Changes {
        let changes = self.0.feed.listen(OURS);
        // The thread may sleep without a time to wake. If it is gone, the feed is closed.
        self.0.jobs.send(Job::Listen).ok();
        changes
    }

    pub(super) fn fingerprint(&self, purpose: &str, bytes: &[u8]) -> String {
        self.0.keys.seal().fingerprint(purpose, bytes)
    }

    pub(super) fn key(&self, purpose: &str) -> Secret<[u8; 32]> {
        self.0.keys.seal().key(purpose)
    }

    pub(super) async fn replace_key(&self, asked: Replacement) -> Result<Option<usize>, Error> {
        self.ask(|answer| Job::Rekey(asked, answer)).await?
    }

    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.ask(Job::Flush).await?
    }

    pub(super) async fn close(&self) -> Result<(), Error> {
        let closed = match self.ask(Job::Close).await {
            Ok(closed) => closed,
            // Somebody else closed it.
            Err(_) => Ok(()),
        };
        let reader = Arc::clone(&self.0.reader);
        // The last connection brings the log into the database.
        tokio::task::spawn_blocking(move || drop(lock(&reader).take()))
            .await
            .map_err(|_| Error::Closed)?;
        closed
    }

    async fn write(&self, task: Task, how: Durability) -> Result<Committed, Error> {
        let room = Arc::clone(&self.0.room);
        let place = room.acquire_owned().await.map_err(|_| Error::Closed)?;
        let write = |answer| {
            Job::Write(Write {
                task,
                how,
                answer,
                place,
            })
        };
        self.ask(write).await?
    }

    /// Asks the thread; it answers everything, unless it has ended.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = job(answer);
        self.0.jobs.send(job).map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)
    }

    /// Reads sealed records; once more if another process has given the store another key meanwhile.
    async fn opened<T: Send + 'static>(
        &self,
        id: &SessionId,
        read: fn(&Connection, &Seal, &SessionId) -> Result<T, Problem>,
    ) -> Result<T, Error> {
        let (keys, id) = (Arc::clone(&self.0.keys), id.clone());
        self.read(move |reader| {
            let mut seal = keys.seal();
            loop {
                let found = read(reader, &seal, &id);
                if let Err(Problem::Damaged) = found {
                    // Another process, or the thread that writes, may have taken up another key meanwhile.
                    let newer = keys.follow(reader)?;
                    if newer.epoch() != seal.epoch() {
                        seal = newer;
                        continue;
                    }
                }
                return found.map_err(|problem| problem.while_reading(&id));
            }
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = Arc::clone(&self.0.reader);
        let read = move || {
            let reader = lock(&reader);
            read(reader.as_ref().ok_or(Error::Closed)?)
        };
        // It ends early only with the runtime.
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| Error::Closed)?
    }
}

fn lock(reader: &Mutex<Option<Connection>>) -> std::sync::MutexGuard<'_, Option<Connection>> {
    // A connection is whole again after whatever broke off a read.
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}
