//! Where a person says yes: authorization codes with PKCE (RFC 6749 §4.1, RFC 7636) and device codes (RFC 8628), on the
//! site of a token endpoint.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Instant,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use super::{
    canary::canary,
    origin::{Answer, Builder, Reply, empty},
    routes,
};

/// What a person and the server say, shared with the tests.
#[derive(Clone, Default)]
pub struct Consent(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    /// What the authorization endpoint was asked.
    pub asked: Vec<HashMap<String, String>>,
    /// It redirects with this error and not with a code.
    pub error: Option<&'static str>,
    /// Its answers name this issuer.
    pub issuer: Option<&'static str>,
    /// Somebody else has used the codes that it gives.
    pub spent: bool,
    /// Codes that are still good.
    codes: HashMap<String, HashMap<String, String>>,
    /// Every secret that it has given or was sent.
    pub secrets: Vec<String>,
    /// What the device endpoint was sent.
    pub devices: Vec<HashMap<String, String>>,
    /// Seconds for which a device code is good, and between questions; the latter may be left out.
    pub device: (u64, Option<u64>),
    /// What a device is told, one each, before it gets its tokens.
    pub told: VecDeque<&'static str>,
    /// When a device has asked.
    pub polls: Vec<Instant>,
}

impl Consent {
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The two endpoints: `/authorize` and `/device`.
    pub fn endpoints(&self, site: Builder) -> Builder {
        let this = self.clone();
        site.handler(move |request| {
            let this = this.clone();
            async move { this.answer(request).await }
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match request.uri().path() {
            "/authorize" => {
                let query = request.uri().query().unwrap_or_default();
                let asked = form_urlencoded::parse(query.as_bytes());
                Ok(self.with(|state| state.authorize(asked.into_owned().collect())))
            }
            "/device" => {
                let body = request.into_body().collect().await.expect("a form");
                let body = body.to_bytes();
                let form = form_urlencoded::parse(&body).into_owned().collect();
                Ok(self.with(|state| state.device(form)))
            }
            _ => Err(request),
        }
    }

    /// Whether a code is good; else the error. Whoever holds it is forgotten either way.
    pub fn redeem(&self, form: &HashMap<String, String>) -> Result<(), &'static str> {
        self.with(|state| match form["grant_type"].as_str() {
            "authorization_code" => state.redeem(form),
            _ => state.poll(form),
        })
    }
}

impl State {
    /// The authorization endpoint's answer.
    pub fn authorize(&mut self, asked: HashMap<String, String>) -> Reply {
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["state"].len() >= 22, "{asked:?}");
        let mut pairs = vec![("state", asked["state"].clone())];
        match self.error {
            Some(error) => pairs.push(("error", error.to_owned())),
            None => {
                let code = canary("code");
                self.secrets.push(code.clone());
                if !self.spent {
                    self.codes.insert(code.clone(), asked.clone());
                }
                pairs.push(("code", code));
            }
        }
        if let Some(issuer) = self.issuer {
            pairs.push(("iss", issuer.to_owned()));
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let to = &asked["redirect_uri"];
        let mark = if to.contains('?') { '&' } else { '?' };
        let mut reply = routes::reply(StatusCode::FOUND, empty());
        let location = format!("{to}{mark}{query}").parse().unwrap();
        reply.headers_mut().insert(header::LOCATION, location);
        self.asked.push(asked);
        reply
    }

    fn redeem(&mut self, form: &HashMap<String, String>) -> Result<(), &'static str> {
        self.secrets.push(form["code_verifier"].clone());
        // RFC 6749 §4.1.2: once.
        let asked = self.codes.remove(&form["code"]).ok_or("invalid_grant")?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
        let same = asked["redirect_uri"] == form["redirect_uri"];
        (same && asked["code_challenge"] == challenge)
            .then_some(())
            .ok_or("invalid_grant")
    }

    fn device(&mut self, form: HashMap<String, String>) -> Reply {
        self.devices.push(form);
        let code = canary("device");
        self.secrets.push(code.clone());
        self.codes.insert(code.clone(), HashMap::new());
        let (expires_in, interval) = self.device;
        let mut answer = json!({
            "device_code": code, "user_code": "WDJB-MJHT", "expires_in": expires_in,
            "verification_uri": "https://auth.example/device",
            "verification_uri_complete": "https://auth.example/device?user_code=WDJB-MJHT",
        });
        if let Some(interval) = interval {
            answer["interval"] = json!(interval);
        }
        routes::json(200, &answer)
    }

    fn poll(&mut self, form: &HashMap<String, String>) -> Result<(), &'static str> {
        self.polls.push(Instant::now());
        if let Some(told) = self.told.pop_front() {
            return Err(told);
        }
        let code = self.codes.remove(&form["device_code"]);
        code.map(drop).ok_or("invalid_grant")
    }
}
