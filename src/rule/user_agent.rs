//! `user_agent`: one for all tools of a session.

use http::HeaderValue;

use crate::grant::Grant;

/// The field of the grant that an import brings it in.
pub const FIELD: &str = "user_agent";

/// What takes the place of each tool's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAgent {
    Set(HeaderValue),
    /// The one with which the session was imported; until there is one, the tool's.
    Learnt,
}

// === impl UserAgent ===

impl UserAgent {
    /// Returns the value for requests, if there is one.
    pub fn of(&self, grant: &Grant) -> Option<HeaderValue> {
        match self {
            Self::Set(value) => Some(value.clone()),
            Self::Learnt => HeaderValue::from_str(grant.field(FIELD)?.expose()).ok(),
        }
    }
}
