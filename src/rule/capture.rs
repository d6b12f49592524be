//! Takes fields from an answer: by JSON pointer, field, cookie or pattern.
//!
//! All or nothing: a value that could not be sent again (CR, LF, NUL or another control, not UTF-8, too long) makes
//! the whole answer unusable, and nothing of it is taken. What is not there, `null` or empty is named instead: some
//! answers leave out what did not change.

use http::{HeaderMap, header::SET_COOKIE};
use serde_json::Value;

use super::Source;
use crate::secret::Secret;

/// Bytes of one captured value: no field of a request could carry more.
const LONGEST: usize = 64 * 1024;

/// An answer to take fields from.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub headers: &'a HeaderMap,
    /// The decoded body, as far as it was kept.
    pub body: &'a [u8],
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Taken {
    pub fields: Vec<(String, Secret)>,
    /// What is not there.
    pub missing: Vec<String>,
}

/// Why an answer is unusable. Names the field, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the answer's {0} has a character that cannot be sent again")]
    Character(String),
    #[error("the answer's {0} is longer than any field can be")]
    TooLong(String),
}

/// Takes fields from an answer.
pub fn take(sources: &[(String, Source)], answer: Answer<'_>) -> Result<Taken, Error> {
    let json: Option<Value> = sources
        .iter()
        .any(|(_, source)| matches!(source, Source::Json(_)))
        .then(|| serde_json::from_slice(answer.body).ok())
        .flatten();
    let mut taken = Taken::default();
    for (name, source) in sources {
        let value = match source {
            Source::Json(pointer) => json
                .as_ref()
                .and_then(|json| pointer.find(json))
                .and_then(text)
                .map(String::into_bytes),
            Source::Header(name) => answer
                .headers
                .get(name)
                .map(|value| value.as_bytes().to_vec()),
            Source::Cookie(name) => cookie(answer.headers, name.as_bytes()).map(<[u8]>::to_vec),
            Source::Regex(pattern) => pattern
                .captures(answer.body)
                .and_then(|found| found.get(1).map(|group| group.as_bytes().to_vec())),
        };
        match value.filter(|value| !value.is_empty()) {
            Some(value) => taken.fields.push((name.clone(), usable(name, value)?)),
            None => taken.missing.push(name.clone()),
        }
    }
    Ok(taken)
}

/// Returns a JSON value as a field's text: strings as they are, numbers and booleans as JSON writes them, and so
/// objects and arrays, for the `json` filter to read again.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Returns a value that can be put on a request.
pub(crate) fn usable(name: &str, value: Vec<u8>) -> Result<Secret, Error> {
    if value.len() > LONGEST {
        return Err(Error::TooLong(name.to_owned()));
    }
    match String::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.into()),
        Ok(_) | Err(_) => Err(Error::Character(name.to_owned())),
    }
}

/// Returns the value of the last `Set-Cookie` of a name: two of one answer overwrite each other in order.
fn cookie<'h>(headers: &'h HeaderMap, wanted: &[u8]) -> Option<&'h [u8]> {
    let pairs = headers.get_all(SET_COOKIE).iter().rev();
    let mut pairs = pairs.filter_map(|field| {
        let pair = field.as_bytes().split(|b| *b == b';').next()?;
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        (name.trim_ascii() == wanted).then_some(value.trim_ascii())
    });
    pairs.next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    fn source(kind: &str) -> Source {
        let (kind, what) = kind.split_once(' ').unwrap();
        match kind {
            "json" => Source::Json(what.parse().unwrap()),
            "header" => Source::Header(what.parse().unwrap()),
            "cookie" => Source::Cookie(what.to_owned()),
            _ => Source::Regex(Regex::new(what).unwrap()),
        }
    }

    fn taken(kind: &str, body: &[u8]) -> Result<Option<String>, Error> {
        let headers: HeaderMap = [
            ("x-token", "T1"),
            ("set-cookie", "sid=one; Path=/"),
            ("set-cookie", " sid = two=2 ;HttpOnly"),
            ("set-cookie", "gone=; Max-Age=0"),
            ("set-cookie", "nonsense"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let answer = Answer {
            headers: &headers,
            body,
        };
        let taken = take(&[("f".to_owned(), source(kind))], answer)?;
        assert_eq!(taken.fields.len() + taken.missing.len(), 1);
        let field = taken.fields.first();
        Ok(field.map(|(_, value)| value.expose().clone()))
    }

    #[test]
    fn from_every_place() {
        let json = br#"{"a":{"t":"T"},"n":3600,"b":true,"o":{"z":[1]},"nil":null,"e":""}"#;
        let cases: [(&str, &[u8], Option<&str>); 16] = [
            ("json /a/t", json, Some("T")),
            ("json /n", json, Some("3600")),
            ("json /b", json, Some("true")),
            ("json /o", json, Some(r#"{"z":[1]}"#)),
            ("json /nil", json, None),
            ("json /e", json, None),
            ("json /none", json, None),
            ("json /a", b"<html>", None),
            ("header X-Token", b"", Some("T1")),
            ("header x-none", b"", None),
            ("cookie sid", b"", Some("two=2")),
            ("cookie gone", b"", None),
            ("cookie SID", b"", None),
            (
                r#"regex name="csrf" value="([^"]+)""#,
                br#"<input name="csrf" value="C">"#,
                Some("C"),
            ),
            ("regex csrf", b"csrf", None),
            ("regex (x)", b"y", None),
        ];
        for (kind, body, expected) in cases {
            assert_eq!(taken(kind, body).unwrap().as_deref(), expected, "{kind}");
        }
    }

    #[test]
    fn what_cannot_be_sent_again_makes_the_answer_unusable() {
        let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(LONGEST + 1));
        let character = || Error::Character("f".to_owned());
        let cases: [(&str, &[u8], Error); 5] = [
            ("json /t", br#"{"t":"a\r\nb"}"#, character()),
            ("json /t", br#"{"t":"a\u0000b"}"#, character()),
            ("json /t", br#"{"t":"a\u0085b"}"#, character()),
            ("regex (?-u)t=(.*)", b"t=\xff", character()),
            ("json /t", long.as_bytes(), Error::TooLong("f".to_owned())),
        ];
        for (kind, body, error) in cases {
            assert_eq!(taken(kind, body), Err(error), "{kind}");
        }
    }

    #[test]
    fn all_or_nothing() {
        let sources =
            ["json /a", "json /b", "json /none"].map(|kind| (kind.to_owned(), source(kind)));
        let headers = HeaderMap::new();
        let answer = |body| Answer {
            headers: &headers,
            body,
        };
        let taken = take(&sources, answer(br#"{"a":"1","b":"2"}"#)).unwrap();
        assert_eq!(taken.fields.len(), 2);
        assert_eq!(taken.missing, ["json /none"]);
        assert!(take(&sources, answer(b"{\"a\":\"1\",\"b\":\"2\\n\"}")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_sent(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(value)) = taken("regex (?s-u)^(.*)$", &body) {
                prop_assert!(http::HeaderValue::from_str(&value).is_ok());
            }
        }
    }
}
