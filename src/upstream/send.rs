//! One request on one connection.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header::CONTENT_LENGTH,
    request::Parts,
};
use http_body::Body as _;
use hyper::client::conn::TrySendError;
use tokio::time::sleep;

use super::{
    adapt,
    body::{Body, Incoming},
    connection::{Http1, Lease},
    error::{Error, Sent},
    http2::Place,
    patience::Patience,
    peer::Peer,
};
use crate::http1::{Spelling, client};

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
    /// Takes one; tells whether more are wanted.
    fn hear(&self, status: StatusCode, headers: &HeaderMap) -> bool;
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
        connection.get().begin(head, take(body));
        let limit = self.shared.limits.response_head;
        // Counted from the end of the request: a client that sends slowly takes nothing away from it.
        let mut patience = None;
        let answer = poll_fn(|cx| {
            let mut hear = |status, headers: &_| hears.is_none_or(|h| h.hear(status, headers));
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

    /// Sends over HTTP/2; the body comes back if nothing was sent.
    pub(super) async fn send_http2(
        &self,
        Place { mut sender, held }: Place,
        request: &mut Outgoing<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let flood = Arc::new(AtomicBool::new(false));
        let (answer, patience) = {
            let mut whole = Request::new(take(body));
            whole.method_mut().clone_from(&request.head.method);
            whole.uri_mut().clone_from(&request.head.uri);
            *whole.headers_mut() = std::mem::take(&mut request.head.headers);
            let mut whole = adapt::to_http2(whole, &self.origin);
            if let Some(hears) = request.hears.cloned() {
                let flood = flood.clone();
                hyper::ext::on_informational(&mut whole, move |answer| {
                    if !hears.hear(answer.status(), answer.headers()) {
                        flood.store(true, Ordering::Relaxed);
                    }
                });
            }
            let (whole, patience) = Patience::with(whole, self.shared.limits.response_head);
            (sender.try_send_request(whole), patience)
        };
        let mut answer = pin!(Patience::bear(patience, answer));
        let answer = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Pending if flood.load(Ordering::Relaxed) => {
                Poll::Ready(Err(Error::invalid("informational answers without an end")))
            }
            answer => answer.map(|answer| answer.ok_or_else(Error::silent)),
        });
        match answer.await? {
            Ok(response) => {
                let silence = self.shared.limits.silence;
                Ok(response.map(|body| Incoming::http2(body, held, silence)))
            }
            Err(failed) => Err(put_back(failed, request.head, body)),
        }
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

/// Says what a failed attempt was; fields and body come back if not a byte of the request was written.
fn put_back(
    mut failed: TrySendError<Request<Body>>,
    head: &mut Parts,
    body: &mut Option<Body>,
) -> Error {
    if let Some(request) = failed.take_message() {
        let (parts, unsent) = request.into_parts();
        head.headers = parts.headers;
        *body = Some(unsent);
    }
    let sent = match body {
        Some(_) => Sent::No,
        None => Sent::Maybe,
    };
    Error::http(failed.into_error(), sent)
}
