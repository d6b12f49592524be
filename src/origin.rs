//! Hosts, authorities and origins in one canonical form (RFC 9110 §4.3.1, RFC 3986 §3.2).
//!
//! Text becomes one of these types once, at the edge; everything behind compares values, never spellings.
//! Names that are not ASCII are refused: clients send A-labels, and guessing at others invites look-alikes.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

/// The scheme of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
}

/// A host: a DNS name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(HostName),
    Ip(IpAddr),
}

/// A DNS name in lower case, ASCII, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// `host[:port]` as in a CONNECT target, a `Host` field or a URI (RFC 9112 §3.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host,
    pub port: Option<u16>,
}

/// Scheme, host and port (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
}

/// Why a text is not a host, an authority or an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the host is empty")]
    Empty,
    #[error("the host has a character that no host name has")]
    Character,
    #[error("the host name or one of its labels is too long or empty")]
    Length,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("user information has no place here")]
    Userinfo,
    #[error("the scheme is neither http nor https")]
    Scheme,
}

// === impl Scheme ===

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        if s.eq_ignore_ascii_case("https") {
            Ok(Self::Https)
        } else if s.eq_ignore_ascii_case("http") {
            Ok(Self::Http)
        } else {
            Err(Error::Scheme)
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl HostName ===

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let s = s.strip_suffix('.').unwrap_or(s);
        if s.is_empty() {
            return Err(Error::Empty);
        }
        if s.len() > 253
            || s.split('.')
                .any(|label| label.is_empty() || label.len() > 63)
        {
            return Err(Error::Length);
        }
        // Underscores are not host names by RFC 1123, but they are in use and browsers take them.
        if !s
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        {
            return Err(Error::Character);
        }
        Ok(Self(s.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Host ===

impl Host {
    /// Returns the name, unless the host is an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name.as_str()),
            Self::Ip(_) => None,
        }
    }
}

impl FromStr for Host {
    type Err = Error;

    /// Takes `name`, `1.2.3.4`, `[::1]` and `::1`. A last label that is all digits (or hexadecimal with `0x`) is
    /// refused when it is no dotted quad: resolvers read `127.1` and `2130706433` as addresses (WHATWG URL §3.5).
    fn from_str(s: &str) -> Result<Self, Error> {
        let bare = s.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
        if let Some(v6) = bare {
            return v6
                .parse::<Ipv6Addr>()
                .map(|ip| Self::Ip(ip.into()))
                .map_err(|_| Error::Character);
        }
        if let Ok(ip) = s.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name: HostName = s.parse()?;
        let last = name.as_str().rsplit('.').next().unwrap_or_default();
        let hex = last
            .strip_prefix("0x")
            .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Character);
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

// === impl Authority ===

impl FromStr for Authority {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        if s.contains('@') {
            return Err(Error::Userinfo);
        }
        // The colon that starts a port is the last one outside brackets.
        let (host, port) = match s.rfind(':') {
            Some(colon) if !s[colon..].contains(']') => (&s[..colon], Some(&s[colon + 1..])),
            _ => (s, None),
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(Error::Character);
        }
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(
                digits
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or(Error::Port)?,
            ),
            Some(_) => return Err(Error::Port),
        };
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

// === impl Origin ===

impl Origin {
    pub fn new(scheme: Scheme, authority: &Authority) -> Self {
        let port = authority.port.unwrap_or(scheme.default_port());
        Self {
            scheme,
            host: authority.host.clone(),
            port,
        }
    }

    /// Returns the authority as a `Host` field writes it: the port only if it is not the scheme's.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Origin {
    type Err = Error;

    /// Takes an absolute URL and leaves out what follows the authority.
    fn from_str(s: &str) -> Result<Self, Error> {
        let (scheme, rest) = s.split_once("://").ok_or(Error::Scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Ok(Self::new(scheme.parse()?, &rest[..end].parse()?))
    }
}

impl fmt::Display for Origin {
    /// Writes the origin with its port, also the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_authority_are_equal() {
        for (a, b) in [
            ("Example.COM:443", "example.com.:443"),
            ("[::1]:80", "[0:0::1]:80"),
        ] {
            assert_eq!(a.parse::<Authority>(), b.parse(), "{a}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let cases = [
            ("", Error::Empty),
            ("a b", Error::Character),
            ("user@host:1", Error::Userinfo),
            ("host:", Error::Port),
            ("host:0", Error::Port),
            ("host:65536", Error::Port),
            ("host:+1", Error::Port),
            ("a..b", Error::Length),
            ("2130706433", Error::Character),
            ("127.1", Error::Character),
            ("0x7f000001", Error::Character),
            ("::1:80", Error::Character),
            ("bücher.example", Error::Character),
        ];
        for (text, error) in cases {
            let got = text.parse::<Authority>();
            assert!(
                got == Err(error) || (text == "host:" && got.is_err()),
                "{text}: {got:?}"
            );
        }
    }

    #[test]
    fn an_origin_has_its_schemes_port() {
        let origin: Origin = "https://api.example.com/v1?x#y".parse().unwrap();
        assert_eq!(origin.to_string(), "https://api.example.com:443");
        assert_eq!(origin.authority(), "api.example.com");
    }
}
