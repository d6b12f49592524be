//! One exchange, from top to bottom: target, session, credential, upstream, what the answer taught, and once more if
//! it was rejected.

use std::{sync::Arc, time::Instant};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, SET_COOKIE, TRANSFER_ENCODING, VIA},
    request::Parts,
};
use hyper::{body::Incoming as ClientIncoming, upgrade::OnUpgrade};
use tokio::time::{sleep, timeout};

use super::{
    Proxy, Unmatched, World,
    body::ResponseBody,
    error::{Error, Kind, Side},
    inspect,
    judge::{self, Judged, Says},
    requests::Scope,
    respond, upgrade,
};
use crate::{
    grant::Generation,
    message::{hop, status, target},
    origin::Origin,
    rule::{
        Again, OnDead, Recipe, SetCookie,
        inject::{self, Applied, Attempt},
        matcher::{Bound, Captured, Found},
    },
    secret::Secret,
    session::{About, Answer, Counters, Current, Session, Verdict},
    upstream::{Alpn, Body, ClientBody, Gate, Incoming, Keep, Peer, Route, Sent},
};

/// How long a body with `Expect: 100-continue` is held back (RFC 9110 §10.1.1: "a client SHOULD NOT wait indefinitely").
const CONTINUE: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves one request. Every one ends in exactly one line of the log.
pub async fn run(scope: Arc<Scope>, request: Request<ClientIncoming>) -> Response<ResponseBody> {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().clone());
    let result = Exchange::begin(&scope, request).await;
    let origin = || {
        scope
            .origin
            .as_ref()
            .map_or_else(|| path.host().unwrap_or("").to_owned(), Origin::to_string)
    };
    let took = || started.elapsed().as_micros() as u64;
    match result {
        Ok(response) => {
            tracing::debug!(%method, origin = origin(), path = path.path(), status = response.status().as_u16(), took_us = took(), "exchange");
            response
        }
        Err(error) => {
            let answer = respond::error(&error);
            let (status, cause) = (answer.status().as_u16(), &error as &dyn std::error::Error);
            match error.side() {
                Side::Client => {
                    tracing::debug!(%method, origin = origin(), path = path.path(), status, took_us = took(), error = cause, "exchange refused")
                }
                Side::Upstream | Side::Proxy => {
                    tracing::info!(%method, origin = origin(), path = path.path(), status, took_us = took(), error = cause, "exchange failed")
                }
            }
            answer.map(ResponseBody::Whole)
        }
    }
}

/// What stays the same when a request is sent again.
pub(super) struct Exchange<'s> {
    pub proxy: &'s Proxy,
    pub origin: &'s Origin,
    pub method: Method,
    /// The target in origin form, as the client sent it.
    pub uri: Uri,
    peer: Arc<Peer>,
    wants: Alpn,
    absolute: bool,
    websocket: bool,
    on_upgrade: Option<OnUpgrade>,
    /// Opens when the upstream wants the body that the client holds back.
    gate: Option<Arc<Gate>>,
}

/// What an answer has for the sessions.
struct Taught<'a> {
    headers: &'a HeaderMap,
    rejected: bool,
    /// For each capture, the fields that were taken.
    fields: &'a [Vec<(String, Secret)>],
}

/// A request body that may be needed once more.
enum Spare {
    Empty,
    Kept(Arc<Keep>),
    /// It goes by without a copy.
    None,
}

