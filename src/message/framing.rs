//! How long a message is (RFC 9112 §6): only what has one reading is taken.
//!
//! The HTTP library reads a list that ends in `chunked` as chunked. What came in another coding would be passed on
//! without its name, since `Transfer-Encoding` ends here; and peers that read such lists in other ways exist.

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING},
};

/// Tells whether a message has at most one length, in the one form that nobody reads in another way.
pub fn is_plain(headers: &HeaderMap) -> bool {
    let mut framed = false;
    headers.iter().all(|(name, value)| {
        let plain = if *name == CONTENT_LENGTH {
            !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
        } else if *name == TRANSFER_ENCODING {
            value.as_bytes().eq_ignore_ascii_case(b"chunked")
        } else {
            return true;
        };
        plain && !std::mem::replace(&mut framed, true)
    })
}

/// Tells whether an answer may have content (RFC 9110 §6.4.1).
pub fn may_have_content(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Tells whether a head has more fields than `most`. The crumbs of a cookie (RFC 9113 §8.2.3) are one: a browser may
/// send hundreds.
pub fn has_more(headers: &HeaderMap, most: usize) -> bool {
    let crumbs = || headers.get_all(COOKIE).iter().count();
    headers.len() > most && headers.len() - crumbs().saturating_sub(1) > most
}

/// As `is_plain`; the same length several times becomes one (RFC 9110 §8.6).
pub fn settle(headers: &mut HeaderMap) -> bool {
    if is_plain(headers) {
        return true;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && lengths.all(|length| length == first)
    {
        let first = first.clone();
        headers.insert(CONTENT_LENGTH, first);
    }
    is_plain(headers)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn one_length_in_one_form() {
        const CL: HeaderName = CONTENT_LENGTH;
        const TE: HeaderName = TRANSFER_ENCODING;
        let cases: [(&[(HeaderName, &str)], bool); 15] = [
            (&[], true),
            (&[(CL, "5")], true),
            (&[(CL, "0005")], true),
            (&[(TE, "chunked")], true),
            (&[(TE, "Chunked")], true),
            (&[(CL, "")], false),
            (&[(CL, "+5")], false),
            (&[(CL, "5, 5")], false),
            (&[(CL, "5"), (CL, "5")], false),
            (&[(CL, "5"), (TE, "chunked")], false),
            (&[(TE, "gzip, chunked")], false),
            (&[(TE, "chunked"), (TE, "chunked")], false),
            (&[(TE, "identity")], false),
            (&[(TE, "xchunked")], false),
            (&[(TE, "")], false),
        ];
        for (fields, plain) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(is_plain(&headers), plain, "{fields:?}");
        }
        let mut headers = HeaderMap::new();
        for (length, plain) in [("5", true), ("5", true), ("6", false)] {
            headers.append(CL, HeaderValue::from_static(length));
            assert_eq!(settle(&mut headers), plain, "{headers:?}");
        }
    }
}
