//! How a credential is put on a request: `inject` and `cookies`.

use http::HeaderName;

use super::values::{cookie_name, one_of};
use crate::{
    config::{
        read::{At, Keys},
        tree::Value,
    },
    rule::{Cookies, Inject, Merge, Mode, Place, SetCookie, Spot, pointer::Pointer},
};

const HINT: &str = "header = \"authorization\", query = \"key\", cookie = \"sid\", json = \"/token\" or form = \"token\", with a value";

/// Fields that belong to a connection or frame the message (RFC 9110 §7.6.1, §8.6): no session may set them.
const FRAMING: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Reads `inject`.
pub(super) fn list(at: &At<'_>) -> Vec<Inject> {
    let mut list: Vec<Inject> = Vec::new();
    for at in at.one_or_many() {
        let Some(inject) = at.table(one).flatten() else {
            continue;
        };
        if list.iter().any(|other| other.place == inject.place) {
            at.fault(
                "the same place is written twice",
                "one entry for each header, query parameter or cookie",
            );
        }
        list.push(inject);
    }
    list
}

fn one(keys: &Keys<'_>) -> Option<Inject> {
    let header = keys
        .at("header")
        .and_then(|at| field(&at))
        .map(Place::Header);
    let query = keys.at("query").and_then(|at| {
        let name: String = at.get()?;
        if name.is_empty() {
            at.fault("the parameter has no name", HINT);
        }
        Some(Place::Query(name))
    });
    let cookie = keys
        .at("cookie")
        .and_then(|at| cookie_name(&at))
        .map(Place::Cookie);
    let json = keys.at("json").and_then(|at| member(&at));
    let form = keys.at("form").and_then(|at| form(&at));
    let body = json.or(form).map(Place::Body);
    one_of(keys, &["header", "query", "cookie", "json", "form"], HINT);
    let value = keys.need("value", HINT).and_then(|at| {
        braces(&at);
        at.get()
    });
    let mode = keys.choice(
        "mode",
        &[
            ("replace", Mode::Replace),
            ("if_missing", Mode::IfMissing),
            ("if_present", Mode::IfPresent),
            ("on_challenge", Mode::OnChallenge),
        ],
    );
    Some(Inject {
        place: header.or(query).or(cookie).or(body)?,
        value: value?,
        mode,
    })
}

/// Notes what looks like a field and is none: `{token}`, `${TOKEN}`.
fn braces(at: &At<'_>) {
    let Value::Text(text) = &at.node.value else {
        return;
    };
    let Some((before, rest)) = text.split_once('{').filter(|_| !text.contains("{{")) else {
        return;
    };
    let Some((name, after)) = rest.split_once('}') else {
        return;
    };
    let name = name.trim();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !name.is_empty() && name.bytes().all(is_name) {
        let before = before.trim_end_matches('$');
        let name = name.to_ascii_lowercase();
        at.fault(
            "nothing is put in for a single brace",
            format!("value = \"{before}{{{{ {name} }}}}{after}\""),
        );
    }
}

/// Reads the place of a value in the body of a client's request.
pub(super) fn spot(at: &At<'_>) -> Option<Spot> {
    const HINT: &str = "{ form = \"refresh_token\" } or { json = \"/refresh_token\" }";
    at.table(|keys| {
        let json = keys.at("json").and_then(|at| member(&at));
        let form = keys.at("form").and_then(|at| form(&at));
        one_of(keys, &["json", "form"], HINT);
        json.or(form)
    })?
}

/// Reads the place of a value in a JSON body.
fn member(at: &At<'_>) -> Option<Spot> {
    let pointer: Pointer = at.get()?;
    if pointer.as_str().is_empty() {
        at.fault(
            "the pointer names the whole body",
            "name a member: json = \"/token\"",
        );
    }
    Some(Spot::Json(pointer))
}

/// Reads the name of a pair of a form.
pub(super) fn form(at: &At<'_>) -> Option<Spot> {
    let name: String = at.get()?;
    if name.is_empty() {
        at.fault("the pair has no name", "form = \"token\"");
    }
    Some(Spot::Form(name))
}

/// Reads the name of a field that a session may set.
pub(super) fn field(at: &At<'_>) -> Option<HeaderName> {
    let name: HeaderName = at.get()?;
    if is_framing(&name) {
        at.fault(
            format!("`{name}` frames the message or belongs to the connection"),
            "choose the field that carries the credential",
        );
        return None;
    }
    Some(name)
}

pub(super) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str())
}

/// Reads `cookies`: a session that has the table keeps a jar.
pub(super) fn cookies(keys: &Keys<'_>) -> Cookies {
    let required = keys.at("required").map(|at| {
        let names = at.one_or_many();
        names.iter().filter_map(cookie_name).collect()
    });
    Cookies {
        enabled: true,
        required: required.unwrap_or_default(),
        merge: keys.choice(
            "merge",
            &[
                ("jar", Merge::Jar),
                ("only", Merge::Only),
                ("client", Merge::Client),
            ],
        ),
        set_cookie: keys.choice(
            "set_cookie",
            &[("hide", SetCookie::Hide), ("pass", SetCookie::Pass)],
        ),
        expires: keys.get("expires"),
    }
}
