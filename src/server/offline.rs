//! The sessions without the proxy: what commands work with when none runs.

use std::{collections::HashSet, sync::Arc};

use super::{Error, build, reload::resolve};
use crate::{
    ca::Root,
    config::{Config, Loaded, Programs, Variables},
    env::Env,
    session::{Context, Keeping, Sessions, refresh::SignIn},
    store::{self, Store},
};

/// How exactly secrets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// All of them: what is to be refreshed needs them.
    Needed,
    /// Those at hand, and no program is run for them: to look, to put in, to forget.
    AtHand,
}

/// The fields that a store has, by session.
pub type Held = HashSet<(String, String)>;

/// Makes the store and its key, if there are none.
pub async fn make_store(config: &Config, variables: &Variables) -> Result<(), Error> {
    let store = build::store(config, variables)?;
    store.close().await.map_err(Error::Store)
}

/// Returns the fields that the store has, if there is one; makes none.
pub async fn stored_fields(config: &Config, variables: &Variables) -> Result<Held, Error> {
    let there = match &config.store.url {
        store::Kind::Sqlite(path) => path.exists(),
        store::Kind::Memory => false,
    };
    if !there {
        return Ok(Held::new());
    }
    let store = build::store(config, variables)?;
    let held = held(&store).await;
    store.close().await.map_err(Error::Store)?;
    held
}

/// Returns the fields that a store has.
pub(super) async fn held(store: &Store) -> Result<Held, Error> {
    let mut held = Held::new();
    for id in store.list().await.map_err(Error::Store)? {
        let Some(stored) = store.load(&id).await.map_err(Error::Store)? else {
            continue;
        };
        let fields = stored.grant.fields.into_keys();
        held.extend(fields.map(|field| (id.name.to_string(), field)));
    }
    Ok(held)
}

/// The store and its sessions, at rest: nothing is renewed but what is asked for.
pub struct Offline {
    config: Config,
    store: Store,
    sessions: Arc<Sessions>,
}

/// Makes what signs a person in to a session of this name; `None` if it has no login with codes. Its client's secrets are
/// read for it, and no others.
pub async fn sign_in(
    loaded: Loaded,
    variables: &Variables,
    session: &str,
) -> Result<Option<SignIn>, Error> {
    let (loaded, read) = (loaded.for_login(session), variables.clone());
    let resolved = tokio::task::spawn_blocking(move || {
        loaded.resolve_sources(&read, Programs::Run, |_, _| false)
    });
    let (config, _) = resolved
        .await
        .expect("reading sources does not panic")
        .map_err(Error::Config)?;
    let own = Root::own(&config.ca.dir);
    let upstream = build::upstream(&config, variables, &own, &[], &config.listen)?;
    let mut recipes = config.recipes.into_iter();
    let recipe = recipes.find(|recipe| *recipe.name == *session);
    Ok(recipe.and_then(|recipe| SignIn::new(recipe, upstream, Env::real(), config.limits)))
}

// === impl Offline ===

impl Offline {
    pub async fn open(
        loaded: Loaded,
        variables: &Variables,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let env = Env::real();
        let store = build::store(&loaded.config, variables)?;
        let config = match secrets {
            Secrets::Needed => resolve(loaded, variables, &store).await?,
            Secrets::AtHand => loaded.at_hand(variables),
        };
        // Where there is no CA yet none is made: nothing is intercepted.
        let own = Root::own(&config.ca.dir);
        let upstream = build::upstream(&config, variables, &own, &[], &config.listen)?;
        let context = Context {
            store: store.clone(),
            upstream,
            env,
            limits: config.limits.clone(),
            before: None,
            keeping: Keeping::AtRest,
        };
        let sessions = Sessions::open(config.recipes.clone(), context);
        Ok(Self {
            sessions: sessions.await.map_err(Error::Sessions)?,
            config,
            store,
        })
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Waits for what is under way, and closes the store.
    pub async fn close(self) -> Result<(), Error> {
        self.sessions.close().await;
        self.store.close().await.map_err(Error::Store)
    }
}
