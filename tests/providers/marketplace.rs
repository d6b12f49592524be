//! Audible's hosts: every request is verified with the device's public key, over the bytes as they came.

use std::sync::{Arc, Mutex};

use aws_lc_rs::{
    rsa,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::now;
use crate::support::{
    origin::{self, Builder, Reply, full},
    routes,
};

/// The real auth file.
pub const AUTH: &str = include_str!("../data/vectors/auth_plain.json");

#[derive(Clone)]
pub struct Marketplace(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    /// Requests to the API: method, target, what is wrong with each.
    pub asked: Vec<(String, String, Option<String>)>,
    pub fields: Vec<HeaderMap>,
    pub bodies: Vec<Vec<u8>>,
    /// The API's next answers instead of its own.
    pub says: Vec<(u16, &'static str)>,
    /// The forms that came to the token endpoint.
    pub forms: Vec<Vec<(String, String)>>,
    /// The token endpoint's next answers instead of its own.
    pub tokens: Vec<(u16, &'static str, String)>,
    /// Refuses whatever is signed until a token was renewed.
    pub stubborn: bool,
    /// How far its clock is ahead of everybody's, in seconds.
    pub ahead: u64,
    /// What its next answer sets.
    pub sets: Vec<&'static str>,
    /// No request was taken since a token was renewed.
    pub unused: bool,
}

impl Marketplace {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What of the requests so far was wrong.
    pub fn faults(&self) -> Vec<String> {
        self.with(|state| {
            let all = state.asked.iter();
            all.filter_map(|(method, target, fault)| {
                Some(format!("{method} {target}: {}", fault.as_ref()?))
            })
            .collect()
        })
    }

    pub fn site(&self) -> Builder {
        let names = ["api.audible.com", "www.audible.com", "api.amazon.com"];
        self.on(origin::origin(&names))
    }

    /// All of it on a site that may have others.
    pub fn on(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.handler(move |request| {
            let this = this.clone();
            async move {
                let mut reply = this.answer(request).await;
                this.with(|state| state.dress(reply.headers_mut()));
                Ok(reply)
            }
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let target = parts.uri.path_and_query().expect("a target").to_string();
        if target == "/auth/token" {
            return self.token(&body);
        }
        let at = now() + self.with(|state| state.ahead);
        let fault = verify(parts.method.as_str(), &target, &parts.headers, &body, at).err();
        let says = self.with(|state| {
            let method = parts.method.to_string();
            state.asked.push((method, target.clone(), fault.clone()));
            state.fields.push(parts.headers.clone());
            state.bodies.push(body.to_vec());
            let stubborn = state
                .stubborn
                .then_some((403, "Request could not be authenticated"));
            let said = (!state.says.is_empty()).then(|| state.says.remove(0));
            said.or(stubborn)
        });
        if target.starts_with("/library/download") {
            let mut reply = routes::reply(http::StatusCode::FOUND, full(""));
            let to = "https://cdn.third.example.test/echo/book".parse().unwrap();
            reply.headers_mut().insert(header::LOCATION, to);
            return reply;
        }
        match (says, fault) {
            (Some((status, message)), _) => routes::json(status, &json!({ "message": message })),
            (None, Some(_)) => routes::json(
                403,
                &json!({ "message": "Request could not be authenticated" }),
            ),
            (None, None) => {
                self.with(|state| state.unused = false);
                routes::json(200, &json!({ "target": target }))
            }
        }
    }

    fn token(&self, body: &[u8]) -> Reply {
        let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        self.with(|state| {
            state.forms.push(form);
            if !state.tokens.is_empty() {
                let (status, kind, body) = state.tokens.remove(0);
                state.renewed(status == 200);
                let mut reply = routes::text(body);
                *reply.status_mut() = status.try_into().unwrap();
                reply
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, kind.parse().unwrap());
                return reply;
            }
            state.renewed(true);
            let token = format!("Atna|renewedOfManyLetters-{}", state.forms.len());
            routes::json(
                200,
                &json!({ "access_token": token, "expires_in": "3600", "token_type": "bearer" }),
            )
        })
    }
}

impl State {
    fn dress(&mut self, fields: &mut HeaderMap) {
        if self.ahead > 0 {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now() + self.ahead);
            fields.insert(header::DATE, httpdate::fmt_http_date(at).parse().unwrap());
        }
        for line in self.sets.drain(..) {
            fields.append(header::SET_COOKIE, line.parse().unwrap());
        }
    }

    fn renewed(&mut self, yes: bool) {
        self.stubborn &= !yes;
        self.unused |= yes;
    }
}

/// The real values.
pub fn auth(name: &str) -> String {
    let auth: Value = serde_json::from_str(AUTH).expect("JSON");
    auth[name].as_str().expect("a text").to_owned()
}

fn verify(
    method: &str,
    target: &str,
    headers: &HeaderMap,
    body: &[u8],
    at: u64,
) -> Result<(), String> {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next().and_then(|v| v.to_str().ok()), all.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(format!("no {name}")),
            (Some(_), Some(_)) => Err(format!("two {name}")),
        }
    };
    let token = auth("adp_token");
    if one("x-adp-token")? != token {
        return Err("another token".to_owned());
    }
    if one("x-adp-alg")? != "SHA256withRSA:1.0" {
        return Err("another algorithm".to_owned());
    }
    let (signature, date) = one("x-adp-signature")?.split_once(':').ok_or("no date")?;
    let stated = httpdate_of(date).ok_or("no such date")?;
    if stated.abs_diff(at) > 5 {
        return Err(format!("signed at {date}"));
    }
    let text = [
        format!("{method}\n{target}\n{date}\n").as_bytes(),
        body,
        b"\n",
        token.as_bytes(),
    ]
    .concat();
    let pem = auth("device_private_key");
    let der: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    let key = rsa::KeyPair::from_der(&STANDARD.decode(der).expect("base64")).expect("a key");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    let signature = STANDARD.decode(signature).map_err(|_| "no base64")?;
    public
        .verify(&text, &signature)
        .map_err(|_| "the signature is of other bytes".to_owned())
}

/// Seconds since 1970 of `2026-01-02T03:04:05.678901Z`.
fn httpdate_of(text: &str) -> Option<u64> {
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    u64::try_from(parsed.ok()?.unix_timestamp()).ok()
}
