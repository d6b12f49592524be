//! What a session holds: its fields (tokens and whatever else was captured) and its expiry; and the number that
//! counts its changes. The cookies of a session live in its jar.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use crate::secret::Secret;

/// Counts the changes of a session's credential. Nothing is held at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Tokens and other captured fields, with their expiry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// `access_token`, `refresh_token` and others by name.
    pub fields: BTreeMap<String, Secret>,
    /// When the credential ends, if that is known (wall clock, the server's skew taken off).
    pub expires_at: Option<SystemTime>,
    /// When it was obtained: with `expires_at` the lifetime.
    pub obtained_at: Option<SystemTime>,
}

// === impl Generation ===

impl Generation {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Grant ===

impl Grant {
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.fields.get(name)
    }
}
