//! The cookie jar of a session (RFC 6265bis): what `Set-Cookie` stores and what a `Cookie` field sends.
//!
//! Pure: the time is an argument. Values are bytes; what a server sends is kept and sent back as it came. A jar is
//! made to be cloned: its domains and cookies are shared between clones until one of them changes.
//!
//! Where it decides for itself: an integer part counts as Max-Age (`899.5`); only `https` is secure, loopback is not;
//! `SameSite` is kept but not enforced, because what comes through the proxy is no page's cross-site request.

mod assumed;
mod bucket;
mod cookie;
mod date;
pub mod domain;
mod outcome;
mod path;
mod resolve;
mod set_cookie;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::HeaderValue;

use crate::{
    limits::Limits,
    origin::{Origin, Scheme},
};

use bucket::{Bucket, Entry, Found, Request, order};
pub use cookie::{Cookie, Key, SameSite};
pub use outcome::{Outcome, Refused, Stored};
use resolve::Candidate;

/// The bounds of a jar (`limits.cookies` …).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub cookies: usize,
    pub per_domain: usize,
    /// Bytes of one cookie's name and value.
    pub bytes: usize,
}

/// A session's cookies.
#[derive(Clone, Debug)]
pub struct Jar {
    bounds: Bounds,
    domains: BTreeMap<Arc<str>, Arc<Bucket>>,
    len: usize,
    /// The newest creation time: no two cookies are of the same instant, so that their order survives a store.
    newest: SystemTime,
    /// Whether there may be assumed cookies.
    assumed: bool,
    /// Names of cookies that are evicted last.
    kept: Arc<[Box<[u8]>]>,
}

// === impl Bounds ===

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            cookies: limits.cookies,
            per_domain: limits.cookies_per_domain,
            bytes: limits.cookie_bytes,
        }
    }
}

// === impl Jar ===

