//! The transitions one by one.

use std::time::{Duration, SystemTime};

use super::{
    Attempt, Cause, Doubt, Effect, Event, Failure, Holding, Life, Notice, Now, Outcome, Reason,
    Rules, State, What,
    cooldown::{Note, Vain},
};
use crate::grant::Generation;

mod shared;

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs)
}

/// The note of a forced refresh that ended then and brought this generation.
fn forced(secs: u64, generation: u64) -> Note {
    Note {
        at: at(secs),
        generation: Generation(generation),
        shown: false,
    }
}

fn now(secs: u64) -> Now {
    Now {
        wall: at(secs),
        uptime: Duration::from_secs(secs),
        chance: u64::MAX,
    }
}

fn rules() -> Rules {
    let secs = Duration::from_secs;
    Rules {
        ahead: secs(300),
        every: None,
        idle: None,
        cooldown: secs(30),
        timeout: secs(10),
        grace: Some(secs(10)),
    }
}

/// An hour's grant with a one-time refresh token.
fn held(generation: u64) -> Holding {
    Holding {
        generation: Generation(generation),
        what: What::Whole,
        renewable: true,
        expires_at: Some(at(3600)),
        obtained_at: Some(at(0)),
        token: Some(format!("t{generation}")),
    }
}

fn fresh() -> (Life, Rules) {
    (Life::open(held(1), None, None, None), rules())
}

fn refresh(effects: &[Effect]) -> Option<&Attempt> {
    effects.iter().find_map(|effect| match effect {
        Effect::Refresh(attempt) => Some(attempt),
        _ => None,
    })
}

fn wake(effects: &[Effect]) -> Option<SystemTime> {
    effects.iter().find_map(|effect| match effect {
        Effect::WakeAt(at) => Some(*at),
        _ => None,
    })
}

fn failed(failure: Failure) -> Event {
    Event::Outcome(Outcome::Failed(failure))
}

fn in_doubt() -> Event {
    failed(Failure::InDoubt {
        why: "reset".into(),
        answered: false,
    })
}

#[test]
fn a_refresh_starts_ahead_of_expiry_and_journals_first() {
    let (life, rules) = fresh();
    let due = Event::Due { used_at: None };
    let (life, effects) = life.on(due.clone(), now(3299), &rules);
    assert_eq!(refresh(&effects), None);
    assert_eq!(wake(&effects), Some(at(3300)));
    let (life, effects) = life.on(due, now(3300), &rules);
    let journal = effects.iter().position(|e| *e == Effect::Journal);
    let call = effects.iter().position(|e| matches!(e, Effect::Refresh(_)));
    assert!(journal.is_some() && journal < call, "{effects:?}");
    assert!(life.serving(at(3301)).is_some(), "the old grant serves");
    let renewed = Holding {
        expires_at: Some(at(7200)),
        obtained_at: Some(at(3301)),
        ..held(2)
    };
    let (life, effects) = life.on(Event::Outcome(Outcome::Renewed(renewed)), now(3301), &rules);
    assert_eq!(life.state.name(), "fresh");
    assert!(effects.contains(&Effect::Tell(Notice::Succeeded)));
}

#[test]
fn ahead_is_at_most_half_the_lifetime() {
    let mut short = held(1);
    short.expires_at = Some(at(5));
    let life = Life::open(short, None, None, None);
    assert_eq!(
        life.due_at(now(0), &rules()),
        Some(at(0) + Duration::from_millis(2500))
    );
}

#[test]
fn every_needs_no_expiry_and_idle_stops_it() {
    let mut rules = rules();
    rules.every = Some(Duration::from_secs(100));
    rules.idle = Some(Duration::from_secs(1000));
    let endless = Holding {
        expires_at: None,
        ..held(1)
    };
    let life = Life::open(endless, None, None, None);
    for (used_at, starts) in [(None, false), (Some(50), false), (Some(1500), true)] {
        let used_at = used_at.map(at);
        let (_, effects) = life.clone().on(Event::Due { used_at }, now(2000), &rules);
        assert_eq!(refresh(&effects).is_some(), starts, "{used_at:?}");
    }
}

#[test]
fn a_rejection_of_an_older_generation_starts_nothing() {
    let life = Life::open(held(5), None, None, None);
    let (life, effects) = life.on(Event::Rejected(Generation(4)), now(0), &rules());
    assert_eq!(refresh(&effects), None);
    let (_, effects) = life.on(Event::Rejected(Generation(5)), now(0), &rules());
    assert_eq!(refresh(&effects).map(|a| a.cause), Some(Cause::Rejected));
}

