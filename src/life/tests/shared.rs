//! Two processes on one store: what one of them did reaches the other's life.

use super::*;

#[test]
fn what_another_process_forced_is_vindicated_here_too() {
    let (life, rules) = fresh();
    let stored = |generation, vain_at| Event::Stored {
        held: held(generation),
        doubt: None,
        ended: None,
        vain: Some(forced(vain_at, generation)),
    };
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    // The other one was faster, which is seen in flight; the requests sent again are accepted.
    let (life, _) = life.on(stored(2, 1), now(1), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Superseded), now(1), &rules);
    assert!(life.awaits_acceptance());
    let (life, _) = life.on(Event::Accepted(Generation(2)), now(2), &rules);
    assert!(!life.awaits_acceptance());
    // Whether the other one has written this down yet makes no difference.
    let (life, _) = life.on(stored(2, 1), now(3), &rules);
    let (_, effects) = life
        .clone()
        .on(Event::Rejected(Generation(2)), now(4), &rules);
    assert!(refresh(&effects).is_some());
    // Its next forced refresh is another matter.
    let (life, _) = life.on(stored(3, 5), now(6), &rules);
    let (_, effects) = life.on(Event::Rejected(Generation(3)), now(6), &rules);
    assert_eq!(refresh(&effects), None);
}

#[test]
fn what_another_process_stored_may_be_rejected_before_the_flight_ends() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let stored = Event::Stored {
        held: held(2),
        doubt: None,
        ended: None,
        vain: Some(forced(0, 2)),
    };
    let (life, _) = life.on(stored, now(1), &rules);
    let (untouched, effects) = life
        .clone()
        .on(Event::Outcome(Outcome::Superseded), now(2), &rules);
    assert_eq!(refresh(&effects), None);
    assert!(matches!(untouched.state, State::Fresh(_)));
    let (life, effects) = life.on(Event::Rejected(Generation(2)), now(1), &rules);
    assert_eq!(refresh(&effects), None, "one flight at a time");
    let (_, effects) = life.on(Event::Outcome(Outcome::Superseded), now(2), &rules);
    let spends = refresh(&effects).map(|attempt| attempt.spends.as_deref());
    assert_eq!(spends, Some(Some("t2")));
}

#[test]
fn who_asks_gets_more_than_what_was_there_before() {
    let superseded = Event::Outcome(Outcome::Superseded);
    let stored = |generation| Event::Stored {
        held: held(generation),
        doubt: None,
        ended: None,
        vain: None,
    };
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (asked_before, _) = life.clone().on(Event::Asked, now(0), &rules);
    let (asked_before, _) = asked_before.on(stored(2), now(1), &rules);
    let (_, effects) = asked_before.on(superseded.clone(), now(2), &rules);
    assert_eq!(refresh(&effects), None, "that came after the question");
    let (life, _) = life.on(stored(2), now(1), &rules);
    let (life, effects) = life.on(Event::Asked, now(1), &rules);
    assert_eq!(refresh(&effects), None, "one flight at a time");
    let (_, effects) = life.on(superseded, now(2), &rules);
    let spends = refresh(&effects).map(|attempt| attempt.spends.as_deref());
    assert_eq!(spends, Some(Some("t2")));
}

/// Another process was told that the token is at its end; a person wants to see that.
#[test]
fn who_asks_gets_a_refresh_of_their_own_after_anothers_end() {
    let ended = || {
        Event::Outcome(Outcome::Ended {
            reason: Reason::Terminal("invalid_grant".into()),
            rejected: false,
        })
    };
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (over, _) = life.clone().on(ended(), now(1), &rules);
    assert!(matches!(over.state, State::NeedsLogin { .. }));
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let (life, effects) = life.on(ended(), now(1), &rules);
    let attempt = refresh(&effects).unwrap();
    assert_eq!((attempt.cause, &attempt.asked), (Cause::Asked, &None));
    // That is all: the next end is one.
    let (life, effects) = life.on(ended(), now(2), &rules);
    assert_eq!(refresh(&effects), None);
    assert!(matches!(life.state, State::NeedsLogin { .. }));
}

/// However often others are faster: each refresh that was asked for is one more flight at most.
#[test]
fn who_asks_causes_one_flight_more_at_most() {
    let stored = |generation| Event::Stored {
        held: held(generation),
        doubt: None,
        ended: None,
        vain: None,
    };
    let (mut life, rules) = fresh();
    let (mut begun, mut asked) = (0, 0);
    let mut happen = |event: Event, second| {
        let (next, effects) = life.clone().on(event, now(second), &rules);
        life = next;
        let begins = refresh(&effects).is_some();
        begun += u32::from(begins);
        begins
    };
    for round in 0..50u64 {
        happen(Event::Asked, round);
        happen(stored(2 + 2 * round), round);
        happen(Event::Asked, round);
        asked += 2;
        let mut flights = 0;
        while happen(Event::Outcome(Outcome::Superseded), round) {
            flights += 1;
            assert!(flights < 2, "round {round}: nobody asks any more");
        }
    }
    assert!(begun <= asked, "{begun} flights for {asked} questions");
}

