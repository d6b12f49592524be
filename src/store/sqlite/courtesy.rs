//! Who writes next, among the processes on one database.
//!
//! SQLite's lock has no queue: who has just written and goes on at once nearly always wins against who waits, and on a
//! busy machine the one who waits is told "locked" in the end. So whoever waits for it has a lock file meanwhile, which
//! everybody wants first: who has just written comes behind who waits. It is a courtesy: one who is suspended with it
//! holds up others for a moment only, and where the file cannot be locked nobody waits for it.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::super::lease;

/// How often a lock is tried while another process has it.
pub(super) const AGAIN: Duration = Duration::from_millis(1);

/// How long one who waits is let go first: as long as a few transactions take on a slow disk.
const LONGEST: Duration = Duration::from_millis(250);

/// The lock file.
pub(super) struct Courtesy {
    file: Option<File>,
}

/// That nobody else is next, until it is dropped.
pub(super) struct Next<'a>(&'a File);

// === impl Courtesy ===

impl Courtesy {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            file: lease::open(&folder.join("write.lock")).ok(),
        }
    }

    /// Waits behind who is next; `None`: for too long, or not at all.
    pub(super) fn wait(&self) -> Option<Next<'_>> {
        let file = self.file.as_ref()?;
        let until = Instant::now() + LONGEST;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(Next(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(AGAIN),
                Err(_) => return None,
            }
        }
    }
}

// === impl Next ===

impl Drop for Next<'_> {
    fn drop(&mut self) {
        // If that fails, closing does it.
        self.0.unlock().ok();
    }
}
