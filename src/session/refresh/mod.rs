//! How sessions are renewed: one trait, a file for each kind.
//!
//! A refresh only asks and sorts the answer. It stores nothing and knows nothing of flights, leases and generations:
//! that is the runner's, the same for all kinds.

use std::{fmt, sync::Arc, time::SystemTime};

use futures_util::future::BoxFuture;

use crate::{
    env::Env,
    grant::Grant,
    jar::{self, Jar},
    life::Failure,
    limits::Limits,
    origin::Origin,
    rule::Recipe,
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
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Renewed(Renewed),
    Failed(Failure),
}

/// A new credential.
#[derive(Debug, Default)]
pub struct Renewed {
    /// Fields of the grant; those that are not named stay.
    pub fields: Vec<(String, Secret)>,
    /// By our clock.
    pub expires_at: Option<SystemTime>,
    pub cookies: Vec<jar::Cookie>,
    pub removed: Vec<jar::Key>,
    /// How far the server's clock is ahead of ours, in milliseconds, if the answer tells.
    pub skew: Option<i64>,
}

// === impl Renewed ===

impl Renewed {
    /// Leaves out all but one field.
    pub(super) fn keep_only(&mut self, field: &str) {
        self.fields.retain(|(name, _)| name == field);
        self.expires_at = None;
        self.cookies.clear();
        self.removed.clear();
    }
}

/// What refreshes stand on.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) upstream: Upstream,
    pub(super) env: Env,
    pub(super) limits: Limits,
}

/// Makes the refresh that a recipe asks for.
pub(super) fn of(recipe: &Arc<Recipe>, id: &SessionId, world: &World) -> Arc<dyn Refresh> {
    let _ = (recipe, id, world);
    todo!()
}
