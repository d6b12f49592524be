//! What a `Set-Cookie` field means when it comes from an origin (RFC 6265bis §5.7, steps 5 to 22).

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Refused, SameSite,
    cookie::{Cookie, Flags},
    domain, path,
    set_cookie::{SetCookie, is_control},
};
use crate::{
    origin::{Origin, Scheme},
    secret::Secret,
};

/// No cookie lives longer than 400 days from its last `Set-Cookie` (§5.6.1).
const AGE_LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A cookie about to be stored, still borrowed: mostly nothing has changed, and nothing need be copied.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) domain: Cow<'a, str>,
    pub(super) path: &'a str,
    pub(super) host_only: bool,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: Option<SameSite>,
    pub(super) expires: Option<SystemTime>,
    pub(super) assumed: bool,
}

/// Reads a field as one from this origin, in answer to a request for this path.
pub(super) fn resolve<'a>(
    origin: &'a Origin,
    request_path: &'a str,
    sent: &SetCookie<'a>,
    now: SystemTime,
) -> Result<Candidate<'a>, Refused> {
    let host = domain::of_host(&origin.host);
    let (domain, host_only) = match scope(&host, sent.domain.unwrap_or_default())? {
        Some(domain) => (domain, false),
        None => (host, true),
    };
    let path = match sent.path {
        Some(sent @ [b'/', ..]) => std::str::from_utf8(sent).map_err(|_| Refused::Malformed)?,
        _ => path::default_path(request_path),
    };
    if path.bytes().any(is_control) {
        return Err(Refused::Malformed);
    }
    if sent.secure && origin.scheme != Scheme::Https {
        return Err(Refused::Insecure);
    }
    if sent.same_site == Some(SameSite::None) && !sent.secure {
        return Err(Refused::SameSite);
    }
    let flags = Flags {
        secure: sent.secure,
        http_only: sent.http_only,
        host_only,
        at_root: sent.path.is_some() && path == "/",
    };
    if !flags.allow(sent.name, sent.value) {
        return Err(Refused::Prefix);
    }
    Ok(Candidate {
        name: sent.name,
        value: sent.value,
        domain,
        path,
        host_only,
        secure: sent.secure,
        http_only: sent.http_only,
        same_site: sent.same_site,
        expires: expiry(sent, now),
        assumed: false,
    })
}

/// Cuts an expiry to what a cookie may live from now on.
pub(super) fn clamp(expires: SystemTime, now: SystemTime) -> SystemTime {
    now.checked_add(AGE_LIMIT)
        .map_or(expires, |limit| expires.min(limit))
}

/// Returns the domain whose subdomains get the cookie as well; `None`: the host alone.
fn scope<'a>(host: &str, attribute: &'a [u8]) -> Result<Option<Cow<'a, str>>, Refused> {
    if attribute.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(attribute).map_err(|_| Refused::Domain)?;
    if !text.is_ascii() {
        return Err(Refused::Domain);
    }
    let domain = if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    };
    if !domain::domain_match(host, &domain) {
        return Err(if domain::is_public_suffix(&domain) {
            Refused::PublicSuffix
        } else {
            Refused::Domain
        });
    }
    match domain::registrable(host) {
        // Both are ends of the host, so the shorter one lies above the other.
        Some(own) if domain.len() >= own.len() => Ok(Some(domain)),
        // A public suffix may set cookies for itself, and an address has nothing below it.
        None if domain == host => Ok(None),
        Some(_) | None => Err(Refused::PublicSuffix),
    }
}

fn expiry(sent: &SetCookie<'_>, now: SystemTime) -> Option<SystemTime> {
    match sent.max_age {
        Some(seconds) if seconds <= 0 => Some(UNIX_EPOCH),
        Some(seconds) => {
            let age = Duration::from_secs(seconds.unsigned_abs()).min(AGE_LIMIT);
            now.checked_add(age)
        }
        None => sent.expires.map(|at| clamp(at, now)),
    }
}

// === impl Candidate ===

impl<'a> Candidate<'a> {
    pub(super) fn of(cookie: &'a Cookie) -> Self {
        Self {
            name: &cookie.name,
            value: cookie.value.expose(),
            domain: Cow::Borrowed(&cookie.domain),
            path: &cookie.path,
            host_only: cookie.host_only,
            secure: cookie.secure,
            http_only: cookie.http_only,
            same_site: cookie.same_site,
            expires: cookie.expires,
            assumed: cookie.assumed,
        }
    }

    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    pub(super) fn into_cookie(self, created: SystemTime) -> Cookie {
        Cookie {
            name: self.name.to_vec(),
            value: Secret::new(self.value.to_vec()),
            domain: self.domain.into_owned(),
            path: self.path.to_owned(),
            host_only: self.host_only,
            secure: self.secure,
            http_only: self.http_only,
            same_site: self.same_site,
            expires: self.expires,
            created,
            assumed: self.assumed,
        }
    }
}
