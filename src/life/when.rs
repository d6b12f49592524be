//! The times of a session's life: when a refresh is due, when one that failed is tried again, when to look next.

use std::time::{Duration, SystemTime};

use super::{Doubt, Effect, Failure, Holding, Life, Moment, Notice, Now, Rules, State, Told};
use crate::backoff;

/// The wait after the first failure; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait between attempts that may be repeated freely, and the shortest for a token in doubt.
const MINUTE: Duration = Duration::from_secs(60);

/// Failures after which the wait is the whole minute.
const STEPS_TO_A_MINUTE: u32 = 7;

/// Spread over the steady minute, so that sessions do not ask in step.
const SPREAD: Duration = Duration::from_secs(2);

/// The longest pause that a server can ask for.
const LONGEST_THROTTLE: Duration = Duration::from_secs(600);

/// The shortest time between a renewal and the next: a server whose tokens are dead on arrival is not hammered.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// Returns how long a server is left alone that named this time.
pub fn put_off(until: SystemTime, now: Now) -> Duration {
    let wait = until.duration_since(now.wall).unwrap_or_default();
    wait.clamp(FIRST_RETRY, LONGEST_THROTTLE)
}

/// Returns when a failed refresh is tried again, its being in doubt left aside; `in_grace`: what it may have spent is
/// taken once more.
pub(super) fn retry(
    failure: &Failure,
    one_time: bool,
    in_grace: bool,
    failures: u32,
    now: Now,
) -> Moment {
    let wait = match failure {
        Failure::Throttled { until, .. } => put_off(*until, now),
        Failure::InDoubt { .. } if one_time => MINUTE,
        Failure::NotAnAnswer(_) if one_time && !in_grace && failures > 1 => MINUTE,
        Failure::InDoubt { .. }
        | Failure::NotAnAnswer(_)
        | Failure::Unsent(_)
        | Failure::Store(_)
        | Failure::Terminal(_)
        | Failure::Misconfigured(_) => {
            if failures < STEPS_TO_A_MINUTE {
                backoff::full_jitter(FIRST_RETRY, failures, MINUTE, now.chance)
            } else {
                MINUTE + backoff::full_jitter(SPREAD, 1, SPREAD, now.chance)
            }
        }
    };
    now.moment().after(wait)
}

/// Returns when the next refresh that nobody asks for begins.
pub(super) fn next_refresh(life: &Life, now: Now, rules: &Rules) -> Option<SystemTime> {
    match &life.state {
        State::Fresh(held) => match life.doubt {
            Some(doubt) if held.renewable => Some(when_in_doubt(life, doubt, now, rules)),
            Some(_) | None => due_at(held, life.spread, rules),
        },
        State::Degraded {
            since,
            retry,
            failure,
            ..
        } => {
            let retry = retry.at(now);
            match (life.doubt, failure) {
                (None, _) => Some(retry),
                // The server named the time itself. It would be the end of a token in doubt if its grace ended first:
                // so that is sent once more before.
                (Some(doubt), Failure::Throttled { .. }) => {
                    let last = doubt.last_chance(now, rules);
                    let last = last.filter(|last| *last > *since + FIRST_RETRY);
                    Some(last.map_or(retry, |last| retry.min(last)))
                }
                (Some(doubt), _) => Some(retry.max(when_in_doubt(life, doubt, now, rules))),
            }
        }
        State::Empty(_)
        | State::Incomplete(_)
        | State::Refreshing { .. }
        | State::NeedsLogin { .. } => None,
    }
}

/// Returns when a token in doubt is sent again: while the grace lasts at once; after it, that may cost the access
/// token too, so that it waits until this has ended or was rejected.
pub(super) fn when_in_doubt(life: &Life, doubt: Doubt, now: Now, rules: &Rules) -> SystemTime {
    let held = life.state.holding();
    match held.expires_at {
        Some(end)
            if !doubt.in_grace(now, rules.grace) && held.usable(now.wall) && !life.rejected =>
        {
            end
        }
        // At once, also by a clock that has gone back since.
        Some(_) | None => doubt.since().min(now.wall),
    }
}

/// Returns when the background refresh is due: `ahead` of a known end, to the moment; or by `every`, up to a tenth sooner,
/// so that sessions which began together do not ask in step.
fn due_at(held: &Holding, spread: u64, rules: &Rules) -> Option<SystemTime> {
    if !held.renewable {
        return None;
    }
    let before_end = held.expires_at.map(|end| {
        let life = held.obtained_at.and_then(|at| end.duration_since(at).ok());
        let ahead = life.map_or(rules.ahead, |life| rules.ahead.min(life / 2));
        end.checked_sub(ahead).unwrap_or(end)
    });
    let every = rules.every.and_then(|every| {
        let sooner = (every / 10).mul_f64(backoff::share(spread));
        held.obtained_at?.checked_add(every - sooner)
    });
    let due = match (before_end, every) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b)?,
    };
    let earliest = held
        .obtained_at
        .and_then(|at| at.checked_add(SHORTEST_LIFE));
    Some(earliest.map_or(due, |earliest| due.max(earliest)))
}

/// Tells whether nobody has used the session for so long that it is not renewed in the background.
pub(super) fn is_idle(used_at: Option<SystemTime>, now: SystemTime, rules: &Rules) -> bool {
    let Some(idle) = rules.idle else { return false };
    match used_at {
        None => true,
        Some(at) => now.duration_since(at).is_ok_and(|since| since > idle),
    }
}

/// Returns when to look again, whatever for.
pub(super) fn wake_at(life: &Life, now: Now, rules: &Rules) -> Option<SystemTime> {
    let refresh = next_refresh(life, now, rules);
    let held = life.state.holding();
    let news = match life.told {
        Told::Nothing => expiring_at(held, rules),
        Told::Expiring => held.expires_at,
        Told::Expired => None,
    };
    match (refresh, news) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn expiring_at(held: &Holding, rules: &Rules) -> Option<SystemTime> {
    let end = held.expires_at?;
    // What can be renewed is renewed ahead; only what is still held at half of that is news.
    let notice = if held.renewable {
        rules.ahead / 2
    } else {
        rules.ahead
    };
    let life = held.obtained_at.and_then(|at| end.duration_since(at).ok());
    let notice = life.map_or(notice, |life| notice.min(life / 4));
    Some(end.checked_sub(notice).unwrap_or(end))
}

/// Says once for each generation that it is about to end, and once that it has ended.
pub(super) fn tell_of_the_end(life: &mut Life, now: Now, rules: &Rules, effects: &mut Vec<Effect>) {
    let held = life.state.holding();
    if held.expired(now.wall) {
        if life.told != Told::Expired {
            life.told = Told::Expired;
            effects.push(Effect::Tell(Notice::Expired));
        }
    } else if life.told == Told::Nothing
        && expiring_at(held, rules).is_some_and(|at| at <= now.wall)
    {
        life.told = Told::Expiring;
        effects.push(Effect::Tell(Notice::Expiring));
    }
}
