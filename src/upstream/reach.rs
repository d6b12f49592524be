//! How far a connection may go: a client that is not this machine's own user does not reach what only the machine itself
//! should, its loopback services and the metadata services of clouds first of all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::origin::Host;

/// Where a connection may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Wherever this machine can go.
    Anywhere,
    /// Not to this machine's loopback, its links, nor a metadata service.
    Guarded,
}

// === impl Reach ===

impl Reach {
    /// Tells whether an address may be dialled.
    pub fn allows(self, ip: IpAddr) -> bool {
        self == Self::Anywhere || !is_guarded(ip)
    }

    /// Tells whether a host may be asked for where somebody else resolves its name: an upstream proxy.
    pub fn allows_host(self, host: &Host) -> bool {
        match host {
            Host::Ip(ip) => self.allows(*ip),
            Host::Name(name) => {
                let name = name.as_str();
                self == Self::Anywhere || !(name == "localhost" || name.ends_with(".localhost"))
            }
        }
    }
}

fn is_guarded(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_guarded_v4(ip),
        IpAddr::V6(ip) => is_guarded_v6(ip),
    }
}

fn is_guarded_v4(ip: Ipv4Addr) -> bool {
    /// Metadata services outside of the link-local range: Alibaba, Azure, Oracle.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    // 0.0.0.0/8 is "this host" (RFC 1122 §3.2.1.3): a connection to it arrives at the loopback.
    ip.octets()[0] == 0 || ip.is_loopback() || ip.is_link_local() || METADATA.contains(&ip)
}

fn is_guarded_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let metadata = matches!(
        segments,
        // Amazon, Google, Scaleway.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] | [0xfd00, 0x42, ..]
    );
    metadata
        || ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_unicast_link_local()
        || within(segments).is_some_and(is_guarded_v4)
        || within_local_nat64(ip.octets()).any(is_guarded_v4)
}

/// Returns the IPv4 address that an IPv6 address stands for, in whichever way.
fn within(segments: [u16; 8]) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Mapped, compatible, translated (RFC 4291 §2.5.5, RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64 (RFC 6052 §2.1).
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 (RFC 3056 §2).
        | [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Returns the IPv4 addresses that an address of 64:ff9b:1::/48 may stand for: how long the prefix is that a network
/// took from it only the network knows (RFC 8215 §3, RFC 6052 §2.2).
fn within_local_nat64(octets: [u8; 16]) -> impl Iterator<Item = Ipv4Addr> {
    const PREFIX: [u8; 6] = [0, 0x64, 0xff, 0x9b, 0, 1];
    // Octet 8 is left out.
    const PLACES: [[usize; 4]; 4] = [
        [6, 7, 9, 10],
        [7, 9, 10, 11],
        [9, 10, 11, 12],
        [12, 13, 14, 15],
    ];
    let places = PLACES.iter().filter(move |_| octets.starts_with(&PREFIX));
    places.map(move |place| Ipv4Addr::from(place.map(|at| octets[at])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guarded() {
        let cases = [
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("100.100.100.200", false),
            ("168.63.129.16", false),
            ("192.0.0.192", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("febf::1", false),
            ("fd00:ec2::254", false),
            ("fd20:ce::254", false),
            ("fd00:42::42", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::127.0.0.1", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::7f00:1", false),
            ("64:ff9b:1:ab:cd:ef:7f00:1", false),
            ("64:ff9b:1:7f00:0:100::", false),
            ("64:ff9b:1:cb7f:0:1:cb00:7107", false),
            ("64:ff9b:1:cbcb:7f:0:1cb:7107", false),
            ("64:ff9b:1:a9fe:a9:fe00:cb00:7107", false),
            ("2002:7f00:1::1", false),
            ("2002:a9fe:a9fe::", false),
            ("128.0.0.1", true),
            ("169.253.1.1", true),
            ("100.100.100.201", true),
            ("10.0.0.1", true),
            ("192.168.1.1", true),
            ("203.0.113.7", true),
            ("fec0::1", true),
            ("fd00:ec3::254", true),
            ("2001:db8::1", true),
            ("::ffff:203.0.113.7", true),
            ("64:ff9b::cb00:7107", true),
            ("64:ff9b:1:cbcb:cb:cbcb:cbcb:7107", true),
            ("2002:cb00:7107::1", true),
        ];
        for (ip, expected) in cases {
            let ip = ip.parse().unwrap();
            assert_eq!(Reach::Guarded.allows(ip), expected, "{ip}");
            assert!(Reach::Anywhere.allows(ip), "{ip}");
        }
    }

    /// Every way to write an address that our hosts take comes down to one address.
    #[test]
    fn hosts_that_others_resolve() {
        for (host, expected) in [
            ("localhost", false),
            ("LocalHost.", false),
            ("x.localhost", false),
            ("127.0.0.1", false),
            ("2130706433", false),
            ("0x7f.1", false),
            ("0177.0.0.1", false),
            ("[::ffff:7f00:1]", false),
            ("169.254.169.254", false),
            ("notlocalhost", true),
            ("localhost.example", true),
            ("203.0.113.7", true),
        ] {
            // What is no host at all is refused before.
            let allowed = host
                .parse::<Host>()
                .is_ok_and(|host| Reach::Guarded.allows_host(&host));
            assert_eq!(allowed, expected, "{host}");
        }
    }
}
