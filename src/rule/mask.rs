//! Masks an answer: what a capture took is exchanged for stand-ins before the client sees it.
//!
//! Every value at a captured place is exchanged, also those that the capture itself did not take (a repeated key,
//! further matches of a pattern): some client might read just these.

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};

use super::{
    Capture, Source,
    body::{self, Edit, json},
    standin::Maker,
};

/// What says something about a credential, and is none.
const PLAIN: &[&str] = &["expires_in", "expires_at", "token_type", "scope"];

/// The answer cannot be masked; it must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer with a credential cannot be masked")]
pub struct Unmaskable;

/// Tells whether a captured field is exchanged for a stand-in.
pub fn is_masked(field: &str) -> bool {
    !PLAIN.contains(&field)
}

/// Tells whether a body is written as the capture takes it to be: of another one nobody knows where its values stand.
pub fn is_readable(capture: &Capture, body: &[u8]) -> bool {
    let mut fields = capture.answer.iter();
    let wants_json =
        fields.any(|(field, source)| is_masked(field) && matches!(source, Source::Json(_)));
    !wants_json || json::find(body, "").is_ok()
}

/// Masks the fields of an answer, and returns its body if that has changed. `body` is decoded.
pub fn answer(
    capture: &Capture,
    maker: &Maker,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<Option<Vec<u8>>, Unmaskable> {
    let mut edits = Vec::new();
    let fields = capture.answer.iter();
    for (field, source) in fields.filter(|(field, _)| is_masked(field)) {
        match source {
            Source::Header(name) => {
                each(headers, name, |value| {
                    let text = std::str::from_utf8(value).ok()?;
                    Some(maker.make(field, text).into_bytes())
                });
            }
            Source::Cookie(name) => {
                each(headers, &SET_COOKIE, |line| {
                    cookie(maker, field, name, line)
                });
            }
            Source::Json(pointer) => {
                let Ok(found) = json::find(body, pointer.as_str()) else {
                    if resembles_json(body) {
                        return Err(Unmaskable);
                    }
                    continue;
                };
                for span in found.values {
                    edits.extend(quoted(maker, field, body, span)?);
                }
            }
            Source::Regex(pattern) => {
                for found in pattern.captures_iter(body) {
                    let Some(group) = found.get(1).filter(|group| !group.is_empty()) else {
                        continue;
                    };
                    let text = std::str::from_utf8(group.as_bytes()).map_err(|_| Unmaskable)?;
                    edits.push(Edit {
                        span: group.range(),
                        with: maker.make(field, text),
                    });
                }
            }
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    body::splice(body, edits).map(Some).ok_or(Unmaskable)
}

/// Returns the edit that exchanges a JSON string; what is none is no credential.
fn quoted(
    maker: &Maker,
    field: &str,
    body: &[u8],
    span: std::ops::Range<usize>,
) -> Result<Option<Edit>, Unmaskable> {
    let value = &body[span.clone()];
    if !value.starts_with(b"\"") || value == b"\"\"" {
        return Ok(None);
    }
    let text = json::text(value).ok_or(Unmaskable)?;
    let with = json::quote(&maker.make(field, &text));
    Ok(Some(Edit { span, with }))
}

/// Returns a `Set-Cookie` line with its value exchanged; `None` if it is of another cookie, or deletes it.
fn cookie(maker: &Maker, field: &str, name: &str, line: &[u8]) -> Option<Vec<u8>> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let (pair, attributes) = line.split_at(end);
    let equals = pair.iter().position(|b| *b == b'=')?;
    let value = pair[equals + 1..].trim_ascii();
    if pair[..equals].trim_ascii() != name.as_bytes() || value.is_empty() {
        return None;
    }
    let value = maker.make(field, std::str::from_utf8(value).ok()?);
    Some([&pair[..=equals], value.as_bytes(), attributes].concat())
}

/// Rewrites the values of a field, in their order.
fn each(headers: &mut HeaderMap, name: &http::HeaderName, with: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    for value in headers.get_all(name).iter().cloned().collect::<Vec<_>>() {
        let Some(new) = with(value.as_bytes()) else {
            continue;
        };
        let new = HeaderValue::from_bytes(&new).expect("letters of a value that was one");
        let mut there = match headers.entry(name) {
            http::header::Entry::Occupied(there) => there,
            http::header::Entry::Vacant(_) => return,
        };
        if let Some(old) = there.iter_mut().find(|old| **old == value) {
            *old = new;
        }
    }
}

/// Tells whether a body that is no JSON might be read as some by a client that is less strict.
fn resembles_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const TOKEN: &str = "ReallyARealTokenOf32Characters01";
    const OTHER: &str = "AnotherRealTokenOf32Characters02";

    fn maker() -> Maker {
        Maker::new(&Secret::new([7; 32]))
    }

    fn capture(sources: &[(&str, Source)]) -> Capture {
        let answer = sources.iter();
        let answer = answer.map(|(name, source)| ((*name).to_owned(), source.clone()));
        Capture {
            answer: answer.collect(),
            mask: true,
            ..crate::rule::sample::capture("https://a.example/")
        }
    }

    fn json(pointer: &str) -> Source {
        Source::Json(pointer.parse().unwrap())
    }

    fn masked(sources: &[(&str, Source)], body: &str) -> Result<Option<String>, Unmaskable> {
        let masked = answer(
            &capture(sources),
            &maker(),
            &mut HeaderMap::new(),
            body.as_bytes(),
        )?;
        Ok(masked.map(|body| String::from_utf8(body).unwrap()))
    }

    #[test]
    fn bodies() {
        let standin = maker().make("access_token", TOKEN);
        let other = maker().make("access_token", OTHER);
        let regex = Source::Regex(regex::bytes::Regex::new("t=(\\w*)").unwrap());
        let cases = [
            (
                json("/t"),
                format!("{{ \"t\": \"{TOKEN}\", \"n\":1.0 }}"),
                Ok(Some(format!("{{ \"t\": \"{standin}\", \"n\":1.0 }}"))),
            ),
            (
                json("/t"),
                format!("{{\"t\":\"{TOKEN}\",\"t\":\"{OTHER}\"}}"),
                Ok(Some(format!("{{\"t\":\"{standin}\",\"t\":\"{other}\"}}"))),
            ),
            (
                json("/t"),
                format!("{{\"t\":\"\\u0052{}\"}}", &TOKEN[1..]),
                Ok(Some(format!("{{\"t\":\"{standin}\"}}"))),
            ),
            (json("/t"), r#"{"t":null,"u":[]}"#.to_owned(), Ok(None)),
            (json("/t"), r#"{"t":""}"#.to_owned(), Ok(None)),
            (json("/t"), "<html>{}</html>".to_owned(), Ok(None)),
            (json("/t"), String::new(), Ok(None)),
            // Some clients would read these.
            (
                json("/t"),
                format!("{{\"t\":\"{TOKEN}\"}} trailing"),
                Err(Unmaskable),
            ),
            (json("/t"), format!(" {{t:'{TOKEN}'}}"), Err(Unmaskable)),
            (
                json("/t"),
                "{\"t\":\"\\ud800\"}".to_owned(),
                Err(Unmaskable),
            ),
            (
                regex,
                format!("t={TOKEN}; t={OTHER}; t="),
                Ok(Some(format!("t={standin}; t={other}; t="))),
            ),
        ];
        for (source, body, expected) in cases {
            assert_eq!(
                masked(&[("access_token", source)], &body),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn only_json_is_read_as_json() {
        for (field, source, body, readable) in [
            ("access_token", json("/t"), "access_token=x&scope=y", false),
            ("access_token", json("/t"), "<html>", false),
            ("access_token", json("/t"), " {} ", true),
            ("access_token", json("/t"), "\"text\"", true),
            ("expires_in", json("/t"), "x=y", true),
            ("t", Source::Cookie("sid".to_owned()), "x=y", true),
        ] {
            let capture = capture(&[(field, source)]);
            assert_eq!(is_readable(&capture, body.as_bytes()), readable, "{body}");
        }
    }

    #[test]
    fn several_fields_and_those_that_are_no_secret() {
        let body = format!("{{\"expires_in\":3600,\"t\":\"{TOKEN}\",\"scope\":\"a b\"}}");
        let sources = [
            ("access_token", json("/t")),
            ("token", json("/t")),
            ("expires_in", json("/expires_in")),
            ("scope", json("/scope")),
        ];
        let standin = maker().make("access_token", TOKEN);
        assert_eq!(
            masked(&sources, &body),
            Ok(Some(body.replace(TOKEN, &standin)))
        );
    }

    #[test]
    fn fields_and_cookies() {
        let mut headers = HeaderMap::new();
        let lines = [
            ("set-cookie", format!("other={TOKEN}")),
            ("x-token", TOKEN.to_owned()),
            ("set-cookie", format!("sid={TOKEN}; Path=/; HttpOnly")),
            ("x-after", "1".to_owned()),
            ("set-cookie", format!(" sid = {OTHER} ")),
            ("set-cookie", "sid=; Max-Age=0".to_owned()),
        ];
        for (name, value) in &lines {
            headers.append(*name, value.parse().unwrap());
        }
        let sources = [
            ("t", Source::Header("x-token".parse().unwrap())),
            ("c", Source::Cookie("sid".to_owned())),
        ];
        answer(&capture(&sources), &maker(), &mut headers, b"").unwrap();
        assert_eq!(headers["x-token"], maker().make("t", TOKEN).as_str());
        let cookies: Vec<_> = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(
            cookies,
            [
                &format!("other={TOKEN}"),
                &format!("sid={}; Path=/; HttpOnly", maker().make("c", TOKEN)),
                &format!(" sid ={}", maker().make("c", OTHER)),
                "sid=; Max-Age=0",
            ]
        );
    }
}
