//! What a credential command prints: a token alone, AWS `credential_process` JSON, a Kubernetes ExecCredential, or an
//! object with an `access_token`.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::jwt;
use crate::{rule::capture, secret::Secret};

/// What a command printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Printed {
    pub fields: Vec<(String, Secret)>,
    /// When it ends: as printed, else a JWT's `exp`.
    pub expires_at: Option<SystemTime>,
}

/// Why an output is no credential. Shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the command printed nothing")]
    Empty,
    #[error("the command printed more than one line that is not JSON")]
    Lines,
    #[error("the command's output is not UTF-8")]
    Text,
    #[error(
        "the command printed JSON that is neither credential_process nor ExecCredential and has no access_token"
    )]
    Json,
    #[error("the command's output lacks {0}")]
    Missing(&'static str),
    #[error("the command's {0} is not a time (RFC 3339)")]
    Time(&'static str),
    #[error(transparent)]
    Value(#[from] capture::Error),
}

/// AWS name → field.
const AWS: [(&str, &str); 3] = [
    ("AccessKeyId", "access_key_id"),
    ("SecretAccessKey", "secret_access_key"),
    ("SessionToken", "session_token"),
];

/// Reads a command's standard output. A relative lifetime (`expires_in`) begins at `now`.
pub fn read(stdout: &[u8], now: SystemTime) -> Result<Printed, Error> {
    let text = std::str::from_utf8(stdout).map_err(|_| Error::Text)?.trim();
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if text.starts_with('{') {
        let json = serde_json::from_str(text).map_err(|_| Error::Json)?;
        return object(&json, now);
    }
    if text.contains('\n') {
        return Err(Error::Lines);
    }
    let token = capture::usable("access_token", text.into())?;
    Ok(Printed::token(token, None))
}

fn object(json: &Value, now: SystemTime) -> Result<Printed, Error> {
    if json.get("AccessKeyId").is_some() {
        return aws(json);
    }
    if json.get("kind").and_then(Value::as_str) == Some("ExecCredential") {
        let token = json.pointer("/status/token").and_then(Value::as_str);
        let token = token.ok_or(Error::Missing("/status/token"))?;
        let token = capture::usable("access_token", token.into())?;
        let expires = time_at(json, "/status/expirationTimestamp")?;
        return Ok(Printed::token(token, expires));
    }
    if json.get("access_token").and_then(Value::as_str).is_none() {
        return Err(Error::Json);
    }
    plain(json, now)
}

fn aws(json: &Value) -> Result<Printed, Error> {
    let mut fields = Vec::new();
    for (theirs, ours) in AWS {
        match json.get(theirs).and_then(Value::as_str) {
            Some(value) => fields.push((ours.to_owned(), capture::usable(theirs, value.into())?)),
            // Keys that do not expire have no session token.
            None if theirs == "SessionToken" => {}
            None => return Err(Error::Missing(theirs)),
        }
    }
    Ok(Printed {
        fields,
        expires_at: time_at(json, "/Expiration")?,
    })
}

/// An object with an access token: its texts and numbers are fields of their names.
fn plain(json: &Value, now: SystemTime) -> Result<Printed, Error> {
    let mut fields = Vec::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        let is_field = match name.as_str() {
            "expires_in" | "expires_at" => false,
            _ => value.is_string() || value.is_number(),
        };
        if !is_field {
            continue;
        }
        let text = capture::text(value).filter(|text| !text.is_empty());
        if let Some(text) = text {
            fields.push((name.clone(), capture::usable(name, text.into_bytes())?));
        }
    }
    let Some((_, token)) = fields.iter().find(|(name, _)| name == "access_token") else {
        return Err(Error::Missing("access_token"));
    };
    let lifetime = json.get("expires_in").and_then(jwt::seconds);
    let expires_in = lifetime
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|lifetime| now.checked_add(lifetime));
    let expires_at = match expires_in {
        Some(at) => Some(at),
        None => match json.get("expires_at").and_then(jwt::seconds) {
            Some(seconds) => jwt::at(seconds),
            None => time_at(json, "/expires_at")?,
        },
    };
    let expires_at = expires_at.or_else(|| jwt::times(token.expose()).expires);
    Ok(Printed { fields, expires_at })
}

