//! Where to listen, and through whom to go out.

use std::net::IpAddr;

use super::{
    Listen, ProxyScheme, UpstreamProxy,
    read::{At, Read},
};
use crate::origin::Authority;

pub(super) const LISTEN: &str =
    "write an address and a port, \"127.0.0.1:8080\", or a socket, \"unix:PATH\"";

// === impl Read ===

impl Read for Listen {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                at.fault("the socket has no path", LISTEN);
                return None;
            }
            return Some(Self::Unix(at.faults.folder.borrow().join(path)));
        }
        if let Ok(addr) = text.parse() {
            return Some(Self::Tcp(addr));
        }
        let (message, hint) = match text.rsplit_once(':') {
            Some(("", port)) => (
                "the address is missing",
                format!("write \"127.0.0.1:{port}\""),
            ),
            Some(("localhost", port)) => (
                "an address is needed, not a name",
                format!("write \"127.0.0.1:{port}\""),
            ),
            None if text.parse::<IpAddr>().is_ok() => ("the port is missing", LISTEN.to_owned()),
            _ => ("not an address and port", LISTEN.to_owned()),
        };
        at.fault(message, hint);
        None
    }
}

impl Read for UpstreamProxy {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str = "\"env\", \"none\", or a URL as \"http://proxy.example:3128\" or \"socks5://127.0.0.1:1080\"";
        let text = at.text()?;
        match text {
            "env" => return Some(Self::Env),
            "none" => return Some(Self::None),
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        let (scheme, default) = match scheme {
            "http" => (ProxyScheme::Http, 80),
            "https" => (ProxyScheme::Https, 443),
            "socks5" | "socks5h" => (ProxyScheme::Socks5, 1080),
            _ => {
                at.fault("not an upstream proxy", HINT);
                return None;
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            at.fault(
                "a password does not stand in the configuration itself",
                "use \"env\" and set HTTPS_PROXY with the password for this process",
            );
            return None;
        }
        match authority.parse::<Authority>() {
            Ok(Authority { host, port }) => {
                let port = Some(port.unwrap_or(default));
                Some(Self::Through(scheme, Authority { host, port }))
            }
            Err(error) => {
                at.fault(format!("not the address of a proxy: {error}"), HINT);
                None
            }
        }
    }
}
