//! Calls of a session that were sent and may still be answered, whichever of its flights made them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::refresh::Call;

/// The calls of all flights of a session; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited(Arc<Mutex<Vec<Sent>>>);

#[derive(Debug)]
struct Sent {
    of: Call,
    until: Instant,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Await {
    pub(super) number: u64,
    among: Awaited,
}

// === impl Awaited ===

impl Awaited {
    /// Takes one whose answer is waited for until then.
    pub(super) fn add(&self, of: Call, until: Instant) -> Await {
        let number = of.number;
        self.sent().push(Sent { of, until });
        let among = self.clone();
        Await { number, among }
    }

    /// Tells whether a later call than this, with the same token, may still be answered.
    pub(super) fn has_later_than(&self, number: u64, spent: Option<&str>) -> bool {
        let now = Instant::now();
        let is_later = |sent: &Sent| {
            sent.of.number > number && sent.of.spent.as_deref() == spent && now < sent.until
        };
        spent.is_some() && self.sent().iter().any(is_later)
    }

    fn sent(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Await {
    fn drop(&mut self) {
        let mut sent = self.among.sent();
        if let Some(at) = sent.iter().position(|sent| sent.of.number == self.number) {
            sent.swap_remove(at);
        }
    }
}
