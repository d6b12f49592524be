//! One flight of a session's refresh: lease, read again, journal, call, store, publish; in this order, in a task that
//! no client can cancel.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Session,
    calls::Calls,
    held::{Held, REFRESH_TOKEN},
    refresh::{self, Permit, Renewed, Spend},
    renew::Stored,
    right::elsewhere,
    runner::Unnoted,
    write::doubt,
};
use crate::{
    life::{Attempt, Cause, Doubt, Effect, Event, Failure, Outcome, State, What},
    store::{self, Durability, Lease, Witness},
};

/// The waits between readings of the store after a refusal: another process may just be writing what it obtained.
const AFTER_A_REFUSAL: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// How [`Failure::InDoubt`] is noted.
pub(super) const IN_DOUBT: &str = "in_doubt";

// === impl Session ===

impl Session {
    pub(super) async fn fly(self: Arc<Self>, mut attempt: Attempt) {
        let mut calls = Calls::of(&self);
        let _permits = self.shared.permits(self.refresh.host()).await;
        let mut lease = self.right_to_refresh().await;
        if lease.is_ok() {
            // Counted from here: it may have waited for long.
            self.happen(Event::Begun);
            if let State::Refreshing { attempt: begun, .. } = &self.inner().life.state {
                attempt.started = begun.started;
            }
        }
        loop {
            let next = match &mut lease {
                Ok(lease) => self.call(lease, &attempt, &mut calls).await,
                Err(failure) => self.report(Outcome::Failed(failure.clone())),
            };
            let Some(next) = next else { break };
            if next.spends != attempt.spends {
                // An answer to a call with the token before may be worth more than what is held, and comes beside.
                let before = std::mem::replace(&mut calls, Calls::of(&self));
                self.leave(before, attempt, None);
            }
            attempt = next;
        }
        if lease.is_ok()
            && let Err(error) = self.settle().await
        {
            tracing::warn!(session = %self.id, %error, "the session's notes were not stored");
            if self.inner().life.doubt().is_some()
                && let Ok(held) = std::mem::replace(&mut lease, Err(elsewhere()))
            {
                self.notes_first(held, |session| async move { session.settle().await });
            }
        }
        self.leave(calls, attempt, lease.ok());
    }

    /// Tells the life of an outcome; returns the next call of the same flight, if there is one.
    fn report(&self, outcome: Outcome) -> Option<Attempt> {
        let effects = {
            let mut inner = self.inner();
            self.step(&mut inner, Event::Outcome(outcome))
        };
        self.go_on(effects)
    }

    fn go_on(&self, effects: Vec<Effect>) -> Option<Attempt> {
        let (calls, rest) = effects
            .into_iter()
            // The flight itself writes down what the life remembers.
            .filter(|effect| *effect != Effect::Persist)
            .partition::<Vec<_>, _>(|effect| matches!(effect, Effect::Refresh(_)));
        self.perform(rest);
        calls.into_iter().find_map(|effect| match effect {
            Effect::Refresh(attempt) => Some(attempt),
            _ => None,
        })
    }

    async fn call(
        &self,
        lease: &mut Lease,
        attempt: &Attempt,
        calls: &mut Calls,
    ) -> Option<Attempt> {
        let began = Instant::now();
        if let Some(renewed) = calls.wait(attempt.wait).await {
            let (took, right) = (began.elapsed(), lease.witness());
            return self.renewed(renewed, attempt, took, &right).await;
        }
        let mut told = attempt.number > 1;
        let (answer, took) = loop {
            let number = match self.prepare(lease, attempt).await {
                Ok(number) => number,
                Err(outcome) => return self.report(outcome),
            };
            if let Some(late) = self.late_answer(number) {
                return self.make_ours(late).await;
            }
            // Most flights that another process's journal sets off end before this, with what that one brought.
            if !std::mem::replace(&mut told, true) {
                self.tell_started(attempt.cause);
            }
            let began = Instant::now();
            let permit = self.permit(lease, attempt, number);
            let answer = calls.ask(self, attempt, number, permit).await;
            if !matches!(answer, refresh::Outcome::Failed(Failure::Unsent(_))) {
                break (answer, began.elapsed());
            }
            // Suspended before anything was sent: all is looked at again, with the right to.
            if !lease.is_held() {
                continue;
            }
            // Or something newer has come.
            if let Some(late) = self.late_answer(number) {
                return self.make_ours(late).await;
            }
            if self.overtaken(attempt).is_none() {
                break (answer, began.elapsed());
            }
        };
        match answer {
            refresh::Outcome::Renewed(renewed) => {
                self.counters.attempt("ok", took);
                // No token tells whether a login is the newest: who lost the right meanwhile sees if another has come since.
                if attempt.spends.is_none()
                    && !lease.is_held()
                    && let Err(outcome) = self.prepare(lease, attempt).await
                {
                    return self.report(outcome);
                }
                self.renewed(renewed, attempt, took, &lease.witness()).await
            }
            refresh::Outcome::Failed(failure) => {
                self.counters.attempt(failure.name(), took);
                if (!self.goes_on_after(&failure) || self.is_past_grace())
                    && let Some(renewed) = calls.fallback()
                {
                    return self.renewed(renewed, attempt, took, &lease.witness()).await;
                }
                let outcome = self.failed(failure, attempt, took, calls).await;
                self.report(outcome)
            }
        }
    }

