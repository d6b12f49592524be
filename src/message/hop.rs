//! Hop-by-hop fields (RFC 9110 §7.6.1): they end here, on the way in and on the way out; and what counts the hops.
//!
//! Fields are taken out in one pass that keeps the order of the rest: `HeaderMap::remove` would move the last field
//! into the hole.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, Entry, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Takes out what is meant for this hop alone. `Transfer-Encoding` goes too: the framing of the next hop is its
/// connection's own.
pub fn strip(headers: &mut HeaderMap) {
    let mut fields = headers.keys().skip_while(|name| !is_hop_by_hop(name));
    match (fields.next(), fields.next()) {
        (None, _) => return,
        // As most servers end their heads: nothing behind it has to keep its place.
        (Some(last), None) if *last == CONNECTION && names_no_other(headers) => {
            headers.remove(CONNECTION);
            return;
        }
        _ => {}
    }
    let mut named: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(CONNECTION) {
        let options = line
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii);
        named.extend(options.filter_map(|option| HeaderName::from_bytes(option).ok()));
    }
    let trailers = wants_trailers(headers);
    retain(headers, |name, _| {
        (!is_hop_by_hop(name) && !named.contains(name)) || is_framing(name)
    });
    headers.remove(TRANSFER_ENCODING);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Tells whether `Connection` says something about the connection alone.
fn names_no_other(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONNECTION).iter();
    lines.all(|line| {
        let line = line.as_bytes();
        line.eq_ignore_ascii_case(b"keep-alive") || line.eq_ignore_ascii_case(b"close")
    })
}

/// Keeps the fields for which `keep` says so, in their order.
pub fn retain(headers: &mut HeaderMap, mut keep: impl FnMut(&HeaderName, &HeaderValue) -> bool) {
    let old = std::mem::take(headers);
    headers.reserve(old.len());
    let mut name = None;
    for (next, value) in old {
        name = next.or(name);
        if let Some(name) = name.as_ref().filter(|name| keep(name, &value)) {
            headers.append(name.clone(), value);
        }
    }
}

/// Tells whether the sender takes trailers (RFC 9110 §10.1.4): all that may be passed on of `TE`.
pub fn wants_trailers(headers: &HeaderMap) -> bool {
    list_has(headers, &TE, "trailers")
}

/// Tells whether a message asks for a change to WebSocket (RFC 6455 §4.1).
pub fn is_websocket(headers: &HeaderMap) -> bool {
    list_has(headers, &UPGRADE, "websocket") && list_has(headers, &CONNECTION, "upgrade")
}

/// Counts `Max-Forwards` down (RFC 9110 §7.6.2); returns false if the message may go no further. What is no number is
/// passed on as it came.
pub fn may_go_on(headers: &mut HeaderMap) -> bool {
    let Entry::Occupied(mut lines) = headers.entry(MAX_FORWARDS) else {
        return true;
    };
    lines.iter_mut().all(|line| {
        let hops = line.to_str().ok().filter(|hops| !hops.starts_with('+'));
        let Some(hops) = hops.and_then(|hops| hops.parse::<u64>().ok()) else {
            return true;
        };
        let left = hops.checked_sub(1);
        *line = left.unwrap_or(hops).into();
        left.is_some()
    })
}

/// Returns who has passed this message on before, by the names they gave themselves (`Via`, RFC 9110 §7.6.3).
pub fn passed_by(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(VIA).into_iter();
    let hops = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    hops.filter_map(|hop| hop.trim_ascii().split(u8::is_ascii_whitespace).nth(1))
}

fn list_has(headers: &HeaderMap, name: &HeaderName, element: &str) -> bool {
    headers.get_all(name).iter().any(|line| {
        let elements = line
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii);
        elements
            .into_iter()
            .any(|e| e.eq_ignore_ascii_case(element.as_bytes()))
    })
}

pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TE
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == PROXY_AUTHORIZATION
        || *name == PROXY_AUTHENTICATE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == HTTP2_SETTINGS
}

/// Fields that a `Connection` line may not take away: without them the message would mean something else.
fn is_framing(name: &HeaderName) -> bool {
    *name == http::header::CONTENT_LENGTH || *name == http::header::HOST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn ends_here() {
        let mut map = headers(&[
            ("host", "example.com"),
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("accept", "*/*"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ("cookie", "a=1"),
        ]);
        map.append(CONNECTION, HeaderValue::from_static("x-second, host"));
        map.append("x-second", HeaderValue::from_static("1"));
        strip(&mut map);
        let left: Vec<_> = map
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect();
        assert_eq!(
            left,
            [
                "host: example.com",
                "accept: */*",
                "cookie: a=1",
                "te: trailers"
            ]
        );
    }

    #[test]
    fn at_the_end_of_a_head() {
        for (line, left) in [
            ("keep-alive", vec!["a", "x-mine", "keep-alive-too"]),
            ("Close", vec!["a", "x-mine", "keep-alive-too"]),
            ("x-mine", vec!["a", "keep-alive-too"]),
        ] {
            let fields = [
                ("a", "1"),
                ("x-mine", "1"),
                ("keep-alive-too", "1"),
                ("connection", line),
            ];
            let mut map = headers(&fields);
            strip(&mut map);
            assert_eq!(map.keys().collect::<Vec<_>>(), left, "{line}");
        }
        let mut map = headers(&[("keep-alive", "timeout=5"), ("connection", "keep-alive")]);
        strip(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn nothing_to_do_keeps_the_map() {
        let mut map = headers(&[("a", "1"), ("b", "2")]);
        strip(&mut map);
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn whoever_passed_it_on_is_seen_in_any_via() {
        let mut map = headers(&[("via", "1.0 fred, 1.1 staysigned-1 (comment)")]);
        map.append(VIA, HeaderValue::from_static("HTTP/2.0 p.example:80,odd"));
        let names: Vec<_> = passed_by(&map).collect();
        assert_eq!(names, [&b"fred"[..], b"staysigned-1", b"p.example:80"]);
    }

    #[test]
    fn hops_are_counted_down() {
        for (lines, goes_on, left) in [
            (&[][..], true, &[][..]),
            (&["1"], true, &["0"]),
            (&["007"], true, &["6"]),
            (&["0"], false, &["0"]),
            (&["5", "3"], true, &["4", "2"]),
            (&["3", "0"], false, &["2", "0"]),
            (
                &["", "+1", "-1", "1, 2", "a"],
                true,
                &["", "+1", "-1", "1, 2", "a"],
            ),
            (&["18446744073709551616"], true, &["18446744073709551616"]),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("max-forwards", *line)).collect();
            let mut map = HeaderMap::new();
            for (name, value) in &lines {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(may_go_on(&mut map), goes_on, "{lines:?}");
            assert_eq!(map.get_all(MAX_FORWARDS).iter().collect::<Vec<_>>(), left);
        }
    }
}