#[test]
fn a_vain_forced_refresh_is_followed_by_a_pause() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Renewed(held(2))), now(1), &rules);
    let again = Event::Rejected(Generation(2));
    let (_, effects) = life.clone().on(again.clone(), now(20), &rules);
    assert_eq!(refresh(&effects), None, "within the pause");
    let (_, effects) = life.clone().on(again.clone(), now(31), &rules);
    assert!(refresh(&effects).is_some(), "after the pause");

    let (accepted, effects) = life.on(Event::Accepted(Generation(2)), now(2), &rules);
    assert!(effects.contains(&Effect::Persist));
    let (_, effects) = accepted.clone().on(again.clone(), now(3), &rules);
    assert!(refresh(&effects).is_some(), "it was not vain");

    // The store tells of the same refresh until it is written down that it was not vain.
    for (generation, refreshes) in [(1, true), (2, true), (3, false)] {
        let stored = Event::Stored {
            held: held(2),
            doubt: None,
            ended: None,
            vain: Some(forced(3, generation)),
        };
        let (life, _) = accepted.clone().on(stored, now(3), &rules);
        let (_, effects) = life.on(again.clone(), now(3), &rules);
        assert_eq!(refresh(&effects).is_some(), refreshes, "{generation}");
    }
}

#[test]
fn a_refresh_that_brought_nothing_new_stays_vain() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Renewed(held(1))), now(1), &rules);
    let (life, _) = life.on(Event::Accepted(Generation(1)), now(2), &rules);
    let (_, effects) = life.on(Event::Rejected(Generation(1)), now(3), &rules);
    assert_eq!(refresh(&effects), None);
}

#[test]
fn the_pause_survives_a_restart_and_a_clock_that_went_back() {
    let rules = rules();
    // Noted at the start, or an hour ahead by a clock that has gone back.
    for vain_at in [0, 3600] {
        let shown = Note {
            shown: true,
            ..forced(vain_at, 2)
        };
        let vain = Vain::found(shown, now(0), rules.cooldown);
        let life = Life::open(held(2), None, None, Some(vain));
        for (when, starts) in [(10, false), (31, true)] {
            let (_, effects) = life
                .clone()
                .on(Event::Rejected(Generation(2)), now(when), &rules);
            assert_eq!(refresh(&effects).is_some(), starts, "{vain_at} {when}");
        }
    }
}

#[test]
fn a_token_in_doubt_is_sent_again_and_its_refusal_is_a_lost_rotation() {
    let (life, rules) = fresh();
    let (mut life, _) = life.on(Event::Asked, now(0), &rules);
    for (number, wait) in [(2, 500), (3, 1000), (4, 2000), (5, 4000)] {
        let (next, effects) = life.on(in_doubt(), now(0), &rules);
        let attempt = refresh(&effects).unwrap();
        assert_eq!(attempt.number, number);
        assert_eq!(attempt.wait, Duration::from_millis(wait));
        assert_eq!(attempt.spends.as_deref(), Some("t1"), "the same token");
        life = next;
    }
    let (degraded, _) = life.clone().on(in_doubt(), now(8), &rules);
    assert_eq!(degraded.state.name(), "degraded");
    // Not before the old access token has expired, unless it was rejected.
    assert_eq!(degraded.due_at(now(70), &rules), Some(at(3600)));
    let (rejected, effects) = degraded.on(Event::Rejected(Generation(1)), now(20), &rules);
    assert_eq!(refresh(&effects), None);
    assert_eq!(rejected.due_at(now(20), &rules), Some(at(68)));

    let (ended, effects) = life.on(
        failed(Failure::Terminal("invalid_grant".into())),
        now(8),
        &rules,
    );
    let State::NeedsLogin { reason, .. } = &ended.state else {
        panic!("{:?}", ended.state)
    };
    assert_eq!(*reason, Reason::LostRotation("invalid_grant".into()));
    assert!(effects.contains(&Effect::Persist));
    assert_eq!(Reason::stored(&reason.to_string()), *reason);
}

#[test]
fn an_attempt_that_a_crash_cut_off_goes_on_by_its_journal() {
    let rules = rules();
    let due = Event::Due { used_at: None };
    let life = Life::open(held(1), Some(Doubt::journalled(at(100), true)), None, None);
    let (_, effects) = life.clone().on(due.clone(), now(105), &rules);
    assert!(refresh(&effects).is_some(), "in the grace at once");
    let (_, effects) = life.clone().on(due.clone(), now(120), &rules);
    assert_eq!(refresh(&effects), None, "after it the access token serves");
    let (_, effects) = life.on(due, now(3600), &rules);
    assert!(refresh(&effects).is_some(), "until it ends");
}

#[test]
fn what_was_not_sent_backs_off_and_probes() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let (life, effects) = life.on(failed(Failure::Unsent("refused".into())), now(0), &rules);
    assert!(effects.contains(&Effect::Probe));
    assert_eq!(life.due_at(now(0), &rules), Some(at(1)));
    assert!(life.serving(at(0)).is_some(), "the old grant serves");
    let (_, effects) = life.on(Event::Reachable, now(0), &rules);
    assert!(refresh(&effects).is_some());
}

