//! Material for a session as JSON: fields and cookies to be put in, read so that no message has a value in it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{
    jar::{Cookie, SameSite},
    secret::Secret,
};

/// Bytes of a body: a full jar (`limits.cookies` of `limits.cookie_bytes`) and its names.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;

/// What is put into a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// Fields of the grant; those that are not named stay.
    pub fields: BTreeMap<String, Secret>,
    /// When the credential ends, if that is known.
    pub expires_at: Option<SystemTime>,
    /// The cookies of the jar from now on; none: the jar stays as it is.
    pub cookies: Vec<Cookie>,
}

/// What is put into a session, as it is sent.
#[derive(ToSchema)]
#[schema(as = Grant)]
#[allow(dead_code)] // it documents what `Body` reads
pub(super) struct Sent {
    /// `access_token`, `refresh_token` and others by name; those that are not named stay.
    fields: Option<BTreeMap<String, String>>,
    /// When the credential ends (RFC 3339).
    expires_at: Option<String>,
    /// The cookies of the jar from now on; none: the jar stays as it is.
    cookies: Option<Vec<SentCookie>>,
}

#[derive(ToSchema)]
#[schema(as = Cookie)]
#[allow(dead_code)] // it documents what `Body` reads
pub(super) struct SentCookie {
    name: String,
    value: Option<String>,
    /// Instead of `value`, for one that is not UTF-8.
    value_base64: Option<String>,
    /// `example.com`; a leading dot is ignored.
    domain: String,
    /// Whether it is for that host alone; by default it is, unless the domain has a leading dot.
    host_only: Option<bool>,
    /// `/` by default.
    path: Option<String>,
    /// True by default.
    secure: Option<bool>,
    http_only: Option<bool>,
    /// `strict`, `lax` or `none`.
    same_site: Option<String>,
    /// RFC 3339; without it the cookie has no end.
    expires: Option<String>,
    /// True: domain and path are a guess, and the first `Set-Cookie` of this name takes its place.
    assumed: Option<bool>,
}

/// What is wrong, and where (RFC 6901).
struct Wrong {
    place: String,
    what: String,
}

type Read<T> = Result<T, Wrong>;

// === impl Body ===

impl Body {
    /// Reads a body; a problem names the place and never a value.
    pub(super) fn read(bytes: &[u8], now: SystemTime, bounds: usize) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the body is no JSON: line {line}, column {column}"),
            )
        })?;
        read(&value, now, bounds).map_err(|Wrong { place, what }| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what)
                .at(place)
                .hint("/api/v1/openapi.json says what a grant is")
        })
    }

    /// Writes it as `read` reads it.
    pub fn to_json(&self) -> Value {
        let fields: Map<String, Value> = self
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().as_str().into()))
            .collect();
        let cookies: Vec<Value> = self.cookies.iter().map(cookie_to_json).collect();
        let mut body = Map::new();
        body.insert("fields".into(), fields.into());
        if let Some(at) = self.expires_at {
            body.insert("expires_at".into(), format(at).into());
        }
        body.insert("cookies".into(), cookies.into());
        body.into()
    }
}

fn cookie_to_json(cookie: &Cookie) -> Value {
    let Cookie {
        name,
        value,
        domain,
        path,
        host_only,
        secure,
        http_only,
        same_site,
        expires,
        created: _,
        assumed,
    } = cookie;
    let mut out = json!({
        "name": String::from_utf8_lossy(name),
        "domain": domain,
        "path": path,
        "host_only": host_only,
        "secure": secure,
        "http_only": http_only,
        "assumed": assumed,
    });
    match std::str::from_utf8(value.expose()) {
        Ok(text) => out["value"] = text.into(),
        Err(_) => out["value_base64"] = BASE64_STANDARD.encode(value.expose()).into(),
    }
    if let Some(same_site) = same_site {
        out["same_site"] = match same_site {
            SameSite::Strict => "strict",
            SameSite::Lax => "lax",
            SameSite::None => "none",
        }
        .into();
    }
    if let Some(expires) = expires {
        out["expires"] = format(*expires).into();
    }
    out
}