    /// Tells whether the same token would be sent again in this flight after such a failure.
    fn goes_on_after(&self, failure: &Failure) -> bool {
        let life = self.inner().life.clone();
        let event = Event::Outcome(Outcome::Failed(failure.clone()));
        let (life, _) = life.on(event, self.now(), &self.definition.rules);
        matches!(life.state, State::Refreshing { .. })
    }

    /// Looks again, and notes what is about to be spent; returns the number of the call that is next.
    ///
    /// A process that was suspended in between lost the right to refresh, and another one may have spent the token, or
    /// be about to: then all is looked at again, with the right to.
    pub(super) async fn prepare(
        &self,
        lease: &mut Lease,
        attempt: &Attempt,
    ) -> Result<u64, Outcome> {
        loop {
            let number = self.look_and_note(attempt).await?;
            if !self.hold(lease).await.map_err(Outcome::Failed)? {
                return Ok(number);
            }
        }
    }

    async fn look_and_note(&self, attempt: &Attempt) -> Result<u64, Outcome> {
        let failed = |error: store::Error| Outcome::Failed(Failure::Store(error.with_causes()));
        // All of it: another process may have left its journal.
        self.take_up(true).await.map_err(failed)?;
        if let Some(outcome) = self.overtaken(attempt) {
            return Err(outcome);
        }
        if let Some(outcome) = self.tried_by_another(attempt) {
            return Err(outcome);
        }
        let Some(token) = &attempt.spends else {
            return Ok(attempt.number.into());
        };
        self.store.writable().await.map_err(failed)?;
        let (now, grace) = (self.now(), self.definition.rules.grace);
        self.note(Durability::Synced, |notes| {
            notes.calls += 1;
            let known = doubt(notes, Some(token));
            let doubt = known.map_or(Doubt::new(attempt.started), |known| {
                known.begun(attempt.started, now, grace)
            });
            if known.is_none_or(|known| known.since() != doubt.since()) {
                let before = notes.attempt.as_ref().filter(|_| known.is_some());
                notes.attempt = Some(store::Attempt {
                    token: token.clone(),
                    generation: attempt.generation,
                    started: doubt.since(),
                    call: before.map_or(notes.calls, |before| before.call),
                });
            }
        })
        .await
        .map_err(failed)?;
        // The journal was written on top of what is stored now.
        match self.overtaken(attempt) {
            Some(outcome) => Err(outcome),
            None => Ok(self.inner().held.notes.calls),
        }
    }

    pub(super) async fn renewed(
        &self,
        mut renewed: Renewed,
        attempt: &Attempt,
        took: Duration,
        right: &Witness,
    ) -> Option<Attempt> {
        let refused = self.verify(&renewed).await.err();
        if refused.is_some() {
            // What is held stays; only the successor of the refresh token that was spent is taken.
            renewed.keep_only(REFRESH_TOKEN);
        }
        let writing = self.writing.lock().await;
        let before = self.generation();
        let (held, taught) = match self.store_renewed(&renewed, attempt, took, right).await {
            Ok(Stored::InUse(held, taught)) => (held, taught),
            Ok(Stored::Superseded) => return self.report(Outcome::Superseded),
            Err(error) => return self.report(Outcome::Failed(Failure::Store(error.with_causes()))),
        };
        let (effects, after) = {
            let mut inner = self.inner();
            inner.held_back.clear();
            let in_flight = matches!(inner.life.state, State::Refreshing { .. });
            let ok = refused.is_none();
            let effects = self.put(&mut inner, held, taught, |held| match refused {
                Some(why) => Event::Outcome(Outcome::Unverified(held, why)),
                None if in_flight => Event::Outcome(Outcome::Renewed(held)),
                // The answer came when the flight was over.
                None => Event::Late(held),
            });
            if ok {
                inner.last_error = None;
            }
            (effects, ok.then_some(inner.held.generation))
        };
        drop(writing);
        if let Some(after) = after {
            self.tell_renewed(before, after, took);
        }
        self.go_on(effects)
    }

