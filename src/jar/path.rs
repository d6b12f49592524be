//! Paths of cookies: default-path and path-match (RFC 6265bis §5.1.4).

/// Returns the path of a request without its query.
pub(super) fn of_request(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    &target[..end]
}

/// Returns the path that a cookie without one gets: the request's up to its last slash.
pub(super) fn default_path(request: &str) -> &str {
    if !request.starts_with('/') {
        return "/";
    }
    match request.rfind('/') {
        None | Some(0) => "/",
        Some(last) => &request[..last],
    }
}

/// Tells whether a request path lies at or below a cookie's path, at a segment boundary.
pub(super) fn path_match(request: &str, cookie: &str) -> bool {
    // The path of an empty target is "/" (RFC 9110 §4.2.3).
    let request = if request.is_empty() { "/" } else { request };
    let Some(rest) = request.strip_prefix(cookie) else {
        return false;
    };
    rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_paths() {
        for (request, expected) in [
            ("", "/"),
            ("x", "/"),
            ("/", "/"),
            ("/a", "/"),
            ("/a/", "/a"),
            ("/a/b", "/a"),
            ("/a/b/c?d=/e/f", "/a/b"),
        ] {
            assert_eq!(default_path(of_request(request)), expected, "{request}");
        }
    }

    #[test]
    fn path_matches() {
        for (request, cookie, expected) in [
            ("/", "/", true),
            ("", "/", true),
            ("/a", "/", true),
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a/b", "/a", true),
            ("/a/b", "/a/", true),
            ("/ab", "/a", false),
            ("/a", "/a/", false),
            ("/A", "/a", false),
            ("/%61", "/a", false),
            ("/b", "/a", false),
        ] {
            assert_eq!(path_match(request, cookie), expected, "{request} {cookie}");
        }
    }
}
