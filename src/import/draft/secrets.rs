//! The values of a recording that must not be in a draft, and paths without them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::import::recording::{Exchange, Sent};

/// Shorter values are words.
const SHORTEST: usize = 8;

/// Parts of names whose values are secret.
const NAMES: [&str; 12] = [
    "token",
    "secret",
    "pass",
    "pwd",
    "key",
    "auth",
    "session",
    "code",
    "jwt",
    "credential",
    "otp",
    "csrf",
];

/// The values.
pub(super) struct Secrets(BTreeSet<String>);

/// Collects them: cookies, credentials, and whatever has the name of a secret in a field, a query or a body.
pub(super) fn of(exchanges: &[Exchange]) -> Secrets {
    let mut secrets = Secrets(BTreeSet::new());
    for exchange in exchanges {
        for (_, value) in exchange.cookies() {
            secrets.add(value);
        }
        for (_, value, _) in exchange.set_cookies() {
            secrets.add(value);
        }
        for (name, value) in exchange.request.iter().chain(&exchange.response) {
            if name == "authorization" {
                secrets.add(value.split_once(' ').map_or(value, |(_, token)| token));
            } else if name != "cookie" && name != "set-cookie" {
                secrets.add_named(name, value);
            }
        }
        for (name, value) in &exchange.query {
            secrets.add_named(name, value);
        }
        match &exchange.sent {
            Sent::Nothing => {}
            // What somebody typed is nobody's business.
            Sent::Form(fields) => fields.iter().for_each(|(name, value)| {
                if !is_public(name) {
                    secrets.add(value);
                }
            }),
            Sent::Json(value) => secrets.walk("", value, true),
        }
        if let Some(json) = &exchange.json {
            secrets.walk("", json, false);
        }
    }
    secrets
}

/// Names of the standard whose values are words of it.
fn is_public(name: &str) -> bool {
    [
        "grant_type",
        "response_type",
        "scope",
        "token_type",
        "audience",
    ]
    .contains(&name)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !is_public(&name) && NAMES.iter().any(|part| name.contains(part))
}

// === impl Secrets ===

impl Secrets {
    fn add(&mut self, value: &str) {
        let value = value.trim().trim_matches('"');
        if value.len() >= SHORTEST {
            self.0.insert(value.to_owned());
        }
    }

    fn add_named(&mut self, name: &str, value: &str) {
        if is_secret(name) {
            self.add(value);
        }
    }

    fn walk(&mut self, name: &str, value: &Value, all: bool) {
        match value {
            Value::String(text) if (all && !is_public(name)) || is_secret(name) => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.walk(name, item, all)),
            Value::Object(members) => members
                .iter()
                .for_each(|(name, value)| self.walk(name, value, all)),
            _ => {}
        }
    }

    /// Says whether a text holds one of them.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Returns a path up to its first part that is a value: a secret, a number, or what nobody would call a thing.
    pub(super) fn clean(&self, path: &str) -> String {
        let mut clean = String::new();
        for part in path.split('/').skip(1) {
            if self.is_value(part) {
                clean.push_str("/*");
                break;
            }
            clean.push('/');
            clean.push_str(part);
        }
        if clean.is_empty() {
            "/".to_owned()
        } else {
            clean
        }
    }

    fn is_value(&self, part: &str) -> bool {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        self.is_in(part)
            || (digits > 0 && digits == part.len())
            || digits >= 4
            || part.len() > 32
            || !part.bytes().all(plain)
    }
}
