//! Two processes on one store: what one of them did reaches the other's life.

use super::*;

#[test]
fn what_another_process_forced_is_vindicated_here_too() {
    let (life, rules) = fresh();
    let stored = |generation, vain_at| Event::Stored {
        held: held(generation),
        doubt: None,
        ended: None,
        vain_at: Some(at(vain_at)),
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
    let (_, effects) = life.on(Event::Rejected(Generation(3)), now(7), &rules);
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
        vain_at: Some(at(0)),
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
        vain_at: None,
    };
    let journal = Some(Doubt::journalled(at(2)));
    let (doubtful, _) = life.on(stored(journal), now(2), &rules);
    assert!(doubtful.due_at(now(2), &rules) < Some(at(10)));
    // It was answered.
    let (settled, _) = doubtful.on(stored(None), now(3), &rules);
    assert_eq!(settled.due_at(now(3), &rules), Some(at(60)));
}
