//! A login form with a second factor: signed in by the steps alone, once for all who wait, and never in a loop.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::support::{
    canary::{self, canary},
    origin::{Body, Origin, empty, full, origin},
    proxy::{Proxy, proxy},
    routes,
};

const HOST: &str = "forum.example.test";

/// The seed of the vectors of RFC 6238, appendix B, and the same in base32.
const KEY: &[u8] = b"12345678901234567890";
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

#[derive(Default)]
struct State {
    /// What a page of the form shows and its cookie has.
    csrf: Vec<String>,
    sid: Option<String>,
    logins: Vec<BTreeMap<String, String>>,
    faults: Vec<&'static str>,
    /// Whoever has signed in is forgotten at once.
    forgetful: bool,
}

#[derive(Clone)]
struct Forum {
    password: String,
    state: Arc<Mutex<State>>,
}

/// The code of this time, six digits (RFC 4226 §5.3, RFC 6238 §4).
fn code(time: SystemTime) -> String {
    let counter = time.duration_since(UNIX_EPOCH).unwrap().as_secs() / 30;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let four = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", four % 1_000_000)
}

impl Forum {
    fn new() -> Self {
        Self {
            password: canary("password"),
            state: Arc::default(),
        }
    }

    async fn start(&self) -> Origin {
        let forum = self.clone();
        let site = origin(&[HOST]).handler(move |request| {
            let forum = forum.clone();
            async move { Ok(forum.answer(request).await) }
        });
        site.start().await
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let cookie = parts
            .headers
            .get("cookie")
            .and_then(|value| value.to_str().ok());
        let cookie = cookie.unwrap_or_default().to_owned();
        let has = |name: &str, value: &str| cookie.contains(&format!("{name}={value}"));
        match (parts.method.as_str(), parts.uri.path()) {
            ("GET", "/login") => {
                let csrf = canary("csrf");
                let page =
                    format!("<form action=/login><input name=\"csrf\" value=\"{csrf}\"></form>");
                let mut reply = routes::reply(StatusCode::OK, full(page));
                set(&mut reply, &format!("csrf={csrf}; Path=/login; Secure"));
                self.state.lock().unwrap().csrf.push(csrf);
                reply
            }
            ("POST", "/login") => {
                let body = body.collect().await.unwrap().to_bytes();
                let form: BTreeMap<String, String> = match serde_json::from_slice(&body) {
                    Ok(form) => form,
                    Err(_) => form_urlencoded::parse(&body).into_owned().collect(),
                };
                let mut state = self.state.lock().unwrap();
                let field = parts.headers.get("x-csrf-token");
                let field = field
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned);
                let csrf = form.get("csrf").cloned().or(field).unwrap_or_default();
                if !state.csrf.contains(&csrf) || !has("csrf", &csrf) {
                    state
                        .faults
                        .push("another csrf value than that of the page");
                }
                // Slow machines may be a step late.
                let now = SystemTime::now();
                let late = now - Duration::from_secs(30);
                let given = form.get("otp").cloned().unwrap_or_default();
                let good = form.get("user").is_some_and(|user| user == "me & you")
                    && form.get("password") == Some(&self.password)
                    && [code(now), code(late)].contains(&given);
                state.logins.push(form);
                if !good {
                    return routes::html("<form action=/login>wrong</form>");
                }
                let sid = canary("sid");
                let mut reply = routes::reply(StatusCode::FOUND, empty());
                set(&mut reply, &format!("sid={sid}; Path=/; Secure; HttpOnly"));
                reply
                    .headers_mut()
                    .insert("location", "/home".parse().unwrap());
                state.sid = Some(sid).filter(|_| !state.forgetful);
                reply
            }
            _ => {
                let state = self.state.lock().unwrap();
                if state.sid.as_ref().is_some_and(|sid| has("sid", sid)) {
                    return routes::text("welcome");
                }
                let mut reply = routes::reply(StatusCode::FOUND, empty());
                reply
                    .headers_mut()
                    .insert("location", "/login".parse().unwrap());
                reply
            }
        }
    }

    fn logins(&self) -> usize {
        self.state.lock().unwrap().logins.len()
    }
}

fn set(reply: &mut Response<Body>, cookie: &str) {
    reply
        .headers_mut()
        .append("set-cookie", cookie.parse().unwrap());
}

async fn proxied(site: &Origin, password: &str) -> Proxy {
    let steps = format!(
        r#"
[[session.forum.refresh.steps]]
request = {{ url = "https://{HOST}/login" }}
capture = {{ csrf = {{ regex = 'name="csrf" value="([^"]+)"' }} }}
[[session.forum.refresh.steps]]
request = {{ url = "https://{HOST}/login", form = {{ user = "{{{{ username }}}}", password = "{{{{ password }}}}", csrf = "{{{{ csrf }}}}", otp = "{{{{ totp(seed) }}}}" }} }}
expect = {{ status = [302], location_not = "/login*" }}
"#
    );
    with_steps(site, password, &steps).await
}

