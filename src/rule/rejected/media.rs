//! Media types of answers (RFC 9110 §8.3).

use http::{HeaderMap, header::CONTENT_TYPE};

/// Tells whether an answer is text, JSON or HTML that has an end.
pub(super) fn is_text(headers: &HeaderMap) -> bool {
    let Some(essence) = essence(headers) else {
        return false;
    };
    if is(essence, "text/event-stream") || is(essence, "application/stream+json") {
        return false;
    }
    let ends = |suffix: &str| {
        let at = essence.len().checked_sub(suffix.len());
        at.is_some_and(|at| is(&essence[at..], suffix))
    };
    has_type(essence, "text")
        || is(essence, "application/json")
        || is(essence, "application/xhtml+xml")
        || ends("+json")
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &str = "application/grpc";
    essence(headers).is_some_and(|essence| {
        essence
            .get(..GRPC.len())
            .is_some_and(|start| is(start, GRPC))
    })
}

/// Tells whether an answer's type is one of these; `type/*` stands for all of a type. No type is none of them.
pub(super) fn is_any(headers: &HeaderMap, types: &[String]) -> bool {
    essence(headers).is_some_and(|essence| {
        types.iter().any(|wanted| match wanted.strip_suffix("/*") {
            Some(kind) => has_type(essence, kind),
            None => is(essence, wanted),
        })
    })
}

/// Returns the type without its parameters.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn has_type(essence: &str, kind: &str) -> bool {
    essence
        .split_once('/')
        .is_some_and(|(found, _)| is(found, kind))
}

fn is(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
