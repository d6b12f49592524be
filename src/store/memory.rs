//! A store in memory: the same semantics, and nothing is written anywhere.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Change, Changes, Committed, Cookies, Error, Lease, SessionId, Stored,
    feed::Feed,
    key,
    lease::Leases,
    seal::Seal,
    turn::{Turn, Turns},
};
use crate::{
    grant::{Generation, Grant},
    jar,
    secret::Secret,
};

/// A store in memory; clones are the same handle.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    /// Tells the own changes from those of a [`peer`](Memory::peer).
    handle: u64,
}

#[derive(Debug)]
struct Shared {
    rows: Mutex<BTreeMap<SessionId, Row>>,
    feed: Feed,
    leases: Leases,
    turns: Turns,
    seal: Seal,
    handles: AtomicU64,
    #[cfg(test)]
    rough: super::rough::Rough,
}

#[derive(Clone, Debug, Default)]
struct Row {
    generation: Generation,
    grant: Grant,
    cookies: BTreeMap<jar::Key, jar::Cookie>,
    notes: super::Notes,
    previous: Option<Arc<Stored>>,
}

// === impl Memory ===

impl Memory {
    pub(super) fn open(key: Option<&key::Source>) -> Result<Self, Error> {
        let key = match key {
            Some(key::Source::Text { place, text }) => key::parse(place, text)?,
            // A key file would be written, and what it seals ends with the process anyway.
            Some(key::Source::File(_)) | None => key::random(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                rows: Mutex::default(),
                feed: Feed::default(),
                leases: Leases::of_tasks(),
                turns: Turns::of_tasks(),
                seal: Seal::new(&key),
                handles: AtomicU64::new(1),
                #[cfg(test)]
                rough: Default::default(),
            }),
            handle: 0,
        })
    }

    /// Returns another handle on the same memory, to which the changes of this one are foreign: what a second
    /// process on one store is, for simulations.
    pub fn peer(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            handle: self.shared.handles.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Makes its calls wait and fail as those of a disk do.
    #[cfg(test)]
    pub(crate) fn rough(&self) -> &super::rough::Rough {
        &self.shared.rough
    }

    /// Takes the leases of another handle away, in simulations.
    #[cfg(test)]
    pub(crate) fn take_away(&self, from: &Self) {
        self.shared.rough.take_away(from.handle);
    }

    /// Waits as a disk would, in simulations.
    pub(super) async fn pause(&self) -> Result<(), Error> {
        #[cfg(test)]
        self.shared.rough.pause().await?;
        Ok(())
    }

    /// Says whether it takes writes: always, but in simulations.
    pub(super) fn write(&self) -> Result<(), Error> {
        #[cfg(test)]
        self.shared.rough.write()?;
        Ok(())
    }

    pub(super) fn load(&self, id: &SessionId) -> Option<Stored> {
        self.rows().get(id).map(Row::stored)
    }

    pub(super) fn list(&self) -> Vec<SessionId> {
        let rows = self.rows();
        let held = rows.iter().filter(|(_, row)| !row.holds_nothing());
        held.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn commit(&self, id: &SessionId, expected: Generation, change: Change) -> Committed {
        let mut rows = self.rows();
        let stored = rows.get(id).map(|row| row.generation).unwrap_or_default();
        if stored != expected {
            let stored = rows.get(id).map(Row::stored).unwrap_or_default();
            return Committed::Conflict(Box::new(stored));
        }
        rows.entry(id.clone()).or_default().apply(change);
        drop(rows);
        self.shared.feed.tell(id, Some(self.handle));
        Committed::Done
    }

    pub(super) fn previous(&self, id: &SessionId) -> Option<Stored> {
        self.rows().get(id)?.previous.as_deref().cloned()
    }

    pub(super) fn forget(&self, id: &SessionId) {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(id) else {
            return;
        };
        *row = Row {
            generation: row.generation.next(),
            ..Row::default()
        };
        drop(rows);
        self.shared.feed.tell(id, Some(self.handle));
    }

    pub(super) async fn lease(&self, id: &SessionId, limit: Duration) -> Result<Lease, Error> {
        #[cfg(test)]
        if let Some(lease) = self.shared.rough.lease(self, id, self.handle).await {
            return Ok(lease);
        }
        self.shared.leases.lease(id, self.handle, limit).await
    }

    pub(super) async fn turn(&self, id: &SessionId) -> Result<Turn, Error> {
        self.shared.turns.turn(id, self.handle).await
    }

    pub(super) fn changes(&self) -> Changes {
        self.shared.feed.listen(self.handle)
    }

    pub(super) fn fingerprint(&self, purpose: &str, bytes: &[u8]) -> String {
        self.shared.seal.fingerprint(purpose, bytes)
    }

    pub(super) fn key(&self, purpose: &str) -> Secret<[u8; 32]> {
        self.shared.seal.key(purpose)
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<SessionId, Row>> {
        // Nothing in between can panic and leave a row half written.
        self.shared
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::open(None).expect("a random key is a key")
    }
}

// === impl Row ===

impl Row {
    fn stored(&self) -> Stored {
        Stored {
            generation: self.generation,
            grant: self.grant.clone(),
            cookies: self.cookies.values().cloned().collect(),
            notes: self.notes.clone(),
        }
    }

    /// Says whether it is only a generation that must not come again.
    fn holds_nothing(&self) -> bool {
        self.grant == Grant::default()
            && self.cookies.is_empty()
            && self.notes == super::Notes::default()
    }

    fn apply(&mut self, change: Change) {
        let Change {
            generation,
            grant,
            cookies,
            notes,
            keep_previous,
        } = change;
        if keep_previous {
            let now = self.stored();
            if !now.is_empty() {
                self.previous = Some(Arc::new(Stored {
                    notes: super::Notes::default(),
                    ..now
                }));
            }
        }
        self.generation = self.generation.max(generation);
        if let Some(grant) = grant {
            self.grant = grant;
        }
        match cookies {
            Cookies::Keep => {}
            Cookies::Patch { put, remove } => {
                for key in remove {
                    self.cookies.remove(&key);
                }
                self.cookies.extend(put.into_iter().map(keyed));
            }
            Cookies::Replace(all) => self.cookies = all.into_iter().map(keyed).collect(),
        }
        if let Some(notes) = notes {
            self.notes = notes;
        }
    }
}

fn keyed(cookie: jar::Cookie) -> (jar::Key, jar::Cookie) {
    (super::cookie_key(&cookie), cookie)
}
