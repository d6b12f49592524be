//! Where a credential may go, what is captured and what is blocked: hosts, ports, paths, methods; and URLs.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};

use crate::{
    config::{
        read::{At, Keys, Read},
        scalar::OneOrMany,
    },
    origin::{self, Host, Origin, Scheme},
    rule::{Bind, HostPattern, Target, Url, UserAgent, glob::Glob},
};

const HOST: &str = "a host name, an address, or \"*.example.com\" for every name below example.com";
const PATH: &str = "a path begins with `/`; `*` stands for anything: path = \"/v1/*\"";

/// Reads one entry of `bind`.
pub(super) fn bind(keys: &Keys<'_>) -> Option<Bind> {
    let when = keys.at("when").and_then(|at| at.table(when)?);
    Some(Bind {
        target: target(keys)?,
        when,
    })
}

/// Reads the keys of a target: those of `bind` and of a `match`.
pub(super) fn target(keys: &Keys<'_>) -> Option<Target> {
    let scheme = keys
        .at("scheme")
        .and_then(|at| at.choice(&[("https", Scheme::Https), ("http", Scheme::Http)]));
    let scheme = scheme.unwrap_or(Scheme::Https);
    let host = keys.need("host", HOST).and_then(|at| host(&at, scheme));
    let port = keys.or("port", scheme.default_port());
    let path = keys.at("path").and_then(|at| path(&at));
    let methods = keys.at("methods").map(|at| methods(&at));
    Some(Target {
        scheme,
        host: host?,
        port,
        path,
        methods,
    })
}

pub(super) fn methods(at: &At<'_>) -> Vec<Method> {
    if at.is_empty_list() {
        at.fault(
            "no method at all",
            "leave the key out, or name one: [\"GET\"]",
        );
    }
    at.one_or_many().iter().filter_map(At::get).collect()
}

/// A path pattern; the query has no part in it.
pub(super) fn path(at: &At<'_>) -> Option<Glob> {
    let text = at.text()?;
    if !text.starts_with(['/', '*']) {
        let of_url = text
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let hint = of_url.map_or_else(
            || PATH.to_owned(),
            |path| format!("the path alone: \"{path}\""),
        );
        at.fault("not a path", hint);
        return None;
    }
    if text.contains(['?', '#']) {
        at.fault(
            "a pattern is for the path alone",
            "leave out what follows `?` or `#`",
        );
        return None;
    }
    Some(Glob::new(text))
}

fn when(keys: &Keys<'_>) -> Option<(HeaderName, HeaderValue)> {
    const HINT: &str = "when = { header = \"x-account\", value = \"two\" }";
    let header = keys.need("header", HINT);
    let value = keys.need("value", HINT);
    Some((header?.get()?, value?.get()?))
}

fn host(at: &At<'_>, scheme: Scheme) -> Option<HostPattern> {
    let text = at.text()?;
    let pattern = match text.strip_prefix("*.") {
        Some(suffix) => below(at, suffix)?,
        None => HostPattern::Exact(exact(at, text)?),
    };
    let local = match &pattern {
        HostPattern::Exact(host) => is_local(host),
        HostPattern::Below(suffix) => is_local_name(suffix.as_str()),
    };
    if scheme == Scheme::Http && !local {
        at.fault(
            "a credential goes over plain http only to this machine or a private network",
            "leave out `scheme`, so that it is https",
        );
    }
    Some(pattern)
}

fn exact(at: &At<'_>, text: &str) -> Option<Host> {
    match text.parse::<Host>() {
        Ok(host) => Some(host),
        Err(error) => {
            let hint = match text {
                "*" => "a credential does not go to every host; name one, or \"*.example.com\""
                    .to_owned(),
                _ if text.contains("://") || text.contains('/') => {
                    "the host alone; scheme, port and path have keys of their own".to_owned()
                }
                _ if text.contains('*') => {
                    "`*` stands at the front alone: \"*.example.com\"".to_owned()
                }
                _ if !text.is_ascii() => "write the name as browsers send it, with xn--".to_owned(),
                _ => match text.rsplit_once(':') {
                    Some((host, port)) if port.parse::<u16>().is_ok() => {
                        format!("the port has a key of its own: host = \"{host}\", port = {port}")
                    }
                    _ => HOST.to_owned(),
                },
            };
            at.fault(format!("not a host: {error}"), hint);
            None
        }
    }
}

