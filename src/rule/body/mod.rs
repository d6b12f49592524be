//! Values in bodies: found where they stand, read, and exchanged, while all else stays byte for byte.
//!
//! Forms and JSON alone. A body of another media type, or one that is not what its media type says, has no values.

pub mod form;
pub mod json;

use std::{fmt, ops::Range};

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

use super::{Mode, pointer::Pointer};

/// Where in a body a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    Json(Pointer),
    Form(String),
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Form,
}

/// What takes the place of a part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Range<usize>,
    pub with: String,
}

/// Applies edits; `None` if two of them want the same bytes in different ways.
pub fn splice(body: &[u8], mut edits: Vec<Edit>) -> Option<Vec<u8>> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    // Two fields may be taken from one place.
    edits.dedup_by(|one, other| one.span == other.span && !one.span.is_empty());
    let mut out = Vec::with_capacity(body.len() + 64 * edits.len());
    let mut done = 0;
    for Edit { span, with } in edits {
        if span.start < done {
            return None;
        }
        out.extend_from_slice(&body[done..span.start]);
        out.extend_from_slice(with.as_bytes());
        done = span.end;
    }
    out.extend_from_slice(&body[done..]);
    Some(out)
}

// === impl Media ===

impl Media {
    /// Returns how a message's body is written, if values can be found in it.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE).map(HeaderValue::to_str)?.ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "application/json" | "text/json" => Some(Self::Json),
            _ if essence.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }
}

// === impl Spot ===

impl Spot {
    /// Finds the values that stand here, each with its text; what is no text is left out.
    pub fn find(&self, media: Media, body: &[u8]) -> Vec<(Range<usize>, String)> {
        let spans = match (self, media) {
            (Self::Json(pointer), Media::Json) => {
                json::find(body, pointer.as_str()).map_or_else(|_| Vec::new(), |f| f.values)
            }
            (Self::Form(name), Media::Form) => form::find(body, name),
            (Self::Json(_), Media::Form) | (Self::Form(_), Media::Json) => Vec::new(),
        };
        let read = spans.into_iter().filter_map(|span| {
            let text = match media {
                Media::Json => json::text(&body[span.clone()]),
                Media::Form => form::text(&body[span.clone()]),
            };
            Some((span, text?))
        });
        read.collect()
    }

    /// Writes a text as it stands here.
    pub fn encode(&self, text: &str) -> String {
        match self {
            Self::Json(_) => json::quote(text),
            Self::Form(_) => form::encode(text),
        }
    }

