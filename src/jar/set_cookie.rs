//! One `Set-Cookie` field, byte by byte (RFC 6265bis §5.6).
//!
//! Field values are no text: names and values stay the bytes that they are, and attributes are read by a tokenizer
//! that knows no escapes and no quotes, because servers and browsers know none.

use std::time::SystemTime;

use super::{Refused, SameSite, date};

/// Longer attribute values are ignored, as the RFC says.
const ATTRIBUTE_LIMIT: usize = 1024;

/// A field as sent; of an attribute that is there twice, the last one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Seconds; not positive: over.
    pub(super) max_age: Option<i64>,
    pub(super) expires: Option<SystemTime>,
    /// Without a leading dot, in the sender's case; empty if the attribute was.
    pub(super) domain: Option<&'a [u8]>,
    pub(super) path: Option<&'a [u8]>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: Option<SameSite>,
}

/// Reads a field; `limit` bounds the bytes of name and value together.
pub(super) fn parse(field: &[u8], limit: usize) -> Result<SetCookie<'_>, Refused> {
    if field.iter().any(|b| is_control(*b)) {
        return Err(Refused::Malformed);
    }
    let mut parts = field.split(|b| *b == b';');
    let (name, value) = match split_pair(parts.next().unwrap_or_default()) {
        (name, Some(value)) => (name, value),
        // Without `=` it is a value without a name.
        (value, None) => (&[][..], value),
    };
    if name.is_empty() && value.is_empty() {
        return Err(Refused::Malformed);
    }
    if name.len() + value.len() > limit {
        return Err(Refused::TooLarge);
    }
    let mut cookie = SetCookie {
        name,
        value,
        ..SetCookie::default()
    };
    for part in parts {
        let (name, value) = split_pair(part);
        let value = value.unwrap_or_default();
        if value.len() <= ATTRIBUTE_LIMIT {
            cookie.attribute(name, value);
        }
    }
    Ok(cookie)
}

/// Tells whether a byte has no place in a cookie: a control character other than the tab.
pub(super) fn is_control(b: u8) -> bool {
    (b < 0x20 && b != b'\t') || b == 0x7f
}

// === impl SetCookie ===

impl<'a> SetCookie<'a> {
    fn attribute(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("expires") {
            self.expires = date::parse(value).or(self.expires);
        } else if is("max-age") {
            self.max_age = max_age(value).or(self.max_age);
        } else if is("domain") {
            self.domain = Some(value.strip_prefix(b".").unwrap_or(value));
        } else if is("path") {
            self.path = Some(value);
        } else if is("secure") {
            self.secure = true;
        } else if is("httponly") {
            self.http_only = true;
        } else if is("samesite") {
            self.same_site = SameSite::parse(value);
        }
    }
}

/// Splits at the first `=` and trims both sides.
fn split_pair(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|b| *b == b'=') {
        Some(at) => (trim(&part[..at]), Some(trim(&part[at + 1..]))),
        None => (trim(part), None),
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads a Max-Age. The RFC ignores what is no integer; servers are seen that send fractions of a second, and their
/// integer part is what they mean: without it the cookie would have no end that can be planned for.
fn max_age(value: &[u8]) -> Option<i64> {
    let (negative, rest) = match value {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (whole, fraction) = rest.split_at(digits);
    match fraction {
        [] => {}
        [b'.', more @ ..] if more.iter().all(u8::is_ascii_digit) => {}
        _ => return None,
    }
    if negative {
        return Some(0);
    }
    Some(whole.iter().fold(0_i64, |sum, b| {
        sum.saturating_mul(10).saturating_add(i64::from(b - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        for (field, name, value) in [
            ("a=b", "a", "b"),
            (" a = b ;", "a", "b"),
            ("a=b=c==", "a", "b=c=="),
            ("a=\"b; c\"", "a", "\"b"),
            ("a=", "a", ""),
            ("a", "", "a"),
            ("=a", "", "a"),
            ("a\tb=c\td", "a\tb", "c\td"),
        ] {
            let cookie = parse(field.as_bytes(), 4096).unwrap();
            let expected = (name.as_bytes(), value.as_bytes());
            assert_eq!((cookie.name, cookie.value), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_cookie() {
        for field in [
            "",
            "=",
            ";",
            " = ; Path=/",
            "a=b\r\nc: d",
            "a=\0",
            "a=b; Path=/\x7f",
        ] {
            assert_eq!(
                parse(field.as_bytes(), 4096),
                Err(Refused::Malformed),
                "{field:?}"
            );
        }
        assert_eq!(parse(b"aa=bbb", 4), Err(Refused::TooLarge));
        assert!(parse(b"aa=bb; Path=/a-longer-path", 4).is_ok());
    }

    #[test]
    fn max_ages() {
        for (value, expected) in [
            ("900", Some(900)),
            ("899.5", Some(899)),
            ("899.", Some(899)),
            ("0", Some(0)),
            ("0.9", Some(0)),
            ("-1", Some(0)),
            ("-1.5", Some(0)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("1e3", None),
            (".5", None),
            ("", None),
            ("-", None),
            ("+5", None),
            ("5s", None),
            ("1.2.3", None),
            ("\"5\"", None),
        ] {
            assert_eq!(max_age(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_last_attribute_counts() {
        let field = b"a=b; path=/x; PATH=y; domain=.One; Domain=..two; secure=no; HttpOnly; SameSite=strict; max-age=5; max-age=x; SameSite";
        let cookie = parse(field, 4096).unwrap();
        let expected = SetCookie {
            name: b"a",
            value: b"b",
            max_age: Some(5),
            domain: Some(b".two"),
            path: Some(b"y"),
            secure: true,
            http_only: true,
            ..SetCookie::default()
        };
        assert_eq!(cookie, expected);
    }

    #[test]
    fn an_overlong_attribute_is_ignored() {
        let field = format!("a=b; Path=/a; Path=/{}", "x".repeat(1024));
        assert_eq!(
            parse(field.as_bytes(), 4096).unwrap().path,
            Some(&b"/a"[..])
        );
    }
}