fn read(value: &Value, now: SystemTime, bounds: usize) -> Read<Body> {
    let keys = object(value, "", &["fields", "expires_at", "cookies"])?;
    let mut body = Body::default();
    if let Some(fields) = present(keys, "fields") {
        for (name, value) in fields
            .as_object()
            .ok_or_else(|| wrong("/fields", "not an object"))?
        {
            let place = format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"));
            let text = value
                .as_str()
                .ok_or_else(|| wrong(&place, "not a string"))?;
            if name.is_empty() || text.is_empty() {
                return Err(wrong(&place, "empty"));
            }
            if text.contains(|c: char| c.is_control()) {
                return Err(wrong(&place, "has a control character"));
            }
            body.fields.insert(name.clone(), text.into());
        }
    }
    if let Some(at) = present(keys, "expires_at") {
        body.expires_at = Some(time(at, "/expires_at")?);
    }
    if let Some(cookies) = present(keys, "cookies") {
        let list = cookies
            .as_array()
            .ok_or_else(|| wrong("/cookies", "not an array"))?;
        for (n, (at, entry)) in list
            .iter()
            .enumerate()
            .map(|(n, e)| (n, (format!("/cookies/{n}"), e)))
        {
            // One after the other: the order of creation is the order in which they are sent.
            let created = now + Duration::from_nanos(n as u64);
            let cookie = cookie(entry, &at, created)?;
            cookie
                .check(bounds)
                .map_err(|refused| wrong(&at, refused.to_string()))?;
            body.cookies.push(cookie);
        }
    }
    if body.fields.is_empty() && body.cookies.is_empty() {
        return Err(wrong("", "neither a field nor a cookie"));
    }
    Ok(body)
}

fn cookie(entry: &Value, place: &str, created: SystemTime) -> Read<Cookie> {
    const KEYS: [&str; 11] = [
        "name",
        "value",
        "value_base64",
        "domain",
        "host_only",
        "path",
        "secure",
        "http_only",
        "same_site",
        "expires",
        "assumed",
    ];
    let keys = object(entry, place, &KEYS)?;
    let at = |key: &str| format!("{place}/{key}");
    let text = |key: &str| match present(keys, key) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(Some)
            .ok_or_else(|| wrong(&at(key), "not a string")),
    };
    let flag = |key: &str, default: bool| match present(keys, key) {
        None => Ok(default),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| wrong(&at(key), "neither true nor false")),
    };
    let need = |key: &str| text(key)?.ok_or_else(|| wrong(&at(key), "missing"));
    let value = match (text("value")?, text("value_base64")?) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(text)) => BASE64_STANDARD
            .decode(text)
            .map_err(|_| wrong(&at("value_base64"), "not base64"))?,
        _ => return Err(wrong(place, "needs either value or value_base64")),
    };
    let domain = need("domain")?;
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let canonical: crate::origin::Host = host
        .parse()
        .map_err(|_| wrong(&at("domain"), "not the name of a host"))?;
    let same_site = match text("same_site")? {
        None => None,
        Some("strict") => Some(SameSite::Strict),
        Some("lax") => Some(SameSite::Lax),
        Some("none") => Some(SameSite::None),
        Some(_) => return Err(wrong(&at("same_site"), "neither strict, lax nor none")),
    };
    let expires = present(keys, "expires");
    Ok(Cookie {
        name: need("name")?.as_bytes().to_vec(),
        value: Secret::new(value),
        domain: canonical.to_string(),
        path: text("path")?.unwrap_or("/").to_owned(),
        host_only: flag("host_only", !domain.starts_with('.'))?,
        secure: flag("secure", true)?,
        http_only: flag("http_only", false)?,
        same_site,
        expires: expires
            .map(|value| time(value, &at("expires")))
            .transpose()?,
        created,
        assumed: flag("assumed", false)?,
    })
}

