//! The right to send a one-time token, asked for in the moment before its bytes are written.
//!
//! Between the decision to spend a token and its first byte on the way lie a connection and a handshake, and a process
//! can be suspended anywhere. So the lease is looked at once more, at the last moment; and a call that is given up
//! before that moment loses the right to send anything, and is known not to have been sent. So does one before whose moment
//! the answer to an earlier call comes, and one whose time was over when its process went on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use tokio::time::Instant;

use crate::store::Witness;

/// Of one call. Clones are one permit.
#[derive(Clone, Debug, Default)]
pub struct Permit {
    state: Arc<AtomicU8>,
    lease: Witness,
    /// Whether something newer is at hand than what would be sent.
    newer: Arc<AtomicBool>,
    /// When nobody waits for the answer any more.
    until: Option<Instant>,
}

const OPEN: u8 = 0;
const USED: u8 = 1;
const REVOKED: u8 = 2;

// === impl Permit ===

impl Permit {
    /// Makes one that is good for as long as the lease is held and nothing newer is at hand.
    pub fn under(lease: Witness, newer: Arc<AtomicBool>) -> Self {
        Self {
            state: Arc::default(),
            lease,
            newer,
            until: None,
        }
    }

    /// Is no good any more from then on.
    pub fn until(mut self, until: Instant) -> Self {
        self.until = Some(until);
        self
    }

    /// Asks for the right to send, right before that is done; `false`: nothing may be sent.
    pub fn take(&self) -> bool {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        if late || self.newer.load(Ordering::Acquire) || !self.lease.is_held() {
            self.revoke();
            return false;
        }
        self.change(USED) != REVOKED
    }

    /// Takes the right away; tells whether nothing was, and nothing will be, sent.
    pub fn revoke(&self) -> bool {
        self.change(REVOKED) != USED
    }

    /// Tells whether nothing was, and nothing will be, sent.
    pub fn is_revoked(&self) -> bool {
        self.state.load(Ordering::Acquire) == REVOKED
    }

    /// Goes over to a state from [`OPEN`] alone, and returns the one before.
    fn change(&self, to: u8) -> u8 {
        let changed = self
            .state
            .compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire);
        changed.unwrap_or_else(|there| there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_first_counts() {
        let permit = Permit::default();
        assert!(permit.take() && permit.take(), "asked for again");
        assert!(!permit.revoke(), "too late");
        assert!(!permit.is_revoked());
        let permit = Permit::default();
        assert!(permit.revoke() && permit.revoke());
        assert!(!permit.take() && permit.is_revoked());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_that_nobody_waits_for() {
        let limit = std::time::Duration::from_secs(1);
        let permit = Permit::default().until(Instant::now() + limit);
        assert!(permit.clone().take(), "in time");
        let permit = Permit::default().until(Instant::now() + limit);
        tokio::time::advance(limit).await;
        assert!(!permit.take() && permit.is_revoked());
    }
}
