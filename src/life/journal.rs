//! What is known of a refresh token whose use was not answered, and when the same token is sent again.
//!
//! A lost answer is more often the end of a session than anything else: the server has rotated, we have not heard of
//! it. Most servers take the previous token for some seconds (the grace), and a token whose use never arrived is good
//! in any case: so the same token is sent again, quickly while the grace lasts, then rarely.

use std::time::{Duration, SystemTime};

use super::{Now, Rules};

/// The waits before the same token is sent again.
const STEPS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How long after its first use a token is sent again quickly where the grace has no end: what an earlier process has
/// begun is gone on with.
const SOON: Duration = Duration::from_secs(10);

/// The shortest of them.
const SHORTEST: Duration = Duration::from_millis(100);

/// A moment by both clocks: the wall's, which goes on while a machine sleeps and is set back at times, and that of the
/// process, if it is a moment of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: SystemTime,
    /// Since the process began.
    pub uptime: Option<Duration>,
}

/// A refresh token in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it was first sent.
    since: Moment,
    /// The flight whose calls are counted, and how many of them were not answered.
    flight: Moment,
    calls: usize,
    /// Only a journal tells of it: its process died or stands still, and nobody knows how the call ended, or whether it
    /// was sent.
    hearsay: bool,
}

// === impl Moment ===

impl Moment {
    /// Takes a time that was just noted, here or by another process. One that seems to lie ahead was noted by a clock that
    /// has gone back since: it counts from now.
    pub fn noted(wall: SystemTime, now: Now) -> Self {
        let since = now.wall.duration_since(wall).unwrap_or_default();
        Self {
            wall,
            uptime: Some(now.uptime.saturating_sub(since)),
        }
    }

    /// Returns the moment so much later.
    pub fn after(self, wait: Duration) -> Self {
        Self {
            wall: self.wall + wait,
            uptime: self.uptime.map(|uptime| uptime + wait),
        }
    }

    /// Returns when a moment to come is, on the wall: when the first of both clocks reaches it, so that a wall clock
    /// that was set back puts nothing off.
    pub fn at(&self, now: Now) -> SystemTime {
        let left = self.uptime.map(|then| then.saturating_sub(now.uptime));
        let by_process = left.map(|left| now.wall + left);
        by_process.map_or(self.wall, |at| at.min(self.wall))
    }

    /// Returns the time since then: the longer by either clock; `None` if neither says.
    pub fn age(&self, now: Now) -> Option<Duration> {
        let by_wall = now.wall.duration_since(self.wall).ok();
        let by_process = self.uptime.and_then(|then| now.uptime.checked_sub(then));
        by_wall.max(by_process)
    }
}

// === impl Doubt ===

impl Doubt {
    pub fn new(since: Moment) -> Self {
        Self {
            since,
            flight: since,
            calls: 0,
            hearsay: false,
        }
    }

    /// Takes up what the journal of an earlier process, or of another one, says; `ended`: a call is known to have ended
    /// without an answer.
    pub fn journalled(wall: SystemTime, ended: bool) -> Self {
        Self {
            hearsay: !ended,
            ..Self::new(Moment { wall, uptime: None })
        }
    }

    pub fn since(&self) -> SystemTime {
        self.since.wall
    }

    /// Tells whether the server still takes the token, even if it has rotated.
    pub fn in_grace(&self, now: Now, grace: Option<Duration>) -> bool {
        match (self.since.age(now), grace) {
            (_, None) => true,
            (Some(age), Some(grace)) => age < grace,
            // It seems to lie ahead: the clock has gone back, nobody knows how far.
            (None, Some(_)) => false,
        }
    }

    /// Returns when a call must begin that is to end within the grace.
    pub(super) fn last_chance(&self, now: Now, rules: &Rules) -> Option<SystemTime> {
        let grace = rules.grace?;
        let room = grace.saturating_sub(limit(rules.timeout, rules.grace));
        Some(self.since.after(room).at(now))
    }

