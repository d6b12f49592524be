//! How sessions are renewed: one trait, a file for each kind.
//!
//! A refresh only asks and sorts the answer. It stores nothing and knows nothing of flights, leases and generations:
//! that is the runner's, the same for all kinds.

mod answer;
mod command;
mod http;
mod import;
mod login;
mod oauth2;
mod permit;
mod steps;
#[cfg(test)]
mod tests;
mod touch;

use std::{fmt, sync::Arc, time::SystemTime};

use ::http::header::USER_AGENT;
use futures_util::future::{BoxFuture, FutureExt as _};

use self::http::Http;
pub(super) use self::http::skew;
pub use self::{
    http::Answered,
    login::{SignIn, SignInError},
    permit::Permit,
};
use crate::{
    auth,
    env::Env,
    grant::Grant,
    jar::{self, Jar},
    life::{Cause, Failure},
    limits::Limits,
    origin::Origin,
    rule::{Recipe, RefreshKind, matcher::Matcher},
    secret::Secret,
    store::SessionId,
    upstream::Upstream,
};

/// One way to obtain a new credential.
pub trait Refresh: fmt::Debug + Send + Sync + 'static {
    /// Asks once. The future may outlive the flight that started it: an answer that comes late is still worth having.
    fn refresh(self: Arc<Self>, spend: Spend) -> BoxFuture<'static, Outcome>;

    /// Asks whether a new credential is good (`verify`); else says why it is not.
    fn verify(self: Arc<Self>, new: Spend) -> BoxFuture<'static, Result<(), String>>;

    /// Asks the URL of a heartbeat with what is held.
    fn beat(
        self: Arc<Self>,
        heartbeat: usize,
        with: Spend,
    ) -> BoxFuture<'static, Result<(Answered, Pulse), Failure>>;

    /// Sends a client's own refresh, and returns its whole answer.
    fn relay(
        self: Arc<Self>,
        request: auth::Request,
        permit: Permit,
    ) -> BoxFuture<'static, Result<Answered, Failure>>;

    /// Returns the host that is asked: for the bound on refreshes of one host, and to see whether it can be reached.
    fn host(&self) -> Option<&Origin>;

    /// Tells whether the host can be reached, without sending anything.
    fn probe(self: Arc<Self>) -> BoxFuture<'static, bool>;
}

/// What a refresh starts from.
#[derive(Clone, Debug)]
pub struct Spend {
    pub grant: Arc<Grant>,
    pub jar: Arc<Jar>,
    /// Why it is asked; [`Cause::Rejected`] whenever what is held was rejected.
    pub cause: Cause,
    /// Asked before anything is sent that can be sent only once.
    pub permit: Permit,
}

/// What a heartbeat's answer says of the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    Good,
    Bad,
    /// The server is in trouble itself.
    Unknown,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Renewed(Renewed),
    Failed(Failure),
}

/// A new credential.
#[derive(Clone, Debug, Default)]
pub struct Renewed {
    /// Fields of the grant; those that are not named stay.
    pub fields: Vec<(String, Secret)>,
    /// By our clock.
    pub expires_at: Option<SystemTime>,
    pub cookies: Vec<jar::Cookie>,
    pub removed: Vec<jar::Key>,
    /// How far the server's clock is ahead of ours, in milliseconds, if the answer tells.
    pub skew: Option<i64>,
    /// What was asked: noted by who asked.
    pub of: Call,
}

/// A call, by its place among all that spend a session's one-time tokens, and what it spent.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub number: u64,
    /// The refresh token's fingerprint, if it is one for one use.
    pub spent: Option<String>,
}

/// What refreshes stand on.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) upstream: Upstream,
    pub(super) env: Env,
    pub(super) limits: Limits,
}

/// The refresh that a recipe asks for.
#[derive(Debug)]
struct Live {
    recipe: Arc<Recipe>,
    /// Proves that a request with the session's own credential goes where that may go.
    matcher: Option<Matcher>,
    http: Http,
}

