//! Which fields may stand behind a body.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE, TRAILER},
};

use super::hop;

/// Tells whether a field means something behind a body (RFC 9110 §6.5.1): none does that frames, routes or
/// authenticates, nor one that is for one hop alone (RFC 9113 §8.2.2).
pub fn may_trail(name: &HeaderName) -> bool {
    let never = [
        &CONTENT_LENGTH,
        &TRAILER,
        &HOST,
        &AUTHORIZATION,
        &COOKIE,
        &SET_COOKIE,
    ];
    !never.contains(&name) && !hop::is_hop_by_hop(name)
}

/// Takes out what may not stand there.
pub fn clean(trailers: HeaderMap) -> HeaderMap {
    if trailers.keys().all(may_trail) {
        return trailers;
    }
    let mut clean = HeaderMap::with_capacity(trailers.len());
    for (name, value) in &trailers {
        if may_trail(name) {
            clean.append(name.clone(), value.clone());
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_routes_or_authenticates_is_taken_out() {
        let lines = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        let good = [("grpc-status", "0"), ("x-sum", "1")];
        assert_eq!(clean(lines(&good)), lines(&good));
        let mixed = [
            ("authorization", "evil"),
            ("grpc-status", "0"),
            ("host", "evil"),
            ("keep-alive", "1"),
            ("set-cookie", "a=b"),
            ("x-sum", "1"),
            ("content-length", "3"),
        ];
        assert_eq!(clean(lines(&mixed)), lines(&good));
    }
}
