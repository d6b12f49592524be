//! Tools: each asks its system again and again, with what it has from long ago, and tells what it was answered.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, request};
use serde_json::{Value, json};

use super::{
    super::{library::HOST, lwa::ADS},
    world::{Tenant, World},
};
use crate::support::{
    BoxError,
    client::{Answer, Client},
    dice::Dice,
    origin::{empty, full},
    project::{APIKEY, APP, PROJECT},
};

/// How long a tool waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Good,
    /// It was told that it is not signed in.
    Denied(String),
    /// It was told that its session cannot be renewed, or that the renewal has not helped.
    Uncured(String),
    /// There was no answer, or one that says that something is down.
    Failed(String),
}

/// What was not good, and when.
pub struct Entry {
    pub tenant: Tenant,
    pub begun: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
}

/// What all tools tell.
#[derive(Default)]
pub struct Ledger {
    pub entries: Mutex<Vec<Entry>>,
    good: Mutex<HashMap<Tenant, (u64, Instant)>>,
    /// Tokens that tools were given.
    pub given: Mutex<Vec<String>>,
    /// No more trouble.
    pub calm: AtomicBool,
    /// No more requests.
    pub stop: AtomicBool,
}

// === impl Ledger ===

impl Ledger {
    pub fn calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// How many requests of a tenant were answered as they should be.
    pub fn count(&self, tenant: Tenant) -> u64 {
        self.good
            .lock()
            .unwrap()
            .get(&tenant)
            .map_or(0, |(count, _)| *count)
    }

    /// Whether a request that began after this moment was answered as it should be.
    pub fn good_since(&self, tenant: Tenant, moment: Instant) -> bool {
        let good = self.good.lock().unwrap();
        good.get(&tenant).is_some_and(|(_, begun)| *begun > moment)
    }

    fn note(&self, tenant: Tenant, begun: Instant, outcome: Outcome) {
        if outcome == Outcome::Good {
            let mut good = self.good.lock().unwrap();
            let entry = good.entry(tenant).or_insert((0, begun));
            *entry = (entry.0 + 1, entry.1.max(begun));
            return;
        }
        let ended = Instant::now();
        self.entries.lock().unwrap().push(Entry {
            tenant,
            begun,
            ended,
            outcome,
        });
    }
}

/// One tool of a tenant, until it is told to stop.
pub async fn live(world: Arc<World>, ledger: Arc<Ledger>, tenant: Tenant, mut dice: Dice) {
    let mut tool = Tool {
        client: match tenant {
            Tenant::Bob => world.bob.clone(),
            _ => world.alice.clone(),
        },
        world,
        ledger: ledger.clone(),
        tenant,
        tokens: None,
    };
    while !ledger.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let chance = dice.below(8);
        let asked = tokio::time::timeout(PATIENCE, tool.ask(chance)).await;
        let outcome = asked.unwrap_or_else(|_| Outcome::Failed(format!("not in {PATIENCE:?}")));
        ledger.note(tenant, begun, outcome);
        let pause = Duration::from_millis(40) + dice.millis(160);
        tokio::time::sleep(pause).await;
    }
}

struct Tool {
    client: Client,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    tenant: Tenant,
    /// What the project has given it: access and refresh token.
    tokens: Option<[String; 2]>,
}

// === impl Tool ===

impl Tool {
    async fn ask(&mut self, chance: u64) -> Outcome {
        match self.tenant {
            Tenant::Books => self.book(chance).await,
            Tenant::Audio => self.audio(chance).await,
            Tenant::App => self.app(chance).await,
            Tenant::Films => {
                let request = Request::get("https://api.mubi.com/v3/films/1")
                    .header("authorization", "Bearer ADDHERE")
                    .header("dt-custom-data", "ADDHERE");
                self.send(request, "", |answer| answer.text() == "a film")
                    .await
            }
            Tenant::Alice | Tenant::Bob => {
                let name = if self.tenant == Tenant::Bob {
                    "bob"
                } else {
                    "alice"
                };
                let request = Request::get(format!("https://{ADS}/v2/profiles"))
                    .header("authorization", "Bearer ADDHERE")
                    .header("amazon-advertising-api-scope", "123");
                let whose = |answer: &Answer| answer.json()["user"] == name;
                self.send(request, "", whose).await
            }
        }
    }

    async fn book(&self, chance: u64) -> Outcome {
        let path = match chance {
            0 => "/profile/".to_owned(),
            1..=3 => format!("/api/v1/book/{chance}/"),
            _ => format!("/api/v2/epubs/urn:orm:book:{chance}/files/1.html"),
        };
        let request = Request::get(format!("https://{HOST}{path}"))
            .header("cookie", "orm-jwt=ADDHERE; orm-rt=ADDHERE; theirs=1");
        let whole = |answer: &Answer| {
            let words = ["welcome", "\"title\"", "a whole chapter"];
            words.iter().any(|words| answer.text().contains(words))
                && answer.field("set-cookie").is_none()
        };
        self.send(request, "", whole).await
    }

