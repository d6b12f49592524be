//! A request on its way to the upstream: its body, kept if it may be needed again; `Expect: 100-continue`; and the
//! one repetition that no rule asks for, when a connection ended as the request was written.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use tokio::time::sleep;

use super::{
    error::Error,
    exchange::Exchange,
    interim::{Informed, want_body},
    whole::Whole,
};
use crate::{
    message::{framing, hop, target},
    upstream::{self, Body, ClientBody, Hears, Incoming, Keep, Outgoing, RequestBody, Sent},
};

/// How long a body with `Expect: 100-continue` is held back (RFC 9110 §10.1.1: "a client SHOULD NOT wait indefinitely").
const CONTINUE: std::time::Duration = std::time::Duration::from_secs(1);

/// A request body that may be needed once more.
pub(super) enum Spare {
    Empty,
    Kept(Arc<Keep>),
    /// It was read before it was sent.
    Whole(Whole),
    /// It goes by without a copy.
    None,
}

impl Exchange<'_> {
    /// Takes the client's body, and keeps a copy while it streams if it may be needed again.
    pub(super) fn body(&self, body: RequestBody, keep: bool) -> (Body, Spare) {
        if http_body::Body::is_end_stream(&body) {
            return (Body::Empty, Spare::Empty);
        }
        let mut body = ClientBody::new(body, self.proxy.limits.silence);
        if let Some(gate) = &self.gate {
            body = body.gated(gate.clone());
        }
        if !keep {
            return (Body::Client(Box::new(body)), Spare::None);
        }
        let (body, copy) = Keep::body(body, self.proxy.limits.replay_body, self.proxy.kept.clone());
        (body, Spare::Kept(copy))
    }

    /// Sends a request on its way; again if nothing speaks against it ([`Self::may_repeat`]).
    pub(super) async fn once(
        &self,
        parts: &mut Parts,
        body: &mut Option<Body>,
        spare: &Spare,
    ) -> Result<Response<Incoming>, Error> {
        let mut second = matches!(spare, Spare::Empty).then(|| parts.clone());
        loop {
            match (self.dispatch(parts, body).await, second.take()) {
                (Err(failed), Some(second)) if self.may_repeat(&failed, spare) => {
                    (*parts, *body) = (second, Some(Body::Empty));
                }
                (answered, _) => return Ok(answered?),
            }
        }
    }

    /// Returns the body of another attempt, if a request that failed may be sent again although no rule asks for it.
    pub(super) fn once_more(&self, failed: &upstream::Error, spare: &mut Spare) -> Option<Body> {
        let repeats = failed.refused_stream() || self.may_repeat(failed, spare);
        repeats.then(|| spare.again()).flatten()
    }

    /// Tells whether a request without a body that failed may be sent again although no rule asks for it: a connection
    /// ended as it was written (RFC 9110 §9.2.2), or the upstream says that it did nothing with it (RFC 9113 §8.7).
    pub(super) fn may_repeat(&self, failed: &upstream::Error, spare: &Spare) -> bool {
        let crossed = failed.reused() && failed.sent() == Sent::Maybe;
        let repeats = failed.refused_stream() || crossed && target::is_idempotent(&self.method);
        matches!(spare, Spare::Empty) && repeats
    }

    /// Sends a request and returns the head of its answer. The body is taken when it is sent.
    pub(super) async fn dispatch(
        &self,
        parts: &mut Parts,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, upstream::Error> {
        let began = Instant::now();
        if let Some(stake) = self.stake {
            stake.raise();
        }
        let answer = self.ask(parts, body).await;
        self.waited.since(began);
        if let (Some(stake), Err(_)) = (self.stake, &answer) {
            stake.settle();
        }
        answer
    }

    async fn ask(
        &self,
        parts: &mut Parts,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, upstream::Error> {
        let mut response = self.listen(parts, body).await?;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched && !(self.websocket && hop::is_websocket(response.headers())) {
            return Err(upstream::Error::invalid("a protocol that nobody asked for"));
        }
        if let Some(why) = self.extended.as_ref().and_then(|e| e.objects(&response)) {
            return Err(upstream::Error::invalid(why));
        }
        if !framing::settle(response.headers_mut()) {
            // Whoever believes another length sees another message (RFC 9112 §6.1).
            return Err(upstream::Error::invalid("a length with several readings"));
        }
        // Over HTTP/2 the library bounds the bytes alone.
        if framing::has_more(response.headers(), self.proxy.limits.fields) {
            return Err(upstream::Error::invalid("more fields than are taken"));
        }
        if is_event_stream(response.headers()) {
            let silence = self.proxy.limits.tunnel_idle;
            response.body_mut().set_silence(silence);
        }
        Ok(response)
    }

    /// Sends, and hears what the upstream says before it answers.
    async fn listen(
        &self,
        parts: &mut Parts,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, upstream::Error> {
        let hears: Arc<dyn Hears> = Arc::new(Informed {
            client: self.informs.clone(),
            hides_cookies: self.hides_cookies,
            gate: self.gate.clone(),
            limit: self.proxy.limits.head_bytes,
            bytes: AtomicUsize::new(0),
        });
        let request = Outgoing {
            head: parts,
            spelling: &self.spelling,
            hears: Some(&hears),
        };
        if self.websocket {
            return Box::pin(self.peer.send_upgrade(request, body)).await;
        }
        let mut send = pin!(self.peer.send(request, body, self.wants));
        let Some(gate) = &self.gate else {
            return send.await;
        };
        let mut wait = Some(Box::pin(sleep(CONTINUE)));
        poll_fn(|cx| {
            if wait
                .as_mut()
                .is_some_and(|wait| wait.as_mut().poll(cx).is_ready())
            {
                want_body(Some(gate), self.informs.as_ref());
                wait = None;
            }
            send.as_mut().poll(cx)
        })
        .await
    }
}

// === impl Spare ===

impl Spare {
    /// Tells whether the whole body was sent.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Kept(copy) => copy.is_complete(),
            Self::Empty | Self::Whole(_) | Self::None => true,
        }
    }

    /// Returns the body once more, if all that was sent so far is kept; what is not sent yet goes with it. It is kept
    /// again.
    pub(super) fn again(&mut self) -> Option<Body> {
        match self {
            Self::Empty => Some(Body::Empty),
            Self::Kept(copy) => {
                let (body, next) = copy.again()?;
                *copy = next;
                Some(body)
            }
            // What is sent is made of it each time.
            Self::Whole(_) => Some(Body::Empty),
            Self::None => None,
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = |v: &HeaderValue| {
        v.as_bytes()
            .get(..17)
            .is_some_and(|v| v.eq_ignore_ascii_case(b"text/event-stream"))
    };
    headers.get(CONTENT_TYPE).is_some_and(essence)
}
