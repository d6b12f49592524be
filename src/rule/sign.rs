//! `sign`: fields computed over the bytes of a request as they are sent. The last thing that is done to one: whatever
//! changes it afterwards makes the signature void.

mod adp;
mod sigv4;

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub use self::adp::key as adp_key;
use super::template::{self, Template};

/// How requests of a session are signed; the templates are rendered for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// RSA over method, path, date, body and the device's token, as Amazon's devices do.
    Adp { token: Template, key: Template },
    /// AWS Signature Version 4.
    SigV4(Box<SigV4>),
}

/// What signs as AWS does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    pub region: Template,
    pub service: Template,
    pub access_key_id: Template,
    pub secret_access_key: Template,
    /// Of credentials that end.
    pub session_token: Option<Template>,
}

/// What is signed: the request as it goes over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// As the `Host` field has it.
    pub host: &'a str,
    pub headers: &'a HeaderMap,
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
    #[error("a field that is signed has a character that no field can carry")]
    Field,
}

// === impl Sign ===

impl Sign {
    /// Returns the name of its scheme, as the configuration has it.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Adp { .. } => "adp",
            Self::SigV4(_) => "sigv4",
        }
    }

    /// Returns the templates of what signs.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let all: [Option<&Template>; 5] = match self {
            Self::Adp { token, key } => [Some(token), Some(key), None, None, None],
            Self::SigV4(with) => [
                Some(&with.region),
                Some(&with.service),
                Some(&with.access_key_id),
                Some(&with.secret_access_key),
                with.session_token.as_ref(),
            ],
        };
        all.into_iter().flatten()
    }

    /// Returns the names of the fields that are set: a client's own are replaced, and go when there is no signature.
    pub fn fields(&self) -> &'static [HeaderName] {
        match self {
            Self::Adp { .. } => &adp::FIELDS,
            Self::SigV4(_) => &sigv4::FIELDS,
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
        match self {
            Self::Adp { token, key } => adp::sign(signed, &render(token)?, &render(key)?),
            Self::SigV4(with) => {
                let token = with.session_token.as_ref().map(render).transpose()?;
                let with = sigv4::With {
                    region: &render(&with.region)?,
                    service: &render(&with.service)?,
                    key_id: &render(&with.access_key_id)?,
                    secret: &render(&with.secret_access_key)?,
                    token: token.as_deref(),
                };
                sigv4::sign(signed, &with)
            }
        }
    }
}