    async fn audio(&self, chance: u64) -> Outcome {
        let own = |name: &str| self.world.standin[name].as_str().expect("a text");
        if chance == 0 {
            let form = [
                ("app_name", "Audible"),
                ("app_version", "4.60"),
                ("source_token", own("refresh_token")),
                ("requested_token_type", "access_token"),
                ("source_token_type", "refresh_token"),
            ];
            let form = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish();
            let request = Request::post("https://api.amazon.com/auth/token")
                .header("content-type", "application/x-www-form-urlencoded");
            return self
                .send(request, &form, |answer| {
                    self.keep(&answer.json(), &["access_token"]).is_some()
                })
                .await;
        }
        let request = Request::get(format!(
            "https://api.audible.com/1.0/library?num_results={chance}"
        ))
        .header("x-adp-token", own("adp_token"))
        .header("x-adp-alg", "SHA256withRSA:1.0")
        .header("x-adp-signature", "AAAA:2020-01-01T00:00:00Z")
        .header("x-amz-access-token", own("access_token"));
        self.send(request, "", |answer| answer.json()["target"].is_string())
            .await
    }

    async fn app(&mut self, chance: u64) -> Outcome {
        let both = ["access_token", "refresh_token"];
        let login = |grant: &str| {
            let url = format!("https://{PROJECT}/auth/v1/token?grant_type={grant}");
            Request::post(url)
                .header("apikey", APIKEY)
                .header("content-type", "application/json")
        };
        let Some([access, refresh]) = self.tokens.clone() else {
            let body = json!({ "email": "ann@example.test", "password": "p" }).to_string();
            let mut kept = None;
            let outcome = self
                .send(login("password"), &body, |answer| {
                    kept = self.keep(&answer.json(), &both);
                    kept.is_some()
                })
                .await;
            self.tokens = kept.map(|kept| [kept[0].clone(), kept[1].clone()]);
            return outcome;
        };
        let bearer = format!("Bearer {access}");
        match chance {
            0 => {
                let body = json!({ "refresh_token": refresh }).to_string();
                let mut kept = None;
                let outcome = self
                    .send(login("refresh_token"), &body, |answer| {
                        kept = self.keep(&answer.json(), &both);
                        kept.is_some()
                    })
                    .await;
                if let Some(kept) = kept {
                    self.tokens = Some([kept[0].clone(), kept[1].clone()]);
                }
                outcome
            }
            1 => {
                let body = json!({ "token": access, "more": [1] }).to_string();
                let request = Request::post(format!("https://{APP}/auth/verify"))
                    .header("content-type", "application/json");
                self.send(request, &body, |_| true).await
            }
            2..=4 => {
                let request = Request::get(format!("https://{APP}/api/users/credits"))
                    .header("authorization", bearer);
                let paid = |answer: &Answer| answer.json()["credits"] == 57;
                self.send(request, "", paid).await
            }
            _ => {
                let path = if chance == 5 {
                    "/auth/v1/user"
                } else {
                    "/rest/v1/todos"
                };
                let request = Request::get(format!("https://{PROJECT}{path}"))
                    .header("apikey", APIKEY)
                    .header("authorization", bearer);
                self.send(request, "", |_| true).await
            }
        }
    }

    /// Notes the tokens of an answer.
    fn keep(&self, answer: &Value, names: &[&str]) -> Option<Vec<String>> {
        let kept: Option<Vec<String>> = names
            .iter()
            .map(|name| answer[*name].as_str().map(str::to_owned))
            .collect();
        let kept = kept?;
        self.ledger
            .given
            .lock()
            .unwrap()
            .extend(kept.iter().cloned());
        Some(kept)
    }

    async fn send(
        &self,
        request: request::Builder,
        body: &str,
        mut good: impl FnMut(&Answer) -> bool,
    ) -> Outcome {
        let body = if body.is_empty() {
            empty()
        } else {
            full(body.to_owned())
        };
        let request = request.body(body).expect("a request");
        let what = format!("{} {}", request.method(), request.uri());
        let said = |answer: &Answer| {
            let why = answer.field("proxy-status").unwrap_or_default();
            format!("{what}: {} {why} {}", answer.status, answer.text())
        };
        match self.client.try_send(request).await {
            Err(error) => Outcome::Failed(format!("{what}: {}", chain(&error))),
            Ok(answer) => match answer.status.as_u16() {
                200 if good(&answer) => Outcome::Good,
                502 | 503 if is_of_the_session(&answer) => Outcome::Uncured(said(&answer)),
                200 | 302 | 400 | 401 | 403 | 407 | 511 => Outcome::Denied(said(&answer)),
                _ => Outcome::Failed(said(&answer)),
            },
        }
    }
}

/// Tells whether it is the session that was no good, and not the way to the host.
fn is_of_the_session(answer: &Answer) -> bool {
    let why = answer.field("proxy-status").unwrap_or_default();
    let words = [
        "the upstream's answer is no good",
        "the session cannot be renewed",
        "the session's refresh takes too long",
    ];
    words.iter().any(|words| why.contains(words))
}

fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
