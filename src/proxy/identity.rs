//! Who uses the proxy: by password, by listener, or by being the machine's own user.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::PROXY_AUTHORIZATION};

use super::{
    error::{Error, Kind},
    owner,
};
use crate::{secret::Secret, upstream::Reach};

/// Who may use the proxy.
#[derive(Clone, Debug)]
pub struct Clients {
    pub named: Vec<Client>,
    pub local_users: LocalUsers,
}

/// A client with sessions of its own.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: Arc<str>,
    pub password: Option<Secret>,
    /// The user id that this client runs as.
    pub uid: Option<u32>,
}

/// Who may use a loopback listener without a password, when there are no named clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalUsers {
    /// Only the user that runs the proxy.
    #[default]
    Own,
    Any,
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// The user id, where the socket tells it (unix sockets).
    pub uid: Option<u32>,
    /// The client whose own listener this is.
    pub listener: Option<Arc<str>>,
}

// === impl Arrival ===

impl Arrival {
    /// Returns the user id of the other end, if it is a process of this machine and the system tells.
    fn uid(&self) -> Option<u32> {
        self.uid.or_else(|| owner::uid(self.peer?, self.local?))
    }
}

// === impl Clients ===

impl Clients {
    /// Returns who a connection belongs to without asking for a password: `Some(None)` is everybody's.
    pub fn recognise(&self, arrival: &Arrival) -> Result<Option<Option<Arc<str>>>, Error> {
        if let Some(name) = &arrival.listener {
            return Ok(Some(Some(name.clone())));
        }
        let uid = || arrival.uid();
        if self.named.is_empty() {
            return match self.local_users {
                LocalUsers::Any => Ok(Some(None)),
                LocalUsers::Own => match uid() {
                    Some(uid) if uid != rustix::process::getuid().as_raw() => {
                        Err(Kind::OtherUser.into())
                    }
                    // Where the system does not tell, a loopback listener is as open as the system makes it.
                    _ => Ok(Some(None)),
                },
            };
        }
        if self.named.iter().any(|client| client.uid.is_some())
            && let Some(uid) = uid()
            && let Some(client) = self.named.iter().find(|client| client.uid == Some(uid))
        {
            return Ok(Some(Some(client.name.clone())));
        }
        Ok(None)
    }

    /// Returns where a connection may lead that no session says anything about: the user that runs the proxy reaches
    /// this machine's own services without it.
    pub fn reach(&self, arrival: &Arrival) -> Reach {
        // Nobody else was let in.
        let only_own = self.named.is_empty() && self.local_users == LocalUsers::Own;
        if only_own || arrival.uid() == Some(rustix::process::getuid().as_raw()) {
            Reach::Anywhere
        } else {
            Reach::Guarded
        }
    }

    /// Returns the client that a request's `Proxy-Authorization` names (RFC 7617), if its password is right.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<str>, Error> {
        let credential = headers.get(PROXY_AUTHORIZATION).and_then(|value| {
            let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
            let decoded = BASE64_STANDARD.decode(value.trim()).ok()?;
            scheme.eq_ignore_ascii_case("basic").then_some(decoded)
        });
        let credential = credential.ok_or(Kind::ClientUnknown)?;
        let colon = credential
            .iter()
            .position(|b| *b == b':')
            .ok_or(Kind::ClientUnknown)?;
        self.verify(&credential[..colon], &credential[colon + 1..])
    }

    /// Returns the client of this name if the password is right.
    pub fn verify(&self, name: &[u8], password: &[u8]) -> Result<Arc<str>, Error> {
        let client = self
            .named
            .iter()
            .find(|client| client.name.as_bytes() == name);
        let expected = client.and_then(|client| client.password.as_ref());
        // The comparison is made also for names that nobody has, so that its time tells nothing.
        let given = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password);
        let right = expected.map_or(&b""[..], |e| e.expose().as_bytes());
        let right = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, right);
        let same = verify_slices_are_equal(given.as_ref(), right.as_ref()).is_ok();
        match client {
            Some(client) if same && expected.is_some() => Ok(client.name.clone()),
            _ => Err(Kind::ClientUnknown.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        let client = |name: &str, password: Option<&str>| Client {
            name: name.into(),
            password: password.map(Secret::from),
            uid: None,
        };
        Clients {
            named: vec![client("alice", Some("a:b")), client("bob", None)],
            local_users: LocalUsers::Own,
        }
    }

    #[test]
    fn passwords() {
        for (scheme, credential, expected) in [
            ("Basic", "alice:a:b", Some("alice")),
            ("basic", "alice:a:b", Some("alice")),
            ("Basic", "alice:a", None),
            ("Basic", "bob:", None),
            ("Basic", "carol:", None),
            ("Bearer", "alice:a:b", None),
        ] {
            let mut headers = HeaderMap::new();
            let value = format!("{scheme} {}", BASE64_STANDARD.encode(credential));
            headers.insert(PROXY_AUTHORIZATION, value.parse().unwrap());
            let got = clients().authenticate(&headers).ok();
            assert_eq!(got.as_deref(), expected, "{scheme} {credential}");
        }
    }
}
