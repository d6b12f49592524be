//! A refresh for tests: an authorization server with one-time refresh tokens, reuse detection and a grace, whose
//! answers can be late, lost, or something else.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::{Instant, sleep};

pub(super) use self::away::Away;
use super::refresh::{Answered, Outcome, Permit, Pulse, Refresh, Renewed, Spend};
use crate::{auth, env::Env, grant::Grant, life::Failure, origin::Origin, secret::Secret};

mod away;

/// What happens to one call.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server acts on it, and the answer is lost.
    LoseAnswer,
    /// The server acts on it, and the answer begins, and breaks off.
    CutAnswer,
    /// It takes so long before anything can be sent.
    SlowConnect(Duration),
    /// It never arrives, and nobody says so.
    Hang,
    /// It never arrives, but that cannot be known.
    LoseRequest,
    /// The request takes this long.
    SlowRequest(Duration),
    /// The answer takes this long.
    Late(Duration),
    /// Nothing comes back; the server acts on it.
    Silence,
    /// This instead.
    Say(Failure),
}

/// The authorization server.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) grace: Duration,
    pub(super) latency: Duration,
    pub(super) lifetime: Duration,
    /// Whether a new refresh token comes with each answer.
    pub(super) rotates: bool,
    pub(super) calls: AtomicUsize,
    pub(super) redemptions: AtomicUsize,
    pub(super) revoked: AtomicBool,
    pub(super) verdict: Mutex<Option<String>>,
    /// How long the look at a new credential takes.
    pub(super) verifying: Duration,
    faults: Mutex<VecDeque<Fault>>,
    /// How it is away, for every call that has no other fault.
    pub(super) away: Mutex<Option<Away>>,
    tokens: Mutex<Tokens>,
    /// Each attempt, whether or not anything was sent.
    pub(super) called_at: Mutex<Vec<Instant>>,
    /// Which heartbeat came when, and which one finds the credential bad.
    pub(super) beats: Mutex<Vec<(usize, Instant)>>,
    pub(super) ill: Mutex<Option<usize>>,
    /// Access tokens that the origin takes, and until when.
    valid: Mutex<HashMap<String, Instant>>,
    /// What came, for whoever looks into a life that went wrong.
    pub(super) log: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Tokens {
    newest: usize,
    /// The one that the newest came of, and when it was spent: it works again while the newest is not used.
    parent: Option<(usize, Instant)>,
    issued: usize,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self {
            grace: Duration::from_secs(10),
            latency: Duration::from_millis(100),
            lifetime: Duration::from_secs(3600),
            rotates: true,
            calls: AtomicUsize::new(0),
            redemptions: AtomicUsize::new(0),
            revoked: AtomicBool::new(false),
            verdict: Mutex::default(),
            verifying: Duration::ZERO,
            faults: Mutex::default(),
            away: Mutex::default(),
            tokens: Mutex::new(Tokens {
                newest: 0,
                parent: None,
                issued: 0,
            }),
            called_at: Mutex::default(),
            beats: Mutex::default(),
            ill: Mutex::default(),
            valid: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// Tells whether a token was used twice, and with it all of them are gone.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    pub(super) fn then(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    pub(super) fn forget_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Ends the access tokens that are out.
    pub(super) fn void(&self) {
        self.valid.lock().unwrap().clear();
    }

    /// Tells whether the origin takes an access token.
    pub(super) fn accepts(&self, token: &str) -> bool {
        let valid = self.valid.lock().unwrap();
        valid
            .get(token)
            .is_some_and(|until| Instant::now() < *until)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn redemptions(&self) -> usize {
        self.redemptions.load(Ordering::SeqCst)
    }

    /// Spends a refresh token as another would, and returns what that one gets.
    pub(super) fn rotate(&self, token: &str) -> Vec<(String, Secret)> {
        match self.redeem(Some(token)) {
            Outcome::Renewed(renewed) => renewed.fields,
            Outcome::Failed(failure) => panic!("{failure}"),
        }
    }

    fn redeem(&self, token: Option<&str>) -> Outcome {
        let mut tokens = self.tokens.lock().unwrap();
        if let Some(token) = token {
            let number: usize = token.strip_prefix("rt-").unwrap().parse().unwrap();
            let parent = tokens
                .parent
                .filter(|(parent, spent_at)| *parent == number && spent_at.elapsed() < self.grace);
            if number != tokens.newest
                && parent.is_none()
                && !self.revoked.swap(true, Ordering::SeqCst)
            {
                self.valid.lock().unwrap().clear();
            }
            if self.is_revoked() {
                return Outcome::Failed(Failure::Terminal("invalid_grant".to_owned()));
            }
            if self.rotates {
                tokens.parent = parent.or(Some((number, Instant::now())));
                tokens.newest = tokens.issued + 1;
            }
        }
        tokens.issued += 1;
        let until = Instant::now() + self.lifetime;
        let access = format!("at-{}", tokens.issued);
        self.valid.lock().unwrap().insert(access, until);
        self.redemptions.fetch_add(1, Ordering::SeqCst);
        let mut fields = vec![(
            "access_token".to_owned(),
            format!("at-{}", tokens.issued).into(),
        )];
        if self.rotates && token.is_some() {
            let token = format!("rt-{}", tokens.newest);
            fields.push(("refresh_token".to_owned(), token.into()));
        }
        Outcome::Renewed(Renewed {
            fields,
            ..Renewed::default()
        })
    }
}

/// The client's side of the authority.
#[derive(Debug)]
pub(super) struct Double {
    pub(super) authority: Arc<Authority>,
    pub(super) env: Env,
    host: Origin,
}

impl Double {
    pub(super) fn new(authority: Arc<Authority>, env: Env) -> Self {
        Self::at("https://auth.example", authority, env)
    }

    /// At another host.
    pub(super) fn at(host: &str, authority: Arc<Authority>, env: Env) -> Self {
        Self {
            authority,
            env,
            host: host.parse().unwrap(),
        }
    }
}

impl Refresh for Double {
    fn refresh(self: Arc<Self>, spend: Spend) -> BoxFuture<'static, Outcome> {
        async move {
            let authority = &self.authority;
            authority.called_at.lock().unwrap().push(Instant::now());
            let fault = authority.faults.lock().unwrap().pop_front();
            match fault {
                Some(Fault::SlowConnect(by)) => sleep(by).await,
                Some(_) => {}
                None => {
                    if let Err(unsent) = authority.connect().await {
                        return Outcome::Failed(unsent);
                    }
                }
            }
            if !spend.permit.take() {
                return Outcome::Failed(Failure::Unsent("it may not be sent".to_owned()));
            }
            authority.calls.fetch_add(1, Ordering::SeqCst);
            let away = *authority.away.lock().unwrap();
            let fault = fault.or(away.map(|away| Fault::Say(away.failure())));
            let token = spend.grant.field("refresh_token");
            let token = token.map(|token| token.expose().clone());
            let broken = |why: &str| {
                Outcome::Failed(Failure::InDoubt {
                    why: why.to_owned(),
                    answered: false,
                })
            };
            let now = self.env.monotonic();
            authority
                .log
                .lock()
                .unwrap()
                .push(format!("{now:?} {token:?} {fault:?}"));
            sleep(authority.latency / 2).await;
            let answer = match fault {
                Some(Fault::Say(failure)) => return Outcome::Failed(failure),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::LoseRequest) => return broken("reset"),
                Some(Fault::LoseAnswer) => {
                    let _ = authority.redeem(token.as_deref());
                    return broken("reset");
                }
                Some(Fault::CutAnswer) => {
                    let _ = authority.redeem(token.as_deref());
                    sleep(authority.latency).await;
                    return broken("the answer broke off");
                }
                Some(Fault::Silence) => {
                    let _ = authority.redeem(token.as_deref());
                    std::future::pending().await
                }
                Some(Fault::SlowRequest(by)) => {
                    sleep(by).await;
                    authority.redeem(token.as_deref())
                }
                Some(Fault::Late(by)) => {
                    let answer = authority.redeem(token.as_deref());
                    sleep(by).await;
                    answer
                }
                Some(Fault::SlowConnect(_)) | None => authority.redeem(token.as_deref()),
            };
            sleep(authority.latency / 2).await;
            match answer {
                Outcome::Renewed(renewed) => Outcome::Renewed(Renewed {
                    expires_at: Some(self.env.wall() + authority.lifetime),
                    ..renewed
                }),
                failed @ Outcome::Failed(_) => failed,
            }
        }
        .boxed()
    }

    fn verify(self: Arc<Self>, _: Spend) -> BoxFuture<'static, Result<(), String>> {
        let verdict = self.authority.verdict.lock().unwrap().clone();
        let verifying = self.authority.verifying;
        async move {
            sleep(verifying).await;
            verdict.map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn beat(
        self: Arc<Self>,
        number: usize,
        with: Spend,
    ) -> BoxFuture<'static, Result<(Answered, Pulse), Failure>> {
        let authority = &self.authority;
        authority
            .beats
            .lock()
            .unwrap()
            .push((number, Instant::now()));
        let token = with.grant.field("access_token");
        let good = token.is_some_and(|token| authority.accepts(token.expose()))
            && *authority.ill.lock().unwrap() != Some(number);
        let (status, pulse) = if good {
            (http::StatusCode::OK, Pulse::Good)
        } else {
            (http::StatusCode::UNAUTHORIZED, Pulse::Bad)
        };
        let answered = Answered {
            status,
            headers: http::HeaderMap::new(),
            body: Vec::new(),
            at: self.env.wall(),
        };
        async move { Ok((answered, pulse)) }.boxed()
    }

    fn relay(
        self: Arc<Self>,
        request: auth::Request,
        permit: Permit,
    ) -> BoxFuture<'static, Result<Answered, Failure>> {
        let token = String::from_utf8(request.body.expose().clone()).unwrap();
        let mut grant = Grant::default();
        grant
            .fields
            .insert("refresh_token".to_owned(), token.into());
        let at = self.env.wall();
        let spend = Spend {
            grant: Arc::new(grant),
            jar: Arc::new(crate::jar::Jar::new(crate::jar::Bounds::from(
                &crate::limits::Limits::default(),
            ))),
            cause: crate::life::Cause::Needed,
            permit,
        };
        let answered = move |status, body: serde_json::Value| Answered {
            status,
            headers: http::HeaderMap::new(),
            body: body.to_string().into_bytes(),
            at,
        };
        async move {
            match self.refresh(spend).await {
                Outcome::Renewed(renewed) => {
                    let fields = renewed.fields.iter();
                    let fields =
                        fields.map(|(name, value)| (name.clone(), value.expose().as_str().into()));
                    let mut body: serde_json::Map<_, _> = fields.collect();
                    body.insert("expires_in".to_owned(), 3600.into());
                    Ok(answered(http::StatusCode::OK, body.into()))
                }
                Outcome::Failed(Failure::Terminal(error)) => {
                    let body = serde_json::json!({ "error": error });
                    Ok(answered(http::StatusCode::BAD_REQUEST, body))
                }
                Outcome::Failed(Failure::Throttled { until, .. }) => {
                    let wait = until.duration_since(at).unwrap_or_default();
                    let mut answer = answered(http::StatusCode::SERVICE_UNAVAILABLE, "".into());
                    let headers = &mut answer.headers;
                    headers.insert(http::header::RETRY_AFTER, wait.as_secs().into());
                    Ok(answer)
                }
                Outcome::Failed(Failure::NotAnAnswer(page)) => {
                    let mut answer = answered(http::StatusCode::OK, "".into());
                    answer.body = format!("<html>{page}</html>").into_bytes();
                    let kind = http::HeaderValue::from_static("text/html");
                    answer.headers.insert(http::header::CONTENT_TYPE, kind);
                    Ok(answer)
                }
                Outcome::Failed(failure) => Err(failure),
            }
        }
        .boxed()
    }

    fn host(&self) -> Option<&Origin> {
        Some(&self.host)
    }

    fn probe(self: Arc<Self>) -> BoxFuture<'static, bool> {
        async move { self.authority.connect().await.is_ok() }.boxed()
    }
}
