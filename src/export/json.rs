//! JSON: the array of Cookie-Editor, one object of names and values, Playwright's storage state, and tokens.

use serde_json::{Map, Value, json};

use super::{Written, seconds, shown};
use crate::{
    grant::Grant,
    jar::{Cookie, SameSite},
    secret::Secret,
};

/// The fields of a token answer (RFC 6749 §5.1), in its order.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

pub(super) fn write_cookies(cookies: &[&Cookie]) -> Written {
    let mut warnings = Vec::new();
    let entry = |cookie: &&Cookie| {
        let (name, value) = text(cookie, &mut warnings)?;
        let same_site = match cookie.same_site {
            None => "unspecified",
            Some(SameSite::None) => "no_restriction",
            Some(SameSite::Lax) => "lax",
            Some(SameSite::Strict) => "strict",
        };
        let mut entry = json!({
            "domain": domain(cookie),
            "hostOnly": cookie.host_only,
            "httpOnly": cookie.http_only,
            "name": name,
            "path": cookie.path,
            "sameSite": same_site,
            "secure": cookie.secure,
            "session": cookie.expires.is_none(),
            "storeId": null,
            "value": value,
        });
        if let Some(expires) = cookie.expires {
            entry["expirationDate"] = seconds(expires).into();
        }
        Some(entry)
    };
    let entries = cookies.iter().filter_map(entry).collect();
    written(&Value::Array(entries), warnings)
}

/// Writes names and values. Of several cookies of one name the one that came last has the name.
pub(super) fn write_flat(cookies: &[&Cookie]) -> Written {
    let mut warnings = Vec::new();
    let mut object = Map::new();
    let mut sorted = cookies.to_vec();
    sorted.sort_by_key(|cookie| cookie.created);
    for (at, cookie) in sorted.iter().enumerate() {
        if cookie.name.is_empty() {
            warnings.push(format!(
                "{} was left out: it has no name; json has it",
                shown(cookie)
            ));
        } else if sorted[at + 1..].iter().any(|o| o.name == cookie.name) {
            warnings.push(format!(
                "{} was left out: there is a later one of its name; json has both",
                shown(cookie)
            ));
        } else if let Some((name, value)) = text(cookie, &mut warnings) {
            object.insert(name.to_owned(), value.into());
        }
    }
    written(&Value::Object(object), warnings)
}

pub(super) fn write_storage_state(cookies: &[&Cookie]) -> Written {
    let mut warnings = Vec::new();
    let entry = |cookie: &&Cookie| {
        let (name, value) = text(cookie, &mut warnings)?;
        Some(json!({
            "name": name,
            "value": value,
            "domain": domain(cookie),
            "path": cookie.path,
            "expires": cookie.expires.map_or(json!(-1), |at| seconds(at).into()),
            "httpOnly": cookie.http_only,
            "secure": cookie.secure,
            // Playwright wants one of the three; Lax is what browsers take for "not set".
            "sameSite": cookie.same_site.unwrap_or(SameSite::Lax).as_str(),
        }))
    };
    let entries: Vec<_> = cookies.iter().filter_map(entry).collect();
    written(&json!({ "cookies": entries, "origins": [] }), warnings)
}

/// Writes the tokens of a grant; `None`: it has none.
pub(super) fn write_tokens(grant: &Grant) -> Option<Written> {
    let mut object = Map::new();
    for name in TOKENS {
        if let Some(token) = grant.field(name) {
            object.insert(name.to_owned(), token.expose().as_str().into());
        }
    }
    if object.is_empty() {
        return None;
    }
    if let Some(expires) = grant.expires_at {
        object.insert("expires_at".to_owned(), seconds(expires).into());
    }
    Some(written(&Value::Object(object), Vec::new()))
}

fn domain(cookie: &Cookie) -> String {
    let dot = if cookie.host_only { "" } else { "." };
    format!("{dot}{}", cookie.domain)
}

/// Returns name and value if they are text: JSON has nothing else.
fn text<'a>(cookie: &'a Cookie, warnings: &mut Vec<String>) -> Option<(&'a str, &'a str)> {
    let name = std::str::from_utf8(&cookie.name).ok();
    let value = std::str::from_utf8(cookie.value.expose()).ok();
    let text = name.zip(value);
    if text.is_none() {
        warnings.push(format!(
            "{} was left out: it is no UTF-8 text; cookies-txt has it",
            shown(cookie)
        ));
    }
    text
}

fn written(value: &Value, warnings: Vec<String>) -> Written {
    let mut text = serde_json::to_vec_pretty(value).expect("a JSON value can be written");
    text.push(b'\n');
    Written {
        text: Secret::new(text),
        warnings,
    }
}
