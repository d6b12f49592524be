//! What storing a cookie comes to: what the engine writes down, and what it does not.

use super::Key;

/// What one `Set-Cookie` field, or one cookie put in, did to the jar.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "what was evicted must leave the store as well"]
pub struct Outcome {
    pub stored: Stored,
    /// Other cookies that left the jar: expired ones, and those that made room.
    pub evicted: Vec<Key>,
}

/// What became of one cookie.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// Nothing changed: the same cookie with the same value and attributes (an expiry that moved by less than
    /// a second is the same), or the end of a cookie that is not there.
    Same,
    /// A new cookie, or a new value.
    Changed(Key),
    /// The same value with another expiry or another attribute.
    Touched(Key),
    /// A cookie ended: expired by the server.
    Removed(Key),
    /// Not stored, and why.
    Refused(Refused),
}

/// Why a cookie is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the field is no cookie")]
    Malformed,
    #[error("the cookie is larger than the limit")]
    TooLarge,
    #[error("its domain is not the host's")]
    Domain,
    #[error("its domain is a public suffix")]
    PublicSuffix,
    #[error("Secure from an origin that is not https")]
    Insecure,
    #[error("SameSite=None without Secure")]
    SameSite,
    #[error("its name has a prefix whose conditions it does not meet")]
    Prefix,
    #[error("it would overwrite a Secure cookie from an insecure origin")]
    LeaveSecureAlone,
    #[error("the jar is full of cookies that are kept before it")]
    Full,
}

// === impl Outcome ===

impl From<Stored> for Outcome {
    fn from(stored: Stored) -> Self {
        Self {
            stored,
            evicted: Vec::new(),
        }
    }
}
