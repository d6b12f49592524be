//! What is counted of each session.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The upper bounds of the buckets in which refresh times are counted, in seconds.
pub const BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub injected: AtomicU64,
    pub rejected: AtomicU64,
    pub replayed: AtomicU64,
    /// Requests that were rejected again after they were sent again; they count in `rejected`, too.
    pub rejected_again: AtomicU64,
    /// Refreshes that succeeded.
    pub refreshes: AtomicU64,
    /// Changes of the generation by what an answer or a refresh brought.
    pub rotations: AtomicU64,
    pub expiries: AtomicU64,
    attempts: Mutex<BTreeMap<&'static str, u64>>,
    took: Mutex<Took>,
}

/// How long the calls of refreshes took.
#[derive(Clone, Debug, Default)]
pub struct Took {
    /// By bucket ([`BUCKETS`]), not cumulated; the last is for what took longer.
    pub counts: [u64; BUCKETS.len() + 1],
    pub seconds: f64,
}

// === impl Counters ===

impl Counters {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the calls of refreshes by how they ended (`ok`, or a failure's name).
    pub fn attempts(&self) -> BTreeMap<&'static str, u64> {
        let attempts = self.attempts.lock();
        attempts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn took(&self) -> Took {
        let took = self.took.lock();
        took.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn attempt(&self, result: &'static str, took: Duration) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        *attempts.entry(result).or_default() += 1;
        drop(attempts);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.counts[bucket.unwrap_or(BUCKETS.len())] += 1;
        took.seconds += seconds;
    }
}
