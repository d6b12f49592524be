//! One exchange, from top to bottom: target, session, upstream, what the answer taught. What a session's credential
//! adds, and that it may be sent once more, stands in `signed`; what goes without one in `unsigned`.

use std::{future::Future, sync::Arc, time::Instant};

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, EXPECT, SET_COOKIE, VIA},
    request::Parts,
};

use super::{
    Proxy, Unmatched,
    answer::Side,
    body::ResponseBody,
    error::{Error, Kind},
    interim::Informs,
    meter::Waited,
    outlive::Stake,
    relay::{self, Received},
    requests::Scope,
    respond,
    upgrade::{self, Extended, OnUpgrade},
    whole::Arrived,
};
use crate::{
    http1::Spelling,
    message::{framing, hop, status, target},
    origin::Origin,
    rule::{Recipe, SetCookie, inject::Applied, rejected::Asked},
    session::About,
    upstream::{Alpn, Gate, Peer, Reach, RequestBody, Route},
};

/// Serves one request. Every one ends in exactly one line of the log.
pub fn run(
    scope: Arc<Scope>,
    request: Request<RequestBody>,
    stake: Arc<Stake>,
) -> impl Future<Output = Response<ResponseBody>> + Send {
    let (mut parts, body) = request.into_parts();
    // A block has room for what it is given once, a function twice.
    async move { serve(&scope, &mut parts, body, &stake).await }
}