/// Returns the keys of an object that has no other than these.
fn object<'v>(value: &'v Value, place: &str, known: &[&str]) -> Read<&'v Map<String, Value>> {
    let keys = value
        .as_object()
        .ok_or_else(|| wrong(place, "not an object"))?;
    if keys.keys().any(|key| !known.contains(&key.as_str())) {
        // The key is not repeated: it may be a value in the wrong place.
        return Err(wrong(place, "has an unknown key"));
    }
    Ok(keys)
}

fn present<'v>(keys: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    keys.get(key).filter(|value| !value.is_null())
}

fn time(value: &Value, place: &str) -> Read<SystemTime> {
    let text = value.as_str().ok_or_else(|| wrong(place, "not a string"))?;
    let time = OffsetDateTime::parse(text, &Rfc3339);
    time.map(SystemTime::from)
        .map_err(|_| wrong(place, "not a time as 2026-11-20T17:03:11Z"))
}

fn format(time: SystemTime) -> String {
    OffsetDateTime::from(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn wrong(place: &str, what: impl Into<String>) -> Wrong {
    Wrong {
        place: place.to_owned(),
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn what_is_written_is_read() {
        let cookie = |name: &str, value: &[u8], n| Cookie {
            name: name.into(),
            value: Secret::new(value.to_vec()),
            domain: "example.com".into(),
            path: "/a".into(),
            host_only: true,
            secure: true,
            http_only: true,
            same_site: Some(SameSite::Lax),
            expires: Some(now() + Duration::from_secs(60)),
            created: now() + Duration::from_nanos(n),
            assumed: n == 1,
        };
        let body = Body {
            fields: [("access_token".to_owned(), Secret::from("t"))].into(),
            expires_at: Some(now()),
            cookies: vec![cookie("sid", b"v", 0), cookie("raw", b"\xff", 1)],
        };
        let text = body.to_json().to_string();
        assert_eq!(Body::read(text.as_bytes(), now(), 4096).unwrap(), body);
    }

    #[test]
    fn defaults() {
        let text = br#"{"cookies": [{"name": "a", "value": "b", "domain": ".Example.com"}]}"#;
        let body = Body::read(text, now(), 4096).unwrap();
        let cookie = &body.cookies[0];
        assert_eq!((&*cookie.domain, &*cookie.path), ("example.com", "/"));
        assert!(cookie.secure && !cookie.host_only && cookie.expires.is_none());
    }

    #[test]
    fn problems_name_the_place_and_no_value() {
        for (text, place) in [
            ("hunter2", None),
            ("[]", Some("")),
            ("{}", Some("")),
            (r#"{"hunter2": 1}"#, Some("")),
            (r#"{"fields": "hunter2"}"#, Some("/fields")),
            (r#"{"fields": {"a/b": 7}}"#, Some("/fields/a~1b")),
            (r#"{"fields": {"a": "hunter2\n"}}"#, Some("/fields/a")),
            (
                r#"{"fields": {"a": "b"}, "expires_at": "hunter2"}"#,
                Some("/expires_at"),
            ),
            (r#"{"cookies": {}}"#, Some("/cookies")),
            (
                r#"{"cookies": [{"name": "hunter2", "value": "v"}]}"#,
                Some("/cookies/0/domain"),
            ),
            (
                r#"{"cookies": [{"name": "a", "domain": "a.example"}]}"#,
                Some("/cookies/0"),
            ),
            (
                r#"{"cookies": [{"name": "a", "value": "hunter2;", "domain": "a.example"}]}"#,
                Some("/cookies/0"),
            ),
            (
                r#"{"cookies": [{"name": "a", "value": "v", "domain": "com", "host_only": false}]}"#,
                Some("/cookies/0"),
            ),
        ] {
            let problem = Body::read(text.as_bytes(), now(), 4096).unwrap_err();
            assert_eq!(problem.place.as_deref(), place, "{text}: {problem:?}");
            let shown = serde_json::to_string(&problem).unwrap();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