#[test]
fn what_another_process_left_in_doubt_is_not_put_off_for_our_throttle() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let throttled = Failure::Throttled {
        until: at(60),
        why: "429".into(),
    };
    let (life, _) = life.on(failed(throttled), now(0), &rules);
    let stored = |doubt| Event::Stored {
        held: held(1),
        doubt,
        ended: None,
        vain: None,
    };
    let journal = Some(Doubt::journalled(at(2), true));
    let (doubtful, _) = life.on(stored(journal), now(2), &rules);
    assert!(doubtful.due_at(now(2), &rules) < Some(at(10)));
    // It was answered.
    let (settled, _) = doubtful.on(stored(None), now(3), &rules);
    assert_eq!(settled.due_at(now(3), &rules), Some(at(60)));
}

/// Another process has refreshed, spent what that brought, and died: a flight from before ends with the first, and keeps in
/// mind the second (life 98895).
#[test]
fn a_flight_that_was_overtaken_forgets_no_later_doubt() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Asked, now(0), &rules);
    let stored = Event::Stored {
        held: held(2),
        doubt: Some(Doubt::journalled(at(2), false)),
        ended: None,
        vain: None,
    };
    let (life, _) = life.on(stored, now(2), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Superseded), now(3), &rules);
    assert!(life.doubt().is_some());
    assert!(life.due_at(now(3), &rules) < Some(at(10)));
}

#[test]
fn a_note_that_nobody_has_shown_grants_one_more() {
    let rules = rules();
    let found = |shown| Note {
        shown,
        ..forced(0, 2)
    };
    let open = |note| {
        Life::open(
            held(2),
            None,
            None,
            Some(Vain::found(note, now(1), rules.cooldown)),
        )
    };
    let rejected = |generation| Event::Rejected(Generation(generation));
    let (_, effects) = open(found(true)).on(rejected(2), now(1), &rules);
    assert_eq!(refresh(&effects), None, "it was shown to be vain");
    // Who made it may have died before it was written down that a request was accepted.
    let (life, effects) = open(found(false)).on(rejected(2), now(1), &rules);
    assert!(refresh(&effects).is_some());
    // The second one's note is believed by all.
    let (life, _) = life.on(Event::Outcome(Outcome::Renewed(held(3))), now(2), &rules);
    let note = life.vain().unwrap();
    assert!(note.shown);
    let next = Life::open(
        held(3),
        None,
        None,
        Some(Vain::found(note, now(3), rules.cooldown)),
    );
    let (_, effects) = next.on(rejected(3), now(3), &rules);
    assert_eq!(refresh(&effects), None, "two in one pause");
}

#[test]
fn a_living_process_writes_down_what_was_vain() {
    let (life, rules) = fresh();
    let stored = |note| Event::Stored {
        held: held(2),
        doubt: None,
        ended: None,
        vain: Some(note),
    };
    let (life, _) = life.on(stored(forced(0, 2)), now(0), &rules);
    let rejected = Event::Rejected(Generation(2));
    let (_, effects) = life.clone().on(rejected.clone(), now(0), &rules);
    assert_eq!(refresh(&effects), None, "it has had no time to");
    let (_, effects) = life.clone().on(rejected.clone(), now(2), &rules);
    assert!(refresh(&effects).is_some(), "it has died");
    let shown = Note {
        shown: true,
        ..forced(0, 2)
    };
    let (life, _) = life.on(stored(shown), now(1), &rules);
    let (_, effects) = life.on(rejected, now(2), &rules);
    assert_eq!(refresh(&effects), None, "it has");
}

#[test]
fn what_shows_that_a_refresh_was_vain_is_stored_once() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Renewed(held(2))), now(1), &rules);
    assert!(!life.vain().unwrap().shown);
    for event in [
        Event::RejectedAgain(Generation(2)),
        Event::Rejected(Generation(2)),
    ] {
        let (life, effects) = life.clone().on(event.clone(), now(2), &rules);
        assert!(life.vain().unwrap().shown && effects.contains(&Effect::Persist));
        let (_, effects) = life.on(event, now(2), &rules);
        assert!(!effects.contains(&Effect::Persist));
    }
    // An answer to the credential before says nothing.
    let (life, _) = life.on(Event::RejectedAgain(Generation(1)), now(2), &rules);
    assert!(!life.vain().unwrap().shown);
}

/// A site whose cookie rotates on every answer: what it teaches has moved the generation when the answer is judged.
#[test]
fn an_accepted_answer_that_taught_something_vindicates_too() {
    let (life, rules) = fresh();
    let (life, _) = life.on(Event::Rejected(Generation(1)), now(0), &rules);
    let (life, _) = life.on(Event::Outcome(Outcome::Renewed(held(2))), now(1), &rules);
    let (life, _) = life.on(Event::Changed(held(3)), now(2), &rules);
    let (life, effects) = life.on(Event::Accepted(Generation(2)), now(2), &rules);
    assert!(effects.contains(&Effect::Persist));
    let (_, effects) = life.on(Event::Rejected(Generation(3)), now(3), &rules);
    assert!(refresh(&effects).is_some());
}
