//! What each event does to a life, the outcomes of a flight left aside.

use std::time::SystemTime;

use super::{
    Cause, Doubt, Effect, Failure, Holding, Life, Now, Reason, Rules, State, What,
    cooldown::{Note, Vain},
    when,
};
use crate::grant::Generation;

impl Life {
    pub(super) fn needed(&mut self, now: Now, rules: &Rules, effects: &mut Vec<Effect>) {
        let usable = self.state.holding().usable(now.wall);
        match &self.state {
            State::Empty(_) | State::Incomplete(_) | State::Fresh(_) if usable => {}
            State::Empty(held) | State::Incomplete(held) | State::Fresh(held) => {
                if held.renewable {
                    self.start(Cause::Needed, now, rules, effects);
                } else {
                    self.end_if_expired(now, effects);
                }
            }
            State::Degraded { retry, .. } if retry.at(now) <= now.wall => {
                self.start(Cause::Needed, now, rules, effects);
            }
            State::Degraded { .. } | State::Refreshing { .. } | State::NeedsLogin { .. } => {}
        }
    }

    pub(super) fn due(
        &mut self,
        used_at: Option<SystemTime>,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        if when::is_idle(used_at, now.wall, rules) {
            return;
        }
        when::tell_of_the_end(self, now, rules, effects);
        match &self.state {
            State::Fresh(_) | State::Degraded { .. } => {
                if self.is_due(now, rules) {
                    self.start(Cause::Background, now, rules, effects);
                } else if matches!(self.state, State::Fresh(_)) {
                    self.end_if_expired(now, effects);
                }
            }
            // What was never whole is obtained when somebody needs it.
            State::Empty(_) | State::Incomplete(_) => {}
            State::Refreshing { .. } | State::NeedsLogin { .. } => {}
        }
    }

    pub(super) fn was_rejected(
        &mut self,
        seen: Generation,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        if seen < self.state.holding().generation {
            return;
        }
        self.rejected = true;
        let cooling = self.pauses(seen, now, effects);
        match &mut self.state {
            State::Empty(held) | State::Incomplete(held) | State::Fresh(held) => {
                if held.renewable && !cooling {
                    self.start(Cause::Rejected, now, rules, effects);
                }
            }
            State::Degraded { .. } => {
                if self.is_due(now, rules) && !cooling {
                    self.start(Cause::Rejected, now, rules, effects);
                }
            }
            // The flight serves the rejection too, and counts as forced from now on.
            State::Refreshing { attempt, .. } => attempt.cause = Cause::Rejected,
            State::NeedsLogin { .. } => {}
        }
    }

    /// Tells whether a rejection of this generation causes no refresh, and notes that it shows why.
    fn pauses(&mut self, seen: Generation, now: Now, effects: &mut Vec<Effect>) -> bool {
        let pauses = self.vain.filter(|vain| vain.cools(now));
        let Some(vain) = pauses else {
            return false;
        };
        if vain.is_hearsay(now) {
            return false;
        }
        self.was_shown(seen, effects);
        true
    }

    /// A request with the result of the forced refresh was rejected.
    pub(super) fn was_shown(&mut self, seen: Generation, effects: &mut Vec<Effect>) {
        if let Some(vain) = &mut self.vain
            && seen >= vain.note.generation
            && !vain.note.shown
        {
            vain.note.shown = true;
            effects.push(Effect::Persist);
        }
    }

    /// The time that a flight waited for the right to refresh is none of its token's in doubt.
    pub(super) fn begun(&mut self, now: Now) {
        if let State::Refreshing { attempt, .. } = &mut self.state
            && attempt.number == 1
        {
            attempt.started = now.moment();
        }
    }

    pub(super) fn asked(&mut self, now: Now, rules: &Rules, effects: &mut Vec<Effect>) {
        match &mut self.state {
            // It may be another process's refresh from before that ends this flight: that is not what is asked for.
            State::Refreshing { stale, attempt } => attempt.asked = Some(stale.clone()),
            state if state.holding().renewable => self.start(Cause::Asked, now, rules, effects),
            _ => {}
        }
    }

    pub(super) fn reachable(&mut self, now: Now, rules: &Rules, effects: &mut Vec<Effect>) {
        let State::Degraded {
            failure: Failure::Unsent(_) | Failure::Store(_),
            ..
        } = self.state
        else {
            return;
        };
        let held_back = self
            .doubt
            .is_some_and(|doubt| when::when_in_doubt(self, doubt, now, rules) > now.wall);
        if !held_back {
            self.start(Cause::Background, now, rules, effects);
        }
    }

