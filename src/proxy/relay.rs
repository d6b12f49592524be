//! A request that captures look into (`capture.request`, `capture.mask`): what a client has in place of a session's
//! values is exchanged for them, and a client's own refresh goes out under the session's rules.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, IF_RANGE, RANGE, TRANSFER_ENCODING},
    request::Parts,
};
use http_body::Body as _;

use super::{
    World,
    body::ResponseBody,
    error::{Error, Kind},
    exchange::Exchange,
    requests::Scope,
    teach::Taught,
    whole::{Arrived, Whole, is_of_the_bytes},
};
use crate::{
    auth,
    grant::Generation,
    life::Failure,
    message::hop,
    rule::{
        Capture, Spot, Url,
        body::{Edit, Media, splice},
        capture,
        inject::{self, Attempt},
        matcher::{Captured, Found},
    },
    secret::Secret,
    session::{Relay, Relayed, Session},
    upstream::RequestBody,
};

/// The field that a refresh spends (RFC 6749 §6).
const REFRESH_TOKEN: &str = "refresh_token";

/// What a client is told that mixes up its tokens.
const MISPLACED: &str = "one of the session's tokens stands where another one belongs";

/// What came of looking into a request.
pub(super) enum Received {
    /// It goes on like any other.
    Arrived(Arrived),
    /// It was a refresh of the session's, and this is the answer to it.
    Answered(Response<ResponseBody>),
}

/// What a capture found in a body.
struct Presented {
    /// The client's refresh token, how it is written, and where it stands.
    token: Option<(Secret, Spot)>,
    spans: Vec<Range<usize>>,
    /// Stand-ins of other fields, with what they stand for.
    others: Vec<Edit>,
}

/// Tells whether a capture does more than to learn from the answer.
pub(super) fn looks_into(captured: &Captured<'_>) -> bool {
    captured.capture.mask || !captured.capture.request.is_empty()
}

impl Exchange<'_> {
    /// Looks into a request for which [`looks_into`] is true of some capture.
    pub(super) async fn receive(
        &self,
        world: &World,
        scope: &Scope,
        found: &Found<'_>,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Received, Error> {
        if found.captures.iter().any(|c| c.capture.mask) {
            // Its answer is read here, whatever the client could read.
            let identity = HeaderValue::from_static("identity");
            parts.headers.insert(ACCEPT_ENCODING, identity);
            // Of a part nobody knows where its values stand.
            hop::retain(&mut parts.headers, |name, _| {
                *name != RANGE && *name != IF_RANGE
            });
        }
        let asks = found.captures.iter();
        let asks = asks.filter(|c| !c.capture.request.is_empty());
        let asks: Vec<_> = asks.collect();
        if asks.is_empty() || body.is_end_stream() {
            return Ok(Received::Arrived(Arrived::Coming(body)));
        }
        let media = Media::of(&parts.headers);
        let mut whole = self.whole(&parts.headers, body).await?;
        for captured in asks {
            let session = world
                .sessions
                .session(captured.recipe, scope.client.as_ref());
            let presented = present(captured.capture, &session, media, whole.plain())?;
            if let Some((token, _)) = &presented.token {
                let own = session.is_own(token.expose()).await;
                if own.map_err(|error| Error::from(Kind::Unread).because(error))? {
                    let answer =
                        self.relay(world, scope, found, parts, &whole, captured, presented);
                    return answer.await.map(Received::Answered);
                }
            }
            if !presented.others.is_empty()
                && let Some(new) = splice(whole.plain(), presented.others)
            {
                whole = whole.exchanged(&mut parts.headers, new);
            }
        }
        Ok(Received::Arrived(Arrived::Whole(Box::new(whole))))
    }

    /// Performs a client's own refresh.
    #[allow(clippy::too_many_arguments)] // whom it concerns, and what was found
    async fn relay(
        &self,
        world: &World,
        scope: &Scope,
        found: &Found<'_>,
        parts: &Parts,
        whole: &Whole,
        captured: &Captured<'_>,
        presented: Presented,
    ) -> Result<Response<ResponseBody>, Error> {
        let Presented {
            token: Some((token, spot)),
            spans,
            others,
        } = presented
        else {
            return Err(Kind::Internal.into());
        };
        let session = world
            .sessions
            .session(captured.recipe, scope.client.as_ref());
        let bound = found.bound.as_ref();
        let bound = bound.map(|bound| {
            let session = world
                .sessions
                .session(bound.recipe(), scope.client.as_ref());
            (bound, session)
        });
        let mut head = parts.clone();
        let _turn = match &bound {
            Some((bound, session)) => {
                let turn = session.turn().await?;
                let current = session.ready();
                self.sign(
                    &mut head,
                    session,
                    bound,
                    current.as_deref(),
                    Attempt::First,
                )?;
                Some(turn)
            }
            None => {
                if let Some(standins) = session.standins() {
                    let opens = |text: &str| standins.opens(text);
                    inject::clear(&mut head, session.recipe(), &opens)
                        .map_err(|error| Error::from(Kind::Internal).because(error))?;
                }
                None
            }
        };
        let mut headers = head.headers;
        hop::retain(&mut headers, |name, _| {
            !is_of_the_bytes(name) && *name != CONTENT_LENGTH
        });
        // The session reads the answer.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
        let request = auth::Request {
            method: self.method.clone(),
            url: Url {
                origin: self.origin.clone(),
                path: path.to_owned(),
            },
            headers,
            body: Secret::new(Vec::new()),
        };
        let plain = whole.plain().clone();
        let body = move |token: &str| {
            let put = spans.iter().map(|span| Edit {
                span: span.clone(),
                with: spot.encode(token),
            });
            let edits = put.chain(others.iter().cloned());
            splice(&plain, edits.collect()).unwrap_or_else(|| plain.to_vec())
        };
        let relay = Relay {
            client: scope.client.clone(),
            capture: whole_capture(captured, &found.captures),
            presented: token,
            request,
            body: Arc::new(body),
        };
        let relayed = session.relay(relay).await;
        let relayed = relayed.map_err(|failure| unanswered(failure, &session))?;

        let fields = self.taken(&session, world, scope, &found.captures, &relayed);
        let taught = Taught {
            headers: &relayed.headers,
            rejected: false,
            fields: &fields,
        };
        let (other, seen) = match &bound {
            // The session itself has learnt all of it.
            Some((_, bound)) if !Arc::ptr_eq(bound, &session) => (Some(bound), bound.generation()),
            _ => (None, Generation::default()),
        };
        self.teach(world, scope, &found.captures, other, seen, taught)
            .await?;
        self.masked(world, scope, &found.captures, answer(&relayed))
            .await
    }

    /// Takes what the captures of other sessions want from the answer to a refresh.
    fn taken(
        &self,
        own: &Arc<Session>,
        world: &World,
        scope: &Scope,
        captures: &[Captured<'_>],
        relayed: &Relayed,
    ) -> Vec<Vec<(String, Secret)>> {
        let take = |captured: &Captured<'_>| {
            let other = world
                .sessions
                .session(captured.recipe, scope.client.as_ref());
            if Arc::ptr_eq(own, &other) || !relayed.status.is_success() {
                return Vec::new();
            }
            let answer = capture::Answer {
                headers: &relayed.headers,
                body: &relayed.body,
            };
            capture::take(&captured.capture.answer, answer)
                .map_or_else(|_| Vec::new(), |t| t.fields)
        };
        captures.iter().map(take).collect()
    }
}