    /// Returns the doubt of a flight that sends the token. Where a journal alone tells of an earlier use, and the grace
    /// of that is over, this flight's token is the first to arrive, or all is lost already: so its own grace counts, for
    /// everybody.
    pub fn begun(self, flight: Moment, now: Now, grace: Option<Duration>) -> Self {
        let is_over = !self.in_grace(now, grace.or(Some(SOON)));
        if self.hearsay && is_over {
            return Self::new(flight);
        }
        self
    }

    /// Takes up what is stored of the same token.
    pub(super) fn with(self, stored: Self) -> Self {
        if stored.since.wall > self.since.wall {
            return stored;
        }
        Self {
            hearsay: self.hearsay && stored.hearsay,
            ..self
        }
    }

    /// Counts a call that was not answered and returns the wait before the next of the same flight, if there is one.
    ///
    /// A flight that began after the grace is the first whose token can have arrived, or all is lost already: so its
    /// own grace counts. One that was answered with an error is not repeated quickly after the first grace.
    pub fn unanswered(
        self,
        flight: Moment,
        answered: bool,
        now: Now,
        grace: Option<Duration>,
    ) -> (Self, Option<Duration>) {
        let began = Now {
            wall: flight.wall,
            uptime: flight.uptime.unwrap_or(now.uptime),
            chance: 0,
        };
        let known = self.begun(flight, began, grace);
        let calls = if flight == known.flight {
            known.calls
        } else {
            0
        };
        let doubt = Self {
            since: known.since,
            flight,
            calls: calls + 1,
            hearsay: false,
        };
        let first = flight == known.since || known.in_grace(began, grace.or(Some(SOON)));
        if answered && !first {
            return (doubt, None);
        }
        let since = if first { known.since } else { flight };
        let Some(step) = STEPS.get(calls).copied() else {
            return (doubt, None);
        };
        let Some(grace) = grace else {
            return (doubt, Some(step));
        };
        let left = since.age(now).and_then(|age| grace.checked_sub(age));
        // What is left of the grace is used: a step that does not fit is made shorter.
        let wait = left.map(|left| if step < left { step } else { left / 2 });
        (doubt, wait.filter(|wait| *wait >= SHORTEST))
    }
}

