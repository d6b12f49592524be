//! The filters and functions, and the engine that knows them and nothing else.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose};
use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value,
    value::{Object, ObjectRepr},
};

use crate::rule::{encoding, jwt, totp};

pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.add_filter("url_encode", |value: Value| {
        bytes("url_encode", &value).map(|value| encoding::percent_encode(&value))
    });
    engine.add_filter("url_decode", |value: Value| {
        let value = bytes("url_decode", &value)?;
        Ok::<_, Error>(from_bytes(encoding::percent_decode(&value).into_owned()))
    });
    engine.add_filter("base64_encode", |value: Value| {
        let value = bytes("base64_encode", &value)?;
        Ok::<_, Error>(general_purpose::STANDARD.encode(value))
    });
    engine.add_filter("base64url_encode", |value: Value| {
        let value = bytes("base64url_encode", &value)?;
        Ok::<_, Error>(general_purpose::URL_SAFE_NO_PAD.encode(value))
    });
    engine.add_filter("base64_decode", |value: Value| {
        base64_decode("base64_decode", &value)
    });
    engine.add_filter("base64url_decode", |value: Value| {
        base64_decode("base64url_decode", &value)
    });
    engine.add_filter("json", |value: Value, pointer: Value| {
        let document = document("json", &value)?;
        find("json", &document, &pointer)
    });
    engine.add_filter("jwt", |value: Value, pointer: Value| {
        let token = bytes("jwt", &value)?;
        let payload = std::str::from_utf8(&token)
            .ok()
            .and_then(|token| jwt::payload(token).ok())
            .ok_or_else(|| failed("jwt", "it is no JWT"))?;
        find("jwt", &payload, &pointer)
    });
    engine.add_filter("json_encode", |value: Value| json_encode(&value));
    engine.add_filter("sha256", |value: Value| {
        let value = bytes("sha256", &value)?;
        let digest = digest::digest(&digest::SHA256, &value);
        Ok::<_, Error>(Value::from_bytes(digest.as_ref().to_vec()))
    });
    engine.add_filter("hmac", |value: Value, key: Value| {
        let (value, key) = (bytes("hmac", &value)?, bytes("hmac", &key)?);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let tag = hmac::sign(&key, &value);
        Ok::<_, Error>(Value::from_bytes(tag.as_ref().to_vec()))
    });
    engine.add_filter("hex", |value: Value| {
        bytes("hex", &value).map(|value| hex(&value))
    });
    engine
});

/// Why a step has no result; the engine carries it to whoever names the field.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub(super) struct Failed {
    pub(super) step: &'static str,
    pub(super) why: &'static str,
}

/// A JSON value that is not a string, between two steps.
#[derive(Debug)]
struct Json(serde_json::Value);

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Returns the functions for one rendering: `now()`, `uuid()`, `totp(seed)`.
pub(super) fn functions(now: SystemTime, random: [u8; 16]) -> [(&'static str, Value); 3] {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    [
        ("now", Value::from_function(move || seconds)),
        ("uuid", Value::from_function(move || uuid(random))),
        (
            "totp",
            Value::from_function(move |seed: Value| {
                let seed = bytes("totp", &seed)?;
                std::str::from_utf8(&seed)
                    .ok()
                    .and_then(|seed| seed.parse::<totp::Seed>().ok())
                    .map(|seed| seed.code(seconds))
                    .ok_or_else(|| failed("totp", "its seed is neither base32 nor an otpauth URI"))
            }),
        ),
    ]
}

/// Returns the text of a result; `None` for bytes that are no text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value.as_bytes() {
        Some(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        None if value.is_number() || value.downcast_object_ref::<Json>().is_some() => {
            Some(value.to_string())
        }
        None => None,
    }
}

/// Returns text as text, and what is none as bytes.
pub(super) fn from_bytes(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(bytes) => Value::from_bytes(bytes.into_bytes()),
    }
}

fn failed(step: &'static str, why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why).with_source(Failed { step, why })
}

fn bytes<'v>(step: &'static str, value: &'v Value) -> Result<Cow<'v, [u8]>, Error> {
    match value.as_bytes() {
        Some(bytes) => Ok(Cow::Borrowed(bytes)),
        None => text(value)
            .map(|text| Cow::Owned(text.into_bytes()))
            .ok_or_else(|| failed(step, "it has no text to work on")),
    }
}

fn base64_decode(step: &'static str, value: &Value) -> Result<Value, Error> {
    encoding::base64_decode(&bytes(step, value)?)
        .map(from_bytes)
        .ok_or_else(|| failed(step, "it is not base64"))
}

fn document<'v>(step: &'static str, value: &'v Value) -> Result<Cow<'v, serde_json::Value>, Error> {
    if let Some(Json(json)) = value.downcast_object_ref::<Json>() {
        return Ok(Cow::Borrowed(json));
    }
    serde_json::from_slice(&bytes(step, value)?)
        .map(Cow::Owned)
        .map_err(|_| failed(step, "it is not JSON"))
}

fn find(step: &'static str, document: &serde_json::Value, pointer: &Value) -> Result<Value, Error> {
    let pointer = pointer
        .as_str()
        .ok_or_else(|| failed(step, "its pointer is not a text"))?;
    match document.pointer(pointer) {
        None | Some(serde_json::Value::Null) => Err(failed(step, "nothing is at its pointer")),
        Some(serde_json::Value::String(text)) => Ok(Value::from(text.as_str())),
        Some(other) => Ok(Value::from_object(Json(other.clone()))),
    }
}

fn json_encode(value: &Value) -> Result<String, Error> {
    if value.is_number() || value.downcast_object_ref::<Json>().is_some() {
        return Ok(value.to_string());
    }
    text(value)
        .map(|text| serde_json::Value::String(text).to_string())
        .ok_or_else(|| failed("json_encode", "it is not text"))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Returns a version 4 UUID (RFC 9562 §5.4).
fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = hex(&random);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