/// Returns a capture with what the others of its session take from the same answer.
fn whole_capture(captured: &Captured<'_>, all: &[Captured<'_>]) -> Capture {
    let mut whole = captured.capture.clone();
    let own = all.iter().filter(|other| other.recipe == captured.recipe);
    let others = own.filter(|other| !std::ptr::eq(other.capture, captured.capture));
    for other in others {
        whole.answer.extend(other.capture.answer.iter().cloned());
    }
    whole
}

/// Finds what the client has put where a capture's fields stand. A stand-in that stands for something else opens nothing
/// there, and goes nowhere.
fn present(
    capture: &Capture,
    session: &Session,
    media: Option<Media>,
    body: &Bytes,
) -> Result<Presented, Error> {
    let mut presented = Presented {
        token: None,
        spans: Vec::new(),
        others: Vec::new(),
    };
    let (held, standins) = (session.ready(), session.standins());
    for (field, spot) in &capture.request {
        // Without a media type that says so, servers read what they expect.
        let expected = match spot {
            Spot::Json(_) => Media::Json,
            Spot::Form(_) => Media::Form,
        };
        let there = spot.find(media.unwrap_or(expected), body);
        let misplaced = |text: &str| standins.is_some_and(|s| s.is_of_another(field, text));
        if there.iter().any(|(_, text)| misplaced(text)) {
            return Err(Kind::BadRequest(MISPLACED).into());
        }
        if field == REFRESH_TOKEN {
            // Of a repeated key most parsers read the last.
            let last = there.last();
            presented.token = last.map(|(_, text)| (text.as_str().into(), spot.clone()));
            presented
                .spans
                .extend(there.into_iter().map(|(span, _)| span));
            continue;
        }
        let Some(standins) = standins else { continue };
        let value = held.as_ref().and_then(|held| held.grant.field(field));
        // Of what is not held nothing is left.
        let value = value.map_or("", |value| value.expose());
        let ours = there.into_iter();
        let ours = ours.filter(|(_, text)| standins.maker().recognises(field, text));
        presented.others.extend(ours.map(|(span, _)| Edit {
            span,
            with: spot.encode(value),
        }));
    }
    Ok(presented)
}

/// Returns the answer to a refresh as one to the client's request.
fn answer(relayed: &Relayed) -> Response<ResponseBody> {
    let body = Bytes::copy_from_slice(&relayed.body);
    let mut headers: HeaderMap = relayed.headers.clone();
    hop::retain(&mut headers, |name, _| {
        !is_of_the_bytes(name) && *name != TRANSFER_ENCODING
    });
    headers.insert(CONTENT_LENGTH, body.len().into());
    let mut response = Response::new(ResponseBody::Whole(body));
    *response.status_mut() = relayed.status;
    *response.headers_mut() = headers;
    response
}

/// Sorts a refresh that was not answered.
fn unanswered(failure: Failure, session: &Session) -> Error {
    let kind = match &failure {
        Failure::Unsent(_) => Kind::Connect,
        Failure::InDoubt { .. } => Kind::ResponseTimeout,
        Failure::Store(_) => Kind::Store,
        Failure::Misconfigured(why) => Kind::Incompletely(why.clone()),
        Failure::Throttled { until, .. } => Kind::Degraded(session.left_until(*until)),
        Failure::NotAnAnswer(_) | Failure::Terminal(_) => Kind::Protocol,
    };
    Error::from(kind).because(failure.to_string())
}
