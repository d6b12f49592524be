//! What a session holds, in the formats that tools read: the way back from [`import`](crate::import).
//!
//! Cookies and tokens in, text out; [`mod@file`] writes it. What a format cannot hold is left out with a warning,
//! never changed in silence. The text is a secret as a whole.

mod audible;
mod cookies_txt;
pub mod file;
mod json;
#[cfg(test)]
mod tests;

use std::{str::FromStr, time::SystemTime};

pub use self::audible::standin as audible_standin;
use crate::{grant::Grant, jar::Cookie, secret::Secret};

/// The formats (`--to`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Netscape's `cookies.txt`, as curl, wget, Python and yt-dlp load it.
    CookiesTxt,
    /// Cookies as Cookie-Editor imports them; of a session without cookies, its tokens as a token endpoint answers.
    Json,
    /// One object of names and values, as `requests` and its kind load it. It does not say where a cookie goes.
    CookiesJson,
    /// Playwright's `storageState`, without local storage.
    StorageState,
    /// A file that the `audible` library takes for its own, with nothing of the session in it.
    AudibleStandin,
    /// A `Cookie` field and, with an access token, an `Authorization` field, a line each.
    Header,
}

/// Every format, by the name that people write.
pub const KINDS: [(&str, Kind); 6] = [
    ("cookies-txt", Kind::CookiesTxt),
    ("json", Kind::Json),
    ("cookies-json", Kind::CookiesJson),
    ("storage-state", Kind::StorageState),
    ("header", Kind::Header),
    ("audible-standin", Kind::AudibleStandin),
];

/// A text to be handed out.
#[derive(Debug)]
pub struct Written {
    pub text: Secret<Vec<u8>>,
    /// What was left out, without its values.
    pub warnings: Vec<String>,
}

/// Why nothing was exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is no export to `{0}`")]
    Kind(String),
    #[error("the session holds nothing that this format has")]
    Empty,
}

/// Writes cookies, in their order, and what the grant holds as `kind`. Choose the cookies before: those of one request
/// ([`Jar::cookies_for`](crate::jar::Jar::cookies_for)) for `Header`, all that have not expired for a file.
pub fn write(kind: Kind, cookies: &[&Cookie], grant: &Grant) -> Result<Written, Error> {
    let written = match kind {
        Kind::CookiesTxt => cookies_txt::write(cookies),
        Kind::Json if cookies.is_empty() => json::write_tokens(grant).ok_or(Error::Empty)?,
        Kind::Json => json::write_cookies(cookies),
        Kind::CookiesJson => json::write_flat(cookies),
        Kind::StorageState => json::write_storage_state(cookies),
        Kind::Header => header(cookies, grant).ok_or(Error::Empty)?,
        // It is made of nothing that is held.
        Kind::AudibleStandin => return Err(Error::Empty),
    };
    let alone = matches!(
        kind,
        Kind::CookiesTxt | Kind::CookiesJson | Kind::StorageState
    );
    if cookies.is_empty() && alone {
        return Err(Error::Empty);
    }
    Ok(written)
}

fn header(cookies: &[&Cookie], grant: &Grant) -> Option<Written> {
    let mut text = Vec::new();
    for cookie in cookies {
        text.extend_from_slice(if text.is_empty() { b"Cookie: " } else { b"; " });
        if !cookie.name.is_empty() {
            text.extend_from_slice(&cookie.name);
            text.push(b'=');
        }
        text.extend_from_slice(cookie.value.expose());
    }
    if !text.is_empty() {
        text.push(b'\n');
    }
    if let Some(token) = grant.field("access_token") {
        text.extend_from_slice(b"Authorization: Bearer ");
        text.extend_from_slice(token.expose().as_bytes());
        text.push(b'\n');
    }
    (!text.is_empty()).then(|| Written {
        text: Secret::new(text),
        warnings: Vec::new(),
    })
}

/// Returns the seconds since 1970 of an expiry.
fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Returns how a cookie is named in a warning.
fn shown(cookie: &Cookie) -> String {
    let name = String::from_utf8_lossy(&cookie.name);
    format!("cookie {name:?} of {}", cookie.domain)
}

// === impl Kind ===

impl FromStr for Kind {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let found = KINDS.iter().find(|(name, _)| *name == s);
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| Error::Kind(s.to_owned()))
    }
}

// === impl Error ===

impl Error {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind(_) => {
                "there are cookies-txt, json, cookies-json, storage-state, header and audible-standin"
            }
            Self::Empty => "cookies go to any format, tokens to json and header",
        }
    }
}
