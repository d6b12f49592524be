//! Where a request goes, and whether all of it agrees (RFC 9112 §3.2, RFC 9110 §7.2 and §7.4).
//!
//! Inside an intercepted connection the CONNECT authority is the target: a `Host`, `:authority` or absolute form that
//! names another is answered with 421, whatever the client meant by it.

use http::{HeaderMap, Method, Uri, Version, header::HOST, uri::PathAndQuery};

use crate::origin::{Authority, Origin, Scheme};

/// Why a request's target is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request's target is not valid")]
    Target,
    #[error("the request has no Host field, or more than one, or a malformed one")]
    Host,
    #[error("the request names another host than the connection was opened for")]
    Misdirected,
    #[error("this is a proxy: send it absolute URLs or CONNECT")]
    OriginForm,
}

/// Checks a request inside a connection that was opened for `origin`, and leaves its target in origin form.
pub fn within(
    origin: &Origin,
    version: Version,
    uri: &mut Uri,
    headers: &HeaderMap,
) -> Result<(), Error> {
    if let Some(authority) = uri.authority() {
        // An authority alone is the target of CONNECT, and of nothing else (RFC 9112 §3.2.3).
        let scheme = uri.scheme_str().ok_or(Error::Target)?;
        if scheme.parse::<Scheme>() != Ok(origin.scheme) {
            return Err(Error::Misdirected);
        }
        agrees(origin, authority.as_str())?;
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_2 && uri.authority().is_some() => {}
        (None, _) if version == Version::HTTP_10 => {}
        (Some(host), None) => agrees(origin, host.to_str().map_err(|_| Error::Host)?)?,
        _ => return Err(Error::Host),
    }
    if uri.authority().is_some() || uri.scheme().is_some() {
        *uri = origin_form(uri)?;
    }
    // Not `Uri::path`, which has a slash for a path that is empty.
    let path = uri.path_and_query().map_or("", |p| p.as_str());
    if path.starts_with('/') || path == "*" {
        Ok(())
    } else {
        Err(Error::Target)
    }
}

/// Returns the origin of a request in absolute form, and leaves its target in origin form.
pub fn absolute(version: Version, uri: &mut Uri, headers: &HeaderMap) -> Result<Origin, Error> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Error::OriginForm);
    };
    let scheme: Scheme = scheme.parse().map_err(|_| Error::Target)?;
    let authority: Authority = authority.as_str().parse().map_err(|_| Error::Target)?;
    let origin = Origin::new(scheme, &authority);
    within(&origin, version, uri, headers)?;
    Ok(origin)
}

/// Reads the target of CONNECT: a host and a port, and nothing else (RFC 9110 §9.3.6).
pub fn connect(target: &str) -> Result<Origin, Error> {
    let authority: Authority = target.parse().map_err(|_| Error::Target)?;
    let port = authority.port.ok_or(Error::Target)?;
    Ok(Origin {
        scheme: Scheme::Https,
        host: authority.host,
        port,
    })
}

fn agrees(origin: &Origin, authority: &str) -> Result<(), Error> {
    // Nearly every request spells its host as the connection did.
    if let Some(name) = origin.host.name() {
        let port = match authority.strip_prefix(name) {
            Some("") => Some(origin.scheme.default_port()),
            Some(rest) => rest.strip_prefix(':').and_then(port),
            None => None,
        };
        if port == Some(origin.port) {
            return Ok(());
        }
    }
    let authority: Authority = authority.parse().map_err(|_| Error::Host)?;
    let same = authority.host == origin.host
        && authority.port.unwrap_or(origin.scheme.default_port()) == origin.port;
    if same {
        Ok(())
    } else {
        Err(Error::Misdirected)
    }
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

fn origin_form(uri: &Uri) -> Result<Uri, Error> {
    let path = match uri.path_and_query() {
        None => PathAndQuery::from_static("/"),
        // An empty path is sent as a slash (RFC 9112 §3.2.1).
        Some(path) if path.as_str().starts_with('?') => {
            let path = PathAndQuery::try_from(format!("/{}", path.as_str()));
            path.map_err(|_| Error::Target)?
        }
        Some(path) => path.clone(),
    };
    Uri::builder()
        .path_and_query(path)
        .build()
        .map_err(|_| Error::Target)
}

/// Tells whether a method is idempotent (RFC 9110 §9.2.2): it may be sent again when nobody knows whether it arrived.
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, hosts: &[&str], version: Version) -> Result<String, Error> {
        let origin: Origin = "https://api.example.com".parse().unwrap();
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        let mut uri: Uri = target.parse().unwrap();
        within(&origin, version, &mut uri, &headers).map(|()| uri.to_string())
    }

    #[test]
    fn what_disagrees_is_misdirected() {
        use Error::{Host, Misdirected, Target};
        let v11 = Version::HTTP_11;
        type Case<'a> = (&'a str, &'a [&'a str], Version, Result<&'a str, Error>);
        let cases: [Case<'_>; 16] = [
            (
                "https://api.example.com?x",
                &["api.example.com"],
                v11,
                Ok("/?x"),
            ),
            (
                "https://api.example.com",
                &["api.example.com"],
                v11,
                Ok("/"),
            ),
            ("api.example.com", &["api.example.com"], v11, Err(Target)),
            ("/a?b", &["api.example.com"], v11, Ok("/a?b")),
            ("/", &["API.example.com:443"], v11, Ok("/")),
            ("/", &["api.example.com:8443"], v11, Err(Misdirected)),
            ("/", &["evil.example"], v11, Err(Misdirected)),
            ("/", &["api.example.com", "evil.example"], v11, Err(Host)),
            ("/", &["user@api.example.com"], v11, Err(Host)),
            ("/", &[], v11, Err(Host)),
            ("/", &[], Version::HTTP_10, Ok("/")),
            (
                "https://api.example.com/x",
                &["api.example.com"],
                v11,
                Ok("/x"),
            ),
            (
                "https://evil.example/x",
                &["api.example.com"],
                v11,
                Err(Misdirected),
            ),
            (
                "http://api.example.com/x",
                &["api.example.com"],
                v11,
                Err(Misdirected),
            ),
            ("https://api.example.com/x", &[], Version::HTTP_2, Ok("/x")),
            (
                "https://api.example.com/x",
                &["evil.example"],
                Version::HTTP_2,
                Err(Misdirected),
            ),
        ];
        for (target, hosts, version, expected) in cases {
            assert_eq!(
                check(target, hosts, version),
                expected.map(str::to_owned),
                "{target} {hosts:?}"
            );
        }
    }

    #[test]
    fn connect_is_host_and_port_alone() {
        for (target, ok) in [
            ("example.com:443", true),
            ("[::1]:443", true),
            ("example.com", false),
            ("user@example.com:443", false),
            ("example.com:443/path", false),
            ("https://example.com:443", false),
            ("", false),
        ] {
            assert_eq!(connect(target).is_ok(), ok, "{target}");
        }
    }
}
