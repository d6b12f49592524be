//! What the data path asks of a session.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    About, Counters, Current, NoTurn, Session, Turn, Unusable, Verdict,
    history::{Part, name},
    runner::{Inner, millis},
};
use crate::{
    grant::Generation,
    life::{Event, Reason, State, What},
    rule::{ClientAuth, GrantType, Recipe, RefreshKind, sign::Sign},
    store::{self, SessionId},
};

/// How exactly it is known when a session was used last.
const USED: u64 = 1000;

// === impl Session ===

impl Session {
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.definition.recipe
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the generation that is held now.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Returns what a request is sent with if it is usable now (a look at the wall clock included); starts a
    /// background refresh if one is due.
    pub fn ready(&self) -> Option<Arc<Current>> {
        let current = self.current.load_full()?;
        let now = millis(self.shared.env.wall());
        self.note_use(now);
        if now >= current.look_at.min(current.usable_until) {
            self.kick();
        }
        (now < current.usable_until).then_some(current)
    }

    fn note_use(&self, now: u64) {
        if self.definition.rules.idle.is_none() {
            return;
        }
        let before = self.used_at.load(Ordering::Relaxed);
        // A clock that went back is followed too.
        if now.abs_diff(before) >= USED {
            self.used_at.store(now, Ordering::Relaxed);
        }
    }

    /// As [`current_for`](Self::current_for), for nobody.
    #[cfg(test)]
    pub async fn current(&self) -> Result<Arc<Current>, Unusable> {
        self.wait_for(Part::default).await
    }

    /// As [`ready`](Self::ready), but waits for a refresh, at most `limits.refresh_wait`, when nothing usable is held.
    pub async fn current_for(&self, about: About<'_>) -> Result<Arc<Current>, Unusable> {
        self.wait_for(|| Part::of(about)).await
    }

    async fn wait_for(&self, part: impl Fn() -> Part) -> Result<Arc<Current>, Unusable> {
        if let Some(current) = self.ready() {
            return Ok(current);
        }
        if let Err(error) = self.open().await {
            tracing::warn!(session = %self.id, %error, "the session cannot be read");
            return Err(Unusable::Degraded {
                retry_after: Duration::from_secs(1),
            });
        }
        self.note_use(millis(self.shared.env.wall()));
        let deadline = Instant::now() + self.shared.limits.refresh_wait;
        let mut moved = self.moved.subscribe();
        self.happen_by(Event::Needed, part());
        loop {
            moved.look();
            if let Some(current) = self.ready() {
                return Ok(current);
            }
            if let Some(unusable) = self.unusable(deadline) {
                // It may have come between the two looks.
                return self.ready().ok_or(unusable);
            }
            if timeout_at(deadline, moved.changed()).await.is_err() {
                return Err(Unusable::Waiting);
            }
        }
    }

    /// Returns why nothing can be sent; `None` while a refresh may change that before the deadline.
    fn unusable(&self, deadline: Instant) -> Option<Unusable> {
        let inner = self.inner();
        match &inner.life.state {
            State::Refreshing { .. } => None,
            State::Degraded { .. } if self.tries_again_by(&inner, deadline) => None,
            State::Degraded { retry, .. } => {
                let now = self.now();
                let wait = retry.at(now).duration_since(now.wall);
                Some(Unusable::Degraded {
                    retry_after: wait.unwrap_or_default(),
                })
            }
            State::Incomplete(held) => Some(Unusable::Incomplete {
                missing: match &held.what {
                    What::Lacks(missing) => missing.clone(),
                    What::Nothing | What::Whole => String::new(),
                },
            }),
            State::Empty(_) | State::Fresh(_) | State::NeedsLogin { .. } => {
                let hint = self.hint_in(&inner.life.state);
                Some(Unusable::NeedsLogin { hint })
            }
        }
    }

    /// Waits for this request's turn, at most `limits.serial_wait`; at once in a parallel session. Turns are given in
    /// the order in which they were asked for, and to the processes on one store in turn; who no longer waits has left
    /// the queue. Every request begins here.
    pub async fn turn(&self) -> Result<Turn, NoTurn> {
        Counters::add(&self.counters.requests);
        self.wait_for_turn().await
    }

