//! Requests that were rejected again with a new credential: it is not the credential that they lack.
//!
//! A site that answers 401 for one path and accepts the rest would cause a refresh for every such request, because
//! each refresh is vindicated by the others. So what was rejected again causes no refresh for the cooldown; and when
//! several such requests are known, nothing does.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use tokio::time::Instant;

use crate::origin::Origin;

/// So many wasted refreshes within one cooldown, and the session causes no more.
const ENOUGH: usize = 8;

/// What a request asked for; its query is left out.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub method: &'a Method,
    pub origin: &'a Origin,
    /// Path and query.
    pub path: &'a str,
    /// Who asked, where clients have names.
    pub client: Option<&'a Arc<str>>,
}

/// The requests that were rejected again, by hash.
#[derive(Debug, Default)]
pub(super) struct Stubborn {
    any: AtomicBool,
    since: Mutex<HashMap<u64, Instant>>,
}

// === impl About ===

impl<'a> About<'a> {
    /// The path without its query.
    pub(super) fn path_alone(&self) -> &'a str {
        self.path.split('?').next().unwrap_or_default()
    }

    fn key(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.method, self.origin, self.path_alone()).hash(&mut hasher);
        hasher.finish()
    }
}

// === impl Stubborn ===

impl Stubborn {
    /// Notes that this was rejected again.
    pub(super) fn note(&self, about: About<'_>, cooldown: Duration) {
        let mut since = self.since();
        since.retain(|_, at| at.elapsed() < cooldown);
        if since.len() < ENOUGH {
            since.insert(about.key(), Instant::now());
        }
        self.any.store(true, Ordering::Release);
    }

    /// Notes that this was accepted.
    pub(super) fn forgive(&self, about: About<'_>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut since = self.since();
        since.remove(&about.key());
        self.any.store(!since.is_empty(), Ordering::Release);
    }

    /// Tells whether a rejection of this causes no refresh now.
    pub(super) fn holds(&self, about: About<'_>, cooldown: Duration) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut since = self.since();
        since.retain(|_, at| at.elapsed() < cooldown);
        self.any.store(!since.is_empty(), Ordering::Release);
        since.len() >= ENOUGH || since.contains_key(&about.key())
    }

    fn since(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_remembered_for_the_cooldown() {
        let origin: Origin = "https://api.example".parse().unwrap();
        fn ask<'a>(origin: &'a Origin, path: &'a str) -> About<'a> {
            About {
                method: &Method::GET,
                origin,
                path,
                client: None,
            }
        }
        let about = |path: &'static str| ask(&origin, path);
        let cooldown = Duration::from_secs(30);
        let stubborn = Stubborn::default();
        stubborn.note(about("/admin?a=1"), cooldown);
        assert!(stubborn.holds(about("/admin?a=2"), cooldown));
        assert!(!stubborn.holds(about("/me"), cooldown));
        stubborn.forgive(about("/admin"));
        assert!(!stubborn.holds(about("/admin"), cooldown));
        for n in 0..2 * ENOUGH {
            stubborn.note(ask(&origin, &format!("/item/{n}")), cooldown);
        }
        assert!(stubborn.holds(about("/me"), cooldown), "enough is enough");
        tokio::time::advance(cooldown).await;
        assert!(!stubborn.holds(about("/item/1"), cooldown));
    }
}