async fn with_steps(site: &Origin, password: &str, steps: &str) -> Proxy {
    let config = format!(
        r#"
[session.forum]
bind = [{{ host = "{HOST}" }}]
values = {{ username = "me & you" }}
secrets = {{ password = "env:PASSWORD", seed = "env:SEED" }}
[session.forum.cookies]
required = ["sid"]
[[session.forum.rejected]]
status = [302]
location = "/login*"
[session.forum.refresh]
kind = "http"
{steps}
"#
    );
    proxy()
        .site(site)
        .config(config)
        .env("PASSWORD", password)
        .env("SEED", SEED)
        .start()
        .await
}

/// From nothing, twenty at once, one login; and one more when the site has forgotten it.
#[tokio::test(flavor = "multi_thread")]
async fn signs_in_with_a_second_factor() {
    // The vectors, shortened to six digits.
    for (seconds, expected) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(code(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
    let forum = Forum::new();
    let site = forum.start().await;
    let proxy = proxied(&site, &forum.password).await;
    for round in 1..=2 {
        let client = proxy.client();
        let url = site.url("/thread");
        let all = (0..20).map(|_| client.get(&url));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.expect(200).text(), "welcome");
        }
        assert_eq!(forum.logins(), round);
        forum.state.lock().unwrap().sid = None;
    }
    let state = forum.state.lock().unwrap();
    assert!(state.faults.is_empty(), "{:?}", state.faults);
    let log = proxy.log();
    canary::assert_none(
        "the log",
        log.as_bytes(),
        &[("the password", &forum.password), ("the seed", SEED)],
    );
}

/// A login that is refused is tried once: that is how accounts are locked. Neither more requests nor restarts try it
/// again; a person who has mended the password does.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_not_repeated() {
    let forum = Forum::new();
    let site = forum.start().await;
    let mut proxy = proxied(&site, "another").await;
    let url = site.url("/thread");
    for round in 0..5 {
        let client = proxy.client();
        let all = futures_util::future::join_all((0..10).map(|_| client.get(&url)));
        for answer in all.await {
            answer.expect(302);
        }
        assert_eq!(forum.logins(), 1, "in round {round}");
        let status = proxy.status("forum");
        assert_eq!(status["state"], "needs_login", "{status}");
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains("staysigned refresh forum"), "{message}");
        if round % 2 == 0 {
            proxy.kill();
        } else {
            proxy.signal(rustix::process::Signal::TERM);
            assert!(proxy.wait(Duration::from_secs(30)).await.success());
        }
        proxy.start().await;
    }
    // By hand it is tried once more, and refused.
    let output = proxy.cli(&["refresh", "forum"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(forum.logins(), 2);
    proxy.kill();
    let mended = ("PASSWORD".to_owned(), forum.password.clone());
    proxy.environment.push(mended);
    proxy.start().await;
    proxy.client().get(&url).await.expect(302);
    assert_eq!(forum.logins(), 2, "not by itself");
    let output = proxy.cli(&["refresh", "forum"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(forum.logins(), 3);
    assert_eq!(proxy.client().get(&url).await.expect(200).text(), "welcome");
}

/// A site that lets everybody in and then knows nobody: one login, then the cooldown, restarts or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_helps_nothing_is_not_repeated() {
    let forum = Forum::new();
    let site = forum.start().await;
    forum.state.lock().unwrap().forgetful = true;
    let mut proxy = proxied(&site, &forum.password).await;
    let url = site.url("/thread");
    for round in 0..4 {
        for _ in 0..5 {
            proxy.client().get(&url).await.expect(302);
        }
        // What it has at first, and one that a rejection forces.
        assert!(forum.logins() <= 2, "{} in round {round}", forum.logins());
        proxy.kill();
        proxy.start().await;
    }
}

/// A value against forgery that stands in a cookie and is repeated in a field of its own, to a login in JSON.
#[tokio::test(flavor = "multi_thread")]
async fn signs_in_with_json() {
    let forum = Forum::new();
    let site = forum.start().await;
    let steps = format!(
        r#"
[[session.forum.refresh.steps]]
request = {{ url = "https://{HOST}/login" }}
capture = {{ csrf = {{ cookie = "csrf" }} }}
[[session.forum.refresh.steps]]
request = {{ url = "https://{HOST}/login", json = {{ user = "{{{{ username }}}}", password = "{{{{ password }}}}", otp = "{{{{ totp(seed) }}}}" }}, headers = {{ x-csrf-token = "{{{{ csrf }}}}" }} }}
expect = {{ status = [302], location_not = "/login*" }}
"#
    );
    let proxy = with_steps(&site, &forum.password, &steps).await;
    proxy.client().get(&site.url("/thread")).await.expect(200);
    assert_eq!(forum.logins(), 1);
    let state = forum.state.lock().unwrap();
    assert!(state.faults.is_empty(), "{:?}", state.faults);
}
