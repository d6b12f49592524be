//! How a person signs in by hand, as configured.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use super::{Url, template::Template};
use crate::origin::{self, Authority, Host, Origin, Scheme};

/// How a person signs in: by a code that the token endpoint of the refresh exchanges.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// Where a browser goes for an authorization code (RFC 6749 §3.1).
    pub authorization_endpoint: Option<Url>,
    /// Where a device code is asked for (RFC 8628 §3.1).
    pub device_authorization_endpoint: Option<Url>,
    pub redirect_uri: RedirectUri,
    pub scope: Option<String>,
    /// Who the answer must name as its issuer (RFC 9207 §2.4); `None`: nobody looks.
    pub issuer: Option<String>,
    /// More parameters of the authorization request, and of the one for a device code.
    pub params: Vec<(String, Template)>,
}

/// Where the authorization server sends the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectUri {
    /// To this machine, where we wait for it (RFC 8252 §7.3).
    Loopback(Loopback),
    /// Elsewhere: a person hands us the address that the browser came to.
    Elsewhere(String),
}

/// A redirection to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loopback {
    /// As it was written: servers compare the text.
    host: String,
    ip: IpAddr,
    /// `None`: any that is free.
    port: Option<u16>,
    /// Path and query, as they were written; maybe empty.
    rest: String,
}

/// Why a text is no redirection URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    #[error(transparent)]
    Origin(#[from] origin::Error),
    #[error("it has a fragment")]
    Fragment,
    #[error("it has a character that no URL has")]
    Character,
    #[error("a code goes over plain http to this machine alone")]
    Plain,
}

// === impl RedirectUri ===

impl Default for RedirectUri {
    fn default() -> Self {
        Self::Loopback(Loopback {
            host: Ipv4Addr::LOCALHOST.to_string(),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: None,
            rest: "/".to_owned(),
        })
    }
}

impl FromStr for RedirectUri {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        if text.contains('#') {
            return Err(RedirectError::Fragment);
        }
        let graphic = text.bytes().all(|b| b.is_ascii_graphic());
        if !graphic || text.parse::<http::Uri>().is_err() {
            return Err(RedirectError::Character);
        }
        let origin: Origin = text.parse()?;
        if origin.scheme == Scheme::Https {
            return Ok(Self::Elsewhere(text.to_owned()));
        }
        let ip = match &origin.host {
            Host::Ip(ip) if ip.is_loopback() => *ip,
            Host::Name(name) if name.as_str() == "localhost" => Ipv4Addr::LOCALHOST.into(),
            Host::Ip(_) | Host::Name(_) => return Err(RedirectError::Plain),
        };
        let (_, after) = text.split_once("://").unwrap_or_default();
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let port = authority.parse::<Authority>()?.port;
        let host = match port {
            Some(_) => authority
                .rsplit_once(':')
                .map_or(authority, |(host, _)| host),
            None => authority,
        };
        Ok(Self::Loopback(Loopback {
            host: host.to_owned(),
            ip,
            port,
            rest: rest.to_owned(),
        }))
    }
}

// === impl Loopback ===

impl Loopback {
    /// Returns the address to listen at; port 0 is any that is free.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(0))
    }

    /// Returns the URI for the port that is listened at.
    pub fn at(&self, port: u16) -> String {
        let Self { host, rest, .. } = self;
        format!("http://{host}:{port}{rest}")
    }

    /// Returns the path that the browser asks for.
    pub fn path(&self) -> &str {
        match self.rest.split('?').next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(text) => f.write_str(text),
            Self::Loopback(Loopback {
                host, port, rest, ..
            }) => match port {
                Some(port) => write!(f, "http://{host}:{port}{rest}"),
                None => write!(f, "http://{host}{rest}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_browser_is_sent() {
        for (text, address, at_7, path) in [
            (
                "http://127.0.0.1/",
                "127.0.0.1:0",
                "http://127.0.0.1:7/",
                "/",
            ),
            ("http://127.0.0.1", "127.0.0.1:0", "http://127.0.0.1:7", "/"),
            (
                "http://localhost:7/cb?x=1",
                "127.0.0.1:7",
                "http://localhost:7/cb?x=1",
                "/cb",
            ),
            ("http://[::1]/cb", "[::1]:0", "http://[::1]:7/cb", "/cb"),
            ("http://[::1]:7?x", "[::1]:7", "http://[::1]:7?x", "/"),
        ] {
            let RedirectUri::Loopback(loopback) = text.parse().unwrap() else {
                panic!("{text}");
            };
            assert_eq!(loopback.address(), address.parse().unwrap(), "{text}");
            assert_eq!((&*loopback.at(7), loopback.path()), (at_7, path), "{text}");
            assert_eq!(RedirectUri::Loopback(loopback).to_string(), text);
        }
        let elsewhere = "https://www.example.com/cb";
        assert_eq!(
            elsewhere.parse(),
            Ok(RedirectUri::Elsewhere(elsewhere.to_owned()))
        );
        assert_eq!("http://127.0.0.1/".parse(), Ok(RedirectUri::default()));
        for (text, error) in [
            ("http://www.example.com/", RedirectError::Plain),
            ("http://192.168.1.2/", RedirectError::Plain),
            ("http://localhost.example.com/", RedirectError::Plain),
            ("http://127.0.0.1/#x", RedirectError::Fragment),
            ("http://127.0.0.1/ö", RedirectError::Character),
            (
                "http://me@127.0.0.1/",
                RedirectError::Origin(origin::Error::Userinfo),
            ),
            ("app:/cb", RedirectError::Character),
            ("app://cb", RedirectError::Origin(origin::Error::Scheme)),
            (
                "http://127.0.0.1:0/",
                RedirectError::Origin(origin::Error::Port),
            ),
        ] {
            assert_eq!(text.parse::<RedirectUri>(), Err(error), "{text}");
        }
    }
}
