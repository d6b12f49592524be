//! The admin side: API, metrics and dashboard for the machine's own user, and probes for whoever runs it.
//!
//! Two sides. The one is for this machine alone: every answer but the probes and the empty page asks for the token
//! that lies in the state folder, and a browser is believed only on our own page. The other is for probes and
//! scrapers, has no token, and nothing that is worth one. No answer of either has a secret in it.
//!
//! Sockets are the server's; here a connection is served.

mod clients;
mod events;
mod guard;
mod material;
mod metrics;
mod openapi;
mod page;
pub mod place;
mod probes;
mod problem;
mod proxy;
mod routes;
mod sessions;
#[cfg(test)]
mod tests;
pub mod token;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};

pub use self::{
    material::Body as Material,
    problem::Problem,
    proxy::About,
    sessions::{Ended, List, reason, refresh_now},
};
use self::{routes::Routes, token::Token};
use crate::{config::Listen, proxy::Proxy, upstream::io::Io};

/// How many connections each side takes at once: a person's browser and a few programs.
pub const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;

/// Which side of the proxy a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// API, metrics and dashboard.
    Admin,
    /// Probes and metrics.
    Health,
}

/// Serves the admin side and the probes; clones are the same.
#[derive(Clone, Debug)]
pub struct Admin {
    admin: Router,
    health: Router,
}

/// What a proxy says of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    pub listen: Vec<Listen>,
    /// Where the admin side listens, if it does.
    pub admin: Option<Listen>,
    /// The configuration file, absolute.
    pub config: PathBuf,
    /// The folder of the token.
    pub state: PathBuf,
    /// The CA's certificate file.
    pub ca: PathBuf,
}

/// Why the admin side cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the admin side's token cannot be kept in {}", .0.display())]
    Token(PathBuf, #[source] io::Error),
    #[error("the admin side's address cannot be written to {}", .0.display())]
    Place(PathBuf, #[source] io::Error),
}

/// Takes the token that is kept in the state folder, or makes it.
pub fn token(state: &Path) -> Result<Token, Error> {
    let path = token::file(state);
    Token::kept(&path).map_err(|e| Error::Token(path, e))
}

/// Reads the configuration again; returns the changed keys that need a restart, or why the new one is refused.
pub type Reload =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<&'static str>, String>> + Send + Sync>;

/// What requests are answered from.
#[derive(Clone)]
struct State(Arc<Shared>);

struct Shared {
    proxy: Arc<Proxy>,
    facts: Facts,
    token: Token,
    reload: Reload,
}

// === impl Admin ===

impl Admin {
    pub fn new(proxy: Arc<Proxy>, facts: Facts, token: Token, reload: Reload) -> Self {
        let state = State(Arc::new(Shared {
            proxy,
            facts,
            token,
            reload,
        }));
        Self {
            admin: guard::admin(Routes::admin().router, &state).with_state(state.clone()),
            health: guard::health(Routes::health().router).with_state(state),
        }
    }

    /// Serves one connection until it ends.
    pub async fn serve<S: Io + 'static>(&self, io: S, side: Side) {
        let router = match side {
            Side::Admin => self.admin.clone(),
            Side::Health => self.health.clone(),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
        if let Err(error) = connection.await {
            let cause = &error as &dyn std::error::Error;
            tracing::debug!(error = cause, "a connection to the admin side ended");
        }
    }
}

// === impl Error ===

impl Error {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Token(..) | Self::Place(..) => {
                "make the folder writable, or name another one with `proxy.state`"
            }
        }
    }
}

// === impl State ===

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