/// Makes the refresh that a recipe asks for.
pub(super) fn of(recipe: &Arc<Recipe>, id: &SessionId, world: &World) -> Arc<dyn Refresh> {
    let client = match &id.client {
        Some(client) => Arc::clone(client),
        // Its connections are shared with nobody's.
        None => format!("session {}", id.name).into(),
    };
    // Whoever may use the session: its own requests go where it is bound.
    let alone = Recipe {
        clients: None,
        ..Recipe::clone(recipe)
    };
    Arc::new(Live {
        matcher: Matcher::new(&[Arc::new(alone)]).ok(),
        http: Http::of(world, client),
        recipe: Arc::clone(recipe),
    })
}

// === impl Live ===

impl Refresh for Live {
    fn refresh(self: Arc<Self>, spend: Spend) -> BoxFuture<'static, Outcome> {
        async move {
            // The token endpoint's request asks for it at the last moment; nothing else spends what is held.
            let asks_itself = matches!(self.recipe.refresh.kind, RefreshKind::Oauth2(_));
            if !asks_itself && !spend.permit.take() {
                return Outcome::Failed(http::not_sent());
            }
            let renewed = match &self.recipe.refresh.kind {
                RefreshKind::None => Err(Failure::Misconfigured("the session has none".to_owned())),
                RefreshKind::Oauth2(oauth2) => self.oauth2(oauth2, &spend).await,
                RefreshKind::Steps(steps) => self.steps(steps, &spend).await,
                RefreshKind::Command(argv) => self.command(argv).await,
                RefreshKind::Touch(url) => self.touch(url, &spend).await,
                RefreshKind::Import(import) => self.import(import, &spend).await,
            };
            renewed.map_or_else(Outcome::Failed, Outcome::Renewed)
        }
        .boxed()
    }

    fn verify(self: Arc<Self>, new: Spend) -> BoxFuture<'static, Result<(), String>> {
        async move { self.is_accepted(&new).await }.boxed()
    }

    fn beat(
        self: Arc<Self>,
        heartbeat: usize,
        with: Spend,
    ) -> BoxFuture<'static, Result<(Answered, Pulse), Failure>> {
        async move {
            match self.recipe.heartbeats.get(heartbeat) {
                Some(heartbeat) => self.feel(heartbeat, &with).await,
                None => Err(Failure::Misconfigured(
                    "there is no such heartbeat".to_owned(),
                )),
            }
        }
        .boxed()
    }

    fn relay(
        self: Arc<Self>,
        request: auth::Request,
        permit: Permit,
    ) -> BoxFuture<'static, Result<Answered, Failure>> {
        async move {
            let request = self.dressed(request, &Grant::default());
            self.http.ask(request, None, &permit).await
        }
        .boxed()
    }

    fn host(&self) -> Option<&Origin> {
        match &self.recipe.refresh.kind {
            RefreshKind::None | RefreshKind::Command(_) | RefreshKind::Import(_) => None,
            RefreshKind::Oauth2(oauth2) => Some(&oauth2.token_url.origin),
            RefreshKind::Steps(steps) => steps.first().map(|step| &step.url.origin),
            RefreshKind::Touch(url) => Some(&url.origin),
        }
    }

    fn probe(self: Arc<Self>) -> BoxFuture<'static, bool> {
        async move {
            match self.host() {
                Some(host) => self.http.upstream.probe(host).await.is_ok(),
                None => false,
            }
        }
        .boxed()
    }
}

impl Live {
    /// Puts the session's `User-Agent` on a request of our own that has none.
    fn dressed(&self, mut request: auth::Request, grant: &Grant) -> auth::Request {
        let user_agent = self.recipe.user_agent.as_ref();
        if let Some(user_agent) = user_agent.and_then(|user_agent| user_agent.of(grant)) {
            request.headers.entry(USER_AGENT).or_insert(user_agent);
        }
        request
    }
}

// === impl Renewed ===

impl Renewed {
    /// Returns a field that was obtained.
    pub(super) fn field(&self, field: &str) -> Option<&Secret> {
        let mut fields = self.fields.iter();
        fields.find_map(|(name, value)| (name == field).then_some(value))
    }

    /// Leaves out all but one field.
    pub(super) fn keep_only(&mut self, field: &str) {
        self.fields.retain(|(name, _)| name == field);
        self.expires_at = None;
        self.cookies.clear();
        self.removed.clear();
    }
}
