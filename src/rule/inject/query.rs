//! Parameters of a query; all others stay byte for byte, in place and order.

use crate::rule::{Mode, encoding::percent_decode};

/// Returns a path and query with the parameter put in as its mode says: where its first copy stood, else at the
/// end. `pair` is `name=value` as it will stand there. `None`: the mode leaves the request as it is.
pub(super) fn put(path_and_query: &str, name: &str, pair: &[u8], mode: Mode) -> Option<String> {
    let (path, query) = split(path_and_query);
    let mine = |segment: &&str| is_named(segment, name);
    let present = query.is_some_and(|query| query.split('&').any(|segment| mine(&segment)));
    let wanted = match mode {
        Mode::Replace | Mode::OnChallenge => true,
        Mode::IfMissing => !present,
        Mode::IfPresent => present,
    };
    if !wanted {
        return None;
    }
    let pair = std::str::from_utf8(pair).expect("a percent-encoded pair is ASCII");
    let mut placed = false;
    let mut segments = Vec::new();
    for segment in query.into_iter().flat_map(|query| query.split('&')) {
        if !mine(&segment) {
            segments.push(segment);
        } else if !placed {
            segments.push(pair);
            placed = true;
        }
    }
    if !placed {
        // A lone `?` has one empty segment, which the pair fills.
        if segments == [""] {
            segments.clear();
        }
        segments.push(pair);
    }
    Some(format!("{path}?{}", segments.join("&")))
}

/// Returns a path and query without the parameter; `None` if it is not there.
pub(super) fn take(path_and_query: &str, name: &str) -> Option<String> {
    let (path, query) = split(path_and_query);
    let query = query?;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|segment| !is_named(segment, name))
        .collect();
    if kept.len() == query.split('&').count() {
        return None;
    }
    if kept.is_empty() {
        return Some(path.to_owned());
    }
    Some(format!("{path}?{}", kept.join("&")))
}

/// Tells whether a query carries a signature: AWS and its relatives (`X-Amz-Signature`), Google, Azure (`sig`),
/// CloudFront and the older S3 and Google forms (`Signature` with what it is over).
pub(super) fn is_signed(query: &str) -> bool {
    let names = || query.split('&').map(|s| s.split('=').next().unwrap_or(s));
    let vendor = |name: &str| {
        let name = name.as_bytes();
        let starts = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"x-"));
        let ends = name
            .len()
            .checked_sub(10)
            .is_some_and(|at| name[at..].eq_ignore_ascii_case(b"-signature"));
        starts && ends
    };
    let with_signature = |name: &str| {
        matches!(
            name,
            "Key-Pair-Id" | "Expires" | "Policy" | "GoogleAccessId" | "AWSAccessKeyId"
        )
    };
    names().any(|name| name == "sig" || vendor(name))
        || names().any(|name| name == "Signature") && names().any(with_signature)
}

fn split(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

/// Compares names as a server reads them: percent-encodings decoded, `+` for a space.
fn is_named(segment: &str, name: &str) -> bool {
    let written = segment.split('=').next().unwrap_or(segment);
    if !written.contains(['%', '+']) {
        return written == name;
    }
    let spaced = written.replace('+', " ");
    *percent_decode(spaced.as_bytes()) == *name.as_bytes()
}
