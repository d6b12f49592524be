//! Login with Amazon and the Ads API, with their rules.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    canary::canary,
    origin::{self, Builder, Origin, Reply, full},
    routes,
};

const LWA: &str = "api.amazon.com";
pub const ADS: &str = "advertising-api.amazon.com";

/// Amazon's two sides.
#[derive(Clone)]
pub struct Amazon(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub users: HashMap<&'static str, User>,
    /// What is asked of the API.
    pub asked: Vec<(Option<String>, HeaderMap)>,
    pub forms: Vec<HashMap<String, String>>,
    /// The answers of the token endpoint instead of its own.
    pub says: Vec<(u16, &'static str, String)>,
    /// The answer of the API instead of its own.
    pub api: Vec<(u16, &'static str)>,
}

#[derive(Default)]
pub struct User {
    pub refresh: String,
    pub access: Vec<String>,
    /// Whether its newest access token is taken.
    pub good: bool,
    /// Whether a request with its newest access token was taken.
    pub used: bool,
    pub revoked: bool,
    /// How long its next tokens last, each to its own end; an hour, or until the next, if it is not said.
    pub lasts: Option<Duration>,
    /// Tokens before the newest, with their ends.
    former: Vec<(String, Instant)>,
    /// When its newest access token ends.
    pub ends: Option<Instant>,
    pub delay: Duration,
    /// Its answers wait for a permit each, and are failures if there will be none.
    pub held: Option<Arc<Semaphore>>,
    pub calls: u64,
    /// Whether its answers have a refresh token, and a new one.
    pub brings: Brings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Brings {
    #[default]
    Same,
    None,
    New,
}

impl Amazon {
    pub fn new(users: &[&'static str]) -> Self {
        let user = |name: &&'static str| {
            let user = User {
                refresh: format!("Atzr|{}", canary(name)),
                ..User::default()
            };
            (*name, user)
        };
        Self(Arc::new(Mutex::new(State {
            users: users.iter().map(user).collect(),
            ..State::default()
        })))
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub fn user<T>(&self, name: &str, look: impl FnOnce(&mut User) -> T) -> T {
        self.with(|state| look(state.users.get_mut(name).expect("a user")))
    }

    pub fn calls(&self, name: &str) -> u64 {
        self.user(name, |user| user.calls)
    }

    pub async fn start(&self) -> (Origin, Origin) {
        self.start_at(LWA, ADS).await
    }

    /// As [`start`](Self::start), under the names of a region.
    pub async fn start_at(&self, lwa: &'static str, ads: &'static str) -> (Origin, Origin) {
        let lwa = self.lwa(origin::origin(&[lwa]));
        let ads = self.api(origin::origin(&[ads]));
        (lwa.start().await, ads.start().await)
    }

    /// The token endpoint, on a site that may have others.
    pub fn lwa(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.handler(move |request| {
            let this = this.clone();
            async move {
                if request.uri().path() != "/auth/o2/token" {
                    return Err(request);
                }
                Ok(this.token(request).await)
            }
        })
    }

    pub fn ads(&self) -> Builder {
        self.api(origin::origin(&[ADS]))
    }

    fn api(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.handler(move |request| {
            let this = this.clone();
            async move { Ok(this.with(|state| state.api(&request))) }
        })
    }

    async fn token(&self, request: Request<Incoming>) -> Reply {
        let body = request.into_body().collect().await.expect("a form");
        let body = body.to_bytes();
        let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
        let (delay, held, said) = self.with(|state| {
            state.forms.push(form.clone());
            let mut users = state.users.values_mut();
            let user = users.find(|user| user.refresh == form["refresh_token"]);
            let (delay, held) = user.map_or((Duration::ZERO, None), |user| {
                user.calls += 1;
                (user.delay, user.held.clone())
            });
            (
                delay,
                held,
                (!state.says.is_empty()).then(|| state.says.remove(0)),
            )
        });
        tokio::time::sleep(delay).await;
        if let Some(held) = held {
            match held.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return routes::reply(StatusCode::SERVICE_UNAVAILABLE, full("gone")),
            }
        }
        if let Some((status, kind, body)) = said {
            let mut reply = routes::text(body);
            *reply.status_mut() = status.try_into().unwrap();
            reply
                .headers_mut()
                .insert("content-type", kind.parse().unwrap());
            return reply;
        }
        self.with(|state| {
            let mut users = state.users.values_mut();
            match users.find(|user| user.refresh == form["refresh_token"]) {
                Some(user) if !user.revoked => routes::json(200, &user.renew()),
                _ => routes::json(400, &json!({
                    "error": "invalid_grant",
                    "error_description": "The request has an invalid grant parameter : refresh_token. User may have revoked or didn't grant the permission.",
                    "request_id": "r",
                })),
            }
        })
    }
}

impl User {
    /// Whether its newest access token has ended.
    pub fn is_over(&self) -> bool {
        self.ends.is_some_and(|end| end <= Instant::now())
    }

    fn takes(&self, token: &str) -> bool {
        let newest = self.access.last().is_some_and(|newest| newest == token);
        let now = Instant::now();
        let former = self.former.iter();
        let mut former = former.filter(|(known, end)| known == token && *end > now);
        self.good && (newest && !self.is_over() || former.next().is_some())
    }

    fn renew(&mut self) -> Value {
        let access = format!("Atza|{}", canary("access"));
        if let (Some(_), Some(newest), Some(end)) = (self.lasts, self.access.last(), self.ends) {
            self.former.push((newest.clone(), end));
        }
        self.access.push(access.clone());
        self.good = true;
        self.used = false;
        let lasts = self.lasts.unwrap_or(Duration::from_secs(3600));
        self.ends = Some(Instant::now() + lasts);
        let mut answer = json!({ "access_token": access, "token_type": "bearer", "expires_in": lasts.as_secs() });
        if self.brings == Brings::New {
            self.refresh = format!("Atzr|{}", canary("new"));
        }
        if self.brings != Brings::None {
            answer["refresh_token"] = json!(self.refresh);
        }
        answer
    }
}

impl State {
    fn api(&mut self, request: &Request<Incoming>) -> Reply {
        let headers = request.headers().clone();
        let bearer = headers.get("authorization").and_then(|v| v.to_str().ok());
        let bearer = bearer
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let mut users = self.users.iter();
        let user = users.find(|(_, user)| user.takes(bearer));
        let name = user.map(|(name, _)| (*name).to_owned());
        self.asked.push((name.clone(), headers));
        let user = name.as_deref().and_then(|name| self.users.get_mut(name));
        if let Some(user) = user {
            user.used = true;
        }
        match (name, self.api.is_empty()) {
            (_, false) => {
                let (status, text) = self.api.remove(0);
                routes::json(status, &json!({ "message": text }))
            }
            (Some(name), true) => routes::json(200, &json!({ "user": name })),
            (None, true) => routes::json(
                401,
                &json!({ "code": "401", "details": "Authentication failed", "requestId": "r" }),
            ),
        }
    }
}