impl Jar {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            domains: BTreeMap::new(),
            len: 0,
            newest: SystemTime::UNIX_EPOCH,
            assumed: false,
            kept: Arc::new([]),
        }
    }

    /// Makes a jar of stored cookies. What may no longer be stored (a domain that became a public suffix) is left
    /// out; the bounds are kept at the next new cookie, which then reports what it evicted.
    pub fn restore(bounds: Bounds, cookies: Vec<Cookie>) -> Self {
        let mut jar = Self::new(bounds);
        for cookie in cookies {
            let known = jar.get(&cookie.key()).is_some();
            if !known && cookie.check(bounds.bytes).is_ok() {
                jar.newest = jar.newest.max(cookie.created);
                let used = cookie.created;
                jar.add(Entry::new(cookie, used));
            }
        }
        jar
    }

    /// Names cookies that are evicted after all others (`cookies.required`).
    #[must_use]
    pub fn keeping<N: AsRef<[u8]>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.kept = names.into_iter().map(|name| name.as_ref().into()).collect();
        self
    }

    /// Stores what one `Set-Cookie` field of an answer from `origin` to a request for `path` says (§5.7).
    pub fn store(
        &mut self,
        origin: &Origin,
        path: &str,
        set_cookie: &[u8],
        now: SystemTime,
    ) -> Outcome {
        let read = set_cookie::parse(set_cookie, self.bounds.bytes).and_then(|sent| {
            let new = resolve::resolve(origin, path::of_request(path), &sent, now)?;
            if origin.scheme != Scheme::Https && self.shadows_secure(&new, now) {
                return Err(Refused::LeaveSecureAlone);
            }
            Ok(new)
        });
        match read {
            Ok(new) => {
                let replaced = self.replace_assumed(&new);
                self.put(new, None, now).with(replaced)
            }
            Err(refused) => Outcome::from(Stored::Refused(refused)),
        }
    }

    /// Puts a cookie in as it is (import, a store's row), within the bounds. One that is over ends its namesake.
    pub fn insert(&mut self, cookie: Cookie, now: SystemTime) -> Outcome {
        if let Err(refused) = cookie.check(self.bounds.bytes) {
            return Outcome::from(Stored::Refused(refused));
        }
        let mut new = Candidate::of(&cookie);
        new.expires = new.expires.map(|at| resolve::clamp(at, now));
        self.put(new, Some(cookie.created), now)
    }

    /// Returns the `Cookie` field for a request to `origin` at `path` (§5.8.3): longer paths first, then older
    /// cookies; the value is marked sensitive.
    pub fn cookie_string(
        &self,
        origin: &Origin,
        path: &str,
        now: SystemTime,
    ) -> Option<HeaderValue> {
        let entries = self.matching(origin, path, now);
        let size = |entry: &&Arc<Entry>| {
            let cookie = &entry.cookie;
            cookie.name.len() + cookie.value.expose().len() + "=; ".len()
        };
        let mut field = Vec::with_capacity(entries.iter().map(size).sum());
        for entry in &entries {
            entry.touch(now);
            if !field.is_empty() {
                field.extend_from_slice(b"; ");
            }
            if !entry.cookie.name.is_empty() {
                field.extend_from_slice(&entry.cookie.name);
                field.push(b'=');
            }
            field.extend_from_slice(entry.cookie.value.expose());
        }
        if field.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(field)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Returns the cookies for a request, in the order in which they are sent.
    pub fn cookies_for(&self, origin: &Origin, path: &str, now: SystemTime) -> Vec<&Cookie> {
        let entries = self.matching(origin, path, now);
        entries.into_iter().map(|entry| &entry.cookie).collect()
    }

    /// Returns all cookies that have not expired, domain by domain, each in sending order.
    pub fn iter(&self, now: SystemTime) -> impl Iterator<Item = &Cookie> {
        let entries = self.domains.values().flat_map(|bucket| bucket.iter());
        entries
            .map(|entry| &entry.cookie)
            .filter(move |cookie| !cookie.is_expired(now))
    }

    /// Returns the cookie of this name that would be sent first, whatever its domain and path.
    pub fn named(&self, name: &str, now: SystemTime) -> Option<&Cookie> {
        self.iter(now)
            .filter(|cookie| cookie.name == name.as_bytes())
            .min_by_key(|cookie| order(cookie))
    }

    pub fn get(&self, key: &Key) -> Option<&Cookie> {
        let bucket = self.domains.get(key.domain.as_str())?;
        let at = bucket.position(&key.name, &key.path, key.host_only)?;
        Some(bucket.get(at))
    }

    pub fn remove(&mut self, key: &Key) -> Option<Cookie> {
        let bucket = self.domains.get(key.domain.as_str())?;
        let at = bucket.position(&key.name, &key.path, key.host_only)?;
        Some(self.remove_at(&key.domain, at).cookie.clone())
    }

    /// Removes what is over at this time.
    pub fn expire(&mut self, now: SystemTime) -> Vec<Key> {
        let mut removed = Vec::new();
        for bucket in self.domains.values_mut() {
            if bucket.iter().any(|entry| entry.cookie.is_expired(now)) {
                Arc::make_mut(bucket).expire(now, &mut removed);
            }
        }
        self.len -= removed.len();
        self.domains.retain(|_, bucket| bucket.len() > 0);
        removed
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn matching(&self, origin: &Origin, path: &str, now: SystemTime) -> Vec<&Arc<Entry>> {
        let mut found = Vec::new();
        if self.domains.is_empty() {
            return found;
        }
        let host = domain::of_host(&origin.host);
        let request = Request {
            host: &host,
            path: path::of_request(path),
            secure: origin.scheme == Scheme::Https,
            now,
        };
        let mut domains = 0;
        for name in domain::and_parents(&host) {
            if let Some(bucket) = self.domains.get(name) {
                let before = found.len();
                found.extend(bucket.matching(&request));
                domains += usize::from(found.len() > before);
            }
        }
        if domains > 1 {
            found.sort_by_key(|entry| order(&entry.cookie));
        }
        found
    }

    /// Step 23: the cookie takes the place, and the creation time, of the one with the same key.
    fn put(&mut self, new: Candidate<'_>, created: Option<SystemTime>, now: SystemTime) -> Outcome {
        let bucket = self.domains.get(&*new.domain);
        let found = bucket.map_or(Found::Nothing, |bucket| bucket.find(&new, now));
        let at = match found {
            Found::Nothing => None,
            Found::Value(at) | Found::Attributes(at) | Found::Expired(at) => Some(at),
            Found::Same => return Outcome::from(Stored::Same),
        };
        if new.is_expired(now) {
            let Some(at) = at else {
                return Outcome::from(Stored::Same);
            };
            let removed = self.remove_at(&new.domain, at);
            return Outcome::from(Stored::Removed(removed.cookie.key()));
        }
        if let (Found::Value(at) | Found::Attributes(at), Some(bucket)) =
            (&found, self.domains.get_mut(&*new.domain))
        {
            let created = bucket.get(*at).created;
            let entry = Entry::new(new.into_cookie(created), now);
            let key = entry.cookie.key();
            self.assumed |= entry.cookie.assumed;
            Arc::make_mut(bucket).replace(*at, entry);
            return Outcome::from(match found {
                Found::Attributes(_) => Stored::Touched(key),
                _ => Stored::Changed(key),
            });
        }
        if let Some(at) = at {
            self.remove_at(&new.domain, at);
        }
        let created = created.unwrap_or_else(|| self.instant(now));
        self.newest = self.newest.max(created);
        let entry = Entry::new(new.into_cookie(created), now);
        let key = entry.cookie.key();
        self.add(entry);
        self.make_room(key, now)
    }

    /// Returns a creation time that no other cookie has: several may come in one answer.
    fn instant(&self, now: SystemTime) -> SystemTime {
        let next = self.newest.checked_add(Duration::from_micros(1));
        next.map_or(now, |next| next.max(now))
    }

    fn add(&mut self, entry: Arc<Entry>) {
        self.len += 1;
        self.assumed |= entry.cookie.assumed;
        if let Some(bucket) = self.domains.get_mut(entry.cookie.domain.as_str()) {
            Arc::make_mut(bucket).add(entry);
            return;
        }
        let domain = entry.cookie.domain.as_str().into();
        let mut bucket = Bucket::default();
        bucket.add(entry);
        self.domains.insert(domain, Arc::new(bucket));
    }

    fn remove_at(&mut self, domain: &str, at: usize) -> Arc<Entry> {
        let bucket = self.domains.get_mut(domain);
        let bucket = bucket.expect("the cookie was found in this domain");
        let entry = Arc::make_mut(bucket).remove(at);
        if bucket.len() == 0 {
            self.domains.remove(domain);
        }
        self.len -= 1;
        entry
    }

    /// Keeps the bounds after `new` came in: what is over goes first, then cookies of the same domain, then of the
    /// domain with the most cookies, so that a site that floods the jar loses its own.
    fn make_room(&mut self, new: Key, now: SystemTime) -> Outcome {
        let mut evicted = Vec::new();
        let too_many = |jar: &Self| {
            let domain = jar.domains.get(new.domain.as_str());
            domain.is_some_and(|bucket| bucket.len() > jar.bounds.per_domain)
        };
        if self.len > self.bounds.cookies || too_many(self) {
            evicted = self.expire(now);
        }
        while too_many(self) {
            evicted.extend(self.evict(&new.domain));
        }
        while self.len > self.bounds.cookies {
            let largest = self.domains.iter().max_by_key(|(_, bucket)| bucket.len());
            let Some((domain, _)) = largest else { break };
            let domain = Arc::clone(domain);
            evicted.extend(self.evict(&domain));
        }
        let before = evicted.len();
        evicted.retain(|key| *key != new);
        let stored = if evicted.len() == before {
            Stored::Changed(new)
        } else {
            Stored::Refused(Refused::Full)
        };
        Outcome { stored, evicted }
    }

    fn evict(&mut self, domain: &str) -> Option<Key> {
        let bucket = self.domains.get_mut(domain)?;
        let key = Arc::make_mut(bucket).evict(&self.kept)?;
        if bucket.len() == 0 {
            self.domains.remove(domain);
        }
        self.len -= 1;
        Some(key)
    }

    /// Tells whether a cookie from an insecure origin would hide a Secure one from the server (§5.7, step 16).
    fn shadows_secure(&self, new: &Candidate<'_>, now: SystemTime) -> bool {
        let related = |name: &str| {
            domain::domain_match(name, &new.domain) || domain::domain_match(&new.domain, name)
        };
        self.domains
            .iter()
            .filter(|(name, _)| related(name))
            .flat_map(|(_, bucket)| bucket.iter())
            .map(|entry| &entry.cookie)
            .any(|old| {
                old.secure
                    && old.name == new.name
                    && path::path_match(new.path, &old.path)
                    && !old.is_expired(now)
            })
    }
}
