//! The right to send a one-time token, asked for in the moment before its bytes are written.
//!
//! Between the decision to spend a token and its first byte on the way lie a connection and a handshake, and a process
//! can be suspended anywhere. So the lease is looked at once more, at the last moment; and a call that is given up
//! before that moment loses the right to send anything, and is known not to have been sent. So does one before whose moment
//! its token is overtaken, by the answer to an earlier call for instance, and one whose time was over when its process went on.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::time::Instant;

use crate::store::Witness;

/// Of one call. Clones are one permit.
#[derive(Clone, Default)]
pub struct Permit {
    state: Arc<AtomicU8>,
    lease: Witness,
    /// Tells whether something newer is at hand than what would be sent.
    overtaken: Option<Arc<Overtaken>>,
    /// When nobody waits for the answer any more.
    until: Option<Instant>,
}

type Overtaken = dyn Fn() -> bool + Send + Sync;

const OPEN: u8 = 0;
const USED: u8 = 1;
const REVOKED: u8 = 2;

// === impl Permit ===

impl Permit {
    /// Makes one that is good for as long as the lease is held and nothing newer is at hand.
    pub fn under(lease: Witness, overtaken: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            lease,
            overtaken: Some(Arc::new(overtaken)),
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
        let overtaken = || self.overtaken.as_ref().is_some_and(|overtaken| overtaken());
        if late || !self.lease.is_held() || overtaken() {
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

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.state).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

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

    #[test]
    fn what_is_overtaken_is_not_sent() {
        let newer = Arc::new(AtomicBool::new(false));
        let overtaken = Arc::clone(&newer);
        let permit = || {
            let overtaken = Arc::clone(&overtaken);
            Permit::under(Witness::default(), move || {
                overtaken.load(Ordering::Relaxed)
            })
        };
        assert!(permit().take());
        newer.store(true, Ordering::Relaxed);
        let permit = permit();
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
