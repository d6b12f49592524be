//! The cookies that make a session, and whether they rotate.

use std::collections::BTreeMap;

use super::{
    hosts::{is_of, signs_out},
    tokens::{From, Inject},
};
use crate::import::recording::Exchange;

/// A cookie without which nobody is signed in.
pub(super) struct Cookie {
    pub(super) name: String,
    /// How many different values answers have set.
    pub(super) values: usize,
}

/// What is seen of one cookie.
#[derive(Default)]
struct Seen {
    values: Vec<String>,
    http_only: bool,
    deleted: bool,
    sent: usize,
    longest: usize,
}

/// Beginnings of names that are counted, measured and protected with, and sign nobody in.
const NOISE: [&str; 20] = [
    "_ga",
    "_gid",
    "_gat",
    "_gcl",
    "_fbp",
    "_hj",
    "__utm",
    "amplitude",
    "ajs_",
    "mp_",
    "optanon",
    "intercom",
    "__cf",
    "cf_",
    "_abck",
    "ak_bmsc",
    "bm_",
    "incap_",
    "datadome",
    "_dd_",
];

/// Parts of names of cookies that sign in.
const LIKELY: [&str; 8] = [
    "sess", "sid", "auth", "token", "jwt", "login", "remember", "user",
];

/// Returns the cookies that are needed.
pub(super) fn of(exchanges: &[Exchange], site: &str, injects: &[Inject]) -> Vec<Cookie> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    let own = exchanges
        .iter()
        .filter(|exchange| is_of(site, &exchange.origin.host));
    for exchange in own {
        for (name, value) in exchange.cookies() {
            let seen = all.entry(name.to_owned()).or_default();
            seen.sent += 1;
            seen.longest = seen.longest.max(value.len());
        }
        for set in sets(exchange) {
            let seen = all.entry(set.name.to_owned()).or_default();
            seen.http_only |= set.http_only;
            if set.is_away {
                // A session ends with its sign-out; what goes before that was for a moment only.
                seen.deleted |= !signs_out(exchange);
            } else {
                seen.deleted = false;
                seen.longest = seen.longest.max(set.value.len());
                if !seen.values.iter().any(|known| known == set.value) {
                    seen.values.push(set.value.to_owned());
                }
            }
        }
    }
    let used = |name: &str| {
        injects
            .iter()
            .any(|inject| matches!(&inject.from, From::Cookie { name: of, .. } if of == name))
    };
    let found: Vec<(String, Seen)> = all
        .into_iter()
        .filter(|(name, seen)| is_name(name) && !seen.deleted && seen.sent > 0)
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !NOISE.iter().any(|noise| name.starts_with(noise))
        })
        .collect();
    let likely = |name: &str| {
        let name = name.to_ascii_lowercase();
        LIKELY.iter().any(|part| name.contains(part)) && !name.contains("csrf")
    };
    // The best evidence that there is: what scripts may not read and looks like it, either of the two, anything long.
    let tests: [&dyn Fn(&str, &Seen) -> bool; 4] = [
        &|name, seen| seen.http_only && likely(name),
        &|_, seen| seen.http_only,
        &|name, seen| likely(name) && seen.longest >= 16,
        &|_, seen| seen.longest >= 32,
    ];
    let best = tests
        .iter()
        .find(|test| found.iter().any(|(name, seen)| test(name, seen)));
    let picked = found
        .iter()
        .filter(|(name, seen)| used(name) || best.is_some_and(|test| test(name, seen)));
    picked
        .map(|(name, seen)| Cookie {
            name: name.clone(),
            values: seen.values.len(),
        })
        .collect()
}

/// Tells whether a cookie of the session was taken away by a sign-out, for good: the recording holds no session any more.
pub(super) fn is_over(exchanges: &[Exchange], cookies: &[Cookie]) -> bool {
    let Some(at) = exchanges.iter().rposition(signs_out) else {
        return false;
    };
    let has = |exchange: &Exchange, name: &str, away: bool| {
        sets(exchange).any(|set| set.name == name && set.is_away == away)
    };
    cookies.iter().any(|cookie| {
        let name = &cookie.name;
        has(&exchanges[at], name, true) && !exchanges[at..].iter().any(|e| has(e, name, false))
    })
}

/// A `Set-Cookie` of an answer.
struct Set<'a> {
    name: &'a str,
    value: &'a str,
    http_only: bool,
    /// It takes the cookie away.
    is_away: bool,
}

fn sets(exchange: &Exchange) -> impl Iterator<Item = Set<'_>> {
    exchange.set_cookies().map(|(name, value, attributes)| {
        let mut parts = attributes.split(';').map(str::trim);
        let http_only = parts.clone().any(|part| part == "httponly");
        let over = parts.any(|part| match part.split_once('=') {
            Some(("max-age", age)) => age == "0" || age.starts_with('-'),
            Some(("expires", date)) => date.replace('-', " ").contains("jan 1970"),
            _ => false,
        });
        Set {
            name,
            value,
            http_only,
            is_away: over || value.is_empty() || value == "deleted",
        }
    })
}

/// Returns a GET of which the answer sets such a cookie anew.
pub(super) fn touch(
    exchanges: &[Exchange],
    cookies: &[Cookie],
    bound: &dyn Fn(&Exchange) -> bool,
    clean: &dyn Fn(&str) -> String,
) -> Option<String> {
    let rotates = |exchange: &&Exchange| {
        let known = |name: &str| cookies.iter().any(|c| c.name == name && c.values > 1);
        let sent: Vec<(&str, &str)> = exchange.cookies().collect();
        let mut set = exchange.set_cookies();
        exchange.method == "GET"
            && exchange.status == 200
            && bound(exchange)
            && !clean(&exchange.path).contains('*')
            && set.any(|(name, value, _)| {
                known(name) && sent.iter().any(|(n, v)| *n == name && *v != value)
            })
    };
    let found = exchanges.iter().find(rotates)?;
    Some(format!(
        "{}{}",
        super::write::bare(&found.origin.to_string()),
        found.path
    ))
}

/// Names that can stand in a template.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
