//! The cookie jar of a session (RFC 6265bis): what `Set-Cookie` stores and what a `Cookie` field sends.
//!
//! Pure: the time is an argument. Values are bytes; what a server sends is kept and sent back as it came.

use std::time::SystemTime;

use http::HeaderValue;

use crate::{origin::Origin, secret::Secret};

/// A stored cookie (RFC 6265bis §5.7, step 3 ff.).
#[derive(Clone, Debug, PartialEq)]
pub struct Cookie {
    pub name: Vec<u8>,
    pub value: Secret<Vec<u8>>,
    /// Canonical: lower case, no leading dot.
    pub domain: String,
    pub path: String,
    pub host_only: bool,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: Option<SameSite>,
    /// `None`: a session cookie.
    pub expires: Option<SystemTime>,
    pub created: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// What makes a cookie the same cookie (RFC 6265bis §5.7: name, domain, host-only, path).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub domain: String,
    pub path: String,
    pub name: Vec<u8>,
}

/// The bounds of a jar (`limits.cookies` …).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub cookies: usize,
    pub per_domain: usize,
    pub bytes: usize,
}

/// A session's cookies.
#[derive(Clone, Debug)]
pub struct Jar {
    bounds: Bounds,
}

/// What became of one `Set-Cookie` field.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// Nothing changed: the same cookie with the same value and attributes (an expiry that moved by less than
    /// a second is the same).
    Same,
    /// A new cookie, or a new value.
    Changed(Key),
    /// The same value with another expiry or another attribute.
    Touched(Key),
    /// A cookie ended: expired by the server.
    Removed(Key),
    /// Not stored, and why.
    Refused(Refused),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the field is no cookie")]
    Malformed,
    #[error("the cookie is larger than the limit")]
    TooLarge,
    #[error("its domain is not the host's")]
    Domain,
    #[error("its domain is a public suffix")]
    PublicSuffix,
    #[error("Secure from an origin that is not https")]
    Insecure,
    #[error("its name has a prefix whose conditions it does not meet")]
    Prefix,
    #[error("it would overwrite a Secure cookie from an insecure origin")]
    LeaveSecureAlone,
}

// === impl Jar ===

impl Jar {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    /// Makes a jar of stored cookies.
    pub fn restore(bounds: Bounds, cookies: Vec<Cookie>) -> Self {
        let _ = (bounds, cookies);
        todo!()
    }

    /// Stores what one `Set-Cookie` field of an answer from `origin` at `path` says (§5.7).
    pub fn store(
        &mut self,
        origin: &Origin,
        path: &str,
        set_cookie: &[u8],
        now: SystemTime,
    ) -> Stored {
        let _ = (origin, path, set_cookie, now, self.bounds);
        todo!()
    }

    /// Puts a cookie in as it is (import, a store's row), within the bounds.
    pub fn insert(&mut self, cookie: Cookie, now: SystemTime) -> Stored {
        let _ = (cookie, now);
        todo!()
    }

    /// Returns the `Cookie` field for a request to `origin` at `path` (§5.8.3): longer paths first, then older
    /// cookies; the value is marked sensitive.
    pub fn cookie_string(
        &self,
        origin: &Origin,
        path: &str,
        now: SystemTime,
    ) -> Option<HeaderValue> {
        let _ = (origin, path, now);
        todo!()
    }

    /// Returns the cookies for a request, in the order in which they are sent.
    pub fn cookies_for(&self, origin: &Origin, path: &str, now: SystemTime) -> Vec<&Cookie> {
        let _ = (origin, path, now);
        todo!()
    }

    /// Returns all cookies that have not expired.
    pub fn iter(&self, now: SystemTime) -> impl Iterator<Item = &Cookie> {
        let _ = now;
        std::iter::empty()
    }

    /// Returns the cookie of this name that would be found first, whatever its domain and path.
    pub fn named(&self, name: &str, now: SystemTime) -> Option<&Cookie> {
        let _ = (name, now);
        todo!()
    }

    pub fn get(&self, key: &Key) -> Option<&Cookie> {
        let _ = key;
        todo!()
    }

    pub fn remove(&mut self, key: &Key) -> Option<Cookie> {
        let _ = key;
        todo!()
    }

    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
