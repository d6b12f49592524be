//! What `run -- CMD` and `env` give a tool: the way to the proxy and the trust in its CA; and the tool's own life
//! as a child process, which differs in nothing that the tool or its caller could notice.

mod bundle;
pub mod child;
pub mod environment;
mod folder;
mod java;
mod no_proxy;
mod tool;

use std::net::{IpAddr, SocketAddr};

use crate::origin::{Authority, Host};

pub use self::folder::Folder;

/// Tells whether a proxy's URL, as in an inherited `HTTPS_PROXY`, leads to one of our own listeners: using it for
/// upstreams would send every request round in a circle.
pub fn is_ourselves(proxy: &str, listeners: &[SocketAddr]) -> bool {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let rest = &rest[..end];
    let authority = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    let Ok(Authority { host, port }) = authority.parse() else {
        return false;
    };
    // curl's default for proxies; others take the scheme's.
    let ports = port.map_or_else(|| vec![1080, 80, 443], |port| vec![port]);
    listeners.iter().any(|listener| {
        let own = listener.ip().to_canonical();
        let here = match &host {
            Host::Name(name) => {
                name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
            }
            Host::Ip(ip) => {
                let ip = ip.to_canonical();
                // A listener on a wildcard address is reached by every loopback address, and any connects to
                // itself by the wildcard.
                ip == own || is_here(ip) && is_here(own)
            }
        };
        here && ports.contains(&listener.port())
    })
}

fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ourselves_in_every_spelling() {
        let own: Vec<SocketAddr> = vec![
            "127.0.0.1:8080".parse().unwrap(),
            "[::]:3128".parse().unwrap(),
            "10.0.0.5:80".parse().unwrap(),
        ];
        for (proxy, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.0.0.1:8080/", true),
            ("http://alice:pw@localhost:8080", true),
            ("localhost:8080", true),
            ("http://[::1]:8080", true),
            ("http://[::ffff:127.0.0.1]:8080", true),
            ("http://0.0.0.0:8080", true),
            ("http://127.0.0.2:3128", true),
            ("http://10.0.0.5", true),
            ("socks5h://127.0.0.1:8080", true),
            ("http://127.0.0.1:8081", false),
            ("http://10.0.0.6:80", false),
            ("http://proxy.example:8080", false),
            ("", false),
            ("http://", false),
        ] {
            assert_eq!(is_ourselves(proxy, &own), expected, "{proxy}");
        }
        assert!(!is_ourselves("http://127.0.0.1:8080", &[]));
    }
}
