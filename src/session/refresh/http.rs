//! One HTTP request of a refresh, and its whole answer, bounded.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, DATE, RETRY_AFTER, USER_AGENT},
};

use super::{Permit, World};
use crate::{
    auth,
    env::Env,
    life::Failure,
    limits::Limits,
    message::decode,
    upstream::{self, Body, Guarded, NotWhole, Reach, Route, Sent, Upstream, read_whole},
};

/// Who we are where nobody says otherwise.
const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("staysigned/", env!("CARGO_PKG_VERSION")));

/// How refreshes speak with servers.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) upstream: Upstream,
    pub(super) env: Env,
    pub(super) limits: Limits,
    pub(super) client: Arc<str>,
}

/// A whole answer, its body decoded.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// When it came, by our clock.
    pub at: SystemTime,
}

// === impl Http ===

impl Http {
    /// Makes it for the requests of one client.
    pub(super) fn of(world: &World, client: Arc<str>) -> Self {
        let World {
            upstream,
            env,
            limits,
        } = world.clone();
        Self {
            upstream,
            env,
            limits,
            client,
        }
    }

    /// Sends a request to its URL and nowhere else: a redirect is an answer. Of its body not a byte is written without
    /// the permit.
    pub(super) async fn ask(
        &self,
        request: auth::Request,
        cookie: Option<HeaderValue>,
        permit: &Permit,
    ) -> Result<Answered, Failure> {
        let auth::Request {
            method,
            url,
            headers,
            body,
        } = request;
        let misconfigured = |what: &str| Failure::Misconfigured(format!("{what} cannot be sent"));
        let uri: Uri = url.path.parse().map_err(|_| misconfigured("the URL"))?;
        let bytes = Bytes::copy_from_slice(body.expose());
        let has_body = !bytes.is_empty() || method == http::Method::POST;
        let length = HeaderValue::from(bytes.len());
        let mut outgoing = Request::builder()
            .method(method)
            .uri(uri)
            .body(if bytes.is_empty() {
                // What has no body cannot be held back: it is asked for now.
                if !permit.take() {
                    return Err(not_sent());
                }
                Body::Empty
            } else {
                let permit = permit.clone();
                Body::Guarded(Guarded::new(bytes, move || permit.take()))
            })
            .map_err(|_| misconfigured("the request"))?;
        let fields = outgoing.headers_mut();
        *fields = headers;
        if !fields.contains_key(USER_AGENT) {
            fields.insert(USER_AGENT, OURSELVES);
        }
        if let Some(cookie) = cookie {
            fields.insert(COOKIE, cookie);
        }
        if has_body {
            fields.insert(CONTENT_LENGTH, length);
        }
        let route = Route {
            client: Some(Arc::clone(&self.client)),
            origin: url.origin,
            reach: Reach::Anywhere,
        };
        let answered = self.send(&route, outgoing).await;
        if permit.is_revoked() {
            return Err(not_sent());
        }
        answered
    }

    pub(super) async fn send(
        &self,
        route: &Route,
        request: Request<Body>,
    ) -> Result<Answered, Failure> {
        let response = self.upstream.send(route, request).await.map_err(failure)?;
        let (head, body) = response.into_parts();
        let at = self.env.wall();
        let most = self.limits.token_answer;
        let body = match read_whole(body, most).await {
            Ok(body) => body,
            Err(NotWhole::TooLarge) => {
                return Err(Failure::NotAnAnswer(format!("more than {most} bytes")));
            }
            Err(NotWhole::Failed(_)) => {
                return Err(Failure::InDoubt {
                    why: "the answer broke off".to_owned(),
                    answered: false,
                });
            }
        };
        let encoding = head.headers.get(CONTENT_ENCODING);
        let encoding = encoding.and_then(|value| value.to_str().ok()).unwrap_or("");
        let body = decode::decode(encoding, &body, decode::Bounds::up_to(most))
            .map_err(|error| Failure::NotAnAnswer(error.to_string()))?;
        Ok(Answered {
            status: head.status,
            headers: head.headers,
            body,
            at,
        })
    }
}

/// The right to send was lost before anything was sent.
pub(super) fn not_sent() -> Failure {
    Failure::Unsent("another process may send it now".to_owned())
}

/// Sorts an error by whether anything can have arrived.
fn failure(error: upstream::Error) -> Failure {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    match error.sent() {
        Sent::No => Failure::Unsent(why),
        Sent::Maybe => Failure::InDoubt {
            why,
            answered: false,
        },
    }
}

// === impl Answered ===

impl Answered {
    /// Returns how far the server's clock is ahead of ours, in milliseconds; less than its precision is nothing.
    pub(in crate::session) fn skew(&self) -> Option<i64> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        let date = httpdate::parse_http_date(date).ok()?;
        Some(skew(date, self.at))
    }

    /// Returns the failure that an answer's status alone says, for requests that may be repeated.
    pub(in crate::session) fn trouble(&self) -> Option<Failure> {
        let status = self.status;
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            let until = self.at + self.retry_after();
            let why = format!("status {}", status.as_u16());
            return Some(Failure::Throttled { until, why });
        }
        status.is_server_error().then(|| Failure::InDoubt {
            why: format!("status {}", status.as_u16()),
            answered: true,
        })
    }

    fn retry_after(&self) -> std::time::Duration {
        let text = self.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let seconds = text.and_then(|text| text.trim().parse().ok());
        let seconds = seconds.map(std::time::Duration::from_secs);
        let date = || {
            let date = httpdate::parse_http_date(text?.trim()).ok()?;
            date.duration_since(self.at).ok()
        };
        // The life clamps what is too long.
        seconds.or_else(date).unwrap_or(super::answer::PUT_OFF)
    }
}

/// Returns how far a server's date is ahead of our clock, in milliseconds.
pub(in crate::session) fn skew(date: SystemTime, now: SystemTime) -> i64 {
    let millis = |by: std::time::Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let skew = match date.duration_since(now) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    };
    // A Date has whole seconds, and the way takes its time.
    if skew.abs() < 2000 { 0 } else { skew }
}
