//! How a session comes to life: made empty, then read from its store once.

use std::sync::{
    Arc, Mutex, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU64},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, OnceCell, Semaphore};

use super::{
    Counters, Session, Standins, heartbeat,
    held::{Definition, Held},
    history::{History, Part},
    keep,
    lesson::Taught,
    mirror,
    pace::Pacer,
    refresh::Refresh,
    runner::Inner,
    shared::Shared,
    write::{Reads, doubt},
};
use crate::{
    life::{Life, Reason, cooldown::Vain},
    rule::Concurrency,
    store::{self, SessionId, Store},
};

/// What a session hands on to the one that follows it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    counters: Arc<Counters>,
    history: Arc<Mutex<History>>,
    pacer: Option<Arc<Pacer>>,
}

// === impl Session ===

impl Session {
    pub(super) fn kept(&self) -> Kept {
        Kept {
            counters: Arc::clone(&self.counters),
            history: Arc::clone(&self.history),
            pacer: self.pacer.clone(),
        }
    }

    /// Names the session that takes up what this one still brings.
    pub(super) fn follow_by(&self, successor: Option<&Arc<Self>>) {
        let Some(successor) = successor else {
            return;
        };
        // A session is followed once: it has retired.
        let _ = self.successor.set(Arc::downgrade(successor));
        self.pass_on();
    }

    /// Has the successor, if there is one, read what is stored now.
    pub(super) fn pass_on(&self) {
        let Some(successor) = self.successor.get().and_then(Weak::upgrade) else {
            return;
        };
        self.shared.spawn(async move {
            if let Err(error) = successor.take_up(false).await {
                tracing::warn!(session = %successor.id, %error, "what came late was not read");
            }
        });
    }

    pub(super) fn new(
        id: SessionId,
        definition: &Definition,
        store: &Store,
        refresh: Arc<dyn Refresh>,
        shared: &Arc<Shared>,
        Kept {
            counters,
            history,
            pacer,
        }: Kept,
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
            late: None,
            holds: Vec::new(),
            refreshed: None,
            planned: 0,
            last_error: None,
            unnoted: None,
            asked: Part::default(),
        };
        let standins = Standins::of(&definition.recipe, &id, store);
        // A reload that changes nothing here lets nobody go sooner.
        let pacer = definition.recipe.pace.map(|pace| {
            let kept = pacer.filter(|kept| kept.pace == pace);
            kept.unwrap_or_else(|| Arc::new(Pacer::new(pace)))
        });
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
            untaught: Mutex::default(),
            moved: Default::default(),
            wake: Arc::new(Notify::new()),
            woken: AtomicBool::new(false),
            attentive: AtomicBool::new(false),
            stubborn: Default::default(),
            felt_at: definition
                .recipe
                .heartbeats
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
            probing: AtomicBool::new(false),
            used_at: AtomicU64::new(0),
            reads: Reads::default(),
            standins,
            awaited: Default::default(),
            relays: Mutex::default(),
            pacer,
            turns: serial.then(|| Arc::new(Semaphore::new(1))),
            counters,
            history,
            successor: OnceLock::new(),
        })
    }

    /// Reads what is held from the store, once.
    pub(super) async fn open(&self) -> Result<(), store::Error> {
        self.opened.get_or_try_init(|| self.begin()).await.copied()
    }

    async fn begin(&self) -> Result<(), store::Error> {
        let stored = self.store.load(&self.id).await?.unwrap_or_default();
        let ended = stored.notes.needs_login.is_some();
        let stored = self.sow(stored).await?;
        let now = self.shared.env.wall();
        {
            let held = Held::of(stored, &self.definition, &self.store, &self.id);
            let view = held.view(&self.definition, now);
            let notes = &held.notes;
            let cooldown = self.definition.rules.cooldown;
            let vain = notes
                .vain
                .map(|note| Vain::found(note, self.now(), cooldown));
            let life = Life::open(
                view.holding,
                doubt(notes, held.token.as_deref()),
                notes.needs_login.as_deref().map(Reason::stored),
                vain,
            );
            let life = life.spread(self.shared.env.random());
            // Another secret has healed it.
            let life = if ended { life.recovering() } else { life };
            let mut inner = self.inner();
            inner.life = life;
            inner.ready = view.ready;
            inner.taught = Arc::new(Taught::anew(held.generation));
            inner.held = held;
            self.publish(&inner, self.now());
        }
        let keep = keep::keep(self.me.clone(), self.shared.stop.clone());
        self.shared.spawn(keep);
        // Who only looks at what is stored leaves the file to who keeps it.
        let stop = self.shared.stop.clone();
        if self.definition.recipe.export.is_some() && !stop.is_cancelled() {
            let mirror = mirror::mirror(self.me.clone(), stop);
            self.shared.spawn(mirror);
        }
        for number in 0..self.felt_at.len() {
            let beat = heartbeat::beat(self.me.clone(), number, self.shared.stop.clone());
            self.shared.spawn(beat);
        }
        Ok(())
    }
}
