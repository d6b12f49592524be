//! Domains of cookies: canonical form, domain-match (RFC 6265bis §5.1.2, §5.1.3) and public suffixes.

use std::borrow::Cow;

use crate::origin::Host;

/// Returns a host as cookies write it; addresses as in a URL.
pub(super) fn of_host(host: &Host) -> Cow<'_, str> {
    match host {
        Host::Name(name) => Cow::Borrowed(name.as_str()),
        Host::Ip(_) => Cow::Owned(host.to_string()),
    }
}

/// Tells whether a canonical host is the domain or lies below it; an address is below nothing.
pub fn domain_match(host: &str, domain: &str) -> bool {
    match host.strip_suffix(domain) {
        Some("") => true,
        Some(rest) => rest.ends_with('.') && !domain.is_empty() && !is_address(host),
        None => false,
    }
}

/// Returns the host and its parents, the host first: all domains whose cookies may be for it.
pub(super) fn and_parents(host: &str) -> impl Iterator<Item = &str> {
    let address = is_address(host);
    std::iter::successors(Some(host), move |name| {
        let (_, parent) = name.split_once('.')?;
        (!address).then_some(parent)
    })
}

/// Returns the part of a host that somebody registered: its public suffix and one label more. `None`: the host is a
/// public suffix itself, an address, or no name.
pub fn registrable(host: &str) -> Option<&str> {
    if is_address(host) || host.starts_with('.') {
        return None;
    }
    psl::domain_str(host)
}

/// Tells whether anybody may register names below this one: a suffix of the public suffix list, or a top-level
/// domain that the list does not know (its default rule, `*`).
pub fn is_public_suffix(domain: &str) -> bool {
    !is_address(domain) && psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix == domain)
}

/// As [`is_public_suffix`], without the default rule: `localhost` and the like are no public suffixes here.
pub fn is_listed_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain)
}

/// Tells whether a canonical host is an address.
pub fn is_address(host: &str) -> bool {
    // A host name whose last label is a number is no host name (`Host` refuses it), so this is enough.
    host.starts_with('[')
        || host
            .rsplit('.')
            .next()
            .is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_match_at_labels() {
        for (host, domain, expected) in [
            ("example.com", "example.com", true),
            ("a.example.com", "example.com", true),
            ("a.b.example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "a.example.com", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.1", false),
            ("127.0.0.1", "1", false),
            ("[::1]", "[::1]", true),
            ("example.com", "", false),
        ] {
            assert_eq!(domain_match(host, domain), expected, "{host} {domain}");
        }
    }

    #[test]
    fn parents_of_a_host() {
        for (host, expected) in [
            ("a.b.example", &["a.b.example", "b.example", "example"][..]),
            ("localhost", &["localhost"]),
            ("127.0.0.1", &["127.0.0.1"]),
            ("[::1.2.3.4]", &["[::1.2.3.4]"]),
        ] {
            assert_eq!(and_parents(host).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn public_suffixes() {
        for (domain, public, listed) in [
            ("com", true, true),
            ("co.uk", true, true),
            ("github.io", true, true),
            ("example.com", false, false),
            ("localhost", true, false),
            ("intern.localhost", false, false),
            ("10.0.0.1", false, false),
        ] {
            assert_eq!(is_public_suffix(domain), public, "{domain}");
            assert_eq!(is_listed_suffix(domain), listed, "{domain}");
        }
    }
}
