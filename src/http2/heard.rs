//! What is heard of an upstream: parts of answers, and anything at all.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts what is heard of an upstream.
#[derive(Debug, Default)]
pub(super) struct Heard {
    parts: AtomicU32,
    reads: AtomicU32,
}

// === impl Heard ===

impl Heard {
    /// Notes a part of an answer.
    pub(super) fn note(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many parts of answers were heard, not what the upstream says of the connection.
    pub(super) fn parts(&self) -> u32 {
        self.parts.load(Ordering::Relaxed)
    }

    /// Notes that something was read.
    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something was read.
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }
}
