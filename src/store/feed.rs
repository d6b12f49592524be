//! Who wants to know what changed. A listener keeps a set of session names and not a queue, so it is bounded by
//! the number of sessions and never has to leave a change out, however slowly it is read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::SessionId;

/// A session that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub id: SessionId,
    /// Whether another handle (another process) had a part in it; if not, it is our own commits coming back.
    pub foreign: bool,
}

/// The changes since [`Store::changes`](super::Store::changes) was called.
#[derive(Debug)]
pub struct Changes(Arc<Listener>);

/// All listeners of a store.
#[derive(Debug, Default)]
pub(super) struct Feed(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    closed: bool,
    listeners: Vec<Weak<Listener>>,
}

#[derive(Debug)]
struct Listener {
    /// Which handle it belongs to.
    handle: u64,
    pending: Mutex<Pending>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    closed: bool,
    /// Session → whether another handle changed it.
    changed: BTreeMap<SessionId, bool>,
}

// === impl Feed ===

impl Feed {
    pub(super) fn listen(&self, handle: u64) -> Changes {
        let mut registry = lock(&self.0);
        let listener = Arc::new(Listener {
            handle,
            pending: Mutex::new(Pending {
                closed: registry.closed,
                changed: BTreeMap::new(),
            }),
            woken: Notify::new(),
        });
        registry.listeners.retain(|weak| weak.strong_count() > 0);
        registry.listeners.push(Arc::downgrade(&listener));
        Changes(listener)
    }

    pub(super) fn has_listeners(&self) -> bool {
        let registry = lock(&self.0);
        registry.listeners.iter().any(|l| l.strong_count() > 0)
    }

    /// Tells all listeners that a session was changed by a handle (`None`: by another process).
    pub(super) fn tell(&self, id: &SessionId, by: Option<u64>) {
        for listener in lock(&self.0).listeners.iter().filter_map(Weak::upgrade) {
            let foreign = by != Some(listener.handle);
            let mut pending = lock(&listener.pending);
            match pending.changed.get_mut(id) {
                Some(was) => *was |= foreign,
                None => {
                    pending.changed.insert(id.clone(), foreign);
                }
            }
            drop(pending);
            listener.woken.notify_one();
        }
    }

    /// Ends all listeners, those to come too, when they have read what is pending.
    pub(super) fn close(&self) {
        let mut registry = lock(&self.0);
        registry.closed = true;
        for listener in registry.listeners.iter().filter_map(Weak::upgrade) {
            lock(&listener.pending).closed = true;
            listener.woken.notify_one();
        }
    }
}

// === impl Changes ===

impl Changes {
    /// Waits for the next change; `None` when the store was closed. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Changed> {
        loop {
            {
                let mut pending = lock(&self.0.pending);
                if let Some((id, foreign)) = pending.changed.pop_first() {
                    return Some(Changed { id, foreign });
                }
                if pending.closed {
                    return None;
                }
            }
            self.0.woken.notified().await;
        }
    }
}

/// Locks; a panic elsewhere leaves these sets whole, so its poison means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_joined_and_none_is_left_out() {
        let feed = Feed::default();
        assert!(!feed.has_listeners());
        let (mut mine, mut theirs) = (feed.listen(1), feed.listen(2));
        let (a, b) = (SessionId::new("a", None), SessionId::new("b", Some("x")));
        for _ in 0..3 {
            feed.tell(&a, Some(1));
        }
        feed.tell(&b, None);
        feed.close();
        let all = [(&mut mine, false), (&mut theirs, true)];
        for (changes, foreign) in all {
            let id = a.clone();
            assert_eq!(changes.next().await, Some(Changed { id, foreign }));
            let id = b.clone();
            let foreign = true;
            assert_eq!(changes.next().await, Some(Changed { id, foreign }));
            assert_eq!(changes.next().await, None);
        }
        assert_eq!(feed.listen(1).next().await, None);
    }
}
