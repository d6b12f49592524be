//! Values of a form body (`application/x-www-form-urlencoded`, WHATWG URL §5) where they stand.

use std::{borrow::Cow, ops::Range};

use crate::rule::encoding::percent_decode;

/// Finds the values of all pairs of a name; names are compared as a server reads them.
pub fn find(body: &[u8], name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begin = 0;
    for pair in body.split(|b| *b == b'&') {
        let equals = pair.iter().position(|b| *b == b'=');
        let written = &pair[..equals.unwrap_or(pair.len())];
        if !pair.is_empty() && *decode(written) == *name.as_bytes() {
            // A name without `=` has an empty value, which stands at its end and cannot be exchanged there.
            if let Some(equals) = equals {
                found.push(begin + equals + 1..begin + pair.len());
            }
        }
        begin += pair.len() + 1;
    }
    found
}

/// Returns a value's text, if it is one.
pub fn text(value: &[u8]) -> Option<String> {
    String::from_utf8(decode(value).into_owned()).ok()
}

/// Writes a text as a value.
pub fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn decode(written: &[u8]) -> Cow<'_, [u8]> {
    if !written.iter().any(|b| matches!(b, b'%' | b'+')) {
        return written.into();
    }
    let spaced: Vec<u8> = written
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    percent_decode(&spaced).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_where_they_stand() {
        let cases: [(&str, &str, &[&str]); 9] = [
            ("a=1&b=2", "b", &["2"]),
            ("a=1&a=2", "a", &["1", "2"]),
            ("%61=x%20y+z", "a", &["x%20y+z"]),
            ("a+b=1", "a b", &["1"]),
            ("a==", "a", &["="]),
            ("a=&b", "a", &[""]),
            ("a=&b", "b", &[]),
            ("&&a=1&", "a", &["1"]),
            ("", "", &[]),
        ];
        for (body, name, expected) in cases {
            let found = find(body.as_bytes(), name);
            let found: Vec<_> = found.into_iter().map(|span| &body[span]).collect();
            assert_eq!(found, expected, "{body} {name}");
        }
    }

    #[test]
    fn texts_are_read_and_written() {
        for value in ["", "Atna|x y&=%+é"] {
            assert_eq!(text(encode(value).as_bytes()).as_deref(), Some(value));
        }
        assert_eq!(text(b"x%20y+z").as_deref(), Some("x y z"));
        assert_eq!(text(b"%ff"), None);
    }
}
