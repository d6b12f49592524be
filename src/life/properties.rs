//! Random event sequences hold the invariants of a life.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{
    Doubt, Effect, Event, Failure, Holding, Life, Notice, Now, Outcome, Reason, Rules, State, What,
    cooldown::Note,
};
use crate::grant::Generation;

/// One step of a random life: the time that passes before it, and what happens then.
#[derive(Clone, Debug)]
enum Step {
    Needed,
    Due(Option<u64>),
    Rejected(u64),
    Accepted(u64),
    Asked,
    Reachable,
    Learnt {
        moves: bool,
        expires_in: Option<u64>,
    },
    Token {
        expires_in: Option<u64>,
    },
    Imported {
        whole: bool,
        renewable: bool,
    },
    Renewed {
        changed: bool,
        expires_in: Option<u64>,
    },
    Stored {
        newer: bool,
        doubt: bool,
        ended: bool,
        vain_ago: Option<(u64, bool)>,
    },
    Superseded,
    Unverified,
    Failed(Failure),
}

fn failure() -> impl Strategy<Value = Failure> {
    let why = || "x".to_owned();
    prop_oneof![
        Just(Failure::Unsent(why())),
        any::<bool>().prop_map(move |answered| Failure::InDoubt {
            why: why(),
            answered
        }),
        Just(Failure::NotAnAnswer(why())),
        (0u64..2000).prop_map(move |secs| Failure::Throttled {
            until: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs),
            why: why()
        }),
        Just(Failure::Terminal(why())),
        Just(Failure::Misconfigured(why())),
        Just(Failure::Store(why())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let expires_in = || proptest::option::of(0u64..4000);
    prop_oneof![
        3 => Just(Step::Needed),
        3 => proptest::option::of(0u64..5000).prop_map(Step::Due),
        3 => (0u64..3).prop_map(Step::Rejected),
        2 => (0u64..3).prop_map(Step::Accepted),
        1 => Just(Step::Asked),
        1 => Just(Step::Reachable),
        1 => (any::<bool>(), expires_in()).prop_map(|(moves, expires_in)| Step::Learnt { moves, expires_in }),
        1 => expires_in().prop_map(|expires_in| Step::Token { expires_in }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(whole, renewable)| Step::Imported { whole, renewable }),
        4 => (any::<bool>(), expires_in()).prop_map(|(changed, expires_in)| Step::Renewed { changed, expires_in }),
        1 => (any::<[bool; 3]>(), proptest::option::of((0u64..90, any::<bool>())))
            .prop_map(|([newer, doubt, ended], vain_ago)| Step::Stored { newer, doubt, ended, vain_ago }),
        1 => Just(Step::Superseded),
        1 => Just(Step::Unverified),
        4 => failure().prop_map(Step::Failed),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let secs = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    (
        secs(0..600),
        proptest::option::of(secs(1..9000)),
        proptest::option::of(secs(1..9000)),
        secs(0..60),
        secs(1..20),
        proptest::option::of(secs(0..60)),
    )
        .prop_map(|(ahead, every, idle, cooldown, timeout, grace)| Rules {
            ahead,
            every,
            idle,
            cooldown,
            timeout,
            grace,
        })
}

/// What the runner would do around a life, with the invariants.
struct World {
    life: Life,
    rules: Rules,
    wall: SystemTime,
    tokens: u64,
    spends: bool,
    flying: bool,
    /// When another process told of the forced refresh that no request was accepted after.
    told: Option<SystemTime>,
}

impl World {
    fn holding(&self) -> Holding {
        self.life.state.holding().clone()
    }

    fn moved(&mut self, expires_in: Option<u64>, new_token: bool) -> Holding {
        let before = self.holding();
        self.tokens += u64::from(new_token);
        Holding {
            generation: before.generation.next(),
            what: What::Whole,
            renewable: before.renewable,
            expires_at: expires_in.map(|secs| self.wall + Duration::from_secs(secs)),
            obtained_at: Some(self.wall),
            token: self.spends.then(|| self.tokens.to_string()),
        }
    }

    fn on(&mut self, event: Event) -> Result<(), TestCaseError> {
        let before = self.life.clone();
        let given = match &event {
            Event::Changed(held) | Event::Imported(held) | Event::Stored { held, .. } => {
                Some(held.clone())
            }
            Event::Outcome(Outcome::Renewed(held) | Outcome::Unverified(held, _)) => {
                Some(held.clone())
            }
            _ => None,
        };
        let terminal = matches!(
            event,
            Event::Outcome(Outcome::Failed(
                Failure::Terminal(_) | Failure::Misconfigured(_)
            ))
        );
        let outcome = matches!(event, Event::Outcome(_));
        let ended_elsewhere = matches!(event, Event::Stored { ended: Some(_), .. });
        let forced = matches!(event, Event::Rejected(_));
        let told = matches!(event, Event::Stored { .. });
        let now = Now {
            wall: self.wall,
            uptime: Duration::from_secs(1),
            chance: 0x1234_5678_9abc_def0,
        };
        let (life, effects) = self.life.clone().on(event, now, &self.rules);

        // What is held changes only by what comes in.
        match given {
            Some(held) => prop_assert_eq!(life.state.holding(), &held),
            None => prop_assert_eq!(life.state.holding(), before.state.holding()),
        }
        prop_assert!(life.state.holding().generation >= before.state.holding().generation);

        // One flight at most, and exactly while the state says so.
        let is_call = |effect: &&Effect| matches!(effect, Effect::Refresh(_));
        let flights = effects.iter().filter(is_call).count();
        prop_assert!(flights <= usize::from(!self.flying || outcome));
        self.flying = flights == 1 || self.flying && !outcome;
        prop_assert_eq!(matches!(life.state, State::Refreshing { .. }), self.flying);

        // No forced refresh while the pause lasts.
        if forced && flights == 1 {
            // What another process noted and did not confirm grants one more.
            let granted = self
                .told
                .is_some_and(|told| self.wall >= told + Duration::from_secs(1));
            let cooling = before.vain().is_some_and(|note| {
                self.wall < note.at + self.rules.cooldown && (note.shown || !granted)
            });
            prop_assert!(!cooling, "a forced refresh within the cooldown");
        }

        // An end comes of a terminal answer, or of an expiry that nothing can help.
        let ended = matches!(life.state, State::NeedsLogin { .. })
            && !matches!(before.state, State::NeedsLogin { .. });
        if ended {
            let State::NeedsLogin { stale, reason } = &life.state else {
                unreachable!()
            };
            let hopeless =
                *reason == Reason::Expired && !stale.renewable && stale.expired(self.wall);
            let answered = terminal && matches!(before.state, State::Refreshing { .. });
            prop_assert!(answered || ended_elsewhere || hopeless);
            prop_assert!(effects.contains(&Effect::Tell(Notice::NeedsLogin)));
        }

        // A state that waits has a time at which it goes on.
        if let State::Degraded { .. } = life.state {
            let wake = life.due_at(now, &self.rules);
            prop_assert!(wake.is_some(), "degraded for ever");
        }

        let refresh = |life: &Life| life.vain().map(|note| (note.at, note.generation));
        if refresh(&life) != refresh(&before) {
            self.told = told.then_some(self.wall);
        }
        self.life = life;
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let generation = self.holding().generation;
        let older = |by: u64| Generation(generation.0.saturating_sub(by));
        let event = match step {
            Step::Needed => Event::Needed,
            Step::Due(ago) => Event::Due {
                used_at: ago.map(|secs| self.wall - Duration::from_secs(secs)),
            },
            Step::Rejected(by) => Event::Rejected(older(by)),
            Step::Accepted(by) => Event::Accepted(older(by)),
            Step::Asked => Event::Asked,
            Step::Reachable => Event::Reachable,
            Step::Learnt { moves, expires_in } => Event::Changed(match moves {
                true => self.moved(expires_in, false),
                false => self.holding(),
            }),
            Step::Token { expires_in } => {
                let held = self.moved(expires_in, true);
                Event::Changed(held)
            }
            Step::Imported { whole, renewable } => {
                let held = Holding {
                    what: if whole { What::Whole } else { What::Nothing },
                    renewable,
                    ..self.moved(Some(3600), true)
                };
                Event::Imported(held)
            }
            Step::Renewed { .. } | Step::Superseded | Step::Unverified | Step::Failed(_)
                if !self.flying =>
            {
                return Ok(());
            }
            Step::Renewed {
                changed,
                expires_in,
            } => {
                let held = if changed {
                    self.moved(expires_in, true)
                } else {
                    self.holding()
                };
                Event::Outcome(Outcome::Renewed(held))
            }
            Step::Stored {
                newer,
                doubt,
                ended,
                vain_ago,
            } => Event::Stored {
                held: if newer {
                    self.moved(Some(60), true)
                } else {
                    self.holding()
                },
                doubt: doubt.then(|| Doubt::journalled(self.wall, false)),
                ended: ended.then(|| Reason::Terminal("x".into())),
                vain: vain_ago.map(|(secs, shown)| Note {
                    at: self.wall - Duration::from_secs(secs),
                    generation,
                    shown,
                }),
            },
            Step::Superseded => Event::Outcome(Outcome::Superseded),
            Step::Unverified => {
                let held = self.moved(Some(60), true);
                Event::Outcome(Outcome::Unverified(held, "x".into()))
            }
            Step::Failed(failure) => Event::Outcome(Outcome::Failed(failure)),
        };
        self.on(event)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_life_holds_its_invariants(
        rules in rules(),
        spends in any::<bool>(),
        renewable in any::<bool>(),
        start in prop_oneof![Just(What::Nothing), Just(What::Lacks("sid".into())), Just(What::Whole)],
        steps in proptest::collection::vec((0u64..400, step()), 1..120),
    ) {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let held = Holding {
            generation: Generation(0),
            what: start,
            renewable,
            expires_at: None,
            obtained_at: None,
            token: spends.then(|| "0".to_owned()),
        };
        let mut world = World {
            life: Life::open(held, None, None, None),
            rules, wall, tokens: 0, spends, flying: false, told: None,
        };
        for (pause, step) in steps {
            world.wall += Duration::from_secs(pause);
            world.step(step)?;
        }
        // Every path ends: the flight's outcome leads to a state of rest or to a time, at most after one more flight
        // for what came from elsewhere meanwhile and was rejected too.
        for _ in 0..2 {
            if world.flying {
                world.step(Step::Failed(Failure::Unsent("x".into())))?;
            }
        }
        prop_assert!(!world.flying);
        // And what is renewable can be renewed from wherever it got to.
        if world.holding().renewable {
            world.on(Event::Asked)?;
            prop_assert!(world.flying);
            world.step(Step::Renewed { changed: true, expires_in: Some(3600) })?;
            prop_assert!(matches!(world.life.state, State::Fresh(_)));
            prop_assert!(world.life.serving(world.wall).is_some());
        }
    }

    #[test]
    fn a_token_in_doubt_is_sent_at_most_once_a_minute_after_its_grace(
        grace in proptest::option::of(0u64..60),
        answered in any::<bool>(),
    ) {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let rules = Rules {
            ahead: Duration::from_secs(300),
            every: None,
            idle: None,
            cooldown: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            grace: grace.map(Duration::from_secs),
        };
        let held = Holding {
            generation: Generation(1),
            what: What::Whole,
            renewable: true,
            expires_at: Some(wall + Duration::from_secs(250)),
            obtained_at: Some(wall - Duration::from_secs(3000)),
            token: Some("t".into()),
        };
        let mut life = Life::open(held, None, None, None);
        let (mut at, mut calls) = (wall, Vec::new());
        let until = wall + Duration::from_secs(3600);
        let mut event = Event::Due { used_at: None };
        while at < until {
            let uptime = at.duration_since(wall).unwrap();
            let now = Now { wall: at, uptime, chance: 1 };
            let (next, effects) = life.on(event, now, &rules);
            life = next;
            let call = effects.iter().find_map(|effect| match effect {
                Effect::Refresh(attempt) => Some(attempt.clone()),
                _ => None,
            });
            match call {
                Some(attempt) => {
                    calls.push(at + attempt.wait);
                    at += attempt.wait + Duration::from_millis(100);
                    event = Event::Outcome(Outcome::Failed(Failure::InDoubt { why: "x".into(), answered }));
                }
                None => {
                    at = life.wake_at(now, &rules).unwrap().max(at + Duration::from_millis(1));
                    event = Event::Due { used_at: None };
                }
            }
        }
        let end = wall + Duration::from_secs(250);
        let grace_end = grace.map(|secs| wall + Duration::from_secs(secs));
        for call in &calls {
            let in_grace = grace_end.is_none_or(|end| *call < end) || *call == wall;
            prop_assert!(in_grace || *call >= end, "{calls:?}");
        }
        if answered {
            for pair in calls.windows(2).filter(|pair| pair[0] >= wall + Duration::from_secs(60)) {
                prop_assert!(pair[1] >= pair[0] + Duration::from_secs(60), "{calls:?}");
            }
        }
        prop_assert!(calls.len() > 50, "it is tried for ever: {}", calls.len());
    }
}
