//! The life of a session as a pure state machine: state, event, now → state, effects (no clock, no I/O).
//!
//! [`Life::on`] takes an event and says what is to be done; `session::runner` does it and reports what came of it.
//! What the session holds is known here only as a [`Holding`]: whether it is whole, when it ends, what a refresh
//! would spend. The secrets themselves stay with the runner, so that nothing here can lose them.

pub mod cooldown;
pub mod event;
pub mod journal;
mod on;
pub mod order;
mod outcome;
mod state;
mod when;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use self::cooldown::{Note, Vain};
pub use self::{
    event::{Effect, Event, Failure, Notice, Outcome, Reason},
    journal::{Doubt, Moment},
    state::{Attempt, Cause, Holding, State, What},
    when::put_off,
};
use crate::grant::Generation;

/// The time, and a number that was drawn for this one decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: SystemTime,
    /// Since the process began.
    pub uptime: Duration,
    pub chance: u64,
}

/// The keys of a session's `refresh` that its life depends on.
#[derive(Clone, Debug)]
pub struct Rules {
    pub ahead: Duration,
    pub every: Option<Duration>,
    pub idle: Option<Duration>,
    pub cooldown: Duration,
    pub timeout: Duration,
    /// How long the server takes the previous refresh token; `None`: always.
    pub grace: Option<Duration>,
}

/// A session's life: its state and what it remembers between states.
#[derive(Clone, Debug)]
pub struct Life {
    pub state: State,
    doubt: Option<Doubt>,
    vain: Option<Vain>,
    /// The newest generation that a request was accepted with.
    accepted: Option<Generation>,
    /// Failed flights since the last that succeeded.
    failures: u32,
    /// Whether the held generation was rejected and not accepted since.
    rejected: bool,
    /// Whether the end was told, and nothing since.
    lost: bool,
    told: Told,
    /// Drawn with each generation: its refresh by `every` comes a little sooner, so that sessions do not ask in step.
    spread: u64,
}

/// What was said about the end of the held generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Expiring,
    Expired,
}

// === impl Now ===

impl Now {
    pub fn moment(&self) -> Moment {
        Moment {
            wall: self.wall,
            uptime: Some(self.uptime),
        }
    }
}

// === impl Life ===

impl Life {
    /// Takes up what a store held: the material, an attempt that no outcome followed, an end, a vain refresh.
    pub fn open(
        held: Holding,
        doubt: Option<Doubt>,
        ended: Option<Reason>,
        vain: Option<Vain>,
    ) -> Self {
        let state = match ended {
            Some(reason) => State::NeedsLogin {
                stale: held,
                reason,
            },
            None => State::settled(held),
        };
        let ended = matches!(state, State::NeedsLogin { .. });
        Self {
            rejected: ended
                && vain.is_some_and(|vain| vain.note.rejects(state.holding().generation)),
            lost: ended,
            state,
            doubt,
            vain,
            accepted: None,
            failures: 0,
            told: Told::Nothing,
            spread: 0,
        }
    }

    /// As it was opened, with a number drawn for its first background refresh.
    pub fn spread(self, chance: u64) -> Self {
        Self {
            spread: chance,
            ..self
        }
    }

    /// As it was opened, where an end was told of what was held before.
    pub fn recovering(self) -> Self {
        Self { lost: true, ..self }
    }

    /// Returns what requests may be sent with now.
    pub fn serving(&self, now: SystemTime) -> Option<&Holding> {
        let held = self.state.holding();
        let ended = match &self.state {
            // An end does not void an access token that still has time left, unless a server said no to it.
            State::NeedsLogin { .. } => self.rejected || held.expires_at.is_none(),
            State::Empty(_)
            | State::Incomplete(_)
            | State::Fresh(_)
            | State::Refreshing { .. }
            | State::Degraded { .. } => false,
        };
        (held.usable(now) && !ended).then_some(held)
    }

    /// Tells whether what is held was rejected and not accepted since.
    pub fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// Returns what is known of a refresh token whose use was not answered.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Returns the note of a forced refresh that was not vindicated; it is stored with the session.
    pub fn vain(&self) -> Option<Note> {
        self.vain.map(|vain| vain.note)
    }