/// Returns how long one call with a one-time token may take: three of them fit into the grace.
pub fn limit(timeout: Duration, grace: Option<Duration>) -> Duration {
    match grace {
        Some(grace) if !grace.is_zero() => timeout.min(grace / 3),
        Some(_) | None => timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(millis: u64) -> Now {
        Now {
            wall: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            uptime: Duration::from_millis(millis),
            chance: 0,
        }
    }

    fn at(millis: u64) -> Moment {
        now(millis).moment()
    }

    fn waits(call: u64, grace: Option<Duration>, answered: bool) -> Vec<u64> {
        let (mut doubt, mut millis, mut waits) = (Doubt::new(at(0)), 0, Vec::new());
        loop {
            millis += call;
            let (next, wait) = doubt.unanswered(at(0), answered, now(millis), grace);
            let Some(wait) = wait else { return waits };
            waits.push(wait.as_millis() as u64);
            millis += wait.as_millis() as u64;
            doubt = next;
        }
    }

    #[test]
    fn the_same_token_is_sent_again_while_the_grace_lasts() {
        let secs = Duration::from_secs;
        let cases = [
            // Connections that are reset at once: the whole ladder.
            (0, Some(secs(10)), vec![500, 1000, 2000, 4000]),
            // Silence: each call takes a third of the grace.
            (3333, Some(secs(10)), vec![500, 1000]),
            // The steps that do not fit are made shorter.
            (0, Some(secs(4)), vec![500, 1000, 2000, 250]),
            (0, Some(secs(0)), vec![]),
            (10_000, None, vec![500, 1000, 2000, 4000]),
        ];
        for (call, grace, expected) in cases {
            assert_eq!(waits(call, grace, false), expected, "{call} {grace:?}");
            assert_eq!(waits(call, grace, true), expected);
        }
    }

    #[test]
    fn a_later_flight_is_quick_only_if_nothing_came_back() {
        let grace = Some(Duration::from_secs(10));
        let doubt = Doubt::new(at(0));
        let (_, wait) = doubt.unanswered(at(60_000), true, now(60_100), grace);
        assert_eq!(wait, None);
        let (later, wait) = doubt.unanswered(at(60_000), false, now(60_100), grace);
        assert_eq!(wait, Some(STEPS[0]));
        assert_eq!(later.since(), at(0).wall);
        // One that began within the grace has what is left of it.
        let (_, wait) = doubt.unanswered(at(9_000), false, now(9_100), grace);
        assert_eq!(wait, Some(STEPS[0]));
        let (_, wait) = doubt.unanswered(at(9_000), false, now(9_900), grace);
        assert_eq!(wait, None);
        // Where the grace has no end, what an earlier process has begun is gone on with, and is rare in the long run.
        for (began, expected) in [(1_000, Some(STEPS[0])), (11_000, None)] {
            let (_, wait) = doubt.unanswered(at(began), true, now(began + 100), None);
            assert_eq!(wait, expected, "{began}");
        }
    }

    /// Life 530047: the process that had noted it stood still before it sent anything.
    #[test]
    fn the_first_flight_behind_a_journal_is_quick_whatever_comes_back() {
        let grace = Some(Duration::from_secs(10));
        for (ended, expected) in [(false, vec![500, 1000, 2000, 4000]), (true, vec![])] {
            let mut doubt = Doubt::journalled(at(0).wall, ended);
            let mut waits = Vec::new();
            for flight in [40_000, 100_000] {
                for call in 0..5 {
                    let (next, wait) =
                        doubt.unanswered(at(flight), true, now(flight + call), grace);
                    doubt = next;
                    waits.extend(wait.map(|wait| wait.as_millis() as u64));
                }
            }
            assert_eq!(waits, expected, "{ended}");
        }
    }

    /// Life 75264: the flight waited for its lease while another process's call ended without an answer.
    #[test]
    fn a_note_alone_counts_until_a_call_is_known() {
        let grace = Some(Duration::from_secs(10));
        let begun = |doubt: Doubt| doubt.begun(at(40_000), now(40_000), grace).since();
        let stored = |millis, ended| Doubt::journalled(at(millis).wall, ended);
        let note = stored(0, false);
        assert_eq!(begun(note), at(40_000).wall);
        assert_eq!(begun(note.with(stored(0, true))), at(0).wall);
        assert_eq!(begun(note.with(stored(35_000, true))), at(35_000).wall);
        let soon = note.begun(at(5_000), now(5_000), grace);
        assert_eq!(soon.since(), at(0).wall, "it may have been sent then");
    }

    #[test]
    fn a_clock_that_is_set_says_little() {
        let grace = Some(Duration::from_secs(10));
        let set = |wall, uptime| Now {
            wall: now(wall).wall,
            uptime: Duration::from_millis(uptime),
            chance: 0,
        };
        let doubt = Doubt::new(at(100_000));
        assert!(doubt.in_grace(set(0, 105_000), grace), "it was set back");
        assert!(!doubt.in_grace(set(0, 111_000), grace));
        assert!(
            !doubt.in_grace(set(200_000, 101_000), grace),
            "the machine slept"
        );
        let journalled = Doubt::journalled(at(100_000).wall, true);
        assert!(!journalled.in_grace(set(0, 105_000), grace));
        assert!(journalled.in_grace(set(105_000, 1), grace));
    }

    #[test]
    fn a_call_leaves_room_for_others_within_the_grace() {
        let secs = Duration::from_secs;
        let cases = [
            (10, Some(9), 3),
            (2, Some(60), 2),
            (10, Some(0), 10),
            (10, None, 10),
        ];
        for (timeout, grace, expected) in cases {
            assert_eq!(
                limit(secs(timeout), grace.map(secs)),
                secs(expected),
                "{timeout} {grace:?}"
            );
        }
    }
}
