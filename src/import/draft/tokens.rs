//! Tokens: which fields carry them, where they come from, and how they are asked for.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::hosts::is_of;
use crate::import::recording::{Exchange, Sent};

/// A field that carries the credential.
pub(super) struct Inject {
    pub(super) header: String,
    /// What stands before the value: `Bearer `.
    pub(super) before: String,
    pub(super) from: From,
    /// What it carried, to know the hosts that got it.
    values: BTreeSet<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum From {
    Token,
    Cookie { name: String, decoded: bool },
}

/// Where tokens come from.
pub(super) struct Endpoint {
    pub(super) origin: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) grant: Grant,
    pub(super) json: bool,
    pub(super) client: ClientAuth,
    pub(super) has_client_id: bool,
    /// The member of the request that has the refresh token, if it is not the standard's.
    pub(super) spends: Option<String>,
    pub(super) has_grant_type: bool,
    /// Other members of the request, with the value where that is a word of the standard.
    pub(super) others: Vec<(String, Option<String>)>,
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) expires: Option<String>,
}

/// The best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grant {
    Refresh,
    ClientCredentials,
    /// A login: what it brings is learnt, and renewed only if a refresh token is among it.
    Login,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    Basic,
    Post,
    /// A public client, with or without an id.
    None,
}

const ACCESS: [&str; 7] = [
    "access_token",
    "accessToken",
    "access",
    "id_token",
    "idToken",
    "jwt",
    "token",
];
const REFRESH: [&str; 3] = ["refresh_token", "refreshToken", "refresh"];
const EXPIRES: [&str; 2] = ["expires_in", "expiresIn"];

/// Fields of requests that are no credential, whatever stands in them.
const PLAIN: [&str; 12] = [
    "accept",
    "cookie",
    "content-type",
    "content-length",
    "host",
    "origin",
    "referer",
    "user-agent",
    "if-none-match",
    "accept-language",
    "accept-encoding",
    "connection",
];

/// How deep tokens are looked for in an answer.
const DEPTH: usize = 4;

/// Returns the request that gives tokens; of several, one that refreshes.
pub(super) fn endpoint(exchanges: &[Exchange]) -> Option<Endpoint> {
    let is_used = |token: &str| {
        let fields = exchanges.iter().flat_map(|exchange| &exchange.request);
        fields.into_iter().any(|(_, value)| value.contains(token))
    };
    let found = exchanges.iter().filter_map(|exchange| {
        if exchange.method != "POST" || !(200..300).contains(&exchange.status) {
            return None;
        }
        let answer = exchange.json.as_ref()?;
        let (access, token) = find(answer, &ACCESS, |value| {
            value
                .as_str()
                .filter(|text| text.len() >= 16)
                .map(str::to_owned)
        })?;
        let members = members(&exchange.sent);
        let of_standard = members.iter().any(|(name, _)| name == "grant_type")
            || exchange.query.iter().any(|(name, _)| name == "grant_type");
        (of_standard || is_used(&token)).then(|| one(exchange, answer, access, members))
    });
    found.min_by_key(|endpoint| endpoint.grant)
}

fn one(
    exchange: &Exchange,
    answer: &Value,
    access: String,
    members: Vec<(String, String)>,
) -> Endpoint {
    let get = |name: &str| {
        let mut all = members.iter().chain(&exchange.query);
        all.find(|(member, _)| member == name)
            .map(|(_, value)| value.as_str())
    };
    let spends = members.iter().map(|(name, _)| name).find(|name| {
        REFRESH.contains(&name.as_str()) || name.to_ascii_lowercase().contains("refreshtoken")
    });
    let grant = match get("grant_type") {
        Some("refresh_token") => Grant::Refresh,
        Some("client_credentials") => Grant::ClientCredentials,
        Some(_) => Grant::Login,
        None if spends.is_some() => Grant::Refresh,
        None => Grant::Login,
    };
    let basic = exchange
        .field("authorization")
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("basic "));
    let client = match get("client_secret") {
        _ if basic => ClientAuth::Basic,
        Some(_) => ClientAuth::Post,
        None => ClientAuth::None,
    };
    let known = [
        "grant_type",
        "client_id",
        "client_secret",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "username",
        "password",
    ];
    let others = members
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()) && Some(name) != spends)
        .filter(|_| grant != Grant::Login)
        .map(|(name, value)| {
            let word = ["scope", "audience", "resource"].contains(&name.as_str());
            (name.clone(), word.then(|| value.clone()))
        })
        .collect();
    let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let number = |value: &Value| {
        let is = value.is_number() || value.as_str().is_some_and(|t| t.parse::<f64>().is_ok());
        is.then(String::new)
    };
    let query: Vec<String> = exchange
        .query
        .iter()
        .filter(|(name, value)| name == "grant_type" && value == "refresh_token")
        .map(|(name, value)| format!("?{name}={value}"))
        .collect();
    Endpoint {
        origin: exchange.origin.to_string(),
        host: exchange.origin.host.to_string(),
        path: format!("{}{}", exchange.path, query.concat()),
        grant,
        json: matches!(exchange.sent, Sent::Json(_)),
        client,
        has_client_id: basic || get("client_id").is_some(),
        spends: spends.filter(|name| *name != "refresh_token").cloned(),
        has_grant_type: members.iter().any(|(name, _)| name == "grant_type"),
        others,
        access,
        refresh: find(answer, &REFRESH, text).map(|(pointer, _)| pointer),
        expires: find(answer, &EXPIRES, number).map(|(pointer, _)| pointer),
    }
}

