//! The `Cookie` field: the jar's cookies, the client's and the injected ones in one string (RFC 6265 §4.2).

use http::{HeaderMap, HeaderValue, header::COOKIE};

use super::without;
use crate::rule::{Merge, Mode};

/// A cookie to be put on a request: `crumb` is `name=value`.
pub(super) struct Put<'a> {
    pub(super) name: &'a [u8],
    pub(super) crumb: &'a [u8],
    pub(super) mode: Mode,
}

/// Joins several `Cookie` fields into one, where the first stands: HTTP/2 clients may send a field for each cookie
/// (RFC 9113 §8.2.3), and HTTP/1.1 servers want one.
pub fn join(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined = glue(&crumbs(headers));
    headers.insert(COOKIE, joined);
}

/// Writes the request's `Cookie` field, and tells whether anything of the session is in it. With
/// `merge = "only"` the client's cookies go even if the jar has none.
///
/// A managed cookie takes the place of every cookie of its name: appended, the server would find the client's stale
/// one first.
pub(super) fn merge(
    headers: &mut HeaderMap,
    jar: Option<&HeaderValue>,
    merge: Merge,
    puts: &[Put<'_>],
) -> bool {
    if puts.is_empty() {
        match (jar, merge) {
            (Some(jar), _) if merge == Merge::Only || !headers.contains_key(COOKIE) => {
                headers.insert(COOKIE, jar.clone());
                return true;
            }
            (None, Merge::Only) => {
                without(headers, &[&COOKIE]);
                return false;
            }
            (None, Merge::Jar | Merge::Client) => {
                join(headers);
                return false;
            }
            (Some(_), _) => {}
        }
    }
    let mut client = crumbs(headers);
    let mut managed: Vec<&[u8]> = jar.map_or_else(Vec::new, |jar| split(jar).collect());
    match merge {
        Merge::Only => client.clear(),
        Merge::Jar => client.retain(|crumb| !has(&managed, name(crumb))),
        Merge::Client => managed.retain(|crumb| !has(&client, name(crumb))),
    }
    let mut sent = !managed.is_empty();
    let mut all = match merge {
        Merge::Client => [client, managed].concat(),
        Merge::Jar | Merge::Only => [managed, client].concat(),
    };
    for put in puts {
        let present = has(&all, put.name);
        let wanted = match put.mode {
            Mode::Replace | Mode::OnChallenge => true,
            Mode::IfMissing => !present,
            Mode::IfPresent => present,
        };
        if wanted {
            all.retain(|crumb| name(crumb) != put.name);
            all.push(put.crumb);
            sent = true;
        }
    }
    if all.is_empty() {
        without(headers, &[&COOKIE]);
    } else {
        let field = glue(&all);
        headers.insert(COOKIE, field);
    }
    sent
}

/// Removes cookies by name.
pub(super) fn take(headers: &mut HeaderMap, names: &[&[u8]]) {
    let all = crumbs(headers);
    let mut kept = all.clone();
    kept.retain(|crumb| !names.contains(&name(crumb)));
    if kept.len() == all.len() {
        return;
    }
    if kept.is_empty() {
        without(headers, &[&COOKIE]);
    } else {
        let field = glue(&kept);
        headers.insert(COOKIE, field);
    }
}

fn crumbs(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(COOKIE).iter().flat_map(split).collect()
}

fn split(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field
        .as_bytes()
        .split(|b| *b == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|crumb| !crumb.is_empty())
}

/// Returns a crumb's name; one without `=` is a nameless cookie's value (RFC 6265bis §5.6).
fn name(crumb: &[u8]) -> &[u8] {
    match crumb.iter().position(|b| *b == b'=') {
        Some(at) => crumb[..at].trim_ascii(),
        None => b"",
    }
}

fn has(crumbs: &[&[u8]], wanted: &[u8]) -> bool {
    crumbs.iter().any(|crumb| name(crumb) == wanted)
}

fn glue(crumbs: &[&[u8]]) -> HeaderValue {
    let mut field = HeaderValue::from_maybe_shared(crumbs.join(&b"; "[..]))
        .expect("crumbs are parts of field values");
    field.set_sensitive(true);
    field
}
