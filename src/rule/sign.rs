//! `sign`: fields computed over the bytes of a request as they are sent. The last thing that is done to one: whatever
//! changes it afterwards makes the signature void.

mod adp;

use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Method};

pub use self::adp::key as adp_key;
use super::template::{self, Template};

/// How requests of a session are signed; the templates are rendered for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// RSA over method, path, date, body and the device's token, as Amazon's devices do.
    Adp { token: Template, key: Template },
}

/// What is signed: the request as it goes over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    pub body: &'a [u8],
    pub now: SystemTime,
}

/// Why a request cannot be signed. Names what is wrong, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("what signs it cannot be made")]
    Template(#[from] template::Error),
    #[error("the key that signs is no RSA private key of 2048 bits or more")]
    Key,
    #[error("the token that goes with the signature has a character that no field can carry")]
    Token,
}

// === impl Sign ===

impl Sign {
    /// Returns the templates of what signs.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let Self::Adp { token, key } = self;
        [token, key].into_iter()
    }

    /// Returns the names of the fields that are set: a client's own are replaced, and go when there is no signature.
    pub fn fields(&self) -> &'static [HeaderName] {
        match self {
            Self::Adp { .. } => &adp::FIELDS,
        }
    }

    /// Tells whether the credential lives as long as the keys that sign, whatever its token says.
    pub fn outlives_tokens(&self) -> bool {
        matches!(self, Self::Adp { .. })
    }

    /// Returns the fields that sign a request.
    pub fn sign(
        &self,
        signed: Signed<'_>,
        render: &dyn Fn(&Template) -> Result<String, template::Error>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let Self::Adp { token, key } = self;
        adp::sign(signed, &render(token)?, &render(key)?)
    }
}
