//! Decoding as the field needs it: sites write base64 and percent-encodings in every dialect.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

const ANY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is encoded in a component of a URL: all but the unreserved characters (RFC 3986 §2.3).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Decodes base64 in either alphabet, with or without its padding, with line breaks, with a percent-encoded
/// padding, and with the `--signature` that Rails appends to cookies. What then remains must be base64 to the last
/// character.
pub(crate) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = percent_decode(text);
    let text = without_signature(&decoded);
    let mut standard: Vec<u8> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    while standard.last() == Some(&b'=') {
        standard.pop();
    }
    ANY.decode(standard).ok()
}

/// Decodes percent-encodings; `+` stays, as in a cookie and a path.
pub(crate) fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(text).into()
}

/// Encodes a component of a URL.
pub(crate) fn percent_encode(text: &[u8]) -> String {
    percent_encoding::percent_encode(text, COMPONENT).to_string()
}

/// Cuts at `--` if hexadecimal digits of a SHA-1, SHA-256 or SHA-512 follow to the end: `--` alone is also two
/// characters of the URL alphabet.
fn without_signature(text: &[u8]) -> &[u8] {
    let Some(at) = text.windows(2).rposition(|pair| pair == b"--") else {
        return text;
    };
    let signature = &text[at + 2..];
    let hex = signature
        .iter()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && matches!(signature.len(), 40 | 64 | 128) {
        &text[..at]
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_of_base64() {
        let cases: [(&str, Option<&[u8]>); 12] = [
            ("aGVsbG8=", Some(b"hello")),
            ("aGVsbG8", Some(b"hello")),
            ("aGVs\r\nbG8=", Some(b"hello")),
            ("aGVsbG8%3D", Some(b"hello")),
            ("-_-_", Some(b"\xfb\xff\xbf")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            (
                "aGVsbG8=--0123456789abcdef0123456789abcdef01234567",
                Some(b"hello"),
            ),
            ("--aa", Some(b"\xfb\xe6\x9a")),
            ("", Some(b"")),
            ("a", None),
            ("aGVs!bG8", None),
            ("aG=Vs", None),
        ];
        for (text, expected) in cases {
            let got = base64_decode(text.as_bytes());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }
}
