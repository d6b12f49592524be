//! All sessions of one configuration.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use tokio::sync::broadcast;

use super::{
    Session,
    held::Definition,
    history::Event,
    keep,
    refresh::{self, Refresh},
    seeds,
    shared::Shared,
};
use crate::{
    env::Env,
    jar::Bounds,
    life::Rules,
    limits::Limits,
    rule::{
        Recipe,
        matcher::{Conflict, Matcher},
    },
    store::{self, SessionId, Store},
    upstream::Upstream,
};

/// What sessions stand on.
#[derive(Clone, Debug)]
pub struct Context {
    pub store: Store,
    pub upstream: Upstream,
    pub env: Env,
    pub limits: Limits,
    /// The sessions that these follow after a reload: what is in memory only, counters, histories and listeners of
    /// events are handed on.
    pub before: Option<Arc<Sessions>>,
    pub keeping: Keeping,
}

/// Whether sessions are looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// They are renewed ahead of their end, and what others store is followed.
    #[default]
    Kept,
    /// Nothing is renewed that is not asked for: for commands, which look and end.
    AtRest,
}

/// All sessions of one configuration.
pub struct Sessions {
    shared: Arc<Shared>,
    matcher: Matcher,
    slots: Vec<Slot>,
    make: Box<Make>,
    /// Holds the sessions that are not to persist.
    volatile: Store,
    store: Store,
    before: Mutex<Option<Arc<Self>>>,
}

/// Makes a session's refresh.
pub(super) type Make = dyn Fn(&Arc<Recipe>, &SessionId) -> Arc<dyn Refresh> + Send + Sync;

/// One recipe with its sessions: one, or one for each client.
struct Slot {
    definition: Definition,
    sessions: RwLock<HashMap<Option<Arc<str>>, Arc<Session>>>,
}

/// Why sessions cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("the session {session} cannot be read")]
    Store {
        session: SessionId,
        #[source]
        source: store::Error,
    },
    #[error("the store cannot be listed")]
    List(#[source] store::Error),
}

// === impl Sessions ===

impl Sessions {
    /// Reads what is held of every session, takes new seeds, and begins to keep them.
    pub async fn open(recipes: Vec<Arc<Recipe>>, context: Context) -> Result<Arc<Self>, Error> {
        let Context {
            store,
            upstream,
            env,
            limits,
            before,
            keeping,
        } = context;
        let world = refresh::World {
            upstream,
            env: env.clone(),
            limits: limits.clone(),
        };
        let make = move |recipe: &Arc<Recipe>, id: &SessionId| refresh::of(recipe, id, &world);
        let shared = Self::shared(env, limits, before.as_deref());
        if keeping == Keeping::AtRest {
            shared.stop.cancel();
        }
        Self::open_with(&recipes, store, shared, before, Box::new(make)).await
    }

    /// Makes what they share; listeners of events are handed on.
    pub(super) fn shared(env: Env, limits: Limits, before: Option<&Self>) -> Shared {
        Shared::new(
            env,
            limits,
            before.map(|before| before.shared.events.clone()),
        )
    }

    pub(super) async fn open_with(
        recipes: &[Arc<Recipe>],
        store: Store,
        shared: Shared,
        before: Option<Arc<Self>>,
        make: Box<Make>,
    ) -> Result<Arc<Self>, Error> {
        let limits = &shared.limits;
        let slots: Vec<Slot> = recipes.iter().map(|r| Slot::new(r, limits)).collect();
        let recipes: Vec<_> = slots.iter().map(|s| s.definition.recipe.clone()).collect();
        let volatile = before.as_ref().map(|before| before.volatile.clone());
        let sessions = Arc::new(Self {
            matcher: Matcher::new(&recipes)?,
            shared: Arc::new(shared),
            slots,
            make,
            volatile: volatile.unwrap_or_else(Store::memory),
            store,
            before: Mutex::new(before),
        });
        sessions.open_stored().await?;
        for store in [&sessions.store, &sessions.volatile] {
            let follow = keep::follow(
                Arc::downgrade(&sessions),
                store.clone(),
                sessions.shared.stop.clone(),
            );
            sessions.shared.spawn(follow);
        }
        Ok(sessions)
    }