fn below(at: &At<'_>, suffix: &str) -> Option<HostPattern> {
    let Host::Name(name) = exact(at, suffix)? else {
        at.fault("an address has nothing below it", "name each address");
        return None;
    };
    // Whatever is directly below a public suffix belongs to everybody.
    let known = psl::suffix(name.as_str().as_bytes()).is_some_and(|suffix| suffix.is_known());
    if known && psl::domain_str(name.as_str()).is_none() {
        at.fault(
            format!("`{name}` is a public suffix: anybody can have a name below it"),
            format!("name the domain that is yours: \"*.example.{name}\""),
        );
        return None;
    }
    Some(HostPattern::Below(name))
}

/// Tells whether plain http to this host stays on this machine or in a private network.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Name(name) => is_local_name(name.as_str()),
        Host::Ip(ip) => match ip.to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        },
    }
}

/// Names that no public resolver answers: without a dot, or below a suffix set apart (RFC 6761, RFC 6762, RFC 8375).
fn is_local_name(name: &str) -> bool {
    const SUFFIXES: &[&str] = &["localhost", "local", "internal", "lan", "home.arpa", "test"];
    let below = |suffix: &str| {
        name.strip_suffix(suffix)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    !name.contains('.') || name == "home.arpa" || SUFFIXES.iter().any(|suffix| below(suffix))
}

// === impl Read ===

impl Read for Method {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        let method = Self::from_bytes(text.as_bytes()).ok();
        match method {
            Some(_) if text.bytes().any(|b| b.is_ascii_lowercase()) => {
                let hint = format!(
                    "methods are case-sensitive: \"{}\"",
                    text.to_ascii_uppercase()
                );
                at.fault("not a method", hint);
                None
            }
            None => {
                at.fault("not a method", "as \"GET\" or \"POST\"");
                None
            }
            method => method,
        }
    }
}

impl Read for HeaderName {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        if let Ok(name) = Self::from_bytes(text.as_bytes()) {
            return Some(name);
        }
        let hint = match text.strip_suffix(':') {
            Some(name) => format!("without the colon: \"{name}\""),
            None if text.contains(':') => {
                "the name alone; what stands behind the colon goes into `value`".to_owned()
            }
            None => "letters, digits and `-`: \"x-api-key\"".to_owned(),
        };
        at.fault("not the name of a field", hint);
        None
    }
}

impl Read for HeaderValue {
    fn read(at: &At<'_>) -> Option<Self> {
        let value = Self::from_str(at.text()?);
        if value.is_err() {
            at.fault("not the value of a field", "visible ASCII on one line");
        }
        value.ok()
    }
}

impl Read for UserAgent {
    fn read(at: &At<'_>) -> Option<Self> {
        match at.text()? {
            "learnt" => Some(Self::Learnt),
            _ => at.get().map(Self::Set),
        }
    }
}

impl Read for Url {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str = "an absolute URL: \"https://auth.example.com/token\"";
        let text = at.text()?;
        let origin = match text.parse::<Origin>() {
            Ok(origin) => origin,
            Err(error) => {
                let hint = match error {
                    origin::Error::Userinfo => {
                        "a password does not stand in a URL; use [session.NAME.secrets]"
                    }
                    _ => HINT,
                };
                at.fault(format!("not a URL: {error}"), hint);
                return None;
            }
        };
        if origin.scheme == Scheme::Http && !is_local(&origin.host) {
            at.fault(
                "a secret goes over plain http only to this machine or a private network",
                "write https://",
            );
            return None;
        }
        let rest = text
            .split_once("://")
            .and_then(|(_, rest)| Some(&rest[rest.find(['/', '?', '#'])?..]))
            .unwrap_or("/");
        if rest.contains('#') {
            at.fault("a fragment is never sent", "leave out what follows `#`");
            return None;
        }
        let path = match rest.strip_prefix('?') {
            Some(query) => format!("/?{query}"),
            None => rest.to_owned(),
        };
        if path.parse::<PathAndQuery>().is_err() || !path.is_ascii() {
            at.fault(
                "the path has a character that no URL has",
                "percent-encode it, as %20 for a space",
            );
            return None;
        }
        Some(Self { origin, path })
    }
}

/// Status codes: one or a list.
pub(super) fn status(keys: &Keys<'_>, key: &'static str) -> Option<Vec<u16>> {
    let codes: OneOrMany<Status> = keys.get(key)?;
    if codes.0.is_empty() && keys.at(key)?.is_empty_list() {
        keys.fault(
            key,
            "no status at all",
            "leave the key out, or name one: [401]",
        );
    }
    Some(codes.0.into_iter().map(|code| code.0).collect())
}

struct Status(u16);

impl Read for Status {
    fn read(at: &At<'_>) -> Option<Self> {
        at.number(100, 599).map(|code| Self(code as u16))
    }
}