/// Returns the members of a body, those of an object at its top.
fn members(sent: &Sent) -> Vec<(String, String)> {
    match sent {
        Sent::Nothing => Vec::new(),
        Sent::Form(fields) => fields.clone(),
        Sent::Json(Value::Object(members)) => members
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        Sent::Json(_) => Vec::new(),
    }
}

/// Looks for a member by its names, the first name first; returns its pointer (RFC 6901) and what `take` makes of it.
fn find(
    value: &Value,
    names: &[&str],
    take: impl Fn(&Value) -> Option<String> + Copy,
) -> Option<(String, String)> {
    names
        .iter()
        .find_map(|name| find_one(value, name, take, DEPTH))
}

fn find_one(
    value: &Value,
    name: &str,
    take: impl Fn(&Value) -> Option<String> + Copy,
    depth: usize,
) -> Option<(String, String)> {
    let Value::Object(members) = value else {
        return None;
    };
    if let Some(taken) = members.get(name).and_then(take) {
        return Some((format!("/{name}"), taken));
    }
    let below = depth.checked_sub(1)?;
    members.iter().find_map(|(member, value)| {
        let (pointer, taken) = find_one(value, name, take, below)?;
        let member = member.replace('~', "~0").replace('/', "~1");
        Some((format!("/{member}{pointer}"), taken))
    })
}

/// Returns the fields that carry a token, or the value of a cookie.
pub(super) fn injects(
    exchanges: &[Exchange],
    site: &str,
    endpoint: Option<&Endpoint>,
) -> Vec<Inject> {
    let mut tokens: BTreeSet<String> = BTreeSet::new();
    if endpoint.is_some() {
        let answers = exchanges
            .iter()
            .filter_map(|exchange| exchange.json.as_ref());
        tokens.extend(answers.filter_map(|answer| {
            find(answer, &ACCESS, |value| value.as_str().map(str::to_owned)).map(|(_, token)| token)
        }));
    }
    let mut cookies: BTreeSet<(String, String)> = BTreeSet::new();
    let mut injects: Vec<Inject> = Vec::new();
    for exchange in exchanges {
        let pairs = exchange
            .cookies()
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let set = exchange
            .set_cookies()
            .map(|(n, v, _)| (n.to_owned(), v.to_owned()));
        cookies.extend(pairs.chain(set).filter(|(_, value)| value.len() >= 8));
        let own = is_of(site, &exchange.origin.host);
        let fields = exchange.request.iter();
        for (header, value) in fields.filter(|(name, _)| {
            !PLAIN.contains(&name.as_str()) && !name.starts_with("sec-") && !name.starts_with(':')
        }) {
            let (before, token) = match value.split_once(' ') {
                Some((scheme, token)) if header == "authorization" => (format!("{scheme} "), token),
                _ => (String::new(), value.as_str()),
            };
            if before.eq_ignore_ascii_case("basic ") || token.len() < 8 {
                continue;
            }
            let of_cookie = || {
                let decoded = |value: &str| percent_decode_str(value).decode_utf8_lossy() == token;
                let mut raw = cookies.iter().filter(|(_, value)| value == token);
                let mut spelt = cookies.iter().filter(|(_, value)| decoded(value));
                let name = |(name, _): &(String, String)| name.clone();
                match raw.next().map(name) {
                    Some(name) => Some(From::Cookie {
                        name,
                        decoded: false,
                    }),
                    None => spelt.next().map(name).map(|name| From::Cookie {
                        name,
                        decoded: true,
                    }),
                }
            };
            let from = match of_cookie() {
                Some(from) if own => from,
                // A third party's token is its own affair.
                _ if tokens.contains(token) || (own && header == "authorization") => From::Token,
                _ => continue,
            };
            if from == From::Token {
                tokens.insert(token.to_owned());
            }
            match injects.iter_mut().find(|inject| inject.header == *header) {
                Some(inject) => drop(inject.values.insert(value.clone())),
                None => injects.push(Inject {
                    header: header.clone(),
                    before,
                    from,
                    values: [value.clone()].into(),
                }),
            }
        }
    }
    injects
}

// === impl Inject ===

impl Inject {
    pub(super) fn is_token(&self) -> bool {
        self.from == From::Token
    }

    /// Says whether a request carries what the site's own do.
    pub(super) fn is_on(&self, exchange: &Exchange) -> bool {
        let value = exchange.field(&self.header);
        value.is_some_and(|value| self.values.contains(value))
    }
}
