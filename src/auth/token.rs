//! What a token endpoint's answer means, in one table (RFC 6749 §5, and what servers make of it).
//!
//! Nothing here decides what to do: an answer is granted, terminal, a fault of the configuration, throttled, a
//! server's failure (the refresh may have happened), or no token answer at all (a captive portal, a login page).

#[cfg(test)]
mod tests;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, DATE, RETRY_AFTER},
};
use serde_json::Value;

use super::jwt;
use crate::{
    grant::Grant,
    rule::{Oauth2, capture, pointer::Pointer},
    secret::Secret,
};

/// A lifetime beyond this is taken for this: nobody plans further, and no sum with it overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// `Retry-After` is honoured up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Codes that say "this refresh token is over" beside those that are configured.
const OVER: [&str; 3] = [
    "refresh_token_reused",
    "refresh_token_already_used",
    "bad_refresh_token",
];
/// Codes that say "this client or this request is wrong".
const WRONG: [&str; 6] = [
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_request",
    "incorrect_client_credentials",
];
const SLOWER: [&str; 4] = [
    "slow_down",
    "over_request_rate_limit",
    "rate_limit_exceeded",
    "too_many_requests",
];
const LATER: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// What a token endpoint answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Granted(Granted),
    /// The refresh token is over: nothing but a person or new material can help.
    Terminal(String),
    /// The client or the request is wrong: stop, and delete nothing.
    Config(String),
    /// Wait; how long, if the server says so.
    Throttled(Option<Duration>),
    /// Anything but a token answer: nothing is overwritten.
    NotAnAnswer(Why),
    /// The server failed, or says that it is busy with this token: whether it acted is not known.
    ServerError(u16),
}

/// New material.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granted {
    /// `access_token` and what else the answer has of the configured fields; without a `refresh_token` the old one
    /// stays.
    pub fields: Vec<(String, Secret)>,
    /// How long the credential lives from now on; `None`: not known.
    pub expires_in: Option<Duration>,
}

/// Why an answer is no token answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Status(u16),
    NotJson,
    NoToken,
    /// A field has a value that cannot be sent.
    Unusable(String),
}

/// An answer of a token endpoint, its body decoded.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// When it came, by our clock.
    pub now: SystemTime,
}

/// Sorts an answer. `terminal` are the configured codes.
pub fn read(oauth2: &Oauth2, terminal: &[String], received: Received<'_>) -> Answer {
    let Received {
        status, headers, ..
    } = received;
    let code = status.as_u16();
    // What a failing server says in its body is not to be trusted with the end of a session.
    if status.is_server_error() {
        return match (code, retry_after(received)) {
            (503, Some(wait)) => Answer::Throttled(Some(wait)),
            _ => Answer::ServerError(code),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Answer::Throttled(retry_after(received));
    }
    let json = document(headers, received.body);
    if status.is_success() {
        let Some(json) = &json else {
            return Answer::NotAnAnswer(Why::NotJson);
        };
        match grant(oauth2, json, received) {
            Ok(granted) => return Answer::Granted(granted),
            // Some servers say "error" with 200.
            Err(Why::NoToken) => {}
            Err(why) => return Answer::NotAnAnswer(why),
        }
    }
    for said in json.iter().flat_map(codes) {
        let is = |list: &[&str]| list.contains(&said);
        if is_terminal(terminal, said) {
            return Answer::Terminal(said.to_owned());
        }
        if is(&SLOWER) {
            return Answer::Throttled(retry_after(received));
        }
        if is(&LATER) {
            return Answer::ServerError(code);
        }
        if is(&WRONG) {
            return Answer::Config(said.to_owned());
        }
    }
    match code {
        408 | 409 | 425 => Answer::ServerError(code),
        200..=299 => Answer::NotAnAnswer(Why::NoToken),
        _ => Answer::NotAnAnswer(Why::Status(code)),
    }
}

/// Tells whether an answer says that what was spent is at its end, whoever asks. `terminal` are the configured codes.
pub fn refuses(terminal: &[String], headers: &HeaderMap, body: &[u8]) -> bool {
    let json = document(headers, body);
    let mut codes = json.iter().flat_map(codes);
    codes.any(|said| is_terminal(terminal, said))
}

fn is_terminal(terminal: &[String], said: &str) -> bool {
    terminal.iter().any(|code| code == said) || OVER.contains(&said)
}

/// Returns the body as JSON; a form is read as an object of strings, as some servers answer with one.
pub(super) fn document(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    if let Ok(json) = serde_json::from_slice(body) {
        return Some(json);
    }
    let media = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_form = media
        .split(';')
        .next()
        .is_some_and(|media| media.trim() == "application/x-www-form-urlencoded");
    is_form.then(|| {
        let pairs = form_urlencoded::parse(body);
        Value::Object(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
                .collect(),
        )
    })
}

/// Returns the error codes of an answer: `/error`, `/error_code`, `/code`, and within an `error` that is an object its
/// `code` and `type`. Only what looks like a code: it is shown to people.
pub(super) fn codes(json: &Value) -> impl Iterator<Item = &str> {
    [
        "/error",
        "/error_code",
        "/code",
        "/error/code",
        "/error/type",
    ]
    .into_iter()
    .filter_map(|pointer| json.pointer(pointer)?.as_str())
    .filter(|code| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
        (1..=64).contains(&code.len()) && code.bytes().all(known)
    })
}