fn time_at(json: &Value, pointer: &'static str) -> Result<Option<SystemTime>, Error> {
    match json.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
            .map(|time| Some(time.into()))
            .ok_or(Error::Time(pointer)),
    }
}

// === impl Printed ===

impl Printed {
    fn token(token: Secret, expires_at: Option<SystemTime>) -> Self {
        let expires_at = expires_at.or_else(|| jwt::times(token.expose()).expires);
        Self {
            fields: vec![("access_token".to_owned(), token)],
            expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    type Fields = Vec<(String, String)>;

    fn seen(stdout: &str) -> Result<(Fields, Option<u64>), Error> {
        let printed = read(stdout.as_bytes(), UNIX_EPOCH + Duration::from_secs(1000))?;
        let fields = printed.fields.iter();
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        Ok((
            fields
                .map(|(name, value)| (name.clone(), value.expose().clone()))
                .collect(),
            printed.expires_at.map(seconds),
        ))
    }

    #[test]
    fn every_form() {
        let token = |value: &str| vec![("access_token", value.to_owned())];
        let cases = [
            ("T1\n", token("T1"), None),
            ("  T 1\r\n", token("T 1"), None),
            (
                "e30.eyJleHAiOjE3MDAwMDAwMDB9.c2ln",
                token("e30.eyJleHAiOjE3MDAwMDAwMDB9.c2ln"),
                Some(1_700_000_000),
            ),
            (
                r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"T","Expiration":"2023-11-14T22:13:20Z"}"#,
                vec![
                    ("access_key_id", "A".to_owned()),
                    ("secret_access_key", "S".to_owned()),
                    ("session_token", "T".to_owned()),
                ],
                Some(1_700_000_000),
            ),
            (
                r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S"}"#,
                vec![
                    ("access_key_id", "A".to_owned()),
                    ("secret_access_key", "S".to_owned()),
                ],
                None,
            ),
            (
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"T","expirationTimestamp":"2023-11-14T23:13:20+01:00"}}"#,
                token("T"),
                Some(1_700_000_000),
            ),
            (
                r#"{"access_token":"T","expires_in":"3600","scope":null}"#,
                token("T"),
                Some(4600),
            ),
            (
                r#"{"access_token":"T","expires_at":1700000000}"#,
                token("T"),
                Some(1_700_000_000),
            ),
            (r#"{"access_token":"T","expires_in":-1}"#, token("T"), None),
            (
                r#"{"access_token":"T","expires_in":1e300}"#,
                token("T"),
                None,
            ),
        ];
        for (stdout, fields, expires) in cases {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            assert_eq!(seen(stdout), Ok((fields, expires)), "{stdout}");
        }
        let (fields, _) = seen(r#"{"access_token":"T","refresh_token":"R","n":7,"o":{}}"#).unwrap();
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn what_is_no_credential() {
        let character = |name: &str| Error::Value(capture::Error::Character(name.to_owned()));
        let cases = [
            ("", Error::Empty),
            (" \n", Error::Empty),
            ("a\nb", Error::Lines),
            ("a\u{1b}[0mb", character("access_token")),
            ("{", Error::Json),
            ("{}", Error::Json),
            (r#"{"token":"T"}"#, Error::Json),
            (r#"{"access_token":7}"#, Error::Json),
            (r#"{"access_token":""}"#, Error::Missing("access_token")),
            (r#"{"AccessKeyId":"A"}"#, Error::Missing("SecretAccessKey")),
            (
                r#"{"kind":"ExecCredential","status":{}}"#,
                Error::Missing("/status/token"),
            ),
            (
                r#"{"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"tomorrow"}"#,
                Error::Time("/Expiration"),
            ),
            (r#"{"access_token":"a\nb"}"#, character("access_token")),
        ];
        for (stdout, error) in cases {
            assert_eq!(seen(stdout), Err(error), "{stdout}");
        }
        assert_eq!(read(b"\xff", UNIX_EPOCH), Err(Error::Text));
    }

    proptest! {
        #[test]
        fn no_output_makes_it_panic(text in ".*", seconds in any::<f64>()) {
            let _ = seen(&text);
            let _ = seen(&format!(r#"{{"access_token":"T","expires_in":{seconds:?}}}"#));
            let _ = seen(&format!(r#"{{"access_token":"T","expires_at":{seconds:?}}}"#));
        }
    }
}
