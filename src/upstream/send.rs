//! One request on one connection.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header::CONTENT_LENGTH,
    request::Parts,
};
use http_body::Body as _;
use tokio::time::{sleep, timeout};

use super::{
    adapt,
    body::{Body, Incoming},
    connection::{Http1, Lease},
    error::{Error, Sent},
    http2::Place,
    keep::Keep,
    patience::Patience,
    peer::{ONLY_HTTP1, Peer},
};
use crate::{
    http1::{self, PLAIN, Spelling, client},
    message::framing::may_have_content,
};

/// How long a body that is too large to be kept waits to hear what the origin speaks: that of HTTP/2 says so with the end of
/// the handshake (RFC 9113 §3.4), or a way to it and back later. To send so much takes longer.
const GREETING: Duration = Duration::from_secs(1);

/// A request on its way: its head as it is to be sent.
pub struct Outgoing<'a> {
    /// The path alone as URI, no hop-by-hop fields. Its fields are taken if it goes out over HTTP/2.
    pub head: &'a mut Parts,
    /// How the client wrote it.
    pub spelling: &'a Spelling,
    /// Who hears what the upstream says before it answers.
    pub hears: Option<&'a Arc<dyn Hears>>,
}

/// Hears informational answers (RFC 9110 §15.2).
pub trait Hears: Send + Sync {
    /// Takes one, and how it was written; tells whether more are wanted.
    fn hear(&self, status: StatusCode, headers: &HeaderMap, spelling: &Spelling) -> bool;
}

impl Peer {
    /// Sends over HTTP/1.1; the body comes back if nothing was sent.
    pub(super) async fn send_http1(
        self: &Arc<Self>,
        mut connection: Http1,
        request: &mut Outgoing<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let Outgoing {
            head,
            spelling,
            hears,
        } = request;
        if head.version == Version::HTTP_2 && body.as_ref().is_none_or(|b| b.is_end_stream()) {
            say_empty(head);
        }
        let head = client::Request {
            method: &head.method,
            target: head.uri.path_and_query().map_or("/", |p| p.as_str()),
            headers: &head.headers,
            spelling,
            authority: &self.authority,
        };
        let empty = body.as_ref().is_none_or(|b| b.is_end_stream());
        connection.get().begin(head, take(body));
        let limit = self.shared.limits.response_head;
        // Counted from the end of the request: a client that sends slowly takes nothing away from it.
        let mut patience = None;
        let answer = poll_fn(|cx| {
            let mut hear = |status, headers: &_, spelling: &_| {
                hears.is_none_or(|h| h.hear(status, headers, spelling))
            };
            if let Poll::Ready(answer) = connection.get().poll_head(cx, &mut hear) {
                return Poll::Ready(answer.map_err(Error::http1));
            }
            let Some(limit) = limit.filter(|_| connection.get().is_sent()) else {
                return Poll::Pending;
            };
            let patience = patience.get_or_insert_with(|| Box::pin(sleep(limit)));
            patience.as_mut().poll(cx).map(|()| Err(Error::silent()))
        });
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => {
                *body = connection.unsent();
                if error.speaks_http2() && empty {
                    *body = Some(Body::Empty);
                }
                return Err(match body {
                    Some(_) => error.on_unsent(),
                    None => error,
                });
            }
        };
        let silence = self.shared.limits.silence;
        let incoming = if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            Incoming::upgraded(connection.into_upgraded(), answer.spelling, silence)
        } else {
            let lease = Lease::new(connection, self.clone());
            Incoming::http1(lease, answer.spelling, silence)
        };
        let mut response = Response::new(incoming);
        *response.status_mut() = answer.status;
        *response.version_mut() = answer.version;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Sends over HTTP/1.1 to an origin that has selected no protocol. If it turns out to speak HTTP/2, it has made nothing
    /// of the request (RFC 9113 §3.4), and the body comes back with what was sent of it, if there was room to keep that.
    pub(super) async fn send_unsure(
        self: &Arc<Self>,
        mut connection: Http1,
        request: &mut Outgoing<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let most = self.shared.limits.replay_body;
        let least = body.as_ref().map_or(0, |body| body.size_hint().lower());
        if least > most as u64 {
            let greeting = poll_fn(|cx| connection.get().poll_greeting(cx));
            match timeout(GREETING, greeting).await {
                Ok(Ok(true)) => return Err(Error::http1(http1::Error::Http2).on_unsent()),
                Ok(Err(error)) => {
                    return Err(Error::http1(http1::Error::Io(error)).on_unsent());
                }
                // Whatever else it says is heard with the request.
                Ok(Ok(false)) | Err(_) => {}
            }
        }
        let (streamed, copy) = match take(body) {
            Body::Client(streamed) => {
                let (streamed, copy) = Keep::body(*streamed, most, self.shared.unsure.clone());
                (streamed, Some(copy))
            }
            other => (other, None),
        };
        *body = Some(streamed);
        let sent = self.send_http1(connection, request, body).await;
        match &sent {
            Ok(_) => self.speaks.store(ONLY_HTTP1, Ordering::Relaxed),
            Err(error) if error.speaks_http2() && body.is_none() => {
                let again = copy.and_then(|copy| copy.again());
                *body = again.map(|(body, _)| body);
            }
            Err(_) => {}
        }
        sent
    }

    /// Sends over HTTP/2; fields and body are untouched if nothing was sent.
    pub(super) async fn send_http2(
        &self,
        Place { mut sender, held }: Place,
        request: &mut Outgoing<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let ready = poll_fn(|cx| sender.poll_ready(cx)).await;
        ready.map_err(|e| Error::http2(e, Sent::No))?;
        let method = request.head.method.clone();
        let head = adapt::to_http2(request.head, &self.route.origin);
        let (body, patience) = Patience::with(take(body), self.shared.limits.response_head);
        let mut whole = Some((head, body));
        let mut answer = None;
        let failed = |e| Error::http2(e, Sent::Maybe);
        let answer = poll_fn(|cx| {
            if let Some((head, body)) = whole.take() {
                answer = Some(sender.send(cx, head, body).map_err(failed)?);
            }
            let answer = answer.as_mut().expect("it was sent");
            let mut hear = |status, headers: &_| {
                let hears = request.hears.as_ref();
                hears.is_none_or(|h| h.hear(status, headers, &PLAIN))
            };
            answer.poll(cx, &mut hear).map(|answered| match answered {
                Some(answered) => answered.map_err(failed),
                None => Err(Error::invalid("informational answers without an end")),
            })
        });
        let answered = Patience::bear(patience, answer).await;
        let response = answered.unwrap_or_else(|| Err(Error::silent()))?;
        let silence = self.shared.limits.silence;
        let status = response.status();
        Ok(
            response.map(|body| match may_have_content(&method, status) {
                true => Incoming::http2(body, held, silence),
                // HTTP/2 has frames for it all the same; over HTTP/1.1 nobody would see them.
                false => Incoming::ended(silence),
            }),
        )
    }
}

/// Says that there is no body where one is expected: HTTP/2 said so with its frames (RFC 9110 §8.6).
fn say_empty(head: &mut Parts) {
    let expected = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
    if expected && !head.headers.contains_key(CONTENT_LENGTH) {
        let nothing = HeaderValue::from_static("0");
        head.headers.insert(CONTENT_LENGTH, nothing);
    }
}

fn take(body: &mut Option<Body>) -> Body {
    body.take().expect("it was not sent, or it came back")
}