    /// As [`turn`](Self::turn), for a request of our own.
    pub(super) async fn wait_for_turn(&self) -> Result<Turn, NoTurn> {
        let Some(turns) = &self.turns else {
            return Ok(Turn::default());
        };
        // In a box: a request of a parallel session holds no room for it.
        let turn = Box::pin(async {
            let permit = Arc::clone(turns).acquire_owned().await.ok();
            let mut among_processes = self.store.turn(&self.id).await?;
            if among_processes.is_new() {
                // Another process may have had the turn before: what it learnt is sent, and nothing older.
                self.open().await?;
                self.take_up(false).await?;
                among_processes.has_read();
            }
            Ok::<_, store::Error>(Turn {
                _among_processes: Some(among_processes),
                _permit: permit,
            })
        });
        match timeout(self.shared.limits.serial_wait, turn).await {
            // An older value than another process has learnt would end the session: nothing is sent.
            Ok(turn) => turn.map_err(NoTurn::Unknown),
            Err(_) => Err(NoTurn::Busy),
        }
    }

    /// Reports that a request sent with generation `seen` was rejected; waits for the one refresh.
    pub async fn reject(&self, seen: Generation, about: About<'_>) -> Verdict {
        Counters::add(&self.counters.rejected);
        self.record_of(
            name::REJECTED,
            format!("generation {seen}"),
            Part::of(about),
        );
        if let Some(newer) = self.newer(seen) {
            return Verdict::Again(newer);
        }
        let in_flight = matches!(self.inner().life.state, State::Refreshing { .. });
        if !in_flight {
            // Another process may have rotated: seen here before anything is spent for it.
            let read = async {
                self.open().await?;
                self.read_again().await
            };
            if let Err(error) = read.await {
                tracing::warn!(session = %self.id, %error, "the store was not read again");
            }
            if let Some(newer) = self.newer(seen) {
                return Verdict::Again(newer);
            }
        }
        if self.stubborn.holds(about, self.definition.rules.cooldown) {
            return Verdict::Pass("it was rejected with a new credential too");
        }
        let next_by = Instant::now() + self.shared.limits.refresh_wait;
        let deadline = next_by + self.definition.rules.timeout;
        let mut moved = self.moved.subscribe();
        self.happen_by(Event::Rejected(seen), Part::of(about));
        loop {
            moved.look();
            if let Some(newer) = self.newer(seen) {
                return Verdict::Again(newer);
            }
            if let Some(reason) = self.no_help(next_by) {
                // It may have come between the two looks.
                return match self.newer(seen) {
                    Some(newer) => Verdict::Again(newer),
                    None => Verdict::Pass(reason),
                };
            }
            if timeout_at(deadline, moved.changed()).await.is_err() {
                // The time may have passed while this process was stopped, and another one has refreshed since.
                let _ = self.read_again().await;
                return match self.newer(seen) {
                    Some(newer) => Verdict::Again(newer),
                    None => Verdict::Pass("the refresh takes too long"),
                };
            }
        }
    }

    fn newer(&self, seen: Generation) -> Option<Arc<Current>> {
        self.ready().filter(|current| current.generation > seen)
    }

    /// Tells whether a refresh that failed is tried again in time for somebody who waits until then.
    fn tries_again_by(&self, inner: &Inner, deadline: Instant) -> bool {
        let now = self.now();
        let next = inner.life.due_at(now, &self.definition.rules);
        let wait = next.map(|next| next.duration_since(now.wall).unwrap_or_default());
        wait.is_some_and(|wait| Instant::now() + wait < deadline)
    }

