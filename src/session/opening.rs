//! How a session comes to life: made empty, then read from its store once.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, AtomicU64},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, OnceCell, Semaphore, watch};

use super::{
    Counters, Session,
    held::{Definition, Held},
    history::History,
    keep,
    lesson::Taught,
    refresh::Refresh,
    runner::Inner,
    shared::Shared,
    write::{Reads, doubt},
};
use crate::{
    life::{Life, Reason},
    rule::Concurrency,
    store::{self, SessionId, Store},
};

// === impl Session ===

impl Session {
    pub(super) fn new(
        id: SessionId,
        definition: &Definition,
        store: &Store,
        refresh: Arc<dyn Refresh>,
        shared: &Arc<Shared>,
    ) -> Arc<Self> {
        let now = shared.env.wall();
        let held = Held::nothing(definition, Default::default());
        let view = held.view(definition, now);
        let inner = Inner {
            life: Life::open(view.holding, None, None, None),
            ready: view.ready,
            held,
            taught: Arc::default(),
            held_back: Default::default(),
            unsaved: None,
            planned: 0,
            last_error: None,
        };
        let serial = definition.recipe.concurrency == Concurrency::Serial;
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            id,
            definition: definition.clone(),
            shared: Arc::clone(shared),
            store: store.clone(),
            refresh,
            me: me.clone(),
            opened: OnceCell::new(),
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            inner: Mutex::new(inner),
            writing: tokio::sync::Mutex::default(),
            moved: watch::Sender::new(0),
            wake: Arc::new(Notify::new()),
            woken: AtomicBool::new(false),
            attentive: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            used_at: AtomicU64::new(0),
            reads: Reads::default(),
            turns: serial.then(|| Arc::new(Semaphore::new(1))),
            counters: Counters::default(),
            history: Mutex::new(History::default()),
        })
    }

    /// Reads what is held from the store, once.
    pub(super) async fn open(&self) -> Result<(), store::Error> {
        self.opened.get_or_try_init(|| self.begin()).await.copied()
    }

    async fn begin(&self) -> Result<(), store::Error> {
        let stored = self.store.load(&self.id).await?.unwrap_or_default();
        let stored = self.sow(stored).await?;
        let now = self.shared.env.wall();
        {
            let held = Held::of(stored, &self.definition, &self.store, &self.id);
            let view = held.view(&self.definition, now);
            let notes = &held.notes;
            let life = Life::open(
                view.holding,
                doubt(notes, held.token.as_deref()),
                notes.needs_login.as_deref().map(Reason::stored),
                notes.vain_at,
            );
            let mut inner = self.inner();
            inner.life = life;
            inner.ready = view.ready;
            inner.taught = Arc::new(Taught::anew(held.generation));
            inner.held = held;
            self.publish(&inner, now);
        }
        let keep = keep::keep(self.me.clone(), self.shared.stop.clone());
        self.shared.spawn(keep);
        Ok(())
    }
}
