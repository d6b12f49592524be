//! How much time the proxy itself adds to requests: everything up to the head of the answer but the waiting for the
//! upstream. Counted in buckets, without a lock.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The upper bounds of the buckets, in seconds.
pub const BUCKETS: [f64; 14] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// The times that were added to all requests.
#[derive(Debug, Default)]
pub struct Added {
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

/// The time that one request has waited for the upstream.
#[derive(Debug, Default)]
pub(super) struct Waited(AtomicU64);

// === impl Added ===

impl Added {
    pub(super) fn note(&self, took: Duration, waited: &Waited) {
        let waited = Duration::from_nanos(waited.0.load(Ordering::Relaxed));
        let added = took.saturating_sub(waited);
        let seconds = added.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        let bucket = &self.counts[bucket.unwrap_or(BUCKETS.len())];
        bucket.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(added.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns the requests by bucket, not cumulated; the last is for what took longer.
    pub fn counts(&self) -> [u64; BUCKETS.len() + 1] {
        array::from_fn(|n| self.counts[n].load(Ordering::Relaxed))
    }

    /// Returns the sum of all times, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64()
    }
}

// === impl Waited ===

impl Waited {
    pub(super) fn since(&self, began: Instant) {
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upstream_took_does_not_count() {
        let (added, waited) = (Added::default(), Waited::default());
        added.note(Duration::from_micros(80), &waited);
        waited.0.store(2_000_000_000, Ordering::Relaxed);
        added.note(Duration::from_micros(2_003_000), &waited);
        added.note(Duration::from_secs(1), &waited);
        added.note(Duration::from_secs(20), &waited);
        let counts = added.counts();
        assert_eq!(
            (counts[0], counts[1], counts[6], counts[14]),
            (1, 1, 1, 1),
            "{counts:?}"
        );
        assert!(
            (added.seconds() - 18.003_08).abs() < 1e-6,
            "{}",
            added.seconds()
        );
    }
}
