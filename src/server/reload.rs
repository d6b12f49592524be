//! Reading the configuration again while the proxy runs.

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Error, build};
use crate::{
    admin,
    ca::{Ca, Root},
    config::{self, Config, Loaded, Place, Programs, Variables},
    env::Env,
    proxy::Proxy,
    store::Store,
    upstream::Upstream,
};

/// What is needed to read the configuration again.
pub(super) struct Reloader {
    pub(super) place: Place,
    pub(super) variables: Variables,
    /// What runs: keys that need a restart are as they were at the start.
    pub(super) started: Config,
    /// `store.rotate` as it was read last.
    pub(super) rotate: Mutex<Option<Duration>>,
    pub(super) store: Store,
    pub(super) upstream: Upstream,
    pub(super) env: Env,
    pub(super) proxy: Arc<Proxy>,
    /// One reload at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn handle(self: &Arc<Self>) -> admin::Reload {
        let reloader = self.clone();
        Arc::new(move || {
            let reloader = reloader.clone();
            // It runs to its end also if whoever asked does not wait.
            let task = tokio::spawn(async move { reloader.reload_and_tell().await });
            Box::pin(async move {
                let ended = task.await;
                ended.unwrap_or_else(|_| Err("the reload failed".to_owned()))
            })
        })
    }

    async fn reload_and_tell(&self) -> Result<Vec<&'static str>, String> {
        match self.reload().await {
            Ok(restart) if restart.is_empty() => {
                tracing::info!("the configuration was read again");
                Ok(restart)
            }
            Ok(restart) => {
                let keys = restart.join(", ");
                tracing::warn!(
                    keys,
                    "the configuration was read again; these keys need a restart"
                );
                Ok(restart)
            }
            Err(error) => {
                let cause = &error as &dyn StdError;
                tracing::error!(
                    error = cause,
                    "the new configuration is refused, the old one stays in force"
                );
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(cause) = source {
                    text = format!("{text}: {cause}");
                    source = cause.source();
                }
                Err(text)
            }
        }
    }

    /// Takes up a changed configuration, or refuses it whole. Returns the changed keys that need a restart.
    async fn reload(&self) -> Result<Vec<&'static str>, Error> {
        let _turn = self.turn.lock().await;
        let loaded = config::load(&self.place, &self.variables).map_err(Error::Config)?;
        let config = resolve(loaded, &self.variables, &self.store).await?;
        let before = self.proxy.world.load_full();
        let ca = self.renewed(&config)?;
        let (store, upstream) = (&self.store, &self.upstream);
        let world = build::world(&config, store, upstream, &self.env, Some(&before)).await?;
        let world = Arc::new(world);
        let before = self.proxy.world.swap(Arc::clone(&world));
        before.sessions.retire(&world.sessions);
        if let Some(ca) = ca {
            tracing::info!(name = ca.root().name(), "there is a new CA");
            self.proxy.ca.store(Arc::new(ca));
        }
        *self.rotate() = config.store.rotate;
        Ok(self.started.needs_restart(&config))
    }

    pub(super) fn rotate(&self) -> MutexGuard<'_, Option<Duration>> {
        self.rotate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the CA if it was renewed. Its folder is the one from the start: another needs a restart. One that is gone
    /// goes on in memory.
    fn renewed(&self, config: &Config) -> Result<Option<Ca>, Error> {
        let current = self.proxy.ca.load();
        let folder = current.root().folder();
        if !Root::file(folder).exists() {
            return Ok(None);
        }
        let ca = build::ca(config, folder, &self.env)?;
        Ok((ca.root().der() != current.root().der()).then_some(ca))
    }
}

/// Reads the secrets; a source that cannot be read is a warning if the store has what it would give.
pub(super) async fn resolve(
    loaded: Loaded,
    variables: &Variables,
    store: &Store,
) -> Result<Config, Error> {
    let held = super::offline::held(store).await?;
    let variables = variables.clone();
    let resolved = tokio::task::spawn_blocking(move || {
        loaded.resolve_sources(&variables, Programs::Run, |session, field| {
            held.contains(&(session.to_owned(), field.to_owned()))
        })
    });
    let (config, warnings) = resolved
        .await
        .expect("reading sources does not panic")
        .map_err(Error::Config)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
