//! `NO_PROXY`: which entries of an inherited one may stay. Those that cover a host with a session would lead the tool
//! past the proxy, without its credential.

use std::net::IpAddr;

use crate::{
    origin::{Host, HostName},
    rule::HostPattern,
};

/// What every tool should reach directly.
const OWN: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The list for the tool, and what was left out of the inherited one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoProxy {
    pub(super) entries: Vec<String>,
    pub(super) dropped: Vec<String>,
}

// === impl NoProxy ===

impl NoProxy {
    /// Joins our entries and the inherited lists, without what covers a host that sessions are bound to.
    pub(super) fn new(inherited: &[&str], bound: &[HostPattern]) -> Self {
        let mut entries: Vec<String> = Vec::new();
        let mut dropped: Vec<String> = Vec::new();
        for entry in OWN {
            if !covers(entry, bound) {
                entries.push(entry.to_owned());
            }
        }
        let lists = inherited
            .iter()
            .flat_map(|list| list.split([',', ' ', '\t']));
        for entry in lists.filter(|entry| !entry.is_empty()) {
            let into = if covers(entry, bound) {
                &mut dropped
            } else {
                &mut entries
            };
            if !into.iter().any(|known| known.eq_ignore_ascii_case(entry)) {
                into.push(entry.to_owned());
            }
        }
        // Loopback may be bound, and then the default went without a word.
        dropped.retain(|entry| !OWN.contains(&entry.as_str()));
        Self { entries, dropped }
    }
}

/// Tells whether an entry leads past the proxy for a bound host. Tools differ in how they read one, so the widest
/// reading counts: with or without a leading dot or `*.`, a name stands for itself and all below it.
fn covers(entry: &str, bound: &[HostPattern]) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((address, prefix)) = entry.split_once('/') {
        let network = address.parse::<IpAddr>().ok().zip(prefix.parse().ok());
        return network.is_some_and(|(address, prefix)| {
            bound.iter().any(|pattern| match pattern {
                HostPattern::Exact(Host::Ip(ip)) => within(*ip, address, prefix),
                HostPattern::Exact(Host::Name(_)) | HostPattern::Below(_) => false,
            })
        });
    }
    let bare = entry.trim_start_matches("*.").trim_start_matches('.');
    // A port after a name or an IPv4 address; IPv6 addresses have several colons.
    let bare = match bare.split_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => bare,
    };
    if bare.contains('*') {
        return bound
            .iter()
            .any(|p| !matches!(p, HostPattern::Exact(Host::Ip(_))));
    }
    let Ok(host) = bare.parse::<Host>() else {
        return false;
    };
    bound.iter().any(|pattern| match (pattern, &host) {
        (HostPattern::Exact(Host::Name(name)), Host::Name(entry)) => at_or_below(name, entry),
        (HostPattern::Below(suffix), Host::Name(entry)) => {
            at_or_below(suffix, entry) || at_or_below(entry, suffix)
        }
        (HostPattern::Exact(Host::Ip(ip)), Host::Ip(entry)) => ip == entry,
        (HostPattern::Exact(_) | HostPattern::Below(_), _) => false,
    })
}

fn at_or_below(name: &HostName, suffix: &HostName) -> bool {
    name == suffix
        || name
            .as_str()
            .strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.ends_with('.'))
}

fn within(ip: IpAddr, network: IpAddr, prefix: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let differ = (a ^ b) << (128 - width);
        prefix <= width && (prefix == 0 || differ >> (128 - prefix) == 0)
    };
    match (ip, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Vec<HostPattern> {
        vec![
            HostPattern::Exact("api.example.com".parse().unwrap()),
            HostPattern::Below("example.org".parse().unwrap()),
            HostPattern::Exact("10.1.2.3".parse().unwrap()),
            HostPattern::Exact("[fd00::5]".parse().unwrap()),
        ]
    }

    #[test]
    fn what_covers_a_bound_host_is_left_out() {
        for (entry, expected) in [
            ("*", true),
            ("api.example.com", true),
            ("API.Example.COM.", true),
            ("api.example.com:443", true),
            ("example.com", true),
            (".example.com", true),
            ("*.example.com", true),
            ("com", true),
            ("*api*", true),
            ("other.example.com", false),
            ("pi.example.com", false),
            ("a.api.example.com", false),
            ("example.org", true),
            ("deep.example.org", true),
            ("org", true),
            ("notexample.org", false),
            ("10.1.2.3", true),
            ("10.1.2.3:80", true),
            ("10.1.0.0/16", true),
            ("0.0.0.0/0", true),
            ("10.1.2.2/32", false),
            ("10.2.0.0/16", false),
            ("10.0.0.0/40", false),
            ("fd00::5", true),
            ("[fd00::5]", true),
            ("fd00::/8", true),
            ("fe80::/10", false),
            ("<local>", false),
        ] {
            assert_eq!(covers(entry, &bound()), expected, "{entry}");
        }
    }

    #[test]
    fn lists_are_joined() {
        let list = NoProxy::new(
            &["intranet,localhost", " *  .corp, api.example.com"],
            &bound(),
        );
        assert_eq!(
            list.entries,
            ["localhost", "127.0.0.1", "::1", "intranet", ".corp"]
        );
        assert_eq!(list.dropped, ["*", "api.example.com"]);
        let loopback = [HostPattern::Exact("127.0.0.1".parse().unwrap())];
        let list = NoProxy::new(&["127.0.0.1"], &loopback);
        assert_eq!(list.entries, ["localhost", "::1"]);
        assert!(list.dropped.is_empty());
    }
}
