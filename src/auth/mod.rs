//! The messages of renewing and signing in: requests to token endpoints and what their answers mean, codes by a
//! browser and for devices, the steps of a login, what credential commands print. Pure: data in, data out; the time is an argument.

pub mod code;
pub mod credentials;
pub mod device;
pub mod oauth2;
pub mod pkce;
pub mod step;
pub mod token;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};

pub use crate::rule::jwt;
use crate::{
    rule::{
        Url,
        template::{self, Scope, Template},
    },
    secret::Secret,
};

/// A request of a refresh, ready to be sent to its URL and nowhere else.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Secret<Vec<u8>>,
}

/// Why a request of a refresh cannot be made. Names the field, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request's {part} cannot be made")]
    Template {
        part: String,
        #[source]
        source: template::Error,
    },
    #[error("the request's {0} has a character that no field may have")]
    Character(String),
}

impl Error {
    fn of(part: &str, source: template::Error) -> Self {
        Self::Template {
            part: part.to_owned(),
            source,
        }
    }
}

/// Returns pairs as `application/x-www-form-urlencoded`.
fn form(pairs: &[(String, String)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
        .into_bytes()
}

fn media_type(headers: &mut HeaderMap, media: &'static str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
}

/// Renders fields over those that are there by default.
fn set_headers(
    headers: &mut HeaderMap,
    templates: &[(HeaderName, Template)],
    scope: &Scope<'_>,
) -> Result<(), Error> {
    for (name, template) in templates {
        let part = || format!("header {name}");
        let text = template
            .render(scope)
            .map_err(|source| Error::of(&part(), source))?;
        headers.insert(name, field(text).ok_or_else(|| Error::Character(part()))?);
    }
    Ok(())
}

/// Returns a field value that stays out of logs and of header compression's tables.
fn field(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