    async fn open_stored(&self) -> Result<(), Error> {
        let mut ids = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if !slot.definition.recipe.per_client {
                ids.push((index, None));
            }
        }
        for store in [&self.store, &self.volatile] {
            for id in store.list().await.map_err(Error::List)? {
                let slot = self.slots.iter().position(|slot| {
                    let recipe = &slot.definition.recipe;
                    recipe.per_client && recipe.name == id.name
                });
                if let (Some(index), Some(client)) = (slot, id.client) {
                    ids.push((index, Some(client)));
                }
            }
        }
        for (index, client) in ids {
            let session = self.session(index, client.as_ref());
            session.open().await.map_err(|source| Error::Store {
                session: session.id.clone(),
                source,
            })?;
        }
        Ok(())
    }

    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// Returns the session that the recipe with this index is for this client. One that is a client's own is read
    /// from the store when it is first asked for something.
    pub fn session(&self, recipe: usize, client: Option<&Arc<str>>) -> Arc<Session> {
        let slot = &self.slots[recipe];
        let client = client
            .filter(|_| slot.definition.recipe.per_client)
            .cloned();
        {
            let sessions = slot.sessions.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(session) = sessions.get(&client) {
                return Arc::clone(session);
            }
        }
        let mut sessions = slot
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let session = sessions.entry(client.clone()).or_insert_with(|| {
            let session = self.make(slot, client);
            let opening = Arc::clone(&session);
            // Whoever asks it for something sooner opens it, and is told of the error.
            self.shared
                .spawn(async move { opening.open().await.is_ok() });
            session
        });
        Arc::clone(session)
    }

    fn make(&self, slot: &Slot, client: Option<Arc<str>>) -> Arc<Session> {
        let recipe = &slot.definition.recipe;
        let id = SessionId {
            name: Arc::clone(&recipe.name),
            client,
        };
        let refresh = (self.make)(recipe, &id);
        let store = if recipe.persist {
            &self.store
        } else {
            &self.volatile
        };
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let before = before.as_ref().and_then(|before| before.known(&id));
        let kept = before.map(|before| before.kept()).unwrap_or_default();
        Session::new(id, &slot.definition, store, refresh, &self.shared, kept)
    }

    /// Returns the session with this name; one that is a client's own by the client too.
    pub fn find(&self, name: &str, client: Option<&str>) -> Option<Arc<Session>> {
        let index = self.slots.iter().position(|slot| {
            let recipe = &slot.definition.recipe;
            &*recipe.name == name && (!recipe.per_client || client.is_some())
        })?;
        Some(self.session(index, client.map(Arc::from).as_ref()))
    }

    /// Returns the sessions that are known: those that clients share, and those of clients that have one.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for slot in &self.slots {
            let sessions = slot.sessions.read().unwrap_or_else(PoisonError::into_inner);
            let mut of_slot: Vec<_> = sessions.values().cloned().collect();
            of_slot.sort_by(|a, b| a.id.cmp(&b.id));
            all.extend(of_slot);
        }
        all
    }

    pub(super) fn known(&self, id: &SessionId) -> Option<Arc<Session>> {
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.definition.recipe.name == id.name)?;
        let sessions = slot.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&id.client).cloned()
    }

    /// Returns the last events of all sessions, the oldest first.
    pub fn history(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self.all().iter().flat_map(|one| one.history()).collect();
        events.sort_by_key(|event| event.at);
        events
    }

    /// Tells of all events from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }

    /// Stops looking after the sessions: others have taken their place (a reload). Flights and exchanges under way go
    /// on, and what they bring is taken up by the successors.
    pub fn retire(&self, successors: &Self) {
        for session in self.all() {
            let successor = successors.known(&session.id);
            session.follow_by(successor.as_ref());
        }
        *successors
            .before
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.stop.cancel();
    }

    /// Stops looking after the sessions, and waits a while for the refreshes and writes that are under way.
    pub async fn close(&self) {
        self.shared.close().await;
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.slots.iter().map(|slot| &slot.definition.recipe.name);
        f.debug_list().entries(names).finish()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

// === impl Slot ===

impl Slot {
    fn new(recipe: &Arc<Recipe>, limits: &Limits) -> Self {
        let (recipe, seeds) = seeds::take(recipe);
        let refresh = &recipe.refresh;
        let rules = Rules {
            ahead: refresh.ahead,
            every: refresh.every,
            idle: refresh.idle,
            cooldown: refresh.cooldown,
            timeout: refresh.timeout,
            grace: refresh.grace,
        };
        Self {
            definition: Definition {
                rules,
                bounds: Bounds::from(limits),
                seeds,
                recipe,
            },
            sessions: RwLock::default(),
        }
    }
}
