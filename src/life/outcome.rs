//! What the outcome of a flight's call does to a life: one table for every refresh kind.

use super::{
    Attempt, Cause, Doubt, Effect, Failure, Holding, Life, Notice, Now, Outcome, Reason, Rules,
    State,
    cooldown::{Note, Vain},
    when,
};
use crate::grant::Generation;

impl Life {
    pub(super) fn outcome(
        &mut self,
        outcome: Outcome,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        let State::Refreshing { stale, attempt } = &self.state else {
            // An outcome without a flight is an answer that nobody waits for any more.
            return;
        };
        let (stale, attempt) = (stale.clone(), attempt.clone());
        // Somebody put in other material while the call was under way: its failure says nothing about that.
        let superseded = attempt.overtaken || stale.token != attempt.spends;
        match outcome {
            Outcome::Renewed(held) => self.renewed(held, &stale, &attempt, now, rules, effects),
            Outcome::Superseded => self.superseded(stale, &attempt, now, rules, effects),
            Outcome::Unverified(held, why) => {
                self.hold(held);
                let failure = Failure::NotAnAnswer(why);
                let attempt = Attempt {
                    spends: None,
                    ..attempt
                };
                self.failed(failure, &attempt, now, rules, effects);
            }
            Outcome::Ended { .. } if superseded => {
                self.superseded(stale, &attempt, now, rules, effects)
            }
            // What another process was told is not what is asked for.
            Outcome::Ended { .. } if attempt.asked.is_some() && stale.renewable => {
                self.start(Cause::Asked, now, rules, effects);
            }
            Outcome::Ended { reason, rejected } => {
                self.rejected |= rejected;
                self.state = State::NeedsLogin { stale, reason };
                self.tell_needs_login(effects);
            }
            Outcome::Failed(_) if superseded => {
                self.superseded(stale, &attempt, now, rules, effects)
            }
            Outcome::Failed(failure) => self.failed(failure, &attempt, now, rules, effects),
        }
    }

    /// Goes on with what came from elsewhere while the flight was under way.
    fn superseded(
        &mut self,
        held: Holding,
        attempt: &Attempt,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        let newer = held.generation > attempt.generation;
        let renewable = held.renewable;
        let asked = attempt.asked.as_ref();
        let still_asked = asked.is_some_and(|before| !held.is_renewed_since(before));
        self.settle(held);
        // The flight would have served this rejection, or whoever asked, but what it ends with was there before.
        if self.rejected && newer && renewable && !self.cooling(now) {
            self.start(Cause::Rejected, now, rules, effects);
        } else if still_asked && renewable {
            self.start(Cause::Asked, now, rules, effects);
        }
    }

    fn renewed(
        &mut self,
        held: Holding,
        stale: &Holding,
        attempt: &Attempt,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        let unchanged = held.generation == stale.generation;
        if attempt.cause == Cause::Rejected {
            // A refresh that brought nothing new cannot be vindicated by what the old credential still opens.
            let generation = if unchanged {
                held.generation.next()
            } else {
                held.generation
            };
            self.forced(generation, now, rules);
        }
        let recovered = self.failures > 0 || self.lost;
        self.doubt = None;
        self.hold(held.clone());
        self.settle(held);
        effects.push(Effect::Tell(Notice::Succeeded));
        if recovered {
            self.tell_recovered(effects);
        }
    }

    /// Notes that a forced refresh has ended; a second one within the pause was the one more that was granted.
    fn forced(&mut self, generation: Generation, now: Now, rules: &Rules) {
        let note = Note {
            at: now.wall,
            generation,
            shown: self.cooling(now),
        };
        self.vain = Some(Vain::new(note, now, rules.cooldown));
    }

    fn failed(
        &mut self,
        failure: Failure,
        attempt: &Attempt,
        now: Now,
        rules: &Rules,
        effects: &mut Vec<Effect>,
    ) {
        let stale = self.state.holding().clone();
        let one_time = attempt.spends.is_some();
        match &failure {
            Failure::Terminal(text) | Failure::Misconfigured(text) => {
                let reason = match (&failure, &self.doubt) {
                    (Failure::Misconfigured(_), _) => Reason::Misconfigured(text.clone()),
                    (_, Some(_)) => Reason::LostRotation(text.clone()),
                    (_, None) => Reason::Terminal(text.clone()),
                };
                if attempt.cause == Cause::Rejected {
                    self.forced(attempt.generation.next(), now, rules);
                }
                self.state = State::NeedsLogin { stale, reason };
                effects.push(Effect::Tell(Notice::Failed(failure)));
                effects.push(Effect::Persist);
                self.tell_needs_login(effects);
                return;
            }
            Failure::InDoubt { answered, .. } if one_time => {
                let doubt = self.doubt.take().unwrap_or(Doubt::new(attempt.started));
                let (doubt, again) = doubt.unanswered(attempt.started, *answered, now, rules.grace);
                self.doubt = Some(doubt);
                if let Some(wait) = again {
                    let next = Attempt {
                        number: attempt.number + 1,
                        wait,
                        ..attempt.clone()
                    };
                    self.state = State::Refreshing {
                        stale,
                        attempt: next.clone(),
                    };
                    effects.push(Effect::Tell(Notice::Failed(failure)));
                    effects.push(Effect::Refresh(next));
                    return;
                }
            }
            // The answer was none, so whether the token was spent is not known either.
            Failure::NotAnAnswer(_) if one_time => {
                self.doubt.get_or_insert(Doubt::new(attempt.started));
            }
            Failure::InDoubt { .. }
            | Failure::NotAnAnswer(_)
            | Failure::Unsent(_)
            | Failure::Throttled { .. }
            | Failure::Store(_) => {}
        }
        self.failures = self.failures.saturating_add(1);
        let in_grace = |doubt: &Doubt| doubt.in_grace(now, rules.grace);
        let in_grace = self.doubt.as_ref().is_some_and(in_grace);
        let retry = when::retry(&failure, one_time, in_grace, self.failures, now);
        if matches!(failure, Failure::Unsent(_) | Failure::Store(_)) {
            effects.push(Effect::Probe);
        }
        effects.push(Effect::Tell(Notice::Failed(failure.clone())));
        if self.failures == 1 {
            effects.push(Effect::Tell(Notice::Degraded));
        }
        self.state = State::Degraded {
            stale,
            since: now.wall,
            retry,
            failure,
        };
    }
}
