//! Whether an answer says that the credential is no longer good: by its head, and where a rule asks for it by the
//! beginning of its body.
//!
//! 401 always counts, unless a rule says `status_not = [401]`; such a rule without any other key is that switch alone.
//! A `grpc-status` of 16 (UNAUTHENTICATED) in a trailers-only head counts as a 401 does. A 403 that says
//! `insufficient_scope` never counts: a new credential of the same scope would not help (RFC 6750 §3.1).
//!
//! A body is looked at only if it is text, JSON or HTML and ends: never an event stream, a 101, a 206 or gRPC.

mod coding;
mod media;
#[cfg(test)]
mod tests;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_ENCODING, LOCATION, WWW_AUTHENTICATE},
};
use serde_json::Value;

pub use self::coding::narrow;
use super::{Again, Rejected, inject::Applied, path};
use crate::message::decode;

/// The request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a Method,
    /// Path and query, as sent.
    pub path: &'a str,
    /// What of the session was on it.
    pub applied: Applied,
}

/// What the head of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The credential is good.
    Accepted,
    /// Nothing about the credential: it was not on the request.
    Unconcerned,
    /// The answer asks for the credential that was withheld (`on_challenge`).
    Challenged,
    /// The credential is no longer good.
    Rejected(Hit),
    /// Ask [`body`] about these rules.
    NeedsBody(Vec<usize>),
}

/// What the beginning of a body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    Accepted,
    Rejected(Hit),
    /// More of the body might say otherwise; at the limit that is as good as accepted.
    Undecided,
}

/// How much of a body is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Whole,
    Beginning,
}

/// The rule that an answer matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule's index; `None`: a 401 that no rule names.
    pub rule: Option<usize>,
    pub confirm: bool,
    pub again: Again,
    /// What of the answer matched: the same again after a refresh is the same answer (`confirm`). To be hashed, not
    /// kept: it may hold a part of a body.
    pub answer: Vec<u8>,
}

/// Judges the head of an answer.
pub fn head(
    rules: &[Rejected],
    asked: Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Verdict {
    let verdict = judge(rules, asked, status, headers);
    match (asked.applied, verdict) {
        (Applied::Sent, verdict) => verdict,
        (Applied::Withheld, Verdict::Rejected(_)) => Verdict::Challenged,
        (Applied::Withheld | Applied::Presigned | Applied::Nothing, _) => Verdict::Unconcerned,
    }
}

/// Tells whether a rule may want to look into the body of the answer to a request: it should come in a coding that is
/// read here, see [`narrow`].
pub fn may_look(rules: &[Rejected], asked: Asked<'_>) -> bool {
    asked.applied == Applied::Sent
        && *asked.method != Method::HEAD
        && rules
            .iter()
            .any(|rule| rule.looks() && rule.asked(asked, rule.names_unauthorized()))
}

/// Judges what is there of a body, decoded, by the rules that the head left open.
pub fn body(rules: &[Rejected], open: &[usize], bytes: &[u8], seen: Seen) -> Looked {
    let json: Option<Value> = match seen {
        Seen::Whole if open.iter().any(|at| !rules[*at].json.is_empty()) => {
            serde_json::from_slice(bytes).ok()
        }
        Seen::Whole | Seen::Beginning => None,
    };
    for at in open {
        let rule = &rules[*at];
        let mut answer = Vec::new();
        let pointers = rule.json.iter().all(|(pointer, wanted)| {
            let found = json.as_ref().and_then(|json| pointer.find(json));
            found.is_some_and(|found| {
                answer.extend_from_slice(format!("{pointer}={wanted};").as_bytes());
                equal(found, wanted)
            })
        });
        let text = rule.body.as_ref().is_none_or(|pattern| {
            pattern.find(bytes).is_some_and(|found| {
                answer.extend_from_slice(found.as_bytes());
                true
            })
        });
        if pointers && text {
            return Looked::Rejected(Hit::new(*at, rule, answer));
        }
    }
    match seen {
        Seen::Whole => Looked::Accepted,
        Seen::Beginning => Looked::Undecided,
    }
}

fn judge(rules: &[Rejected], asked: Asked<'_>, status: StatusCode, headers: &HeaderMap) -> Verdict {
    if status == StatusCode::FORBIDDEN && lacks_scope(headers) {
        return Verdict::Accepted;
    }
    let mut open = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        if !rule.applies(asked, status, headers) {
            continue;
        }
        if !rule.looks() {
            let location = location(asked, headers);
            let answer = format!("{} {}", status.as_u16(), location.unwrap_or_default());
            return Verdict::Rejected(Hit::new(at, rule, answer.into_bytes()));
        }
        if can_be_looked_at(asked, status, headers) {
            open.push(at);
        }
    }
    if says_unauthorized(rules, status, headers) {
        return Verdict::Rejected(Hit {
            rule: None,
            confirm: false,
            again: Again::Pass,
            answer: b"401".to_vec(),
        });
    }
    if open.is_empty() {
        Verdict::Accepted
    } else {
        Verdict::NeedsBody(open)
    }
}

