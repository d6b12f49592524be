//! One exchange, from top to bottom: target, session, credential, upstream, what the answer taught, and once more if
//! it was rejected.

use std::{sync::Arc, time::Instant};

use http::{
    HeaderValue, Method, Request, Response, Uri, Version,
    header::{CONTENT_LENGTH, EXPECT, SET_COOKIE, VIA},
    request::Parts,
};
use hyper::{body::Incoming as ClientIncoming, upgrade::OnUpgrade};

use super::{
    Proxy, Unmatched, World,
    answer::Side,
    body::ResponseBody,
    error::{Error, Kind},
    inspect,
    judge::{self, Judged, Says},
    meter::Waited,
    requests::Scope,
    respond,
    teach::Taught,
    upgrade,
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
    session::{About, Current, Session, Verdict},
    upstream::{Alpn, Gate, Peer, Route},
};

/// Serves one request. Every one ends in exactly one line of the log.
pub async fn run(scope: Arc<Scope>, request: Request<ClientIncoming>) -> Response<ResponseBody> {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().clone());
    let waited = Waited::default();
    let result = Exchange::begin(&scope, request, &waited).await;
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
    pub peer: Arc<Peer>,
    pub wants: Alpn,
    absolute: bool,
    pub websocket: bool,
    on_upgrade: Option<OnUpgrade>,
    /// Opens when the upstream wants the body that the client holds back.
    pub gate: Option<Arc<Gate>>,
    pub waited: &'s Waited,
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
        waited: &'s Waited,
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
            waited,
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
            if applied == Applied::Sent && !renewed {
                session.injected();
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

/// Our entry in `Via`: the protocol in which the message came.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 staysigned",
        Version::HTTP_2 => "2.0 staysigned",
        _ => "1.1 staysigned",
    })
}