    /// Tells whether news of an accepted request would change anything.
    pub fn awaits_acceptance(&self) -> bool {
        let generation = self.state.holding().generation;
        let first = self.accepted.is_none_or(|newest| newest < generation);
        self.vain.is_some() || self.rejected || first
    }

    /// Returns the reason of an end that must outlive the process.
    pub fn ended(&self) -> Option<&Reason> {
        match &self.state {
            State::NeedsLogin { reason, .. } if reason.is_lasting() => Some(reason),
            _ => None,
        }
    }

    /// Tells whether a forced refresh would be vain again.
    pub fn cooling(&self, now: Now) -> bool {
        self.vain.is_some_and(|vain| vain.cools(now))
    }

    /// Returns when to look again ([`Event::Due`]).
    pub fn wake_at(&self, now: Now, rules: &Rules) -> Option<SystemTime> {
        when::wake_at(self, now, rules)
    }

    /// Returns when the background refresh is due.
    pub fn due_at(&self, now: Now, rules: &Rules) -> Option<SystemTime> {
        when::next_refresh(self, now, rules)
    }

    /// Takes an event and returns the life after it, with what is to be done, in order.
    pub fn on(mut self, event: Event, now: Now, rules: &Rules) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let before = self.state.holding().generation;
        match event {
            Event::Needed => self.needed(now, rules, &mut effects),
            Event::Due { used_at } => self.due(used_at, now, rules, &mut effects),
            Event::Rejected(seen) => self.was_rejected(seen, now, rules, &mut effects),
            Event::RejectedAgain(seen) => self.was_shown(seen, &mut effects),
            Event::Asked => self.asked(now, rules, &mut effects),
            Event::Reachable => self.reachable(now, rules, &mut effects),
            Event::Accepted(seen) => self.accepted(seen, &mut effects),
            Event::Changed(held) => self.changed(held, &mut effects),
            Event::Imported(held) => {
                // What was vain before says nothing of it.
                self.vain = None;
                self.imported(held, &mut effects);
            }
            Event::Late(held) => self.imported(held, &mut effects),
            Event::Stored {
                held,
                doubt,
                ended,
                vain,
            } => {
                let vain = vain.map(|note| self.known_vain(note, now, rules));
                self.shared(held, doubt, ended, vain, &mut effects);
            }
            Event::Begun => self.begun(now),
            Event::Outcome(outcome) => self.outcome(outcome, now, rules, &mut effects),
        }
        if self.state.holding().generation != before {
            self.spread = now.chance;
        }
        if let Some(at) = self.wake_at(now, rules) {
            effects.push(Effect::WakeAt(at));
        }
        (self, effects)
    }

    fn start(&mut self, cause: Cause, now: Now, rules: &Rules, effects: &mut Vec<Effect>) {
        let stale = self.state.holding().clone();
        let limit = if stale.token.is_some() {
            journal::limit(rules.timeout, rules.grace)
        } else {
            rules.timeout
        };
        let attempt = Attempt {
            number: 1,
            cause,
            generation: stale.generation,
            spends: stale.token.clone(),
            started: now.moment(),
            wait: Duration::ZERO,
            limit,
            overtaken: false,
            asked: None,
        };
        self.state = State::Refreshing {
            stale,
            attempt: attempt.clone(),
        };
        if attempt.spends.is_some() {
            effects.push(Effect::Journal);
        }
        effects.push(Effect::Refresh(attempt));
    }

    fn tell_needs_login(&mut self, effects: &mut Vec<Effect>) {
        self.lost = true;
        effects.push(Effect::Tell(Notice::NeedsLogin));
    }

    fn tell_recovered(&mut self, effects: &mut Vec<Effect>) {
        self.lost = false;
        effects.push(Effect::Tell(Notice::Recovered));
    }

    /// Takes what is held now into the state, whatever that is.
    fn hold(&mut self, held: Holding) {
        let before = self.state.holding_mut();
        if held.token != before.token {
            self.doubt = None;
        }
        let moved = held.generation != before.generation;
        *before = held;
        if moved {
            self.told = Told::Nothing;
            self.rejected &= matches!(self.state, State::NeedsLogin { .. });
        }
        if let State::Empty(held) | State::Incomplete(held) | State::Fresh(held) = &self.state {
            self.state = State::settled(held.clone());
        }
    }

    fn settle(&mut self, held: Holding) {
        self.failures = 0;
        self.state = State::settled(held);
    }
}
