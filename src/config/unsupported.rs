//! Keys and values of the contract whose capability is not in this release: refused by name rather than as unknown.
//!
//! The one place that knows; a capability that arrives takes its lines out of here.

/// A key that is not supported yet.
#[derive(Debug)]
pub(super) struct Key {
    pattern: &'static str,
    pub(super) hint: &'static str,
}

const KEYS: &[Key] = &[key("notify", "watch `staysigned status` instead")];

/// Pattern of a key, a value of it, and what to do instead.
const VALUES: &[(&str, &str, &str)] = &[(
    "session.*.sign.scheme",
    "hmac",
    "bind only hosts that need no signature",
)];

const fn key(pattern: &'static str, hint: &'static str) -> Key {
    Key { pattern, hint }
}

/// Finds a key by its pattern, as `session.*.refresh.from`.
pub(super) fn find(pattern: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.pattern == pattern)
}

/// Returns what to do instead of this value of this key, if it is one of the contract.
pub(super) fn value(pattern: &str, value: &str) -> Option<&'static str> {
    VALUES
        .iter()
        .find(|(key, word, _)| *key == pattern && *word == value)
        .map(|(_, _, hint)| *hint)
}
