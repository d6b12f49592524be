//! Which places of a request hold a stand-in of the session's.

use http::{header::COOKIE, request::Parts};

use super::Ready;
use crate::rule::{Mode, Place, encoding::percent_decode};

/// Returns the injections in which the places that hold a stand-in are replaced, whatever their mode; `None` if none
/// holds one.
pub(super) fn exchanged(
    parts: &Parts,
    ready: &[Ready],
    standin: &dyn Fn(&str) -> bool,
) -> Option<Vec<Ready>> {
    let holds = |ready: &Ready| ready.mode != Mode::Replace && holds(parts, &ready.place, standin);
    if !ready.iter().any(holds) {
        return None;
    }
    let exchanged = ready.iter().map(|ready| Ready {
        mode: if holds(ready) {
            Mode::Replace
        } else {
            ready.mode
        },
        ..ready.clone()
    });
    Some(exchanged.collect())
}

/// Tells whether the client has put a stand-in here; a body is looked at when it is there.
pub(super) fn holds(parts: &Parts, place: &Place, standin: &dyn Fn(&str) -> bool) -> bool {
    match place {
        Place::Header(name) => {
            let mut values = parts.headers.get_all(name).iter();
            values.any(|value| value.to_str().is_ok_and(|value| within(value, standin)))
        }
        Place::Query(name) => parts.uri.query().is_some_and(|query| {
            query.split('&').any(|pair| {
                let (written, value) = pair.split_once('=').unwrap_or((pair, ""));
                *percent_decode(written.as_bytes()) == *name.as_bytes()
                    && std::str::from_utf8(&percent_decode(value.as_bytes()))
                        .is_ok_and(|value| within(value, standin))
            })
        }),
        Place::Cookie(name) => {
            let fields = parts.headers.get_all(COOKIE).iter();
            let mut crumbs = fields
                .filter_map(|field| field.to_str().ok())
                .flat_map(|field| field.split(';'));
            crumbs.any(|crumb| {
                crumb
                    .split_once('=')
                    .is_some_and(|(of, value)| of.trim() == name && within(value, standin))
            })
        }
        Place::Body(_) => false,
    }
}

/// Tells whether a stand-in is one of the words of a text, as in `Bearer TOKEN` and `Token token="TOKEN"`.
pub(super) fn within(text: &str, standin: &dyn Fn(&str) -> bool) -> bool {
    let words = text.split([' ', '\t', ',', ';', '"']);
    words
        .filter(|word| !word.is_empty())
        .any(|word| standin(word) || word.split_once('=').is_some_and(|(_, word)| standin(word)))
}
