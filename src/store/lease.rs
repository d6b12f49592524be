//! The right to refresh a session: one holder among all tasks and processes of a machine.
//!
//! Tasks queue for it in order; between processes it is an operating-system lock on a file of its own, which the
//! kernel frees when its process dies, however it dies. A process that is suspended keeps such a lock, so there is
//! a time limit too: the holder writes a pulse into the file, and who has seen none for `limits.lease` takes the file
//! away (and so makes a new one to lock). The time is the waiter's own, so that no clock that jumps, and no machine
//! that slept as a whole, ends a lease. A holder that comes back finds out by [`Lease::is_held`]; if it does not ask,
//! the comparison of generations in the store still keeps it from overwriting anything.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use aws_lc_rs::digest;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{
    Error, SessionId,
    term::{Sight, Term, Terms},
};

#[cfg(test)]
mod tests;

/// How often a waiter tries the lock of another process.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// How often a holder shows that it is alive while others wait for it to count as suspended.
const PULSES: u32 = 6;

/// The right to refresh a session, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    // In this order: the next task in this process may try the file only when it is free.
    pub(super) file: Option<Held>,
    pub(super) term: Option<Term>,
    pub(super) _turn: OwnedMutexGuard<()>,
    #[cfg(test)]
    pub(super) simulated: Option<super::rough::Simulated>,
}

/// Sees whether a lease is still held, for a task that does not have it.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The locked file and its path, or the row.
    file: Option<(Weak<File>, Arc<Path>)>,
    term: Option<Sight>,
    #[cfg(test)]
    simulated: Option<super::rough::Taken>,
}

/// The leases of one store handle.
#[derive(Debug)]
pub(super) struct Leases {
    turns: Mutex<Turns>,
    folder: Option<Folder>,
    terms: Arc<Terms>,
}

/// For each session, and each handle that stands for a process, the queue of the tasks.
type Turns = HashMap<(SessionId, u64), Arc<AsyncMutex<()>>>;

/// Where the lock files are, and after which silence a holder counts as suspended.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) suspended: Duration,
}

/// A locked file.
#[derive(Debug)]
pub(super) struct Held {
    file: Arc<File>,
    path: PathBuf,
    suspended: Duration,
    pulse: AbortHandle,
}

// === impl Lease ===

impl Lease {
    /// Says whether the lease was not taken away meanwhile, as it is from a process that was suspended for long.
    /// To be asked right before what must not be done twice.
    pub fn is_held(&self) -> bool {
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return !simulated.is_taken();
        }
        let (file, term) = (self.file.as_ref(), self.term.as_ref());
        file.is_none_or(Held::is_there) && term.is_none_or(Term::is_held)
    }

    /// Shows no more sign of life, as a process that is suspended.
    #[cfg(test)]
    pub(super) fn falls_silent(&self) {
        if let Some(held) = &self.file {
            held.pulse.abort();
        }
        if let Some(term) = &self.term {
            term.falls_silent();
        }
    }

    /// Returns what sees the same from elsewhere, also when the lease is over.
    pub fn witness(&self) -> Witness {
        Witness {
            file: self.file.as_ref().map(Held::place),
            term: self.term.as_ref().map(Term::sight),
            #[cfg(test)]
            simulated: self.simulated.as_ref().map(super::rough::Simulated::taken),
        }
    }

    /// Waits for it again if it was taken away; says whether it was.
    pub async fn hold(&mut self) -> Result<bool, Error> {
        if self.is_held() {
            return Ok(false);
        }
        #[cfg(test)]
        if let Some(simulated) = self.simulated.take() {
            let (store, id) = (simulated.store, simulated.id);
            *self = store.lease(&id, Duration::MAX).await?;
            return Ok(true);
        }
        if let Some(held) = &mut self.file {
            // The old file is nobody's any more, so that its lock stands in nobody's way.
            let taken = beating(held.path.clone(), held.suspended).await;
            *held = taken.map_err(|e| failed(&held.path, &e))?;
        }
        if let Some(term) = &mut self.term {
            *term = term.again().await;
        }
        Ok(true)
    }
}

// === impl Witness ===

impl Witness {
    /// Says what [`Lease::is_held`] says.
    pub fn is_held(&self) -> bool {
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return !simulated.is_so();
        }
        if let Some(term) = &self.term {
            return term.is_held();
        }
        let Some((file, path)) = &self.file else {
            return true;
        };
        let there = file.upgrade().map(|file| is_at(&file, path));
        there.is_some_and(|there| there.unwrap_or(false))
    }
}

// === impl Leases ===

impl Leases {
    /// Leases among the tasks of this process alone, and handles that stand for processes.
    pub(super) fn of_tasks() -> Self {
        Self {
            turns: Mutex::default(),
            folder: None,
            terms: Arc::default(),
        }
    }

    /// Leases among all processes that use the same folder; makes it.
    pub(super) fn in_folder(folder: Folder) -> io::Result<Self> {
        super::private_folder(&folder.path)?;
        Ok(Self {
            folder: Some(folder),
            ..Self::of_tasks()
        })
    }

