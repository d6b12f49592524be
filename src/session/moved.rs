//! News that something has moved: a count, and those who wait for the next.
//!
//! As a watch channel, but who waits is woken in the order of arrival, so that a simulated life can be repeated.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// Clones tell, and listen to, the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: AtomicU64,
    news: Notify,
}

/// What somebody has seen of it.
#[derive(Debug)]
pub(super) struct Seen {
    moved: Moved,
    count: u64,
}

// === impl Moved ===

impl Moved {
    pub(super) fn tell(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.news.notify_waiters();
    }

    pub(super) fn subscribe(&self) -> Seen {
        Seen {
            moved: self.clone(),
            count: self.count(),
        }
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }
}

// === impl Seen ===

impl Seen {
    /// Counts everything so far as seen.
    pub(super) fn look(&mut self) {
        self.count = self.moved.count();
    }

    #[cfg(test)]
    pub(super) fn has_changed(&self) -> bool {
        self.moved.count() != self.count
    }

    /// Waits until something has moved that was not seen yet.
    pub(super) async fn changed(&self) {
        let mut news = pin!(self.moved.0.news.notified());
        // In the queue before looking, so that nothing slips through between.
        news.as_mut().enable();
        if self.moved.count() == self.count {
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_slips_through() {
        let moved = Moved::default();
        let mut seen = moved.subscribe();
        moved.tell();
        seen.changed().await;
        seen.look();
        let (told, ()) = tokio::join!(seen.changed(), async { moved.tell() });
        assert_eq!((told, moved.count()), ((), 2));
    }
}