fn says_unauthorized(rules: &[Rejected], status: StatusCode, headers: &HeaderMap) -> bool {
    let switched_off = rules.iter().any(|rule| {
        let not = rule.status_not.as_ref();
        not.is_some_and(|not| not.contains(&StatusCode::UNAUTHORIZED.as_u16()))
    });
    let grpc = media::is_grpc(headers)
        && headers
            .get("grpc-status")
            .is_some_and(|status| status == "16");
    !switched_off && (status == StatusCode::UNAUTHORIZED || grpc)
}

fn lacks_scope(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|challenge| {
        let challenge = challenge.as_bytes();
        challenge
            .windows(b"insufficient_scope".len())
            .any(|part| part == b"insufficient_scope")
    })
}

/// Returns the path that an answer sends the client to.
fn location(asked: Asked<'_>, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION).map(HeaderValue::as_bytes)?;
    let location = String::from_utf8_lossy(location);
    Some(path::resolve(asked.path, &location).into_owned())
}

fn can_be_looked_at(asked: Asked<'_>, status: StatusCode, headers: &HeaderMap) -> bool {
    let without_body = matches!(
        status,
        StatusCode::SWITCHING_PROTOCOLS
            | StatusCode::NO_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
    );
    let coding = headers.get(CONTENT_ENCODING).map_or(Ok(""), |c| c.to_str());
    asked.method != Method::HEAD
        && !without_body
        && coding.is_ok_and(decode::is_known)
        && media::is_text(headers)
}

/// Compares JSON values; numbers by what they are worth, so that 0 is 0.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

// === impl Rejected ===

impl Rejected {
    /// Tells whether everything that the rule says about request and head is so.
    fn applies(&self, asked: Asked<'_>, status: StatusCode, headers: &HeaderMap) -> bool {
        let Self {
            status: wanted,
            status_not: unwanted,
            path: _,
            methods: _,
            location: glob,
            content_type,
            content_type_not,
            json: _,
            body: _,
            confirm: _,
            again: _,
        } = self;
        let code = status.as_u16();
        !self.is_switch()
            && wanted.as_ref().is_none_or(|wanted| wanted.contains(&code))
            && unwanted.as_ref().is_none_or(|not| !not.contains(&code))
            && self.asked(asked, status == StatusCode::UNAUTHORIZED)
            && glob.as_ref().is_none_or(|glob| {
                // Where a logout leads to says nothing of the credential that it was asked with.
                location(asked, headers).is_some_and(|location| glob.matches(&location))
                    && !path::is_logout(asked.path)
            })
            && content_type
                .as_ref()
                .is_none_or(|types| media::is_any(headers, types))
            && content_type_not
                .as_ref()
                .is_none_or(|types| !media::is_any(headers, types))
    }

    /// Tells whether the rule is about such a request.
    fn asked(&self, asked: Asked<'_>, unauthorized: bool) -> bool {
        let method = if self.methods.is_empty() {
            // A 401 counts whatever was asked; other answers to a request that may have acted are no proof.
            unauthorized || matches!(*asked.method, Method::GET | Method::HEAD)
        } else {
            self.methods.contains(asked.method)
        };
        method
            && self.path.as_ref().is_none_or(|glob| {
                let raw = path::without_query(asked.path);
                glob.matches(raw) || glob.matches(&path::normalise(raw))
            })
    }

    /// Tells whether the rule asks for the body.
    pub fn looks(&self) -> bool {
        !self.json.is_empty() || self.body.is_some()
    }

    /// Tells whether the rule does no more than to say that a 401 does not count.
    fn is_switch(&self) -> bool {
        self.status.is_none()
            && self.path.is_none()
            && self.location.is_none()
            && self.content_type.is_none()
            && self.content_type_not.is_none()
            && !self.looks()
    }

    fn names_unauthorized(&self) -> bool {
        let code = StatusCode::UNAUTHORIZED.as_u16();
        self.status
            .as_ref()
            .is_some_and(|wanted| wanted.contains(&code))
    }
}

// === impl Hit ===

impl Hit {
    fn new(at: usize, rule: &Rejected, answer: Vec<u8>) -> Self {
        Self {
            rule: Some(at),
            confirm: rule.confirm,
            again: rule.again,
            answer,
        }
    }
}