    fn is_due(&self, now: Now, rules: &Rules) -> bool {
        self.due_at(now, rules).is_some_and(|at| at <= now.wall)
    }

    pub(super) fn accepted(&mut self, seen: Generation, effects: &mut Vec<Effect>) {
        // What the answer taught may have moved the generation on already.
        if self.vain.is_some_and(|vain| seen >= vain.note.generation) {
            self.vain = None;
            effects.push(Effect::Persist);
        }
        self.accepted = self.accepted.max(Some(seen));
        if seen >= self.state.holding().generation {
            self.rejected = false;
        }
    }

    /// Takes up what was learnt from an answer, or what another process stored.
    pub(super) fn changed(&mut self, held: Holding, effects: &mut Vec<Effect>) {
        let before = self.state.holding();
        let newer = held.generation > before.generation && held.what == What::Whole;
        let other_token = held.token != before.token;
        // Cookies alone do not revive a refresh token that the server has refused, nor end its backoff.
        let heals = newer
            && match &self.state {
                State::NeedsLogin { .. } => other_token || held.token.is_none(),
                State::Degraded { .. } => {
                    other_token || held.token.is_none() && held.expires_at > before.expires_at
                }
                State::Empty(_)
                | State::Incomplete(_)
                | State::Fresh(_)
                | State::Refreshing { .. } => false,
            };
        if heals {
            self.imported(held, effects);
        } else {
            self.hold(held);
        }
    }

    /// Takes a stored pause for ours if it is the same: ours knows both clocks.
    pub(super) fn known_vain(&self, note: Note, now: Now, rules: &Rules) -> Vain {
        match self.vain {
            Some(mut vain) if vain.is_of(note) => {
                vain.note.shown |= note.shown;
                vain
            }
            Some(_) | None => Vain::told(note, now, rules.cooldown),
        }
    }

    /// Takes up what another process knows of the same credential.
    pub(super) fn shared(
        &mut self,
        held: Holding,
        doubt: Option<Doubt>,
        ended: Option<Reason>,
        vain: Option<Vain>,
        effects: &mut Vec<Effect>,
    ) {
        let newer = held.generation > self.state.holding().generation;
        match self.state {
            // The other process knows of no end: it has healed it.
            State::NeedsLogin { .. } if newer && ended.is_none() => self.imported(held, effects),
            _ => self.changed(held, effects),
        }
        let generation = self.state.holding().generation;
        let rejected = vain.is_some_and(|vain| vain.note.rejects(generation));
        // What requests have shown here not to be vain may still be noted in the store.
        let newest = self.accepted;
        let vain = vain.filter(|vain| newest.is_none_or(|newest| newest < vain.note.generation));
        if matches!(self.state, State::Refreshing { .. }) {
            // The flight finds out the rest by itself.
            let newest = self
                .doubt
                .zip(doubt)
                .map(|(ours, stored)| ours.with(stored));
            self.doubt = newest.or(self.doubt).or(doubt);
            if ended.is_some() {
                // It ends with that, and stores what is remembered here.
                self.vain = vain.or(self.vain);
            }
            return;
        }
        self.doubt = doubt;
        self.vain = vain;
        if let (Some(reason), None) = (ended, self.ended()) {
            self.rejected |= rejected;
            self.state = State::NeedsLogin {
                stale: self.state.holding().clone(),
                reason,
            };
            self.tell_needs_login(effects);
        }
    }

    /// Takes up new material: a login, an import, a restored grant, a late answer. It heals every end.
    pub(super) fn imported(&mut self, held: Holding, effects: &mut Vec<Effect>) {
        let ended = matches!(self.state, State::NeedsLogin { .. });
        self.hold(held.clone());
        match &mut self.state {
            State::NeedsLogin { .. } | State::Degraded { .. } => self.settle(held),
            State::Refreshing { attempt, .. } => attempt.overtaken = true,
            State::Empty(_) | State::Incomplete(_) | State::Fresh(_) => {}
        }
        if ended {
            self.rejected = false;
            effects.push(Effect::Persist);
            if self.state.holding().what == What::Whole {
                self.tell_recovered(effects);
            }
        }
    }

    /// Ends a session whose credential has expired and that nothing can renew.
    fn end_if_expired(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let held = self.state.holding();
        if held.renewable || !held.expired(now.wall) {
            return;
        }
        self.state = State::NeedsLogin {
            stale: held.clone(),
            reason: Reason::Expired,
        };
        self.tell_needs_login(effects);
    }
}
