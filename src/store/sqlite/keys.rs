//! The key of an open store, which this process or another may replace at any time.
//!
//! Whoever replaces it seals everything again in one transaction, which also counts the store's `epoch` on. Writers
//! look at the epoch at the beginning of each transaction; readers when a record does not open. A key in a file is
//! replaced in three steps: the new one is written beside it (`.next`), the transaction commits, the new one is
//! renamed over the old. Wherever that ends, one of the two files has the store's key.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rusqlite::Connection;

use super::super::{Error, key, seal::Seal};
use crate::secret::Secret;

/// What the store says of its key.
#[derive(Debug, Default)]
pub(super) struct Meta {
    /// Counts the keys that the store has had.
    pub(super) epoch: i64,
    /// What only the key opens.
    check: Option<Vec<u8>>,
    /// What outlives a key, sealed with it; none before the first was replaced.
    lasting: Option<Vec<u8>>,
}

/// The key of one open store.
#[derive(Debug)]
pub(super) struct Keys {
    place: String,
    source: key::Source,
    seal: ArcSwap<Seal>,
    locks: PathBuf,
    /// Shared by all who have the store open, so that one who needs to be alone can know it.
    users: File,
}

// === impl Meta ===

impl Meta {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT name, value FROM meta WHERE name IN ('epoch', 'key', 'lasting')";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let mut meta = Self::default();
        while let Some(row) = rows.next()? {
            match row.get_ref(0)?.as_str()? {
                "epoch" => meta.epoch = row.get(1)?,
                "key" => meta.check = Some(row.get(1)?),
                _ => meta.lasting = Some(row.get(1)?),
            }
        }
        Ok(meta)
    }

    /// Returns the seal if this is the store's key.
    fn proven(&self, key: &Secret<[u8; 32]>) -> Option<Seal> {
        Seal::proven(
            key,
            self.check.as_deref()?,
            self.lasting.as_deref(),
            self.epoch,
        )
    }

    /// Returns the seal if the source has the store's key, also if it is just being replaced.
    pub(super) fn seal(&self, source: &key::Source) -> Result<Option<Seal>, Error> {
        let now = || Ok::<_, Error>(source.load()?.and_then(|key| self.proven(&key)));
        if let Some(seal) = now()? {
            return Ok(Some(seal));
        }
        if let Some(seal) = source.load_next().and_then(|key| self.proven(&key)) {
            return Ok(Some(seal));
        }
        // It may have been renamed between the two looks.
        now()
    }
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(
        path: &Path,
        source: &key::Source,
        seal: Seal,
        locks: &Path,
    ) -> Result<Self, Error> {
        let users = lock_file(locks, "users")?;
        users.lock_shared().map_err(|e| failed(locks, e))?;
        Ok(Self {
            place: path.display().to_string(),
            source: source.clone(),
            seal: ArcSwap::from_pointee(seal),
            locks: locks.to_owned(),
            users,
        })
    }

    pub(super) fn source(&self) -> &key::Source {
        &self.source
    }

    pub(super) fn seal(&self) -> Arc<Seal> {
        self.seal.load_full()
    }

    /// Takes a newer one. Who was slow does not bring an older one back: the writer and the readers share it.
    pub(super) fn set(&self, seal: Seal) -> Arc<Seal> {
        let seal = Arc::new(seal);
        self.seal.rcu(|known| {
            let newest = if seal.epoch() > known.epoch() {
                &seal
            } else {
                known
            };
            Arc::clone(newest)
        });
        seal
    }

    /// Returns the seal of the store as the connection sees it, which another process may have changed.
    pub(super) fn follow(&self, connection: &Connection) -> Result<Arc<Seal>, Error> {
        let read = || Meta::read(connection).map_err(|e| Error::Read(Box::new(e)));
        let mut meta = read()?;
        loop {
            let known = self.seal();
            if meta.epoch == known.epoch() {
                return Ok(known);
            }
            if let Some(seal) = meta.seal(&self.source)? {
                return Ok(self.set(seal));
            }
            // Its key may have been replaced between the two looks.
            let now = read()?;
            if now.epoch == meta.epoch {
                return Err(Error::WrongKey(self.place.clone()));
            }
            meta = now;
        }
    }

    /// Waits until nobody else replaces the key; the right ends with the file.
    pub(super) fn replacing(&self) -> Result<File, Error> {
        let file = lock_file(&self.locks, "replacing")?;
        file.lock().map_err(|e| failed(&self.locks, e))?;
        Ok(file)
    }

    /// Says whether nobody else has the store open. Until this handle is closed nobody else can open it then.
    pub(super) fn is_alone(&self) -> bool {
        use rustix::fs::{FlockOperation, flock};
        let alone = flock(&self.users, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !alone {
            // The kernel may have let go of the shared lock in the attempt.
            self.users.lock_shared().ok();
        }
        alone
    }

    /// Ends what a process has begun that was killed while it replaced the key; nothing if one is at it now.
    pub(super) fn mend(&self, connection: &Connection) -> Result<(), Error> {
        if !self.source.next_key().is_some_and(|next| next.exists()) {
            return Ok(());
        }
        let file = lock_file(&self.locks, "replacing")?;
        if file.try_lock().is_err() {
            return Ok(());
        }
        self.end_begun(connection)
    }

    /// As [`mend`](Self::mend), for who has the right to replace the key.
    pub(super) fn end_begun(&self, connection: &Connection) -> Result<(), Error> {
        if !self.source.next_key().is_some_and(|next| next.exists()) {
            return Ok(());
        }
        let meta = Meta::read(connection).map_err(|e| Error::Read(Box::new(e)))?;
        let is = |key: Option<Secret<[u8; 32]>>| key.is_some_and(|key| meta.proven(&key).is_some());
        if is(self.source.load()?) {
            self.source.drop_next();
        } else if is(self.source.load_next()) {
            self.source.adopt_next()?;
        }
        Ok(())
    }
}

/// Opens a file of the locks' folder.
fn lock_file(locks: &Path, name: &str) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let path = locks.join(name);
    options.open(&path).map_err(|e| failed(&path, e))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Open {
        place: path.display().to_string(),
        source: Box::new(source),
    }
}
