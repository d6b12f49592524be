//! A stored cookie, what makes it the same cookie, and what every cookie must be, wherever it came from.

use std::time::SystemTime;

use super::{Refused, domain, set_cookie::is_control};
use crate::{origin::Host, secret::Secret};

/// A stored cookie (RFC 6265bis §5.7, step 5 ff.).
#[derive(Clone, Debug, PartialEq)]
pub struct Cookie {
    /// Empty: a value without a name, which is sent without `=`.
    pub name: Vec<u8>,
    pub value: Secret<Vec<u8>>,
    /// Canonical: lower case, no leading dot, addresses as in a URL.
    pub domain: String,
    pub path: String,
    pub host_only: bool,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: Option<SameSite>,
    /// `None`: a session cookie.
    pub expires: Option<SystemTime>,
    /// When this key was first set; kept when the cookie is overwritten. It orders the cookies of a request.
    pub created: SystemTime,
    /// Where it goes was assumed when it was put in, as what a person copied does not say it: the first `Set-Cookie`
    /// of its name for a related domain takes its place, whatever path and domain that one has.
    pub assumed: bool,
}

/// The attribute of this name; `None` as an option is "not set". Not enforced: what comes through the proxy is no
/// cross-site request of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// What makes a cookie the same cookie (RFC 6265bis §5.7, step 23: name, domain, host-only, path).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub domain: String,
    pub path: String,
    pub name: Vec<u8>,
    /// A host-only cookie and one for the subdomains as well are two cookies, and both are sent.
    pub host_only: bool,
}

// === impl Cookie ===

impl Cookie {
    pub fn key(&self) -> Key {
        Key {
            domain: self.domain.clone(),
            path: self.path.clone(),
            name: self.name.clone(),
            host_only: self.host_only,
        }
    }

    /// Tells whether the cookie is over at this time.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Tells whether the cookie may be stored at all: it could have come from a `Set-Cookie` field, and nothing in
    /// it changes the meaning of the field that it is sent in.
    pub fn check(&self, limit: usize) -> Result<(), Refused> {
        let value = self.value.expose();
        let bad = |b: &u8| is_control(*b) || *b == b';';
        if self.name.iter().any(|b| bad(b) || *b == b'=') || value.iter().any(bad) {
            return Err(Refused::Malformed);
        }
        if self.name.is_empty() && value.is_empty() {
            return Err(Refused::Malformed);
        }
        if !self.path.starts_with('/') || self.path.bytes().any(is_control) {
            return Err(Refused::Malformed);
        }
        if self.name.len() + value.len() > limit {
            return Err(Refused::TooLarge);
        }
        let canonical = self
            .domain
            .parse::<Host>()
            .is_ok_and(|host| domain::of_host(&host) == self.domain);
        if !canonical {
            return Err(Refused::Domain);
        }
        if !self.host_only && domain::is_public_suffix(&self.domain) {
            return Err(Refused::PublicSuffix);
        }
        let flags = Flags {
            secure: self.secure,
            http_only: self.http_only,
            host_only: self.host_only,
            at_root: self.path == "/",
        };
        if flags.allow(&self.name, value) {
            Ok(())
        } else {
            Err(Refused::Prefix)
        }
    }
}

// === impl SameSite ===

impl SameSite {
    /// Reads the attribute's value; anything unknown is "not set".
    pub fn parse(value: &[u8]) -> Option<Self> {
        [Self::Strict, Self::Lax, Self::None]
            .into_iter()
            .find(|known| value.eq_ignore_ascii_case(known.as_str().as_bytes()))
    }

    /// Returns the attribute's value as servers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// What the conditions of name prefixes look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) host_only: bool,
    /// The path is `/`, and was sent.
    pub(super) at_root: bool,
}

// === impl Flags ===

impl Flags {
    /// Tells whether a name's prefix allows the cookie (RFC 6265bis §5.7, steps 20 to 22). `__Http-` and
    /// `__Host-Http-` are from the draft that follows it; browsers that know them refuse the same.
    pub(super) fn allow(self, name: &[u8], value: &[u8]) -> bool {
        let begins = |bytes: &[u8], prefix: &str| {
            bytes
                .get(..prefix.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if name.is_empty() {
            // Sent without `=`, the value would pass for a name.
            return !["__Secure-", "__Host-", "__Http-"]
                .iter()
                .any(|prefix| begins(value, prefix));
        }
        let host = self.secure && self.host_only && self.at_root;
        let http = self.secure && self.http_only;
        (!begins(name, "__Secure-") || self.secure)
            && (!begins(name, "__Host-") || host)
            && (!begins(name, "__Http-") || http)
            && (!begins(name, "__Host-Http-") || http)
    }
}
