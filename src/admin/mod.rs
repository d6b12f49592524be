//! The admin side: API, metrics and dashboard for the machine's own user, and probes for whoever runs it.

use std::{io, sync::Arc};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Listen},
    proxy::Proxy,
};

/// A socket of the admin side or of the probes.
#[derive(Debug)]
pub struct Bound;

/// What the admin side speaks about.
#[derive(Clone)]
pub struct State;

/// Why the admin side cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {0}")]
    Bind(Listen, #[source] io::Error),
}

/// Reads the configuration again; returns the changed keys that need a restart.
pub type Reload =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<&'static str>, String>> + Send + Sync>;

impl Bound {
    /// Binds the admin side, if there is to be one.
    pub async fn admin(config: &Config) -> Result<Option<Self>, Error> {
        let _ = config;
        Ok(None)
    }

    /// Binds the side for probes, if there is to be one.
    pub async fn health(config: &Config) -> Result<Option<Self>, Error> {
        let _ = config;
        Ok(None)
    }

    pub fn address(&self) -> Listen {
        todo!()
    }

    /// Answers until the token says stop.
    pub async fn serve(self, state: State, stop: CancellationToken) {
        let _ = state;
        stop.cancelled().await;
    }
}

impl State {
    pub fn new(proxy: Arc<Proxy>, reload: Reload) -> Self {
        let _ = (proxy, reload);
        Self
    }
}
