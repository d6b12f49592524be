//! Performs what a life decides: the lock around it, the snapshot for requests, the tasks.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

use super::{
    Counters, Current, Session,
    held::Held,
    history::{self, Event as HistoryEvent, Part, name},
    late::Late,
    lesson::Taught,
    relay::hold::Hold,
};
use crate::{
    grant::Generation,
    jar::Key,
    life::{self, Attempt, Effect, Event, Holding, Life, Moment, Notice, Now},
    rule::inject::Ready,
    store::Lease,
};

/// The pause between two tries to reach a host, without sending anything, and how long one may take: nothing may come
/// back at all, and once the host is there, the next try must be over within five seconds.
const PROBE: Duration = Duration::from_millis(2500);
const PROBE_TAKES: Duration = Duration::from_secs(2);

/// The pause between two looks whether a store that could not be written can be: nothing is sent for it.
const ROOM: Duration = Duration::from_secs(1);

/// What a session's small lock guards.
pub(super) struct Inner {
    pub(super) life: Life,
    pub(super) held: Held,
    pub(super) ready: Option<Arc<[Ready]>>,
    pub(super) taught: Arc<Taught>,
    /// Required cookies that rejected answers deleted, until the refresh has spoken.
    pub(super) held_back: BTreeSet<Key>,
    /// What could not be stored is in memory only.
    pub(super) unsaved: Option<Unsaved>,
    /// An answer to a flight that was given up, until it is taken in.
    pub(super) late: Option<Late>,
    /// How a call of ours ended, until that is stored.
    pub(super) unnoted: Option<Unnoted>,
    /// Pauses of clients' own refreshes.
    pub(super) holds: Vec<Hold>,
    /// When the last refresh ended, whichever process's it was.
    pub(super) refreshed: Option<Moment>,
    /// When the keeper looks next, in milliseconds since the epoch.
    pub(super) planned: u64,
    pub(super) last_error: Option<(SystemTime, String)>,
    /// Who made the flight begin that is under way, or was last; and how long its last call took.
    pub(super) asked: Part,
}

/// The end of a call that the others are still to be told of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unnoted {
    /// How many calls had been made with it, by all processes.
    pub(super) calls: u64,
    pub(super) ended: (SystemTime, String, u64),
}

/// Newer material than the store's.
#[derive(Clone, Debug)]
pub(super) struct Unsaved {
    /// The generation that the store was last seen with.
    pub(super) stored: Generation,
    /// The refresh token that the store had then.
    pub(super) token: Option<String>,
    pub(super) why: String,
    /// Nobody else may spend the token that this came of, as long as it is not stored.
    pub(super) lease: Option<Arc<Lease>>,
}

// === impl Session ===