    /// Looks whether the new credential is whole, and asks whether it is good if the session says how; else says
    /// what is wrong with it.
    async fn verify(&self, renewed: &Renewed) -> Result<(), String> {
        let now = self.shared.env.wall();
        let (new, what) = {
            let held = self.inner().held.clone();
            let merged = self.merge(&held, renewed, held.generation, now);
            let new = Held {
                grant: Arc::new(merged.grant),
                jar: Arc::new(merged.jar),
                ..held
            };
            let view = new.view(&self.definition, now);
            (new, view.holding.what)
        };
        if let What::Lacks(missing) = what {
            return Err(format!("{missing} is missing in what was obtained"));
        }
        if what == What::Nothing {
            return Err("nothing was obtained".to_owned());
        }
        if self.definition.recipe.refresh.verify.is_none() {
            return Ok(());
        }
        let spend = Spend {
            grant: new.grant,
            jar: new.jar,
            cause: Cause::Needed,
            permit: Permit::default(),
        };
        let limit = self.definition.rules.timeout;
        let verified = timeout(limit, Arc::clone(&self.refresh).verify(spend)).await;
        verified
            .unwrap_or_else(|_| Err("the check of the new credential was not answered".to_owned()))
    }

    async fn failed(
        &self,
        failure: Failure,
        attempt: &Attempt,
        took: Duration,
        calls: &Calls,
    ) -> Outcome {
        if let Failure::Terminal(_) = failure {
            for wait in AFTER_A_REFUSAL {
                sleep(wait).await;
                // A store that cannot be read has nothing newer to show.
                let _ = self.take_up(false).await;
                if let Some(outcome) = self.overtaken(attempt) {
                    return outcome;
                }
            }
            self.let_go().await;
        }
        let mut inner = self.inner();
        let mut notes = (*inner.held.notes).clone();
        let now = self.shared.env.wall();
        // What was not sent changes nothing of an answer that may still come to an earlier call.
        let name = match failure {
            Failure::Unsent(_) if calls.are_open() => IN_DOUBT,
            _ => failure.name(),
        };
        let ended = (now, name.to_owned(), took.as_millis() as u64);
        notes.last_refresh = Some(ended.clone());
        inner.unnoted = Some(Unnoted {
            calls: notes.calls,
            ended,
        });
        inner.held.notes = Arc::new(notes);
        inner.asked.took = Some(took);
        Outcome::Failed(failure)
    }

    /// The refresh has spoken: what rejected answers deleted is deleted.
    async fn let_go(&self) {
        let _writing = self.writing.lock().await;
        let (held, keys, taught) = {
            let mut inner = self.inner();
            let keys = std::mem::take(&mut inner.held_back);
            (inner.held.clone(), keys, Arc::clone(&inner.taught))
        };
        if keys.is_empty() {
            return;
        }
        let mut jar = crate::jar::Jar::clone(&held.jar);
        let remove: Vec<_> = keys
            .into_iter()
            .filter(|key| jar.remove(key).is_some())
            .collect();
        let change = store::Change {
            generation: held.generation,
            cookies: store::Cookies::Patch {
                put: Vec::new(),
                remove,
            },
            keep_previous: true,
            ..store::Change::default()
        };
        let committed = self
            .store
            .commit(&self.id, held.generation, change, Durability::Written)
            .await;
        // What was not written now is found out again by the next rejection.
        if let Ok(store::Committed::Done) = committed {
            let held = Held {
                jar: Arc::new(jar),
                ..held
            };
            self.install(held, Arc::unwrap_or_clone(taught), Event::Changed);
        }
    }
}
