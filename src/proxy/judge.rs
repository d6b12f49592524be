//! What the rules say of an answer, before its head is passed on: whether the credential is still good, and what can
//! be learnt. A body is looked at only if a rule asks for it, and no further than the limits allow.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, header::CONTENT_ENCODING};

use super::{
    body::ResponseBody,
    error::Error,
    exchange::Exchange,
    inspect::{self, Peeked},
};
use crate::{
    limits::Limits,
    message::decode,
    rule::{
        Again, Rejected, Source,
        capture::{self, Answer},
        inject::Applied,
        matcher::Captured,
        rejected::{self, Hit, Looked, Seen, Verdict},
    },
    secret::Secret,
    session::Session,
    upstream::Incoming,
};

/// An answer, and what the rules say of it.
#[derive(Debug)]
pub(super) struct Judged {
    pub response: Response<ResponseBody>,
    pub says: Says,
    /// For each capture, the fields that were taken.
    pub fields: Vec<Vec<(String, Secret)>>,
}

#[derive(Debug)]
pub(super) enum Says {
    /// The credential is good, or was not on the request.
    Nothing,
    /// A rule that would not let the client have it did not come to see enough of its body: as good as nothing.
    Unseen,
    /// It asks for the credential that was withheld.
    Challenged,
    /// The credential is no longer good.
    Rejected(Hit),
}

impl Says {
    /// Tells whether the client must not take it for an answer: its rule says `again = "fail"`.
    pub(super) fn fails(&self) -> bool {
        matches!(self, Self::Rejected(hit) if hit.again == Again::Fail)
    }

    pub(super) fn hit(self) -> Option<Hit> {
        match self {
            Self::Rejected(hit) => Some(hit),
            Self::Nothing | Self::Unseen | Self::Challenged => None,
        }
    }
}

