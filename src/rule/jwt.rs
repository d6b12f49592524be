//! Reads JWTs (RFC 7519). Nothing is verified: the token is ours, its key is the server's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::encoding::base64_decode;

/// The last second that counts as a date: the end of the year 9999.
const LAST: f64 = 253_402_300_799.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a JWT has three parts with dots between them")]
    Parts,
    #[error("the JWT's payload is not base64")]
    Base64,
    #[error("the JWT's payload is not a JSON object")]
    Json,
}

/// When a token was issued and when it ends, by its issuer's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub issued: Option<SystemTime>,
    pub expires: Option<SystemTime>,
}

/// Returns a token's claims.
pub fn payload(token: &str) -> Result<Value, Error> {
    let mut parts = token.trim().split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::Parts);
    };
    let payload = base64_decode(payload.as_bytes()).ok_or(Error::Base64)?;
    match serde_json::from_slice(&payload) {
        Ok(claims @ Value::Object(_)) => Ok(claims),
        Ok(_) | Err(_) => Err(Error::Json),
    }
}

/// Returns a token's `iat` and `exp`; both are `None` for what is no JWT.
pub fn times(token: &str) -> Times {
    let Ok(claims) = payload(token) else {
        return Times::default();
    };
    let time = |claim| claims.get(claim).and_then(seconds).and_then(at);
    Times {
        issued: time("iat"),
        expires: time("exp"),
    }
}

/// Reads seconds: a number, also a fraction, or either as a string (RFC 7519 §2 wants a number; not every
/// issuer does).
pub(crate) fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    seconds.is_finite().then_some(seconds)
}

/// Returns the time that many seconds after the epoch, if it is a date up to the year 9999.
pub(crate) fn at(seconds: f64) -> Option<SystemTime> {
    (0.0..=LAST)
        .contains(&seconds)
        .then(|| UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn times_in_every_notation() {
        let cases = [
            (r#"{"exp":1700000000}"#, Some(1_700_000_000.0)),
            (r#"{"exp":1700000000.5}"#, Some(1_700_000_000.5)),
            (r#"{"exp":"1700000000"}"#, Some(1_700_000_000.0)),
            (r#"{"exp":-1}"#, None),
            (r#"{"exp":1e300}"#, None),
            (r#"{"exp":"soon"}"#, None),
            (r#"{"exp":"inf"}"#, None),
            (r#"{"exp":null}"#, None),
            (r#"{"sub":"1"}"#, None),
            (r#"[1]"#, None),
        ];
        for (claims, expected) in cases {
            let expected = expected.map(|s| UNIX_EPOCH + Duration::from_secs_f64(s));
            assert_eq!(times(&token(claims)).expires, expected, "{claims}");
        }
    }

    #[test]
    fn what_is_no_jwt() {
        let cases = [
            ("opaque", Error::Parts),
            ("a.b.c.d", Error::Parts),
            ("a.!.c", Error::Base64),
            ("a.W10.c", Error::Json),
            ("a.bm8.c", Error::Json),
        ];
        for (text, error) in cases {
            assert_eq!(payload(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", claims in ".*") {
            let _ = times(&text);
            let _ = times(&token(&claims));
        }
    }
}