impl<'s> Exchange<'s> {
    /// Returns path and query as the client sent them.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |p| p.as_str())
    }

    /// Returns what was asked for, for the session's account of rejections.
    fn about(&self) -> About<'_> {
        About {
            method: &self.method,
            origin: self.origin,
            path: self.path(),
        }
    }

    /// Checks the target, finds out who is concerned, and sends.
    async fn begin(
        scope: &'s Scope,
        request: Request<ClientIncoming>,
    ) -> Result<Response<ResponseBody>, Error> {
        let proxy = &*scope.proxy;
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(Kind::BadRequest("CONNECT has no place here").into());
        }
        let named;
        let origin = match &scope.origin {
            Some(origin) => {
                target::within(origin, parts.version, &mut parts.uri, &parts.headers)?;
                origin
            }
            None => {
                named = target::absolute(parts.version, &mut parts.uri, &parts.headers)?;
                if hop::is_loop(&parts.headers, hop::PSEUDONYM) {
                    return Err(Kind::Loop.into());
                }
                &named
            }
        };
        let world = proxy.world.load_full();
        let client = scope.client.as_deref();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let found =
            world
                .sessions
                .matcher()
                .find(client, origin, &parts.method, path, &parts.headers);
        if found.blocked.is_some() {
            return Err(Kind::Blocked.into());
        }
        let absolute = scope.origin.is_none();
        if absolute && world.unmatched == Unmatched::Deny && found.bound.is_none() {
            return Err(Kind::Denied.into());
        }
        let peer = || {
            proxy.upstream.peer(&Route {
                client: scope.client.clone(),
                origin: origin.clone(),
            })
        };
        let peer = if absolute {
            peer()
        } else {
            scope.peer.get_or_init(peer).clone()
        };
        let websocket = parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && hop::is_websocket(&parts.headers);
        hop::strip(&mut parts.headers);
        if websocket {
            upgrade::ask(&mut parts.headers);
        }
        if absolute {
            parts.headers.append(VIA, via(parts.version));
        }
        let expects = parts
            .headers
            .get(EXPECT)
            .is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        // HTTP/2 pays where several requests share a connection, and where trailers are asked for (gRPC); a single
        // stream is cheaper over HTTP/1.1 on both sides.
        let shared = scope.activity.exchanges() > 1 || hop::wants_trailers(&parts.headers);
        let wants = if parts.version == Version::HTTP_2 && shared {
            Alpn::Http2
        } else {
            Alpn::Http1
        };
        let exchange = Exchange {
            proxy,
            origin,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            peer,
            wants,
            absolute,
            websocket,
            on_upgrade: parts.extensions.remove::<OnUpgrade>(),
            gate: expects.then(Arc::default),
        };
        match &found.bound {
            None => exchange.unsigned(&world, scope, &found, parts, body).await,
            Some(bound) => {
                let session = world
                    .sessions
                    .session(bound.recipe(), scope.client.as_ref());
                exchange
                    .signed(&world, scope, &session, bound, &found.captures, parts, body)
                    .await
            }
        }
    }

    /// Sends a request that no session is bound to.
    async fn unsigned(
        self,
        world: &World,
        scope: &Scope,
        found: &Found<'_>,
        parts: Parts,
        body: ClientIncoming,
    ) -> Result<Response<ResponseBody>, Error> {
        let (body, spare) = self.body(body, false);
        let response = self.once(parts, body, &spare).await?;
        let judged = judge::captured(&self, response, &found.captures).await?;
        let Judged {
            response, fields, ..
        } = judged;
        let taught = Taught {
            headers: response.headers(),
            rejected: false,
            fields: &fields,
        };
        self.teach(
            world,
            scope,
            &found.captures,
            None,
            Generation::default(),
            taught,
        )
        .await?;
        Ok(self.finish(response, None, None))
    }

    /// Sends a request with a session's credential; once more if the upstream says that it is no longer good.
    #[allow(clippy::too_many_arguments)] // the request's parts, and whom it concerns
    async fn signed(
        self,
        world: &World,
        scope: &Scope,
        session: &Arc<Session>,
        bound: &Bound,
        captures: &[Captured<'_>],
        parts: Parts,
        body: ClientIncoming,
    ) -> Result<Response<ResponseBody>, Error> {
        let recipe = session.recipe();
        let turn = session.turn().await?;
        let mut current = match session.ready() {
            Some(current) => Some(current),
            None => match session.current().await {
                Ok(current) => Some(current),
                Err(dead) if recipe.on_dead == OnDead::Fail => return Err(dead.into()),
                Err(_) => None,
            },
        };
        let (mut body, spare) = self.body(body, true);
        let (mut attempt, mut renewed, mut note) = (Attempt::First, false, None);
        loop {
            let mut parts = parts.clone();
            let applied = self.sign(&mut parts, recipe, bound, current.as_deref(), attempt)?;
            if applied == Applied::Sent && attempt == Attempt::First {
                Counters::add(&session.counters().injected);
            }
            let seen = current
                .as_ref()
                .map_or_else(|| session.generation(), |c| c.generation);
            let response = self.once(parts, body, &spare).await?;
            let judged = judge::answered(&self, session, applied, response, captures).await?;
            let taught = Taught {
                headers: judged.response.headers(),
                rejected: matches!(judged.says, Says::Rejected(_)),
                fields: &judged.fields,
            };
            self.teach(world, scope, captures, Some(session), seen, taught)
                .await?;
            let next = match (&judged.says, attempt) {
                (Says::Nothing, _) => {
                    if applied == Applied::Sent {
                        session.accepted(seen, self.about());
                    }
                    drop(turn);
                    return Ok(self.finish(judged.response, Some(recipe), note));
                }
                (Says::Rejected(hit), Attempt::Again) => {
                    if renewed {
                        session.rejected_again(self.about());
                    } else {
                        // It was sent again because of a challenge, with what was held: the next one is served.
                        session.reject(seen, self.about()).await;
                    }
                    if hit.again == Again::Fail {
                        return Err(Kind::StillRejected.into());
                    }
                    judge::confirm(&self, session, hit).await;
                    return Ok(self.finish(judged.response, Some(recipe), note));
                }
                (Says::Rejected(_), Attempt::First) => session.reject(seen, self.about()).await,
                (Says::Challenged, _) => match &current {
                    Some(current) => Verdict::Again(current.clone()),
                    None => Verdict::Pass("the upstream asks for a credential, and none is held"),
                },
            };
            let next = match next {
                Verdict::Again(next) => next,
                Verdict::Pass(why) => {
                    return Ok(self.finish(judged.response, Some(recipe), Some(why)));
                }
            };
            let why = "the session was refreshed, but the request's body was too large to keep";
            if !spare.is_kept() {
                return Ok(self.finish(judged.response, Some(recipe), Some(why)));
            }
            let (head, rejected) = judged.response.into_parts();
            if spare.is_complete() {
                inspect::discard(rejected).await;
            } else {
                // Upstreams reject before they have read: what the client has not sent yet comes back when the
                // connection is let go, and goes behind what is kept.
                drop(rejected);
            }
            let Some(again) = spare.again().await else {
                let mut response =
                    Response::from_parts(head, ResponseBody::Whole(bytes::Bytes::new()));
                response.headers_mut().remove(CONTENT_LENGTH);
                return Ok(self.finish(response, Some(recipe), Some(why)));
            };
            renewed = matches!(judged.says, Says::Rejected(_));
            note = Some(if renewed {
                "the first answer was a rejection; sent again with a renewed credential"
            } else {
                "the first answer was a challenge; sent again with the credential"
            });
            session.replayed();
            (body, current, attempt) = (again, Some(next), Attempt::Again);
        }
    }

    /// Puts the credential on, or takes off what stands in for it when there is none.
    fn sign(
        &self,
        parts: &mut Parts,
        recipe: &Recipe,
        bound: &Bound,
        current: Option<&Current>,
        attempt: Attempt,
    ) -> Result<Applied, Error> {
        let failed = |e: inject::Error| Error::from(Kind::Incompletely(e.to_string())).because(e);
        let Some(current) = current else {
            inject::strip(parts, recipe).map_err(failed)?;
            return Ok(Applied::Nothing);
        };
        let jar = current.cookie_string(recipe, self.origin, parts.uri.path());
        let params = inject::Params {
            recipe,
            ready: &current.ready,
            jar: jar.as_ref(),
            attempt,
            render: &|template| current.render(recipe, template),
        };
        inject::apply(parts, bound, params).map_err(failed)
    }

    /// Takes the client's body, and keeps a copy while it streams if it may be needed again.
    fn body(&self, body: ClientIncoming, keep: bool) -> (Body, Spare) {
        if http_body::Body::is_end_stream(&body) {
            return (Body::Empty, Spare::Empty);
        }
        let mut body = ClientBody::new(body, self.proxy.limits.silence);
        if let Some(gate) = &self.gate {
            body = body.gated(gate.clone());
        }
        if !keep {
            return (Body::Client(body), Spare::None);
        }
        let (body, copy) = Keep::body(body, self.proxy.limits.replay_body, self.proxy.kept.clone());
        (body, Spare::Kept(copy))
    }

    /// Sends the request on its way; again only if a connection ended as the request was written, or the upstream
    /// says that it did nothing with it.
    async fn once(
        &self,
        parts: Parts,
        body: Body,
        spare: &Spare,
    ) -> Result<Response<Incoming>, Error> {
        let safe = matches!(spare, Spare::Empty) && target::is_idempotent(&self.method);
        let second = safe.then(|| parts.clone());
        let failed = match self.dispatch(Request::from_parts(parts, body)).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let crossed = failed.reused() && failed.sent() == Sent::Maybe;
        match second {
            Some(parts) if crossed || failed.refused_stream() => Ok(self
                .dispatch(Request::from_parts(parts, Body::Empty))
                .await?),
            _ => Err(failed.into()),
        }
    }

    async fn dispatch(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, crate::upstream::Error> {
        let wants = self.wants;
        if self.websocket {
            return self.peer.send_upgrade(request).await;
        }
        let send = async {
            match &self.gate {
                None => self.peer.send(request, wants).await,
                Some(gate) => {
                    let opener = gate.clone();
                    hyper::ext::on_informational(&mut request, move |answer| {
                        if answer.status() == http::StatusCode::CONTINUE {
                            opener.open();
                        }
                    });
                    let mut send = std::pin::pin!(self.peer.send(request, wants));
                    tokio::select! {
                        answer = &mut send => answer,
                        () = sleep(CONTINUE) => {
                            gate.open();
                            send.await
                        }
                    }
                }
            }
        };
        let mut response = match self.proxy.limits.response_head {
            None => send.await?,
            Some(limit) => timeout(limit, send)
                .await
                .map_err(|_| crate::upstream::Error::silent())??,
        };
        let headers = response.headers();
        if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
            // Two lengths: whoever believes the other one sees another message (RFC 9112 §6.1).
            return Err(crate::upstream::Error::ambiguous());
        }
        if is_event_stream(headers) {
            let silence = self.proxy.limits.tunnel_idle;
            response.body_mut().set_silence(silence);
        }
        Ok(response)
    }

    /// Lets the sessions learn from an answer; returns when it is stored.
    #[allow(clippy::too_many_arguments)] // whom it concerns, and what was seen
    async fn teach(
        &self,
        world: &World,
        scope: &Scope,
        captures: &[Captured<'_>],
        session: Option<&Arc<Session>>,
        seen: Generation,
        taught: Taught<'_>,
    ) -> Result<(), Error> {
        let Taught {
            headers,
            rejected,
            fields: taken,
        } = taught;
        let stored = |e: crate::store::Error| Error::from(Kind::Store).because(e);
        if let Some(session) = session {
            let own = captures.iter().zip(taken);
            let own = own.filter(|(c, _)| {
                Arc::ptr_eq(world.sessions.matcher().recipe(c.recipe), session.recipe())
            });
            let fields: Vec<_> = own.flat_map(|(_, fields)| fields.iter().cloned()).collect();
            if !fields.is_empty() || headers.contains_key(SET_COOKIE) {
                let path = self.uri.path();
                let answer = Answer {
                    seen,
                    origin: self.origin,
                    path,
                    headers,
                    rejected,
                    fields,
                };
                session.learn(answer).await.map_err(stored)?;
            }
        }
        for (capture, fields) in captures.iter().zip(taken) {
            let other = world
                .sessions
                .session(capture.recipe, scope.client.as_ref());
            if fields.is_empty() || session.is_some_and(|s| Arc::ptr_eq(s, &other)) {
                continue;
            }
            let answer = Answer {
                seen: other.generation(),
                origin: self.origin,
                path: self.uri.path(),
                headers: &HeaderMap::new(),
                rejected: false,
                fields: fields.clone(),
            };
            other.learn(answer).await.map_err(stored)?;
        }
        Ok(())
    }

    /// Gives the answer the form in which the client gets it.
    fn finish(
        self,
        mut response: Response<ResponseBody>,
        recipe: Option<&Recipe>,
        note: Option<&str>,
    ) -> Response<ResponseBody> {
        let switched = self.websocket && upgrade::relay(self.proxy, self.on_upgrade, &mut response);
        let headers = response.headers_mut();
        hop::strip(headers);
        if switched {
            upgrade::ask(headers);
        }
        let hides = |r: &Recipe| r.cookies.enabled && r.cookies.set_cookie == SetCookie::Hide;
        if recipe.is_some_and(hides) && headers.contains_key(SET_COOKIE) {
            hop::retain(headers, |name, _| *name != SET_COOKIE);
        }
        if let Some(note) = note {
            headers.append(respond::PROXY_STATUS.clone(), status::field(None, note));
        }
        if self.absolute {
            headers.append(VIA, via(Version::HTTP_11));
        }
        response
    }
}

impl Spare {
    /// Tells whether all that was sent so far can be sent again.
    fn is_kept(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(copy) => copy.fits(),
            Self::None => false,
        }
    }

    /// Tells whether the whole body was sent.
    fn is_complete(&self) -> bool {
        match self {
            Self::Kept(copy) => copy.is_complete(),
            Self::Empty | Self::None => true,
        }
    }

    async fn again(&self) -> Option<Body> {
        match self {
            Self::Empty => Some(Body::Empty),
            Self::Kept(copy) => copy.again().await,
            Self::None => None,
        }
    }
}

/// Our entry in `Via`: the protocol in which the message came.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 staysigned",
        Version::HTTP_2 => "2.0 staysigned",
        _ => "1.1 staysigned",
    })
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = |v: &HeaderValue| {
        v.as_bytes()
            .get(..17)
            .is_some_and(|v| v.eq_ignore_ascii_case(b"text/event-stream"))
    };
    headers.get(CONTENT_TYPE).is_some_and(essence)
}