/// Judges an answer to a request of a session.
pub(super) async fn answered(
    exchange: &Exchange<'_>,
    session: &Session,
    applied: Applied,
    response: Response<Incoming>,
    captures: &[Captured<'_>],
) -> Result<Judged, Error> {
    let rules = &session.recipe().rejected;
    let asked = exchange.asked(applied);
    let mut judged = match rejected::head(rules, asked, response.status(), response.headers()) {
        Verdict::NeedsBody(open) => {
            Box::pin(look(exchange, session, &open, response, captures)).await?
        }
        verdict => {
            if verdict == Verdict::Accepted && response.status().is_success() {
                let heads = (0..rules.len()).filter(|at| !rules[*at].looks());
                found_nothing(exchange, session, heads);
            }
            let says = match verdict {
                Verdict::Challenged => Says::Challenged,
                Verdict::Rejected(hit) => Says::Rejected(hit),
                Verdict::Accepted | Verdict::Unconcerned | Verdict::NeedsBody(_) => Says::Nothing,
            };
            let judged = captured(exchange, response, captures).await?;
            Judged { says, ..judged }
        }
    };
    if let Says::Rejected(hit) = &judged.says
        && hit.confirm
        && session.is_confirmed(&question(exchange, hit.rule), &hit.answer)
    {
        judged.says = Says::Nothing;
    }
    Ok(judged)
}

/// Takes what the captures want from an answer.
pub(super) async fn captured(
    exchange: &Exchange<'_>,
    response: Response<Incoming>,
    captures: &[Captured<'_>],
) -> Result<Judged, Error> {
    if captures.is_empty() || !response.status().is_success() {
        let response = response.map(ResponseBody::Streamed);
        return Ok(Judged {
            response,
            says: Says::Nothing,
            fields: vec![Vec::new(); captures.len()],
        });
    }
    Box::pin(taken(exchange, response, captures)).await
}

/// Takes what the captures want from an answer that has it.
async fn taken(
    exchange: &Exchange<'_>,
    response: Response<Incoming>,
    captures: &[Captured<'_>],
) -> Result<Judged, Error> {
    let limits = &exchange.proxy.limits;
    let (head, body) = response.into_parts();
    let limit = match want_bodies(captures) {
        true => limits.token_answer,
        false => 0,
    };
    let peeked = inspect::peek(body, limit, wait(limits, captures)).await?;
    let fields = take(&head.headers, &peeked, captures, limits.token_answer);
    let response = Response::from_parts(head, peeked.into_body());
    Ok(Judged {
        response,
        says: Says::Nothing,
        fields,
    })
}

/// Remembers an answer that stayed the same after a refresh.
pub(super) fn confirm(exchange: &Exchange<'_>, session: &Session, hit: &Hit) {
    if hit.confirm {
        session.confirm(&question(exchange, hit.rule), &hit.answer);
    }
}

/// Forgets what was confirmed by these rules: none of them has found it in this answer.
fn found_nothing(exchange: &Exchange<'_>, session: &Session, open: impl Iterator<Item = usize>) {
    let rules = &session.recipe().rejected;
    let mut confirming = open.filter(|at| rules[*at].confirm).peekable();
    if confirming.peek().is_some() {
        session.answered_otherwise(confirming.map(|at| question(exchange, Some(at))));
    }
}

/// Looks at the beginning of a body.
async fn look(
    exchange: &Exchange<'_>,
    session: &Session,
    open: &[usize],
    response: Response<Incoming>,
    captures: &[Captured<'_>],
) -> Result<Judged, Error> {
    let limits = &exchange.proxy.limits;
    let (head, body) = response.into_parts();
    let limit = match want_bodies(captures) {
        true => limits.token_answer,
        false => limits.inspect_body,
    };
    let peeked = inspect::peek(body, limit, wait(limits, captures)).await?;
    let bounds = decode::Bounds {
        max: limits.inspect_body,
        ratio: limits.inspect_ratio,
    };
    let says = match decode::prefix(encoding(&head.headers), &peeked.bytes, bounds) {
        Ok(prefix) => {
            let seen = if peeked.complete && prefix.whole {
                Seen::Whole
            } else {
                Seen::Beginning
            };
            match rejected::body(&session.recipe().rejected, open, &prefix.bytes, seen) {
                Looked::Rejected(hit) => Says::Rejected(hit),
                Looked::Accepted => {
                    found_nothing(exchange, session, open.iter().copied());
                    Says::Nothing
                }
                Looked::Undecided if wants_to_fail(&session.recipe().rejected, open) => {
                    Says::Unseen
                }
                Looked::Undecided => Says::Nothing,
            }
        }
        // What cannot be decoded says nothing; the client gets it as it came.
        Err(_) => Says::Nothing,
    };
    let fields = if head.status.is_success() {
        take(&head.headers, &peeked, captures, limits.token_answer)
    } else {
        vec![Vec::new(); captures.len()]
    };
    Ok(Judged {
        response: Response::from_parts(head, peeked.into_body()),
        says,
        fields,
    })
}

/// Tells whether something is captured out of bodies.
fn want_bodies(captures: &[Captured<'_>]) -> bool {
    let mut sources = captures.iter().flat_map(|c| &c.capture.answer);
    sources.any(|(_, source)| source.is_in_body())
}

fn wants_to_fail(rules: &[Rejected], open: &[usize]) -> bool {
    open.iter().any(|at| rules[*at].again == Again::Fail)
}

/// Returns how long a body may take: what the client does not see must be known here, however slowly it comes.
fn wait(limits: &Limits, captures: &[Captured<'_>]) -> Duration {
    if captures.iter().any(|captured| captured.capture.mask) {
        limits.silence
    } else {
        limits.inspect_wait
    }
}

fn take(
    headers: &HeaderMap,
    peeked: &Peeked,
    captures: &[Captured<'_>],
    max: usize,
) -> Vec<Vec<(String, Secret)>> {
    // Forgotten before anything else happens: as many of them are held as there are threads.
    let bounds = decode::Bounds::up_to(max);
    let decoded = peeked
        .complete
        .then(|| decode::decode(encoding(headers), &peeked.bytes, bounds).ok())
        .flatten()
        .unwrap_or_default();
    let each = captures.iter().map(|captured| {
        match capture::take(
            &captured.capture.answer,
            Answer {
                headers,
                body: &decoded,
            },
        ) {
            Ok(taken) => taken.fields,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an answer to be captured is not usable"
                );
                Vec::new()
            }
        }
    });
    each.collect()
}

/// What was asked, for `confirm`: the same method, URL and rule.
fn question(exchange: &Exchange<'_>, rule: Option<usize>) -> String {
    format!(
        "{} {}{} {:?}",
        exchange.method,
        exchange.origin,
        exchange.path(),
        rule
    )
}

pub(super) fn encoding(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_ENCODING)
        .map(HeaderValue::to_str)
        .and_then(Result::ok)
        .unwrap_or("")
}

impl Source {
    fn is_in_body(&self) -> bool {
        match self {
            Self::Json(_) | Self::Regex(_) => true,
            Self::Header(_) | Self::Cookie(_) => false,
        }
    }
}