fn grant(oauth2: &Oauth2, json: &Value, received: Received<'_>) -> Result<Granted, Why> {
    let mut fields: Vec<(String, Secret)> = Vec::new();
    for (name, pointers) in &oauth2.answer {
        if matches!(name.as_str(), "expires_in" | "expires_at") {
            continue;
        }
        let is_token = matches!(name.as_str(), "access_token" | "refresh_token");
        let value = found(pointers, json).find_map(|value| match value {
            // A token that is a number or an object is none.
            Value::String(_) => capture::text(value),
            _ if is_token => None,
            other => capture::text(other),
        });
        // An empty token is one that was left out.
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        let value =
            capture::usable(name, value.into_bytes()).map_err(|_| Why::Unusable(name.clone()))?;
        fields.push((name.clone(), value));
    }
    let has = |name: &str| fields.iter().find(|(field, _)| field == name);
    let wants_access = oauth2
        .answer
        .iter()
        .any(|(name, pointers)| name == "access_token" && !pointers.is_empty());
    let complete = if wants_access {
        has("access_token").is_some()
    } else {
        !fields.is_empty()
    };
    if !complete {
        return Err(Why::NoToken);
    }
    let expires_in = lifetime(oauth2, json, received).or_else(|| {
        let (_, token) = has("access_token")?;
        let expires = jwt::times(token.expose()).expires?;
        until(expires, received)
    });
    Ok(Granted { fields, expires_in })
}

/// Returns how long the credential lives, as the answer says: `expires_in`, else `expires_at` (seconds since the
/// epoch). What is not positive or no number says nothing: some servers write -1 or 0 for "does not expire".
fn lifetime(oauth2: &Oauth2, json: &Value, received: Received<'_>) -> Option<Duration> {
    let seconds = |field: &str| {
        let (_, pointers) = oauth2.answer.iter().find(|(name, _)| name == field)?;
        found(pointers, json).find_map(jwt::seconds)
    };
    seconds("expires_in")
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds)
                .unwrap_or(LONGEST)
                .min(LONGEST)
        })
        .or_else(|| until(jwt::at(seconds("expires_at")?)?, received))
}

/// Returns how far off a time of the server's clock is, by that clock if the answer shows it. A token that has
/// ended already says nothing useful.
fn until(time: SystemTime, received: Received<'_>) -> Option<Duration> {
    let lifetime = time.duration_since(server_time(received)).ok()?;
    (!lifetime.is_zero()).then(|| lifetime.min(LONGEST))
}

fn found<'v>(pointers: &[Pointer], json: &'v Value) -> impl Iterator<Item = &'v Value> {
    pointers.iter().filter_map(|pointer| pointer.find(json))
}

fn server_time(received: Received<'_>) -> SystemTime {
    let date = received.headers.get(DATE);
    date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .unwrap_or(received.now)
}

/// Reads `Retry-After` (RFC 9110 §10.2.3), at most ten minutes.
fn retry_after(received: Received<'_>) -> Option<Duration> {
    let text = received.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            until
                .duration_since(server_time(received))
                .unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

// === impl Granted ===

impl Granted {
    /// Returns the grant from now on: what the answer has takes the place of the old, the rest stays.
    pub fn over(self, old: &Grant, now: SystemTime) -> Grant {
        let mut fields = old.fields.clone();
        fields.extend(self.fields);
        Grant {
            fields,
            expires_at: self.expires_in.map(|lifetime| now + lifetime),
            obtained_at: Some(now),
        }
    }
}

// === impl Why ===

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code} without a known error code"),
            Self::NotJson => f.write_str("a body that is not JSON"),
            Self::NoToken => f.write_str("no access token"),
            Self::Unusable(field) => write!(f, "a value of {field} that cannot be sent"),
        }
    }
}
