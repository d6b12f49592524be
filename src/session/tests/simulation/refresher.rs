//! A client that refreshes by itself: its request goes through the session, as the data path has it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method, StatusCode};
use tokio::time::{sleep, timeout};

use super::{
    Random,
    wire::{World, number},
};
use crate::{
    auth,
    life::Failure,
    rule::{Capture, Source, Spot, Url, sample},
    secret::Secret,
    session::{
        Relay, Session,
        refresh::{Answered, Outcome},
    },
};

/// How long trouble excuses an answer that is none.
const TROUBLED: Duration = Duration::from_secs(100);

pub(super) struct Refresher {
    pub(super) process: usize,
    pub(super) session: Arc<Session>,
    pub(super) world: Arc<World>,
    pub(super) random: Random,
    /// The refresh token that it was given last.
    pub(super) token: String,
}

/// How such requests are recognised.
pub(super) fn capture(coalesce: bool) -> Capture {
    let mut capture = sample::capture("POST https://auth.example/token");
    let form = Spot::Form("refresh_token".to_owned());
    capture.request = vec![("refresh_token".to_owned(), form)];
    for name in ["access_token", "refresh_token", "expires_in"] {
        let pointer = format!("/{name}").parse().unwrap();
        let source = Source::Json(pointer);
        capture.answer.push((name.to_owned(), source));
    }
    (capture.mask, capture.coalesce) = (false, coalesce);
    capture
}

/// Says an outcome as a token endpoint does.
pub(super) fn answered(
    outcome: Outcome,
    lifetime: Duration,
    at: SystemTime,
) -> Result<Answered, Failure> {
    let (status, body) = match outcome {
        Outcome::Renewed(renewed) => {
            let fields = renewed.fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), value.expose().as_str().into()));
            let mut body: serde_json::Map<_, _> = fields.collect();
            body.insert("expires_in".to_owned(), lifetime.as_secs_f64().into());
            (StatusCode::OK, body.into())
        }
        Outcome::Failed(Failure::Terminal(error)) => (
            StatusCode::BAD_REQUEST,
            serde_json::json!({ "error": error }),
        ),
        Outcome::Failed(failure) => return Err(failure),
    };
    Ok(Answered {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into_bytes(),
        at,
    })
}

// === impl Refresher ===

impl Refresher {
    pub(super) async fn run(mut self) {
        loop {
            sleep(self.random.millis(4000, 25_000)).await;
            if self.world.inner().over {
                return;
            }
            // At times it is behind, as one that has slept.
            let given = self.ask().await;
            if self.random.below(4) > 0
                && let Some(token) = given
            {
                self.token = token;
            }
        }
    }

    async fn ask(&self) -> Option<String> {
        let Self { world, session, .. } = self;
        if !session.is_own(&self.token).await.unwrap_or(true) {
            let signed_in = world.inner().signed_in;
            if number(&self.token, "rt-") < signed_in {
                // It was of an earlier login, and is given what was put in.
                return Some(format!("rt-{signed_in}"));
            }
            self.wrong(format!("{} is not known any more", self.token));
            return None;
        }
        let relay = Relay {
            client: None,
            capture: session.recipe().captures[0].clone(),
            presented: self.token.as_str().into(),
            request: auth::Request {
                method: Method::POST,
                url: Url {
                    origin: "https://auth.example".parse().unwrap(),
                    path: "/token".to_owned(),
                },
                headers: HeaderMap::new(),
                body: Secret::new(Vec::new()),
            },
            body: Arc::new(|token| token.as_bytes().to_vec()),
        };
        let relayed = match timeout(Duration::from_secs(100), session.relay(relay)).await {
            Ok(Ok(relayed)) => relayed,
            Ok(Err(failure)) => {
                self.wrong(format!("a client's refresh: {failure}"));
                return None;
            }
            Err(_) => {
                self.wrong("a client waits".to_owned());
                return None;
            }
        };
        let status = relayed.status;
        if status != StatusCode::OK {
            self.wrong(format!("a client's refresh: {status}"));
            return None;
        }
        let body: serde_json::Value = serde_json::from_slice(&relayed.body).unwrap();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        world.note(|| {
            let (had, has) = (&self.token, text("refresh_token"));
            format!(
                "process {}: a client with {had} is told {has:?}",
                self.process
            )
        });
        text("refresh_token")
    }

    fn wrong(&self, text: String) {
        let text = format!("process {}: {text}", self.process);
        if self.world.is_troubled(TROUBLED) {
            self.world.note(|| text);
        } else {
            self.world.wrong(text);
        }
    }
}
