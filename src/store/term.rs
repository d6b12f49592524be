//! A lease as a row with a time limit, which its holder renews: what a store on another machine has, in memory.
//!
//! Nothing tells such a store that a holder is gone, so its row goes to whoever asks when it was not renewed for its
//! time limit. A holder that was suspended finds out by the number in the row, which is another one by then.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
};

use super::SessionId;

/// How often a holder renews its lease within the time limit: two renewals may be lost.
const RENEWALS: u32 = 3;

/// The rows of one store.
#[derive(Debug, Default)]
pub(super) struct Terms {
    rows: Mutex<HashMap<SessionId, Row>>,
    freed: Notify,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Row {
    holder: u64,
    until: Instant,
}

/// A row that is held, until it is dropped.
#[derive(Debug)]
pub(super) struct Term {
    terms: Arc<Terms>,
    place: Place,
    limit: Duration,
    renewal: AbortHandle,
}

/// A row, and the number that it has while it is held.
#[derive(Clone, Debug)]
struct Place {
    id: SessionId,
    number: u64,
}

/// Sees whether a row is still held.
#[derive(Clone, Debug)]
pub(super) struct Sight(Weak<Terms>, Place);

// === impl Terms ===

impl Terms {
    /// Waits until nobody holds the row, or who does has not renewed it for its time limit.
    pub(super) async fn take(self: &Arc<Self>, id: &SessionId, limit: Duration) -> Term {
        let place = Place {
            id: id.clone(),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
        };
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            match self.try_take(&place, limit) {
                Err(until) => drop(timeout_at(until, freed).await),
                Ok(()) => break,
            }
        }
        let (terms, renewed) = (Arc::downgrade(self), place.clone());
        let renewal = tokio::spawn(async move {
            loop {
                sleep(limit / RENEWALS).await;
                let Some(terms) = terms.upgrade() else { return };
                if terms.try_take(&renewed, limit).is_err() {
                    return;
                }
            }
        });
        Term {
            terms: Arc::clone(self),
            place,
            limit,
            renewal: renewal.abort_handle(),
        }
    }

    /// Takes or renews the row; if somebody else holds it, returns until when at least.
    fn try_take(&self, place: &Place, limit: Duration) -> Result<(), Instant> {
        let (mut rows, now) = (self.rows(), Instant::now());
        if let Some(row) = rows.get(&place.id)
            && row.holder != place.number
            && now < row.until
        {
            return Err(row.until);
        }
        let row = Row {
            holder: place.number,
            until: now + limit,
        };
        rows.insert(place.id.clone(), row);
        Ok(())
    }

    fn has(&self, place: &Place) -> bool {
        let rows = self.rows();
        let row = rows.get(&place.id);
        row.is_some_and(|row| row.holder == place.number)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<SessionId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Term ===

impl Term {
    /// Says whether nobody else has taken the row.
    pub(super) fn is_held(&self) -> bool {
        self.terms.has(&self.place)
    }

    pub(super) fn sight(&self) -> Sight {
        Sight(Arc::downgrade(&self.terms), self.place.clone())
    }

    /// Waits for the row again.
    pub(super) async fn again(&self) -> Self {
        self.terms.take(&self.place.id, self.limit).await
    }

    /// Renews it no more, as a process that is suspended.
    #[cfg(test)]
    pub(super) fn falls_silent(&self) {
        self.renewal.abort();
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.renewal.abort();
        let mut rows = self.terms.rows();
        // Whoever has taken it keeps it.
        if let Some(row) = rows.get(&self.place.id)
            && row.holder == self.place.number
        {
            rows.remove(&self.place.id);
            drop(rows);
            self.terms.freed.notify_waiters();
        }
    }
}

// === impl Sight ===

impl Sight {
    /// Says what [`Term::is_held`] says.
    pub(super) fn is_held(&self) -> bool {
        let Self(terms, place) = self;
        terms.upgrade().is_some_and(|terms| terms.has(place))
    }
}
