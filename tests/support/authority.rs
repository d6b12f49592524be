//! A token endpoint and the resource it guards, in one origin, with faults on demand.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};

use super::{
    BoxError,
    consent::Consent,
    oauth::{Oauth, Pair, Policy},
    origin::{self, Abort, Answer, Builder, Origin, Reply, Seen, full},
    proxy, routes,
};

/// A token endpoint's state, shared with the tests.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    oauth: Mutex<Oauth>,
    faults: Mutex<VecDeque<Fault>>,
    attempts: Mutex<Vec<Attempt>>,
    delay: Mutex<Duration>,
    consent: Consent,
}

/// One request to the token endpoint.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub form: HashMap<String, String>,
    pub fields: HeaderMap,
}

/// What goes wrong with one answer.
#[derive(Clone)]
pub enum Fault {
    /// This status, nothing done.
    Status(u16),
    /// 200 with a page.
    Html,
    /// The connection ends without an answer, nothing done.
    Reset,
    /// The refresh is done, and the connection ends without an answer.
    ResetAfterCommit,
    /// The refresh is done, and the answer breaks off in its middle.
    CutAfterCommit,
    /// The refresh is done, and the answer comes late.
    StallAfterCommit(Duration),
    /// An OAuth error with this status.
    Error(u16, &'static str),
    /// 200 with these bytes.
    Raw {
        content_type: &'static str,
        encoding: Option<&'static str>,
        body: Bytes,
    },
    /// The refresh is done, and the answer is changed on its way.
    Edit(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// 429 or 503 with this `Retry-After`.
    RetryAfter(u16, u64),
}

impl Authority {
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(Inner {
            oauth: Mutex::new(Oauth::new(policy)),
            faults: Mutex::default(),
            attempts: Mutex::default(),
            delay: Mutex::default(),
            consent: Consent::default(),
        }))
    }