    /// Returns the edits that put an encoded value here, as the mode says; none if the body is of another kind, or
    /// has no object to put a member in.
    pub fn put(&self, media: Media, body: &[u8], value: &str, mode: Mode) -> Vec<Edit> {
        let (spans, insert) = match (self, media) {
            (Self::Json(pointer), Media::Json) => {
                let Ok(found) = json::find(body, pointer.as_str()) else {
                    return Vec::new();
                };
                let name = json::member(pointer.as_str());
                // Into the last of repeated objects, which is the one that most parsers see.
                let insert = found.ends.last().zip(name).map(|(end, name)| {
                    let comma = if end.empty { "" } else { "," };
                    Edit {
                        span: end.at..end.at,
                        with: format!("{comma}{}:{value}", json::quote(&name)),
                    }
                });
                (found.values, insert)
            }
            (Self::Form(name), Media::Form) => {
                let and = if body.is_empty() || body.ends_with(b"&") {
                    ""
                } else {
                    "&"
                };
                let insert = Edit {
                    span: body.len()..body.len(),
                    with: format!("{and}{}={value}", form::encode(name)),
                };
                (form::find(body, name), Some(insert))
            }
            (Self::Json(_), Media::Form) | (Self::Form(_), Media::Json) => return Vec::new(),
        };
        let exchange = spans.into_iter().map(|span| Edit {
            span,
            with: value.to_owned(),
        });
        let there: Vec<_> = exchange.collect();
        match mode {
            Mode::IfMissing if there.is_empty() => insert.into_iter().collect(),
            Mode::IfMissing => Vec::new(),
            Mode::IfPresent => there,
            Mode::Replace | Mode::OnChallenge if there.is_empty() => insert.into_iter().collect(),
            Mode::Replace | Mode::OnChallenge => there,
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(pointer) => write!(f, "json {pointer}"),
            Self::Form(name) => write!(f, "form {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(pointer: &str) -> Spot {
        Spot::Json(pointer.parse().unwrap())
    }

    fn form(name: &str) -> Spot {
        Spot::Form(name.to_owned())
    }

    fn put(spot: &Spot, media: Media, body: &str, mode: Mode) -> String {
        let edits = spot.put(media, body.as_bytes(), &spot.encode("N\"1"), mode);
        String::from_utf8(splice(body.as_bytes(), edits).unwrap()).unwrap()
    }

    #[test]
    fn a_value_is_put_and_all_else_stays() {
        use Media::{Form, Json};
        use Mode::{IfMissing, IfPresent, Replace};
        let cases = [
            (
                json("/t"),
                Json,
                Replace,
                "{ \"a\" : 1.0, \"t\":\"x\\u0041\" , \"b\":[ ] }",
                "{ \"a\" : 1.0, \"t\":\"N\\\"1\" , \"b\":[ ] }",
            ),
            (
                json("/t"),
                Json,
                Replace,
                r#"{"t":1,"t":{"x":2}}"#,
                r#"{"t":"N\"1","t":"N\"1"}"#,
            ),
            (json("/t"), Json, Replace, "{}", r#"{"t":"N\"1"}"#),
            (
                json("/t"),
                Json,
                Replace,
                "{ \"a\":1 }",
                "{ \"a\":1,\"t\":\"N\\\"1\" }",
            ),
            (json("/t"), Json, IfPresent, r#"{"a":1}"#, r#"{"a":1}"#),
            (
                json("/t"),
                Json,
                IfPresent,
                r#"{"t":null}"#,
                r#"{"t":"N\"1"}"#,
            ),
            (
                json("/t"),
                Json,
                IfMissing,
                r#"{"t":null}"#,
                r#"{"t":null}"#,
            ),
            (
                json("/t"),
                Json,
                IfMissing,
                r#"{"a":1}"#,
                r#"{"a":1,"t":"N\"1"}"#,
            ),
            (
                json("/a/b/0"),
                Json,
                Replace,
                r#"{"a":{"b":["x","y"]}}"#,
                r#"{"a":{"b":["N\"1","y"]}}"#,
            ),
            (
                json("/a/b"),
                Json,
                Replace,
                r#"{"a":{},"c":{}}"#,
                r#"{"a":{"b":"N\"1"},"c":{}}"#,
            ),
            (json("/a/b"), Json, Replace, r#"{"c":1}"#, r#"{"c":1}"#),
            (json("/a/b"), Json, Replace, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (json(""), Json, Replace, " \"x\" ", " \"N\\\"1\" "),
            (json("/t"), Json, Replace, "{\"t\":", "{\"t\":"),
            (json("/t"), Form, Replace, "t=1", "t=1"),
            (
                form("t"),
                Form,
                Replace,
                "a=%20+&t=x&&b",
                "a=%20+&t=N%221&&b",
            ),
            (form("t"), Form, Replace, "a=1", "a=1&t=N%221"),
            (form("t"), Form, Replace, "", "t=N%221"),
            (form("t"), Form, IfPresent, "a=1", "a=1"),
            (form("t"), Form, IfMissing, "t=1&t=2", "t=1&t=2"),
            (form("t u"), Form, IfMissing, "a=1&", "a=1&t+u=N%221"),
            (form("t"), Json, Replace, "{}", "{}"),
        ];
        for (spot, media, mode, body, expected) in cases {
            assert_eq!(
                put(&spot, media, body, mode),
                expected,
                "{spot} {mode:?} {body}"
            );
        }
    }

    #[test]
    fn values_and_their_texts() {
        let body = br#"{"t":"a\u0062","t":7}"#;
        assert_eq!(
            json("/t").find(Media::Json, body),
            [(5..14, "ab".to_owned())]
        );
        assert_eq!(
            form("t").find(Media::Form, b"t=a%62"),
            [(2..6, "ab".to_owned())]
        );
        assert_eq!(form("t").find(Media::Json, b"t=a"), []);
    }

    #[test]
    fn media_types() {
        for (value, expected) in [
            ("application/json", Some(Media::Json)),
            ("Application/JSON; charset=utf-8", Some(Media::Json)),
            ("application/vnd.api+json", Some(Media::Json)),
            (
                "application/x-www-form-urlencoded;charset=UTF-8",
                Some(Media::Form),
            ),
            ("text/plain", None),
            ("application/jsonp", None),
            ("multipart/form-data; boundary=x", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(Media::of(&headers), expected, "{value}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), None);
    }

    #[test]
    fn edits_that_overlap_are_refused() {
        let edit = |span, with: &str| Edit {
            span,
            with: with.to_owned(),
        };
        assert_eq!(splice(b"abc", vec![edit(1..2, "x"), edit(0..2, "y")]), None);
        let twice = vec![edit(1..2, "x"), edit(1..2, "y")];
        assert_eq!(splice(b"abc", twice).as_deref(), Some(&b"axc"[..]));
        let next = vec![edit(2..3, "z"), edit(0..1, "")];
        assert_eq!(splice(b"abc", next).as_deref(), Some(&b"bz"[..]));
    }

    proptest! {
        #[test]
        fn what_was_put_is_found_and_nothing_else_changed(
            before in ".{0,8}", value in ".{0,8}", number in any::<i32>(),
        ) {
            let body = format!("{{\"x\": {} ,\"t\":{},\n\"n\":{number}}}", json::quote(&before), json::quote("old"));
            let spot = json("/t");
            let edits = spot.put(Media::Json, body.as_bytes(), &spot.encode(&value), Mode::Replace);
            let new = splice(body.as_bytes(), edits).unwrap();
            let found = spot.find(Media::Json, &new);
            prop_assert_eq!(&found[0].1, &value);
            let back = spot.put(Media::Json, &new, "\"old\"", Mode::Replace);
            prop_assert_eq!(splice(&new, back).unwrap(), body.into_bytes());
        }
    }
}