async fn serve(
    scope: &Scope,
    parts: &mut Parts,
    body: RequestBody,
    stake: &Stake,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let (method, path) = (parts.method.clone(), parts.uri.clone());
    let is_http2 = parts.version == Version::HTTP_2;
    let waited = Waited::default();
    let result = Exchange::begin(scope, parts, body, &waited, stake).await;
    scope.proxy.added.note(started.elapsed(), &waited);
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
            let mut answer = respond::error(&error);
            if answer.status() == StatusCode::BAD_REQUEST && !is_http2 {
                // Where a message that is not valid ends is anybody's guess.
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            let (status, cause) = (answer.status().as_u16(), &error as &dyn std::error::Error);
            match error.side() {
                // Somebody has tried to end what all share.
                Side::Client if *error.kind() == Kind::Blocked => {
                    tracing::info!(%method, origin = origin(), path = path.path(), status, took_us = took(), error = cause, "exchange refused")
                }
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
    pub peer: Arc<Peer>,
    pub wants: Alpn,
    absolute: bool,
    /// Who asks, where clients have names.
    client: Option<&'s Arc<str>>,
    pub websocket: bool,
    on_upgrade: Option<OnUpgrade>,
    /// How the client wrote its request.
    pub spelling: Spelling,
    /// The WebSocket was asked for over HTTP/2.
    pub extended: Option<Extended>,
    /// Opens when the upstream wants the body that the client holds back.
    pub gate: Option<Arc<Gate>>,
    /// The client, if informational answers can be passed on to it.
    pub informs: Option<Informs>,
    pub hides_cookies: bool,
    pub waited: &'s Waited,
    /// Raised while an answer is on its way that teaches; `None`: none does.
    pub stake: Option<&'s Stake>,
}

impl<'s> Exchange<'s> {
    /// Returns path and query as the client sent them.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |p| p.as_str())
    }

    /// Returns what was asked for, for the session's account of rejections.
    pub fn about(&self) -> About<'_> {
        About {
            method: &self.method,
            origin: self.origin,
            path: self.path(),
            client: self.client,
        }
    }

    /// Returns what was asked for, with what of the session was on it, for the rules on answers.
    pub fn asked(&self, applied: Applied) -> Asked<'_> {
        Asked {
            method: &self.method,
            path: self.path(),
            applied,
        }
    }

    /// Checks the target, finds out who is concerned, and sends.
    async fn begin(
        scope: &'s Scope,
        parts: &mut Parts,
        mut body: RequestBody,
        waited: &'s Waited,
        stake: &'s Stake,
    ) -> Result<Response<ResponseBody>, Error> {
        let proxy = &*scope.proxy;
        let extended = Extended::take(parts, &scope.activity);
        if parts.method == Method::CONNECT {
            return Err(Kind::BadRequest("CONNECT has no place here").into());
        }
        if !framing::is_plain(&parts.headers) {
            return Err(Kind::BadRequest("the request's length has several readings").into());
        }
        // Over HTTP/2 the library bounds the bytes alone.
        if framing::has_more(&parts.headers, proxy.limits.fields) {
            return Err(Kind::BadRequest("the request has too many fields").into());
        }
        let named;
        let origin = match &scope.origin {
            Some(origin) => {
                target::within(origin, parts.version, &mut parts.uri, &parts.headers)?;
                origin
            }
            None => {
                named = target::absolute(parts.version, &mut parts.uri, &parts.headers)?;
                if proxy.has_passed(&parts.headers, &named) {
                    return Err(Kind::Loop.into());
                }
                &named
            }
        };
        if parts.uri.path() == "*" && parts.method != Method::OPTIONS {
            // RFC 9112 §3.2.4.
            return Err(target::Error::Target.into());
        }
        let counts = matches!(parts.method, Method::OPTIONS | Method::TRACE);
        if counts && !hop::may_go_on(&mut parts.headers) {
            return Ok(respond::last_hop(parts).map(ResponseBody::Whole));
        }
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
        let names = |scheme| {
            let matcher = world.sessions.matcher();
            matcher.decides_for(client, scheme, &origin.host, origin.port)
        };
        let reach = match scope.reach {
            Reach::Guarded if names(origin.scheme) => Reach::Anywhere,
            reach => reach,
        };
        let peer = || {
            proxy.upstream.peer(&Route {
                client: scope.client.clone(),
                origin: origin.clone(),
                reach,
            })
        };
        let peer = if absolute {
            peer()
        } else {
            scope.peer.get_or_init(peer).clone()
        };
        let websocket = extended.is_some()
            || parts.version == Version::HTTP_11
                && parts.method == Method::GET
                && hop::is_websocket(&parts.headers);
        hop::strip(&mut parts.headers);
        if websocket {
            upgrade::ask(&mut parts.headers);
        }
        if absolute {
            let name = proxy.upstream.mark(client, origin);
            parts.headers.append(VIA, via(parts.version, &name));
        }
        if parts.version == Version::HTTP_10 && parts.headers.contains_key(EXPECT) {
            // It is ignored (RFC 9110 §10.1.1), by whoever is asked for a body behind us, too.
            hop::retain(&mut parts.headers, |name, _| *name != EXPECT);
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
        let mut exchange = Exchange {
            proxy,
            origin,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            peer,
            wants,
            absolute,
            client: scope.client.as_ref(),
            websocket,
            on_upgrade: OnUpgrade::take(&mut body),
            spelling: body.spelling(),
            extended,
            gate: expects.then(Arc::default),
            informs: match &body {
                RequestBody::Http1(_) if parts.version == Version::HTTP_10 => None,
                RequestBody::Http1(_) => Some(Informs::Http1(scope.activity.clone())),
                RequestBody::Http2(body) => body.informing().map(Informs::Http2),
            },
            hides_cookies: false,
            waited,
            stake: (found.bound.is_some() || !found.captures.is_empty()).then_some(stake),
        };
        let mut arrived = Arrived::Coming(body);
        if found.captures.iter().any(relay::looks_into)
            && let Arrived::Coming(body) = arrived
        {
            let received = exchange.receive(&world, scope, &found, parts, body);
            arrived = match Box::pin(received).await? {
                Received::Arrived(arrived) => arrived,
                Received::Answered(response) => {
                    let bound = found.bound.as_ref().map(|bound| {
                        world
                            .sessions
                            .session(bound.recipe(), scope.client.as_ref())
                    });
                    let recipe = bound.as_ref().map(|session| &**session.recipe());
                    return Ok(exchange.finish(response, recipe, None));
                }
            };
        }
        match &found.bound {
            None => {
                exchange
                    .unsigned(&world, scope, &found, parts, arrived)
                    .await
            }
            Some(bound) => {
                let session = world
                    .sessions
                    .session(bound.recipe(), scope.client.as_ref());
                exchange.hides_cookies = hides(session.recipe());
                exchange
                    .signed(
                        &world,
                        scope,
                        &session,
                        bound,
                        &found.captures,
                        parts,
                        arrived,
                    )
                    .await
            }
        }
    }

    /// Gives the answer the form in which the client gets it.
    pub fn finish(
        &mut self,
        mut response: Response<ResponseBody>,
        recipe: Option<&Recipe>,
        note: Option<&str>,
    ) -> Response<ResponseBody> {
        let version = response.version();
        hop::strip(response.headers_mut());
        if self.websocket {
            let (client, extended) = (self.on_upgrade.take(), self.extended.take());
            upgrade::relay(self.proxy, client, extended, &mut response);
        }
        let headers = response.headers_mut();
        if recipe.is_some_and(hides) && headers.contains_key(SET_COOKIE) {
            hop::retain(headers, |name, _| *name != SET_COOKIE);
        }
        if let Some(note) = note {
            headers.append(respond::PROXY_STATUS.clone(), status::field(None, note));
        }
        if self.absolute {
            headers.append(VIA, via(version, "staysigned"));
        }
        response
    }
}

/// Tells whether the client sees none of the session's cookies.
fn hides(recipe: &Recipe) -> bool {
    recipe.cookies.enabled && recipe.cookies.set_cookie == SetCookie::Hide
}

/// Our entry in `Via`: the protocol in which the message came, and our name.
fn via(version: Version, name: &str) -> HeaderValue {
    let protocol = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    let entry = format!("{protocol} {name}");
    HeaderValue::try_from(entry).expect("letters, digits and a hyphen are a value")
}
