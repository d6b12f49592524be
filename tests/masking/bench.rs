//! An API, its token endpoint, and a session whose clients log in and refresh by themselves.

use http::{Request, header};
use serde_json::Value;

use crate::support::{
    authority::Authority,
    canary::{assert_none, find},
    client::{Answer, Client},
    oauth::Policy,
    origin::{Origin, full, origin},
    proxy::{Builder, Proxy, proxy},
};

const API: &str = "api.example.test";
const AUTH: &str = "auth.example.test";
const OTHER: &str = "other.example.test";
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A session that its clients log in and renew, and whose tokens they do not see.
pub const SESSION: &str = r#"
[session.app]
bind = [{ host = "api.example.test" }]
values = { client_id = "tests" }
[[session.app.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
mode = "if_missing"
[[session.app.inject]]
json = "/token"
value = "{{ access_token }}"
mode = "if_present"
[[session.app.capture]]
match = { host = "auth.example.test", path = "/token", methods = ["POST"] }
request = { refresh_token = { form = "refresh_token" } }
answer = { access_token = { json = "/access_token" }, refresh_token = { json = "/refresh_token" }, expires_in = { json = "/expires_in" } }
mask = true
coalesce = true
[session.app.refresh]
token_url = "https://auth.example.test/token"
client_auth = "none"
ahead = "1s"
"#;

pub struct Bench {
    pub authority: Authority,
    pub auth: Origin,
    pub api: Origin,
    pub other: Origin,
    pub proxy: Proxy,
}

impl Bench {
    pub async fn new(authority: Authority, change: impl FnOnce(Builder) -> Builder) -> Self {
        let auth = authority.endpoint(origin(&[AUTH])).start().await;
        let api = authority.guard(origin(&[API])).start().await;
        let other = origin(&[OTHER]).start().await;
        let proxy = proxy().site(&auth).site(&api).site(&other);
        let proxy = change(proxy).start().await;
        Self {
            authority,
            auth,
            api,
            other,
            proxy,
        }
    }

    pub async fn usual() -> Self {
        let authority = Authority::new(Policy::lifetime(600.0).without_grace());
        Self::new(authority, |proxy| proxy.config(SESSION)).await
    }

    pub async fn ask(&self, client: &Client, form: &str) -> Answer {
        let request = Request::post(self.auth.url("/token"))
            .header(header::CONTENT_TYPE, FORM)
            .header(header::ACCEPT_ENCODING, "gzip, br, zstd");
        client
            .send(request.body(full(form.to_owned())).unwrap())
            .await
    }

    pub async fn login(&self, client: &Client) -> Value {
        let form = "grant_type=password&username=ann&password=x";
        self.ask(client, form).await.expect(200).json()
    }

    pub async fn refresh(&self, client: &Client, token: &Value) -> Answer {
        let token = token.as_str().expect("a token");
        let form = format!("grant_type=refresh_token&refresh_token={token}&client_id=theirs");
        self.ask(client, &form).await
    }

    pub async fn api(&self, client: &Client, token: &Value) -> Answer {
        let bearer = format!("Bearer {}", token.as_str().expect("a token"));
        let request = Request::get(self.api.url("/echo")).header(header::AUTHORIZATION, bearer);
        client.send(request.body(full("")).unwrap()).await
    }

    /// No origin has seen a stand-in, and no client a token.
    pub fn assert_apart(&self, given: &[Value]) {
        let issued = self.authority.with(|oauth| oauth.issued.clone());
        for answer in given {
            for token in &issued {
                assert_none(
                    "an answer",
                    answer.to_string().as_bytes(),
                    &[("a token", token)],
                );
            }
            for origin in [&self.auth, &self.api] {
                let seen = origin.recorder.everything();
                for name in ["access_token", "refresh_token"] {
                    let standin = answer[name].as_str().expect("a stand-in");
                    assert_eq!(find(&seen, standin), None, "an origin saw a stand-in");
                }
            }
        }
    }
}
