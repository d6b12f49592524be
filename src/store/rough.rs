//! What a simulation makes of the store in memory: its calls wait as real ones do, and writes fail at times.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Error;

/// Switched off until [`Rough::begin`].
#[derive(Debug, Default)]
pub struct Rough {
    on: AtomicBool,
    /// SplitMix64.
    seed: AtomicU64,
    full: AtomicBool,
}

// === impl Rough ===

impl Rough {
    /// From now on every call waits for others, at each end, for as long as the seed says.
    pub fn begin(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    /// Lets writes fail, or succeed again.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub(super) async fn pause(&self) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let step = 0x9e37_79b9_7f4a_7c15;
        let seed = self.seed.fetch_add(step, Ordering::Relaxed);
        for _ in 0..1 + (seed ^ (seed >> 29)) % 3 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn write(&self) -> Result<(), Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::Write("no space left on device".into()));
        }
        Ok(())
    }
}
