//! What a simulation makes of the store in memory: its calls wait as real ones do, and writes fail at times.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep},
};

use super::{Error, Lease, Memory, SessionId};

/// Switched off until [`Rough::begin`].
#[derive(Debug, Default)]
pub struct Rough {
    on: AtomicBool,
    /// SplitMix64.
    seed: AtomicU64,
    full: AtomicBool,
    locked: AtomicBool,
    leases: Mutex<HashMap<SessionId, Holder>>,
}

/// Who has the lease of a session, or had it last.
#[derive(Debug, Default)]
struct Holder {
    lock: Arc<AsyncMutex<()>>,
    handle: u64,
    taken: Arc<AtomicBool>,
}

/// How long a locked database is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// A lease that another has is tried for so often.
const TRIED: Duration = Duration::from_millis(20);

/// A lease that can be taken away.
#[derive(Debug)]
pub struct Simulated {
    pub(super) store: Memory,
    pub(super) id: SessionId,
    taken: Arc<AtomicBool>,
}

/// Whether a lease was taken away.
#[derive(Clone, Debug)]
pub struct Taken(Arc<AtomicBool>);

// === impl Taken ===

impl Taken {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Simulated ===

impl Simulated {
    pub(super) fn taken(&self) -> Taken {
        Taken(Arc::clone(&self.taken))
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}

// === impl Rough ===

impl Rough {
    /// From now on every call waits for others, at each end, for as long as the seed says.
    pub fn begin(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    /// Waits for a lease that can be taken away, for a handle of this store; `None`: it is switched off.
    pub(super) async fn lease(&self, store: &Memory, id: &SessionId, handle: u64) -> Option<Lease> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        loop {
            let lock = {
                let mut leases = self.leases.lock().unwrap();
                Arc::clone(&leases.entry(id.clone()).or_default().lock)
            };
            // Tried again and again, as the lock of a file is: nobody is given it who stands still.
            let Ok(turn) = Arc::clone(&lock).try_lock_owned() else {
                sleep(TRIED).await;
                continue;
            };
            let mut leases = self.leases.lock().unwrap();
            let holder = leases.entry(id.clone()).or_default();
            if Arc::ptr_eq(&holder.lock, &lock) {
                (holder.handle, holder.taken) = (handle, Arc::default());
                return Some(Lease {
                    file: None,
                    term: None,
                    _turn: turn,
                    simulated: Some(Simulated {
                        store: store.clone(),
                        id: id.clone(),
                        taken: Arc::clone(&holder.taken),
                    }),
                });
            }
        }
    }

    /// Takes the leases of a process away, as others do when it shows no sign of life.
    pub(super) fn take_away(&self, handle: u64) {
        for holder in self.leases.lock().unwrap().values_mut() {
            if holder.handle == handle && holder.lock.try_lock().is_err() {
                holder.taken.store(true, Ordering::Relaxed);
                holder.lock = Arc::default();
            }
        }
    }

    /// Lets writes fail, or succeed again.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Lets every call wait for another's lock, until it is given up.
    pub fn lock(&self, locked: bool) {
        self.locked.store(locked, Ordering::Relaxed);
    }

    pub(super) async fn pause(&self) -> Result<(), Error> {
        if !self.on.load(Ordering::Relaxed) {
            return Ok(());
        }
        let step = 0x9e37_79b9_7f4a_7c15;
        let seed = self.seed.fetch_add(step, Ordering::Relaxed);
        for _ in 0..1 + (seed ^ (seed >> 29)) % 3 {
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        while self.locked.load(Ordering::Relaxed) {
            if began.elapsed() >= BUSY {
                return Err(Error::Read("database is locked".into()));
            }
            sleep(BUSY / 50).await;
        }
        Ok(())
    }

    pub(super) fn write(&self) -> Result<(), Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::Write("no space left on device".into()));
        }
        Ok(())
    }
}
