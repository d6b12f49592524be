//! The sites of the demo, on this machine: an API whose access tokens live a few seconds, its token endpoint with
//! one-time refresh tokens, and a shop that sets a new cookie with every answer.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor};

use crate::{ca::Ca, env::Env};

pub(super) const API: &str = "api.demo.test";
pub(super) const AUTH: &str = "auth.demo.test";
pub(super) const SHOP: &str = "shop.demo.test";

/// How long an access token is good.
pub(super) const LIFE: Duration = Duration::from_secs(3);

/// The sites.
pub(super) struct Site {
    ca: Ca,
    env: Env,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Access token → when it ends.
    access: HashMap<String, Instant>,
    /// Refresh token → its family, and whether it was used.
    refresh: HashMap<String, (u32, bool)>,
    /// Families that were revoked, because a refresh token came twice.
    revoked: Vec<u32>,
    families: u32,
    /// The one good value of each cookie's line.
    cookies: HashMap<u32, String>,
    counts: Counts,
}

/// What the sites saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) redeemed: u32,
    pub(super) reused: u32,
}

// === impl Site ===

impl Site {
    pub(super) fn new(ca: Ca, env: Env) -> Arc<Self> {
        Arc::new(Self {
            ca,
            env,
            state: Mutex::default(),
        })
    }

    /// Signs a user in to the API: an access token and a refresh token.
    pub(super) fn sign_in(&self) -> (String, String) {
        let mut state = self.state();
        state.families += 1;
        let family = state.families;
        self.issue(&mut state, family)
    }

    /// Signs a user in to the shop: the first value of a cookie.
    pub(super) fn enter(&self) -> String {
        let mut state = self.state();
        state.families += 1;
        let line = state.families;
        self.next_cookie(&mut state, line)
    }

    /// Ends all access tokens at once, as a server does that forgets its sessions.
    pub(super) fn revoke(&self) {
        self.state().access.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Serves connections for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((io, _)) = listener.accept().await else {
                continue;
            };
            let site = self.clone();
            tokio::spawn(async move {
                // A client that went away has its answer, or wants none.
                site.connection(io).await.ok();
            });
        }
    }

    async fn connection(self: Arc<Self>, io: TcpStream) -> io::Result<()> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let host = {
            let hello = start.client_hello();
            let name = hello.server_name().unwrap_or_default();
            name.parse().map_err(io::Error::other)?
        };
        let mut config = (*self.ca.resolve(&host).map_err(io::Error::other)?).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let io = start.into_stream(Arc::new(config)).await?;
        let service = service_fn(move |request| {
            let site = self.clone();
            async move { Ok::<_, Infallible>(site.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        connection.await.map_err(io::Error::other)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let field = |name| {
            let value = request.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        match &*field(HOST) {
            API => self.api(
                field(AUTHORIZATION)
                    .strip_prefix("Bearer ")
                    .unwrap_or_default(),
            ),
            SHOP => self.shop(field(COOKIE).strip_prefix("sid=").unwrap_or_default()),
            AUTH => {
                let body = request.into_body().collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                self.token(&body)
            }
            _ => plain(StatusCode::NOT_FOUND, "nobody lives here"),
        }
    }

    fn api(&self, token: &str) -> Response<Full<Bytes>> {
        let ends = self.state().access.get(token).copied();
        match ends {
            Some(ends) if Instant::now() < ends => plain(StatusCode::OK, "42 books"),
            _ => plain(StatusCode::UNAUTHORIZED, "the access token is over"),
        }
    }

    /// RFC 6749 §6, with the rotation and the reuse detection of RFC 9700 §4.14.2.
    fn token(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let mut form = form_urlencoded::parse(body);
        let token = form.find(|(name, _)| name == "refresh_token");
        let token = token
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default();
        let mut state = self.state();
        let refused = || {
            json(
                StatusCode::BAD_REQUEST,
                &serde_json::json!({ "error": "invalid_grant" }),
            )
        };
        let Some((family, used)) = state.refresh.get_mut(&token) else {
            return refused();
        };
        let (family, reused) = (*family, std::mem::replace(used, true));
        if reused {
            state.counts.reused += 1;
            state.revoked.push(family);
        }
        if state.revoked.contains(&family) {
            return refused();
        }
        state.counts.redeemed += 1;
        let (access, refresh) = self.issue(&mut state, family);
        json(
            StatusCode::OK,
            &serde_json::json!({
                "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": LIFE.as_secs(),
            }),
        )
    }

    /// Only the newest value is good: whoever sends an older one is not signed in.
    fn shop(&self, value: &str) -> Response<Full<Bytes>> {
        let mut state = self.state();
        let line = state
            .cookies
            .iter()
            .find(|(_, good)| *good == value)
            .map(|(line, _)| *line);
        let Some(line) = line else {
            return plain(StatusCode::UNAUTHORIZED, "the cookie is an old one");
        };
        let next = self.next_cookie(&mut state, line);
        let mut response = plain(StatusCode::OK, "your basket is empty");
        let cookie = format!("sid={next}; Path=/; Secure; HttpOnly");
        let cookie = cookie
            .parse()
            .expect("letters and digits are a field value");
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }

    fn issue(&self, state: &mut State, family: u32) -> (String, String) {
        let (access, refresh) = (self.word("at"), self.word("rt"));
        state.access.insert(access.clone(), Instant::now() + LIFE);
        state.refresh.insert(refresh.clone(), (family, false));
        (access, refresh)
    }

    fn next_cookie(&self, state: &mut State, line: u32) -> String {
        let value = self.word("sid");
        state.cookies.insert(line, value.clone());
        value
    }

    fn word(&self, kind: &str) -> String {
        format!("{kind}-{:016x}", self.env.random())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for the sites.
pub(super) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