    pub fn login(&self) -> Pair {
        self.with(|oauth| oauth.login(Instant::now()))
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Oauth) -> T) -> T {
        look(&mut self.0.oauth.lock().unwrap())
    }

    /// Where people consent, if the site has that.
    pub fn consent(&self) -> &Consent {
        &self.0.consent
    }

    /// The next answers go wrong in these ways, one each.
    pub fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.faults.lock().unwrap().extend(faults);
    }

    pub fn heal(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    /// Every answer takes this long.
    pub fn delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// Both sides of the site on one origin: `/token`, and everything else for bearers only.
    pub fn site(&self, name: &str) -> Builder {
        self.guard(self.endpoint(origin::origin(&[name])))
    }

    /// As [`site`](Self::site), with the endpoints where people consent.
    pub fn site_of_people(&self, name: &str) -> Builder {
        let open = ["/token", "/authorize", "/device"];
        let this = self.clone();
        let site = self.endpoint(origin::origin(&[name]));
        let site = self.consent().endpoints(site);
        site.gate(move |seen| open.contains(&&*seen.path) || this.admit(seen))
    }

    /// The token endpoint alone, at `/token`.
    pub fn endpoint(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.handler(move |request| {
            let this = this.clone();
            async move { this.token(request).await }
        })
    }

    /// Lets only bearers of a good access token in.
    pub fn guard(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.gate(move |seen| seen.path == "/token" || this.admit(seen))
    }

    fn admit(&self, seen: &Seen) -> bool {
        self.admits(&seen.fields)
    }

    /// Whether a request with these fields is let in.
    pub fn admits(&self, fields: &HeaderMap) -> bool {
        let value = fields
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        self.with(|oauth| oauth.admit(token.unwrap_or_default(), Instant::now()))
    }

    async fn token(&self, request: Request<Incoming>) -> Answer {
        if request.uri().path() != "/token" {
            return Err(request);
        }
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let json = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/json");
        let form: HashMap<String, String> = if json {
            serde_json::from_slice(&body).unwrap_or_default()
        } else {
            form_urlencoded::parse(&body).into_owned().collect()
        };
        let fault = self.0.faults.lock().unwrap().pop_front();
        let spared = matches!(
            fault,
            Some(
                Fault::Status(_)
                    | Fault::Html
                    | Fault::Reset
                    | Fault::Error(..)
                    | Fault::Raw { .. }
                    | Fault::RetryAfter(..)
            )
        );
        let granted = match spared {
            true => Err("invalid_grant"),
            false => self.grant(&form),
        };
        let attempt = Attempt {
            form,
            fields: parts.headers,
        };
        self.0.attempts.lock().unwrap().push(attempt);
        Ok(self.reply(fault, granted).await)
    }

    fn grant(&self, form: &HashMap<String, String>) -> Result<Pair, &'static str> {
        const OVER: &str = "invalid_grant";
        let now = Instant::now();
        let field = |name: &str| form.get(name).map(String::as_str);
        match field("grant_type").ok_or(OVER)? {
            "refresh_token" => {
                let token = field("refresh_token").ok_or(OVER)?;
                self.with(|oauth| oauth.redeem(token, now)).ok_or(OVER)
            }
            "authorization_code" | "urn:ietf:params:oauth:grant-type:device_code" => {
                self.consent().redeem(form).map(|()| self.login())
            }
            "client_credentials" | "password" | "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                Ok(self.login())
            }
            _ => Err(OVER),
        }
    }

    async fn reply(&self, fault: Option<Fault>, granted: Result<Pair, &'static str>) -> Reply {
        let lifetime = self.with(|oauth| oauth.policy.lifetime.as_secs());
        let answer = match granted {
            Ok(Pair { access, refresh }) => Ok(json!({
                "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lifetime,
            })),
            Err(error) => {
                Err(json!({ "error": error, "error_description": "spent, revoked or unknown" }))
            }
        };
        let usual = |answer: Result<Value, Value>| match answer {
            Ok(answer) => routes::json(200, &answer),
            Err(error) => routes::json(400, &error),
        };
        match fault {
            None => usual(answer),
            Some(Fault::Status(code)) => routes::reply(
                StatusCode::from_u16(code).unwrap(),
                full("the server is not well"),
            ),
            Some(Fault::Html) => {
                routes::html("<html><body>Welcome to the hotel's network</body></html>")
            }
            Some(Fault::Reset | Fault::ResetAfterCommit) => {
                let mut reply = routes::text("never sent");
                reply.extensions_mut().insert(Abort);
                reply
            }
            Some(Fault::CutAfterCommit) => cut(usual(answer)).await,
            Some(Fault::StallAfterCommit(time)) => {
                tokio::time::sleep(time).await;
                usual(answer)
            }
            Some(Fault::Error(code, error)) => routes::json(code, &json!({ "error": error })),
            Some(Fault::RetryAfter(code, seconds)) => {
                let mut reply = routes::reply(StatusCode::from_u16(code).unwrap(), full("later"));
                reply
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
                reply
            }
            Some(Fault::Edit(edit)) => usual(answer.map(|mut answer| {
                edit(&mut answer);
                answer
            })),
            Some(Fault::Raw {
                content_type,
                encoding,
                body,
            }) => {
                let mut reply = routes::reply(StatusCode::OK, full(body));
                reply
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, content_type.parse().unwrap());
                if let Some(encoding) = encoding {
                    reply
                        .headers_mut()
                        .insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
                }
                reply
            }
        }
    }
}

/// The first half of an answer, behind which the connection, or the stream, ends.
async fn cut(reply: Reply) -> Reply {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.expect("it is in memory").to_bytes();
    let half = Frame::data(body.slice(..body.len() / 2));
    // A moment later, or nothing of it would have been sent.
    let broken = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(BoxError::from(Abort))
    };
    let pieces = stream::once(async { Ok(half) }).chain(stream::once(broken));
    Reply::from_parts(head, StreamBody::new(pieces).boxed_unsync())
}

/// A site with these rules, and who is logged in there.
pub async fn logged_in(host: &str, policy: Policy) -> (Authority, Origin, Pair) {
    let authority = Authority::new(policy);
    let pair = authority.login();
    let site = authority.site(host).start().await;
    (authority, site, pair)
}

/// A proxy with a session of it, which begins with this login.
pub fn holding(site: &Origin, pair: &Pair, session: String) -> proxy::Builder {
    proxy::proxy()
        .site(site)
        .config(session)
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
}

/// The session of such a site, as configuration; its refresh token comes from the environment.
pub fn session(name: &str, host: &str, more: &str) -> String {
    format!(
        r#"
[session.{name}]
bind = [{{ host = "{host}" }}]
secrets = {{ access_token = "env:ACCESS", refresh_token = "env:REFRESH" }}
values = {{ client_id = "tests" }}

[[session.{name}.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"

[session.{name}.refresh]
kind = "oauth2"
token_url = "https://{host}/token"
client_auth = "none"
{more}
"#
    )
}
