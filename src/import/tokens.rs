//! Tokens in JSON: a token endpoint's answer as it was saved (RFC 6749 §5.1), or what OAuth libraries make of it
//! (`expires_at`, Go's and Google's `expiry`, Google's `token`).

use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Error, Material, collect, json::kind_of};
use crate::secret::Secret;

/// What is taken, and the field that it becomes.
const TOKENS: [(&str, &str); 4] = [
    ("access_token", "access_token"),
    ("token", "access_token"),
    ("refresh_token", "refresh_token"),
    ("id_token", "id_token"),
];

/// Known, and of no use to a session.
const IDLE: [&str; 4] = ["token_type", "scope", "scopes", "type"];

/// Tells whether an object is about tokens: it has an access or a refresh token.
pub(super) fn are_in(entries: &[(String, Value)]) -> bool {
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    has("access_token") || has("refresh_token")
}

pub(super) fn read(entries: &[(String, Value)], now: SystemTime) -> Result<Material, Error> {
    let mut material = Material::default();
    let mut left_out = Vec::new();
    let mut end = None;
    for (n, (key, value)) in entries.iter().enumerate() {
        let failed = |problem: String| Error::Entry {
            place: format!("key {key:?}"),
            problem,
        };
        let known = TOKENS.iter().find(|(from, _)| from == key);
        let is_end = ["expires_at", "expiry", "expires_in"].contains(&key.as_str());
        if (known.is_some() || is_end) && entries[..n].iter().any(|(other, _)| other == key) {
            return Err(failed("it is there twice".to_owned()));
        }
        if let Some((_, field)) = known {
            // Google writes `token`; beside an `access_token` it is something else.
            let taken = material.fields.iter().any(|(name, _)| name == field);
            if let Some(token) = token(value).map_err(failed)?
                && !taken
            {
                material.fields.push(((*field).to_owned(), token));
            }
        } else if is_end {
            let found = match key.as_str() {
                "expires_in" => lifetime(value, now),
                _ => instant(value),
            };
            let found = found.ok_or_else(|| failed("it is no time".to_owned()))?;
            // An instant is worth more than a lifetime, whose beginning nobody knows.
            if key != "expires_in" || end.is_none() {
                end = Some((found, key == "expires_in"));
            }
        } else if !IDLE.contains(&key.as_str()) {
            left_out.push(format!("{key:?}"));
        }
    }
    if material.fields.is_empty() {
        return Err(Error::Empty);
    }
    if let Some((at, relative)) = end {
        material.expires_at = Some(at);
        if relative {
            let warning =
                "expires_in was counted from now; if the file is older, the token ends before that";
            material.warnings.push(warning.to_owned());
        }
    }
    if !left_out.is_empty() {
        let keys = left_out.join(", ");
        material.warnings.push(format!("left out: {keys}"));
    }
    Ok(material)
}

/// Reads a token's value; `null` is none. It becomes part of a field of a request, so that no control character may
/// be in it.
pub(super) fn token(value: &Value) -> Result<Option<Secret>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Err("it is empty".to_owned()),
        Value::String(text) if text.chars().any(char::is_control) => {
            Err("it has a control character".to_owned())
        }
        Value::String(text) => Ok(Some(Secret::from(text.as_str()))),
        other => Err(format!("{}, not a text", kind_of(other))),
    }
}

fn lifetime(value: &Value, now: SystemTime) -> Option<SystemTime> {
    const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;
    let seconds = number(value)?.clamp(0.0, LONGEST);
    now.checked_add(Duration::from_secs(seconds as u64))
}

fn instant(value: &Value) -> Option<SystemTime> {
    if let Some(number) = number(value) {
        return Some(collect::expiry(number).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    let text = value.as_str()?.trim().replacen(' ', "T", 1);
    // Python writes times without an offset, and means UTC.
    let parsed = OffsetDateTime::parse(&text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339));
    Some(parsed.ok()?.into())
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}
