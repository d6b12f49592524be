//! Paths in one form (RFC 3986 §6.2.2): a server may read `/v1/%2e%2e/admin` as `/admin`, so rules look at both.

use std::borrow::Cow;

/// Returns a path (without its query) with its unreserved percent-encodings decoded and its dot segments
/// removed. What needs neither is returned as it is, without an allocation.
pub fn normalise(path: &str) -> Cow<'_, str> {
    let decoded = decode_unreserved(path);
    if !decoded.starts_with('/') || !decoded.contains("/.") {
        return decoded;
    }
    match remove_dot_segments(&decoded) {
        Some(shorter) => Cow::Owned(shorter),
        None => decoded,
    }
}

/// Returns what stands before the query and the fragment.
pub fn without_query(path_and_query: &str) -> &str {
    let end = path_and_query.find(['?', '#']);
    &path_and_query[..end.unwrap_or(path_and_query.len())]
}

/// Tells whether a path is, by its words, that of a logout: who asks for one wants it to happen, and once.
pub fn is_logout(path: &str) -> bool {
    let mut segments = without_query(path).split('/');
    segments.any(|segment| {
        let word: String = segment
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .collect();
        let word = word.split('.').next().unwrap_or_default();
        let words = ["logout", "logoff", "signout", "signoff"];
        words.iter().any(|logout| word.eq_ignore_ascii_case(logout))
    })
}

/// Returns the path that a reference (a `Location`) leads to from a request's path, normalised (RFC 3986 §5.2).
pub fn resolve<'r>(base: &'r str, reference: &'r str) -> Cow<'r, str> {
    let reference = reference.trim();
    let path = without_query(match scheme_end(reference) {
        Some(end) => &reference[end..],
        None => reference,
    });
    let path = match path.strip_prefix("//") {
        // With an authority the path is what follows it, and `/` if nothing does.
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    let base = without_query(base);
    if path.is_empty() {
        return normalise(base);
    }
    if path.starts_with('/') {
        return normalise(path);
    }
    let folder = base.rfind('/').map_or("/", |slash| &base[..=slash]);
    Cow::Owned(normalise(&format!("{folder}{path}")).into_owned())
}

/// Returns where the `:` of a scheme ends, if the reference begins with a scheme.
fn scheme_end(reference: &str) -> Option<usize> {
    let colon = reference.find(':')?;
    let scheme = &reference.as_bytes()[..colon];
    let first = scheme.first()?;
    let rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    (first.is_ascii_alphabetic() && scheme.iter().all(rest)).then_some(colon + 1)
}

/// Decodes what is unreserved, also what a stray `%` and what was decoded behind it make together (`%%34e`): what is in
/// one form stays as it is.
fn decode_unreserved(path: &str) -> Cow<'_, str> {
    let escape = |(at, _): &(usize, &str)| unreserved(&path.as_bytes()[*at..]).is_some();
    let Some((first, _)) = path.match_indices('%').find(escape) else {
        return Cow::Borrowed(path);
    };
    let mut text = String::with_capacity(path.len());
    text.push_str(&path[..first]);
    for c in path[first..].chars() {
        text.push(c);
        while let Some(start) = text.len().checked_sub(3)
            && let Some(decoded) = unreserved(&text.as_bytes()[start..])
        {
            text.truncate(start);
            text.push(decoded);
        }
    }
    Cow::Owned(text)
}

fn unreserved(encoded: &[u8]) -> Option<char> {
    let [b'%', high, low, ..] = encoded else {
        return None;
    };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let c = char::from_u32(digit(high)? << 4 | digit(low)?)?;
    (c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')).then_some(c)
}

/// RFC 3986 §5.2.4, for paths that begin with `/`; `None` if there is nothing to remove.
fn remove_dot_segments(path: &str) -> Option<String> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => {
                kept.push(other);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    Some(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_form() {
        let cases = [
            ("/v1/a", "/v1/a"),
            ("/v1/../admin", "/admin"),
            ("/v1/%2e%2e/admin", "/admin"),
            ("/v1/%2E./admin", "/admin"),
            ("/v1/%2e", "/v1/"),
            ("/v1/.", "/v1/"),
            ("/v1/..", "/"),
            ("/../../x", "/x"),
            ("/%61uth/%64eregister", "/auth/deregister"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%20b", "/a%20b"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/a%", "/a%"),
            ("/a%4", "/a%4"),
            ("/a%zz%41", "/a%zzA"),
            ("/%%34e%%%333e", "/N%3e"),
            ("/%%32e%%32e/x", "/x"),
            ("/é%41%é%4%31", "/éA%éA"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a//b/../c", "/a//c"),
            ("/a/.../b", "/a/.../b"),
            ("*", "*"),
            ("", ""),
        ];
        for (path, expected) in cases {
            assert_eq!(normalise(path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_to_do_allocates_nothing() {
        for path in ["/", "/v1/items?x", "/a%20b", "/.well-known/x"] {
            assert!(matches!(normalise(path), Cow::Borrowed(_)), "{path}");
        }
    }

    #[test]
    fn logouts_are_known_by_their_words() {
        for (path, expected) in [
            ("/logout", true),
            ("/user/Log-Out/?next=/", true),
            ("/sign_out.php", true),
            ("/auth/signoff/now", true),
            ("/", false),
            ("/logouts", false),
            ("/a?next=/logout", false),
            ("/login", false),
        ] {
            assert_eq!(is_logout(path), expected, "{path}");
        }
    }

    #[test]
    fn references() {
        let cases = [
            ("/a/b?x", "https://h.example/login?next=/a", "/login"),
            ("/a/b", "https://h.example", "/"),
            ("/a/b", "https://h.example?x", "/"),
            ("/a/b", "//h.example/login", "/login"),
            ("/a/b", "/login#top", "/login"),
            ("/a/b", "login", "/a/login"),
            ("/a/b", "../login", "/login"),
            ("/a/b", "./", "/a/"),
            ("/a/b?x", "?y", "/a/b"),
            ("/a/b", "", "/a/b"),
            ("/a/b", "HTTPS://h.example/%6Cogin", "/login"),
            ("/a/b", "x:y", "/a/y"),
            ("/a/b", "1:2", "/a/1:2"),
        ];
        for (base, reference, expected) in cases {
            assert_eq!(resolve(base, reference), expected, "{base} {reference}");
        }
    }

    proptest! {
        #[test]
        fn no_dot_segment_is_left(
            path in "/[a-z./%25eE~]{0,24}",
        ) {
            let once = normalise(&path).into_owned();
            prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(once.starts_with('/'));
        }

        #[test]
        fn no_text_makes_it_panic(path in ".*", reference in ".*") {
            let _ = normalise(&path);
            let _ = resolve(&path, &reference);
        }
    }
}
