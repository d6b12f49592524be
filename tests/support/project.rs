//! A Supabase project and an app that is signed in with it, over HTTP: GoTrue, PostgREST, and the app's own API.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    gotrue::{Refused, Rules},
    origin::{self, Abort, Builder, Reply, full},
    routes,
};

pub const PROJECT: &str = "abcdefghijklmnopqrst.supabase.co";
pub const APP: &str = "app.example.test";
/// The project's publishable key.
pub const APIKEY: &str = "sb_publishable_0123456789abcdefghijkl";

/// What goes wrong at `/auth/v1/token`.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing done; with `Retry-After`.
    Status(u16, Option<u64>),
    Html,
    /// Nothing done, and nothing said for this long.
    Silence(Duration),
    /// The connection ends; nothing done.
    Reset,
    /// The refresh is done, and the connection ends.
    ResetAfterCommit,
    /// The refresh is done, and nothing is said for this long.
    SilenceAfterCommit(Duration),
}

/// One request as it came, with its body.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Where a session `app` of the provider may go, where its token stands, and how the app says that it is signed out.
pub fn bound() -> String {
    format!(
        r#"bind = [
    {{ host = "{APP}" }},
    {{ host = "{PROJECT}", path = "/rest/v1/*" }},
    {{ host = "{PROJECT}", path = "/auth/v1/user" }},
]
[[session.app.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"
[[session.app.inject]]
json = "/token"
value = "{{{{ access_token }}}}"
mode = "if_present"
[[session.app.rejected]]
status = [200]
json = {{ "/credits" = 0 }}
confirm = true
"#
    )
}

#[derive(Clone)]
pub struct Project(Arc<Mutex<State>>);

pub struct State {
    pub rules: Rules,
    pub faults: VecDeque<Fault>,
    /// How long each refresh takes.
    pub delay: Duration,
    pub asked: Vec<Asked>,
    pub credits: u64,
    /// The next request to the app ends its connection, as a server does that is restarted.
    pub drop_next: bool,
    /// The app has been restarted: who has an access token from before gets zero.
    pub restarted: Option<Vec<String>>,
}

impl Project {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            rules: Rules::new(),
            faults: VecDeque::new(),
            delay: Duration::ZERO,
            asked: Vec::new(),
            credits: 57,
            drop_next: false,
            restarted: None,
        })))
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What was asked below a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.with(|state| {
            let asked = state.asked.iter();
            asked
                .filter(|a| a.path.starts_with(path))
                .cloned()
                .collect()
        })
    }

    pub fn refreshes(&self) -> usize {
        let asked = self.asked("/auth/v1/token");
        let refreshes = asked
            .iter()
            .filter(|a| a.query == "grant_type=refresh_token");
        refreshes.count()
    }

    pub fn site(&self) -> Builder {
        let this = self.clone();
        origin::origin(&[PROJECT]).handler(move |request| {
            let this = this.clone();
            async move { Ok(this.project(request).await) }
        })
    }

    pub fn app(&self) -> Builder {
        let this = self.clone();
        origin::origin(&[APP]).handler(move |request| {
            let this = this.clone();
            async move {
                if request.uri().path().starts_with("/echo")
                    || request.uri().path().starts_with("/ws")
                {
                    return Err(request);
                }
                let (parts, body) = this.take(request).await;
                Ok(this.with(|state| state.app(&parts, &body)))
            }
        })
    }

    async fn take(&self, request: Request<Incoming>) -> (Parts, Bytes) {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = body.unwrap_or_default();
        let asked = Asked {
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            body: body.clone(),
        };
        self.with(|state| state.asked.push(asked));
        (parts, body)
    }

    async fn project(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = self.take(request).await;
        if parts.headers.get("apikey").is_none_or(|key| key != APIKEY) {
            return routes::json(401, &json!({ "message": "No API key found in request" }));
        }
        match parts.uri.path() {
            "/auth/v1/token" => self.token(&parts, &body).await,
            _ => self.with(|state| state.project(&parts)),
        }
    }

    async fn token(&self, parts: &Parts, body: &[u8]) -> Reply {
        let fault = self.with(|state| state.faults.pop_front());
        match fault {
            Some(Fault::Status(code, after)) => {
                let code = StatusCode::from_u16(code).unwrap();
                let mut reply = routes::reply(code, full("{\"message\":\"not now\"}"));
                if let Some(after) = after {
                    reply
                        .headers_mut()
                        .insert(header::RETRY_AFTER, after.into());
                }
                return reply;
            }
            Some(Fault::Html) => return routes::html("<html>a gateway's page</html>"),
            Some(Fault::Silence(time)) => {
                tokio::time::sleep(time).await;
                return gone();
            }
            Some(Fault::Reset) => return gone(),
            _ => {}
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let answer = self.with(|state| match parts.uri.query() {
            Some("grant_type=refresh_token") => {
                let token = body["refresh_token"].as_str().unwrap_or_default();
                state.rules.redeem(token)
            }
            Some("grant_type=password") => Ok(state.rules.login()),
            _ => panic!("{:?}", parts.uri),
        });
        tokio::time::sleep(self.with(|state| state.delay)).await;
        match fault {
            Some(Fault::ResetAfterCommit) => return gone(),
            Some(Fault::SilenceAfterCommit(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        said(parts, answer)
    }
}

impl State {
    fn project(&mut self, parts: &Parts) -> Reply {
        let bearer = bearer(&parts.headers);
        match parts.uri.path() {
            "/auth/v1/user" => said(parts, self.rules.user(bearer)),
            "/auth/v1/logout" => panic!("somebody has ended the session"),
            "/rest/v1/secrets" => routes::json(
                403,
                &json!({ "code": "42501", "message": "permission denied for table secrets" }),
            ),
            path if path.starts_with("/rest/v1/") => {
                if self.rules.verifies(bearer) {
                    routes::json(200, &json!([{ "id": 1, "path": path }]))
                } else {
                    routes::json(
                        401,
                        &json!({ "code": "PGRST301", "message": "JWT expired" }),
                    )
                }
            }
            _ => routes::reply(StatusCode::NOT_FOUND, full("nothing here")),
        }
    }

    fn app(&mut self, parts: &Parts, body: &Bytes) -> Reply {
        if std::mem::take(&mut self.drop_next) {
            return gone();
        }
        let bearer = bearer(&parts.headers);
        match parts.uri.path() {
            "/uploads/x.mp3" => routes::reply(StatusCode::INTERNAL_SERVER_ERROR, full("disk")),
            "/auth/verify" => {
                let mut reply = routes::reply(StatusCode::OK, full(body.clone()));
                let kind = "application/octet-stream".parse().unwrap();
                reply.headers_mut().insert(header::CONTENT_TYPE, kind);
                reply
            }
            _ if !self.rules.verifies(bearer) => routes::json(
                401,
                &json!({ "success": false, "error": "Invalid or expired token" }),
            ),
            "/range" => {
                let range = parts.headers.get(header::RANGE);
                let range = range.map(|value| value.to_str().unwrap().to_owned());
                let mut reply = routes::json(200, &json!({ "range": range }));
                if range.is_some() {
                    *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
                }
                reply
            }
            _ => {
                let forgotten = self.restarted.as_ref();
                let forgotten =
                    forgotten.is_some_and(|old| old.iter().any(|t| Some(t.as_str()) == bearer));
                let credits = if forgotten { 0 } else { self.credits };
                let answer = json!({ "success": true, "credits": credits, "user_id": "u1" });
                routes::json(200, &answer)
            }
        }
    }

    /// The app is restarted, and knows only who comes with a token from now on.
    pub fn restart(&mut self) {
        self.restarted = Some(self.rules.issued.clone());
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ")
}

fn gone() -> Reply {
    let mut reply = routes::text("never sent");
    reply.extensions_mut().insert(Abort);
    reply
}

/// An answer of GoTrue's, in the form of the API version that was asked for.
fn said(parts: &Parts, answer: Result<Value, Refused>) -> Reply {
    let version = "x-supabase-api-version";
    let dated = parts
        .headers
        .get(version)
        .is_some_and(|v| v == "2024-01-01");
    let mut reply = match answer {
        Ok(answer) => routes::json(200, &answer),
        Err(Refused {
            status,
            code,
            message,
        }) if dated => routes::json(status, &json!({ "code": code, "message": message })),
        Err(Refused {
            status,
            code,
            message,
        }) => routes::json(
            status,
            &json!({ "code": status, "error_code": code, "msg": message }),
        ),
    };
    if dated {
        reply
            .headers_mut()
            .insert(version, "2024-01-01".parse().unwrap());
    }
    reply
}