impl Session {
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change under this lock is one assignment: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.shared.env.wall(),
            uptime: self.shared.uptime(),
            chance: self.shared.env.random(),
        }
    }

    /// Lets the life go on by an event, and does what follows.
    pub(super) fn happen(&self, event: Event) {
        self.happen_by(event, Part::default());
    }

    /// As [`happen`](Self::happen), where somebody had a part in it.
    pub(super) fn happen_by(&self, event: Event, part: Part) {
        let effects = {
            let mut inner = self.inner();
            let effects = self.step(&mut inner, event);
            let starts = |effect: &Effect| matches!(effect, Effect::Refresh(_));
            if effects.iter().any(starts) {
                inner.asked = part;
            }
            effects
        };
        self.perform(effects);
    }

    /// Takes in what is held now, and lets the life go on by the event made of it.
    pub(super) fn install(
        &self,
        held: Held,
        taught: impl Into<Arc<Taught>>,
        event: impl FnOnce(Holding) -> Event,
    ) {
        let effects = {
            let mut inner = self.inner();
            self.put(&mut inner, held, taught.into(), event)
        };
        self.perform(effects);
    }

    pub(super) fn put(
        &self,
        inner: &mut Inner,
        held: Held,
        taught: Arc<Taught>,
        event: impl FnOnce(Holding) -> Event,
    ) -> Vec<Effect> {
        let view = held.view(&self.definition, self.shared.env.wall());
        if held.token != inner.held.token {
            inner.unnoted = None;
        }
        inner.held = held;
        inner.ready = view.ready;
        inner.taught = taught;
        let effects = self.step(inner, event(view.holding));
        self.pass_on();
        effects
    }

    pub(super) fn step(&self, inner: &mut Inner, event: Event) -> Vec<Effect> {
        let now = self.now();
        let (life, effects) = inner.life.clone().on(event, now, &self.definition.rules);
        inner.life = life;
        let noted = inner.held.notes.last_refresh.as_ref().map(|(at, ..)| *at);
        if noted != inner.refreshed.map(|at| at.wall) {
            inner.refreshed = noted.map(|at| Moment::noted(at, now));
        }
        self.publish(inner, now);
        effects
    }

    /// Makes the snapshot that requests are sent with, and tells those who wait.
    pub(super) fn publish(&self, inner: &Inner, now: Now) {
        let rules = &self.definition.rules;
        let current = match (inner.life.serving(now.wall), &inner.ready) {
            (Some(holding), Some(ready)) => Some(Arc::new(Current {
                generation: inner.held.generation,
                grant: Arc::clone(&inner.held.grant),
                jar: Arc::clone(&inner.held.jar),
                ready: Arc::clone(ready),
                env: self.shared.env.clone(),
                skew: inner.held.skew,
                usable_until: holding.expires_at.map_or(u64::MAX, millis),
                look_at: inner.life.due_at(now, rules).map_or(u64::MAX, millis),
            })),
            _ => None,
        };
        self.current.store(current);
        self.generation
            .store(inner.held.generation.0, Ordering::Release);
        self.attentive
            .store(inner.life.awaits_acceptance(), Ordering::Release);
        let wake = inner.life.wake_at(now, rules).map_or(u64::MAX, millis);
        if wake < inner.planned {
            self.wake.notify_one();
        }
        self.moved.tell();
    }

    pub(super) fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Refresh(attempt) => self.take_off(attempt),
                Effect::Persist => self.settle_later(),
                Effect::Probe => self.probe_later(),
                Effect::Tell(notice) => self.tell(notice),
                // The flight journals before each call whatever is not journalled; the keeper knows when to wake.
                Effect::Journal | Effect::WakeAt(_) => {}
            }
        }
    }

    fn take_off(&self, attempt: Attempt) {
        let Some(session) = self.me.upgrade() else {
            return;
        };
        self.shared.spawn(session.fly(attempt));
    }

    fn probe_later(&self) {
        let Some(session) = self.me.upgrade() else {
            return;
        };
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let stop = self.shared.stop.clone();
        self.shared.spawn(async move {
            let reached = stop.run_until_cancelled(session.probe()).await;
            session.probing.store(false, Ordering::Release);
            if reached == Some(true) {
                session.happen(Event::Reachable);
            }
        });
    }

    /// Waits until the refresh's host can be reached, or the store be written again; `false` when that is of no interest
    /// any more.
    async fn probe(&self) -> bool {
        // Room that comes back is news; trouble of the store that no write shows is waited out.
        let mut was_full = false;
        let mut pause = self.pause_of_probes();
        while let Some(of) = pause {
            tokio::time::sleep(of).await;
            let failure = match &self.inner().life.state {
                life::State::Degraded { failure, .. } => Some(failure.clone()),
                _ => None,
            };
            match failure {
                Some(life::Failure::Unsent(_)) => {
                    let probe = Arc::clone(&self.refresh).probe();
                    if tokio::time::timeout(PROBE_TAKES, probe).await == Ok(true) {
                        return true;
                    }
                }
                Some(life::Failure::Store(_)) => match self.store.writable().await {
                    Ok(()) if was_full => return true,
                    written => was_full |= written.is_err(),
                },
                Some(_) | None => {}
            }
            pause = self.pause_of_probes();
        }
        false
    }

    /// Returns the time until the next probe; `None`: none is of interest.
    fn pause_of_probes(&self) -> Option<Duration> {
        match &self.inner().life.state {
            life::State::Degraded {
                failure: life::Failure::Unsent(_),
                ..
            } => Some(PROBE),
            life::State::Degraded {
                failure: life::Failure::Store(_),
                ..
            } => Some(ROOM),
            // It may fail again.
            life::State::Refreshing { .. } => Some(ROOM),
            _ => None,
        }
    }

    fn tell(&self, notice: Notice) {
        match notice {
            // The flight records it with its time, and its own beginning when it sends something.
            Notice::Succeeded => {}
            Notice::Failed(failure) => {
                let text = failure.to_string();
                let asked = {
                    let mut inner = self.inner();
                    inner.last_error = Some((self.shared.env.wall(), text.clone()));
                    let asked = inner.asked.clone();
                    // It is of this failure alone.
                    inner.asked.took = None;
                    asked
                };
                self.record_of(name::FAILED, text, asked);
            }
            Notice::Degraded => {}
            Notice::Expiring => {
                self.record(name::EXPIRING, format!("generation {}", self.generation()));
            }
            Notice::Expired => {
                Counters::add(&self.counters.expiries);
                self.record(name::EXPIRED, format!("generation {}", self.generation()));
            }
            Notice::NeedsLogin => {
                let text = self.inner().life.state.reason().unwrap_or_default();
                self.record(name::NEEDS_LOGIN, format!("{text}: {}", self.hint()));
            }
            Notice::Recovered => self.record(name::RECOVERED, String::new()),
        }
    }

    /// Writes an event into the history, the stream and the log.
    pub(super) fn record(&self, name: &'static str, detail: String) {
        self.record_of(name, detail, Part::default());
    }

    /// As [`record`](Self::record), where somebody had a part in it.
    pub(super) fn record_of(&self, name: &'static str, detail: String, part: Part) {
        let Self { id, shared, .. } = self;
        let Part {
            client,
            request,
            took,
        } = part;
        let (asked_by, took_ms) = (client.as_deref(), took.map(|took| took.as_millis() as u64));
        match name {
            name::FAILED | name::NEEDS_LOGIN | name::EXPIRED => {
                tracing::warn!(session = %id, detail, asked_by, request, took_ms, "{name}");
            }
            name::REJECTED | name::REPLAYED => {
                tracing::debug!(session = %id, detail, asked_by, request, took_ms, "{name}");
            }
            _ => tracing::info!(session = %id, detail, asked_by, request, took_ms, "{name}"),
        }
        let event = HistoryEvent {
            name,
            session: id.name.to_string(),
            client: id.client.as_deref().map(str::to_owned),
            at: shared.env.wall(),
            detail,
            asked_by: asked_by.map(str::to_owned),
            request,
            took_ms,
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(event.clone());
        drop(history);
        // Nobody listens: nothing is lost.
        let _ = shared.events.send(Arc::new(event));
    }

    /// Returns the last events, the oldest first.
    pub fn history(&self) -> Vec<history::Event> {
        let history = self.history.lock();
        history.unwrap_or_else(PoisonError::into_inner).events()
    }
}

/// Returns milliseconds since the epoch.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