#[test]
fn a_server_that_throttles_is_heeded_within_bounds() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    for (until, expected) in [(0, 1), (30, 30), (86_400, 600)] {
        let throttled = Failure::Throttled {
            until: at(until),
            why: "429".into(),
        };
        let (life, _) = life.clone().on(failed(throttled), now(0), &rules);
        assert_eq!(life.due_at(now(0), &rules), Some(at(expected)));
    }
}

#[test]
fn a_server_that_throttles_does_not_outlast_the_grace() {
    let (life, rules) = fresh();
    let throttled = || {
        failed(Failure::Throttled {
            until: at(60),
            why: "429".into(),
        })
    };
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let (life, _) = life.on(in_doubt(), now(0), &rules);
    let (life, _) = life.on(throttled(), now(1), &rules);
    let third = Duration::from_millis(3334);
    let last = at(10) - third;
    let due = life.due_at(now(1), &rules).unwrap();
    assert!(due.duration_since(last).unwrap() < Duration::from_millis(2));
    // Once: then the server's time counts.
    let used_at = None;
    let (life, effects) = life.on(Event::Due { used_at }, now(7), &rules);
    assert!(refresh(&effects).is_some());
    let (life, _) = life.on(throttled(), now(7), &rules);
    assert_eq!(life.due_at(now(7), &rules), Some(at(60)));
}

#[test]
fn an_end_keeps_an_access_token_that_still_works() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let (life, _) = life.on(
        failed(Failure::Terminal("invalid_grant".into())),
        now(1),
        &rules,
    );
    assert!(life.serving(at(2)).is_some());
    assert!(life.serving(at(3600)).is_none());
    let (life, effects) = life.on(Event::Rejected(Generation(1)), now(3), &rules);
    assert_eq!(refresh(&effects), None, "an end is an end");
    assert!(life.serving(at(4)).is_none());
}

#[test]
fn new_material_heals_an_end_and_cookies_do_not_revive_a_dead_token() {
    let rules = rules();
    let reason = Reason::Terminal("invalid_grant".into());
    let (life, _) = Life::open(held(1), None, Some(reason), None).on(
        Event::Rejected(Generation(1)),
        now(0),
        &rules,
    );
    let cookies = Holding {
        generation: Generation(2),
        ..held(1)
    };
    let (dead, _) = life
        .clone()
        .on(Event::Changed(cookies.clone()), now(0), &rules);
    assert_eq!(dead.state.name(), "needs_login");
    assert!(dead.serving(at(0)).is_none());
    for event in [Event::Changed(held(2)), Event::Imported(cookies)] {
        let (healed, effects) = life.clone().on(event, now(0), &rules);
        assert_eq!(healed.state.name(), "fresh");
        assert!(healed.serving(at(0)).is_some());
        assert!(effects.contains(&Effect::Tell(Notice::Recovered)));
    }
}

#[test]
fn material_put_in_during_a_flight_is_not_ended_by_its_failure() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let (life, _) = life.on(Event::Imported(held(2)), now(1), &rules);
    let (life, _) = life.on(
        failed(Failure::Terminal("invalid_grant".into())),
        now(2),
        &rules,
    );
    assert_eq!(life.state, State::Fresh(held(2)));
}

#[test]
fn what_nothing_can_renew_ends_with_its_expiry() {
    let rules = rules();
    let static_cookie = Holding {
        renewable: false,
        token: None,
        ..held(1)
    };
    let life = Life::open(static_cookie, None, None, None);
    let due = Event::Due { used_at: None };
    let (life, effects) = life.on(due.clone(), now(3300), &rules);
    assert!(effects.contains(&Effect::Tell(Notice::Expiring)));
    let (life, effects) = life.on(due.clone(), now(3301), &rules);
    assert!(!effects.contains(&Effect::Tell(Notice::Expiring)), "once");
    let (life, effects) = life.on(due, now(3600), &rules);
    assert!(effects.contains(&Effect::Tell(Notice::Expired)));
    assert_eq!(life.state.name(), "needs_login");
    assert_eq!(life.ended(), None, "found anew after a restart");
}

#[test]
fn nothing_held_is_obtained_when_it_is_needed() {
    let rules = rules();
    let nothing = Holding {
        generation: Generation(0),
        what: What::Nothing,
        expires_at: None,
        obtained_at: None,
        token: None,
        renewable: true,
    };
    let life = Life::open(nothing, None, None, None);
    let (_, effects) = life
        .clone()
        .on(Event::Due { used_at: None }, now(0), &rules);
    assert_eq!(refresh(&effects), None);
    let (_, effects) = life.on(Event::Needed, now(0), &rules);
    assert_eq!(refresh(&effects).map(|a| a.cause), Some(Cause::Needed));
    assert!(!effects.contains(&Effect::Journal), "nothing is spent");
}