    /// Returns why a rejection is passed on; `None` while a refresh that begins by then may change that.
    fn no_help(&self, next_by: Instant) -> Option<&'static str> {
        let inner = self.inner();
        Some(match &inner.life.state {
            State::Refreshing { .. } => return None,
            State::Degraded { .. } if self.tries_again_by(&inner, next_by) => return None,
            State::NeedsLogin { .. } => "the session needs a login",
            State::Degraded { .. } => "the refresh failed",
            State::Empty(held) | State::Incomplete(held) | State::Fresh(held) => {
                let cooling = inner.life.cooling(self.now());
                if !held.renewable {
                    "the session has no refresh"
                } else if cooling {
                    "the last refresh was vain"
                } else {
                    "the refresh brought nothing new"
                }
            }
        })
    }

    /// Reports that a request that was rejected with generation `first` was rejected again when it was sent again with
    /// generation `seen`. Tells whether a refresh came between the two.
    pub fn rejected_again(&self, first: Generation, seen: Generation, about: About<'_>) -> bool {
        Counters::add(&self.counters.rejected);
        Counters::add(&self.counters.rejected_again);
        let renewed = self.inner().taught.base > first;
        if renewed {
            self.stubborn.note(about, self.definition.rules.cooldown);
            self.happen(Event::RejectedAgain(seen));
        } else {
            // What an answer to another request had taught was no better: no refresh has spoken yet.
            self.happen_by(Event::Rejected(seen), Part::of(about));
        }
        renewed
    }

    /// Reports that a request sent with generation `seen` was accepted.
    pub fn accepted(&self, seen: Generation, about: About<'_>) {
        if !self.felt_at.is_empty() {
            self.note_pulse(about);
        }
        self.vindicate(seen, about);
    }

    /// As [`accepted`](Self::accepted), for a request of our own.
    pub(super) fn vindicate(&self, seen: Generation, about: About<'_>) {
        self.stubborn.forgive(about);
        if self.attentive.load(Ordering::Acquire) {
            self.happen(Event::Accepted(seen));
        }
    }

    /// Counts a request that the credential was put on.
    pub fn injected(&self) {
        Counters::add(&self.counters.injected);
    }

    /// Counts a request that was sent again.
    pub fn replayed(&self, about: About<'_>) {
        Counters::add(&self.counters.replayed);
        self.record_of(
            name::REPLAYED,
            format!("generation {}", self.generation()),
            Part::of(about),
        );
    }

    /// Names the command that repairs a session which nothing else can, or what of its configuration is to be
    /// corrected.
    pub fn hint(&self) -> String {
        let state = self.inner().life.state.clone();
        self.hint_in(&state)
    }

    pub(super) fn hint_in(&self, state: &State) -> String {
        let refresh = &self.definition.recipe.refresh.kind;
        if let State::NeedsLogin {
            reason: Reason::Misconfigured(why),
            ..
        } = state
            && let RefreshKind::Oauth2(oauth2) = refresh
        {
            let secret = oauth2.client_auth != ClientAuth::None;
            let what = match why.contains("client") {
                true if secret => "values.client_id or secrets.client_secret",
                true => "values.client_id",
                false => "refresh",
            };
            return format!(
                "correct {what} in [session.{}], and reload the proxy that runs (kill -HUP)",
                self.id.name
            );
        }
        let client = self.id.client.as_ref();
        let client = client.map_or_else(String::new, |client| format!(" --client {client}"));
        if let RefreshKind::Import(import) = refresh {
            let (from, name) = (&import.from, &self.id.name);
            let first = match &import.file {
                Some(_) => String::new(),
                None => format!("sign in with {from}, then "),
            };
            return format!("{first}staysigned refresh {name}{client}");
        }
        // What it signs in with stands in the configuration: that is mended, and then tried once more.
        let by_itself = match refresh {
            RefreshKind::Steps(_) | RefreshKind::Command(_) => true,
            RefreshKind::Oauth2(oauth2) => oauth2.grant_type != GrantType::RefreshToken,
            RefreshKind::None | RefreshKind::Touch(_) | RefreshKind::Import(_) => false,
        };
        if by_itself {
            return format!("staysigned refresh {}{client}", self.id.name);
        }
        if self.definition.recipe.login.is_some() {
            return format!("staysigned login {}{client}", self.id.name);
        }
        let kind = match &self.definition.recipe.sign {
            Some(Sign::Adp { .. }) => "audible",
            Some(Sign::SigV4(_)) | None => "KIND",
        };
        format!("staysigned import {}{client} --from {kind}", self.id.name)
    }
}