    /// As [`Store::lease`](super::Store::lease), for a handle. A file has the folder's time limit: the kernel frees that of a
    /// dead process at once, so that only one that is suspended loses it by time, and a shorter limit would take it
    /// from one that is merely slow.
    pub(super) async fn lease(
        &self,
        id: &SessionId,
        handle: u64,
        limit: Duration,
    ) -> Result<Lease, Error> {
        let turn = self.turn(id, handle).lock_owned().await;
        let (file, term) = match &self.folder {
            None => (None, Some(self.terms.take(id, limit).await)),
            Some(folder) => {
                let file = beating(folder.path.join(file_name(id, "")), folder.suspended).await;
                (Some(file.map_err(|e| failed(&folder.path, &e))?), None)
            }
        };
        Ok(Lease {
            file,
            term,
            _turn: turn,
            #[cfg(test)]
            simulated: None,
        })
    }

    fn turn(&self, id: &SessionId, handle: u64) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Sessions come and go with the configuration and its clients; who is not waited for is forgotten.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry((id.clone(), handle)).or_default())
    }
}

// === impl Folder ===

impl Folder {
    /// Waits for the lock of a file in it, which lacks a pulse on a disk that cannot be written now.
    pub(super) async fn acquire(&self, name: &str) -> io::Result<Held> {
        let held = acquire(self.path.join(name), self.suspended, lockable).await?;
        write_pulse(&held.file, 0).ok();
        Ok(held)
    }
}

// === impl Held ===

impl Held {
    fn new(file: File, path: PathBuf, suspended: Duration) -> Self {
        let file = Arc::new(file);
        let mut beat = 0u64;
        let weak = Arc::downgrade(&file);
        let pulse = tokio::spawn(async move {
            loop {
                sleep(suspended / PULSES).await;
                let Some(file) = weak.upgrade() else { return };
                beat += 1;
                // A disk that takes no pulse is one on which the lease's work fails too.
                write_pulse(&file, beat).ok();
            }
        })
        .abort_handle();
        Self {
            file,
            path,
            suspended,
            pulse,
        }
    }

    /// How often it is worth a look whether it was taken away.
    pub(super) fn pulse(&self) -> Duration {
        self.suspended / PULSES
    }

    fn place(&self) -> (Weak<File>, Arc<Path>) {
        (Arc::downgrade(&self.file), self.path.as_path().into())
    }

    /// Says whether it was not taken away.
    pub(super) fn is_there(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pulse.abort();
        // The pulse may hold the file for a moment longer; if unlocking fails, closing does it.
        self.file.unlock().ok();
    }
}

/// Waits for the file's lock, and shows a first sign of life: who cannot would count as suspended.
async fn beating(path: PathBuf, suspended: Duration) -> io::Result<Held> {
    let held = acquire(path, suspended, open).await?;
    write_pulse(&held.file, 0)?;
    Ok(held)
}

/// Waits for the file's lock. Every try is a few system calls that do not wait.
async fn acquire(
    path: PathBuf,
    suspended: Duration,
    open: impl Fn(&Path) -> io::Result<File>,
) -> io::Result<Held> {
    let mut watched: Option<(Vec<u8>, Instant)> = None;
    loop {
        let file = open(&path)?;
        match file.try_lock() {
            // It may have been taken away between `open` and the lock.
            Ok(()) if is_at(&file, &path)? => return Ok(Held::new(file, path, suspended)),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let pulse = read_pulse(&file)?;
        match &watched {
            Some((seen, since)) if *seen == pulse => {
                if since.elapsed() >= suspended {
                    take_away(&file, &path)?;
                    watched = None;
                    continue;
                }
            }
            _ => watched = Some((pulse, Instant::now())),
        }
        sleep(POLL).await;
    }
}

/// Takes the lock file of a suspended holder away, unless another waiter did: then this is another file by now.
fn take_away(file: &File, path: &Path) -> io::Result<()> {
    let guard = open(&path.with_file_name("takeover.lock"))?;
    if guard.try_lock().is_ok() && is_at(file, path)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn failed(place: &Path, error: &io::Error) -> Error {
    Error::Write(format!("{}: {error}", place.display()).into())
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// As [`open`], but on a disk that cannot be written now one that is there is opened all the same.
pub(super) fn lockable(path: &Path) -> io::Result<File> {
    open(path).or_else(|error| File::open(path).map_err(|_| error))
}

/// Says whether the path still leads to this open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Elsewhere an open file cannot be taken away, so there is no time limit either.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// The pulse is the holder and a count: it differs after every write and for every holder.
fn write_pulse(mut file: &File, beat: u64) -> io::Result<()> {
    file.rewind()?;
    file.write_all(format!("{:10} {beat:20}\n", std::process::id()).as_bytes())
}

fn read_pulse(mut file: &File) -> io::Result<Vec<u8>> {
    let mut pulse = Vec::new();
    file.rewind()?;
    file.take(64).read_to_end(&mut pulse)?;
    Ok(pulse)
}

/// A name that every session name gives, whatever its characters, and that does not depend on the key.
pub(super) fn file_name(id: &SessionId, kind: &str) -> String {
    let mut text = id.name.as_bytes().to_vec();
    if let Some(client) = &id.client {
        text.push(0);
        text.extend_from_slice(client.as_bytes());
    }
    let hash = digest::digest(&digest::SHA256, &text);
    let hex: String = hash.as_ref()[..16]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{hex}{kind}.lock")
}
