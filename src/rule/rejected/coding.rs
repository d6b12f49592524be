//! Content codings that an answer may have if its body is to be looked at (RFC 9110 §12.5.3): only those that are
//! read here.

use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};

use crate::message::decode;

/// What takes the place of `*`, the first that is not named beside it.
const READ: [&str; 3] = ["gzip", "deflate", "br"];

/// Takes the codings that are not read here out of `Accept-Encoding`; all else of it stays as it came. If the client
/// reads nothing else, it gets the body without any.
pub fn narrow(headers: &mut HeaderMap) {
    let lines = || headers.get_all(ACCEPT_ENCODING).iter();
    if !lines().any(|line| elements(line.as_bytes()).any(is_unread)) {
        return;
    }
    let named = |coding: &str| {
        let mut all = lines().flat_map(|line| elements(line.as_bytes()));
        all.any(|element| name(element).eq_ignore_ascii_case(coding.as_bytes()))
    };
    let instead = READ.into_iter().find(|coding| !named(coding));
    let mut kept = Vec::new();
    let mut any = false;
    for element in lines().flat_map(|line| elements(line.as_bytes())) {
        let star = name(element) == b"*";
        if is_unread(element) && !(star && instead.is_some()) {
            continue;
        }
        if !kept.is_empty() {
            kept.push(b',');
        }
        match instead {
            Some(coding) if star && has_weight(element) => {
                let at = element.iter().position(|byte| *byte == b'*');
                let (before, behind) = element.split_at(at.unwrap_or(0));
                kept.extend_from_slice(before);
                kept.extend_from_slice(coding.as_bytes());
                kept.extend_from_slice(&behind[1..]);
            }
            _ => kept.extend_from_slice(element),
        }
        any |= has_weight(element) && !name(element).is_empty();
    }
    let identity = HeaderValue::from_static("identity");
    let value = match any {
        true => HeaderValue::from_bytes(kept.trim_ascii()).unwrap_or(identity),
        false => identity,
    };
    headers.insert(ACCEPT_ENCODING, value);
}

/// Returns the elements of a list, with the spaces around them.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
}

/// Tells whether an element allows for a coding that is not read here.
fn is_unread(element: &[u8]) -> bool {
    let known = std::str::from_utf8(name(element)).is_ok_and(decode::is_known);
    !known && has_weight(element)
}

/// Returns the coding of an element.
fn name(element: &[u8]) -> &[u8] {
    let name = element.split(|byte| *byte == b';').next();
    name.unwrap_or_default().trim_ascii()
}

/// Tells whether an element allows for its coding at all: `q=0` does not.
fn has_weight(element: &[u8]) -> bool {
    let mut parameters = element.split(|byte| *byte == b';').skip(1);
    !parameters.any(|parameter| {
        let text = String::from_utf8_lossy(parameter);
        let weight = text.trim().split_once('=');
        weight.is_some_and(|(key, q)| {
            key.trim().eq_ignore_ascii_case("q") && q.trim().parse::<f32>() == Ok(0.0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(lines: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().unwrap());
        }
        narrow(&mut headers);
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_is_not_read_is_not_asked_for() {
        let cases: [(&[&str], &str); 18] = [
            (&["gzip, deflate, br, zstd"], "gzip, deflate, br"),
            (&["zstd, gzip"], "gzip"),
            (&["gzip;q=0.5,zstd;q=1.0,br; q=0.1"], "gzip;q=0.5,br; q=0.1"),
            (&["gzip, ZSTD ,deflate"], "gzip,deflate"),
            (&["gzip, dcb, dcz, compress"], "gzip"),
            (&["zstd"], "identity"),
            (&["zstd, gzip;q=0"], "identity"),
            (&["zstd, *;q=0"], "identity"),
            (&["zstd, identity;q=0"], "identity"),
            (&["identity;q=0, *;q=0.1"], "identity;q=0, gzip;q=0.1"),
            (&["*"], "gzip"),
            (&["gzip, *;q=0.1"], "gzip, deflate;q=0.1"),
            (&["gzip;q=0, *"], "gzip;q=0, deflate"),
            (&["gzip,deflate,br,*;q=0.5"], "gzip,deflate,br"),
            (&["gzip, zstd", "br"], "gzip,br"),
            (&["zstd", "br;q=0.2"], "br;q=0.2"),
            (&["zstd, zstd;q=0, gzip"], "zstd;q=0, gzip"),
            (&["zstd, , gzip"], ", gzip"),
        ];
        for (lines, expected) in cases {
            assert_eq!(narrowed(lines), [expected], "{lines:?}");
        }
    }

    #[test]
    fn what_is_read_stays_as_it_came() {
        let cases: [&[&str]; 9] = [
            &[],
            &[""],
            &["gzip, deflate, br"],
            &[" gzip ;q=0.3 ,BR"],
            &["identity"],
            &["gzip;q=1.0, identity; q=0.5, *;q=0"],
            &["x-gzip, zstd;q=0"],
            &["gzip", "br"],
            &["gzip, *;q=0.000"],
        ];
        for lines in cases {
            // What a value has around it is the head's, not its own.
            let expected: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(narrowed(lines), expected, "{lines:?}");
        }
    }
}
