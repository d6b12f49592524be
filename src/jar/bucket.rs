//! The cookies of one domain, in the order in which they are sent; shared between the snapshots of a jar.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    cookie::{Cookie, Key},
    path::path_match,
    resolve::Candidate,
};

/// A cookie with the time of its last use. All snapshots share it: a cookie that an older one sent is in use.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cookie: Cookie,
    /// Seconds since 1970; only eviction looks at it.
    used: AtomicU64,
}

/// Longer paths first, then older cookies (RFC 6265bis §5.8.3, step 2).
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket(Vec<Arc<Entry>>);

/// What a request asks of a cookie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) secure: bool,
    pub(super) now: SystemTime,
}

/// How a candidate compares with what is stored under its key.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Nothing,
    Same,
    /// Another value, at this place.
    Value(usize),
    /// The same value, but another expiry or attribute.
    Attributes(usize),
    /// One that is over already.
    Expired(usize),
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(cookie: Cookie, now: SystemTime) -> Arc<Self> {
        let used = AtomicU64::new(seconds(now));
        Arc::new(Self { cookie, used })
    }

    /// Notes that the cookie was sent.
    pub(super) fn touch(&self, now: SystemTime) {
        let now = seconds(now);
        // Many requests in one second write once, and do not fight for the cache line.
        if self.used.load(Ordering::Relaxed) < now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    fn is_for(&self, request: &Request<'_>) -> bool {
        let cookie = &self.cookie;
        (request.secure || !cookie.secure)
            && (!cookie.host_only || cookie.domain == request.host)
            && path_match(request.path, &cookie.path)
            && !cookie.is_expired(request.now)
    }
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.iter()
    }

    /// Returns the cookies for a request, in sending order.
    pub(super) fn matching<'a>(
        &'a self,
        request: &Request<'_>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.0.iter().filter(|entry| entry.is_for(request))
    }

    pub(super) fn position(&self, name: &[u8], path: &str, host_only: bool) -> Option<usize> {
        self.0.iter().position(|entry| {
            let cookie = &entry.cookie;
            cookie.name == name && cookie.path == path && cookie.host_only == host_only
        })
    }

    pub(super) fn get(&self, at: usize) -> &Cookie {
        &self.0[at].cookie
    }

    pub(super) fn find(&self, new: &Candidate<'_>, now: SystemTime) -> Found {
        let Some(at) = self.position(new.name, new.path, new.host_only) else {
            return Found::Nothing;
        };
        let old = self.get(at);
        if old.is_expired(now) {
            return Found::Expired(at);
        }
        if old.value.expose() != new.value {
            return Found::Value(at);
        }
        let same = old.secure == new.secure
            && old.http_only == new.http_only
            && old.same_site == new.same_site
            && old.assumed == new.assumed
            && same_time(old.expires, new.expires);
        if same {
            Found::Same
        } else {
            Found::Attributes(at)
        }
    }

    /// Puts a cookie in the place of one with the same path and creation time.
    pub(super) fn replace(&mut self, at: usize, entry: Arc<Entry>) {
        self.0[at] = entry;
    }

    pub(super) fn add(&mut self, entry: Arc<Entry>) {
        let rank = order(&entry.cookie);
        let at = self.0.partition_point(|other| order(&other.cookie) <= rank);
        self.0.insert(at, entry);
    }

    pub(super) fn remove(&mut self, at: usize) -> Arc<Entry> {
        self.0.remove(at)
    }

    /// Removes what is over at this time.
    pub(super) fn expire(&mut self, now: SystemTime, removed: &mut Vec<Key>) {
        self.0.retain(|entry| {
            let over = entry.cookie.is_expired(now);
            if over {
                removed.push(entry.cookie.key());
            }
            !over
        });
    }

    /// Removes one cookie to make room (§5.7): those to be kept go last, Secure ones after others, and of equals the
    /// one that was not sent for the longest time.
    pub(super) fn evict(&mut self, kept: &[Box<[u8]>]) -> Option<Key> {
        let at = self.0.iter().enumerate().min_by_key(|(_, entry)| {
            let cookie = &entry.cookie;
            let keep = kept.iter().any(|name| **name == *cookie.name);
            let used = entry.used.load(Ordering::Relaxed);
            (keep, cookie.secure, used, cookie.created)
        });
        let (at, _) = at?;
        Some(self.0.remove(at).cookie.key())
    }
}

/// The sending order.
pub(super) fn order(cookie: &Cookie) -> (Reverse<usize>, SystemTime) {
    (Reverse(cookie.path.len()), cookie.created)
}

/// A Max-Age sent again and again moves the expiry by the time between; less than a second is no news.
fn same_time(a: Option<SystemTime>, b: Option<SystemTime>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let apart = a.duration_since(b).or_else(|_| b.duration_since(a));
            apart.is_ok_and(|apart| apart < Duration::from_secs(1))
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
