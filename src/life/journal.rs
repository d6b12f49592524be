//! What is known of a refresh token whose use was not answered, and when the same token is sent again.
//!
//! A lost answer is more often the end of a session than anything else: the server has rotated, we have not heard of
//! it. Most servers take the previous token for some seconds (the grace), and a token whose use never arrived is good
//! in any case: so the same token is sent again, quickly while the grace lasts, then rarely.

use std::time::{Duration, SystemTime};

/// The waits before the same token is sent again.
const STEPS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// A refresh token in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it was first sent.
    since: SystemTime,
    /// The flight whose calls are counted, and how many of them were not answered.
    flight: SystemTime,
    calls: usize,
}

// === impl Doubt ===

impl Doubt {
    pub fn new(since: SystemTime) -> Self {
        Self {
            since,
            flight: since,
            calls: 0,
        }
    }

    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Tells whether the server still takes the token, even if it has rotated. A start that seems to lie ahead
    /// is no evidence of that.
    pub fn in_grace(&self, now: SystemTime, grace: Option<Duration>) -> bool {
        match (now.duration_since(self.since), grace) {
            (_, None) => true,
            (Ok(age), Some(grace)) => age < grace,
            (Err(_), Some(_)) => false,
        }
    }

    /// Counts a call that was not answered and returns the wait before the next of the same flight, if there is one.
    ///
    /// A flight that no byte came back to may be the first whose token arrived: its own grace counts. One that was
    /// answered with an error is not repeated quickly after the first flight.
    pub fn unanswered(
        self,
        flight: SystemTime,
        answered: bool,
        now: SystemTime,
        grace: Option<Duration>,
    ) -> (Self, Option<Duration>) {
        let calls = if flight == self.flight { self.calls } else { 0 };
        let doubt = Self {
            since: self.since,
            flight,
            calls: calls + 1,
        };
        if answered && flight != self.since {
            return (doubt, None);
        }
        let wait = STEPS.get(calls).copied().filter(|wait| {
            let began = Self::new(flight);
            began.in_grace(now + *wait, grace)
        });
        (doubt, wait)
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

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn waits(call: Duration, grace: Option<Duration>, answered: bool) -> Vec<u64> {
        let (mut doubt, mut now, mut waits) = (Doubt::new(at(0)), at(0), Vec::new());
        loop {
            now += call;
            let (next, wait) = doubt.unanswered(at(0), answered, now, grace);
            let Some(wait) = wait else { return waits };
            waits.push(wait.as_millis() as u64);
            now += wait;
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
            (0, Some(secs(3)), vec![500, 1000]),
            (0, Some(secs(0)), vec![]),
            (10_000, None, vec![500, 1000, 2000, 4000]),
        ];
        for (call, grace, expected) in cases {
            let got = waits(Duration::from_millis(call), grace, false);
            assert_eq!(got, expected, "{call} {grace:?}");
            assert_eq!(waits(Duration::from_millis(call), grace, true), expected);
        }
    }

    #[test]
    fn a_later_flight_is_quick_only_if_nothing_came_back() {
        let grace = Some(Duration::from_secs(10));
        let doubt = Doubt::new(at(0));
        let (_, wait) = doubt.unanswered(at(60_000), true, at(60_100), grace);
        assert_eq!(wait, None);
        let (doubt, wait) = doubt.unanswered(at(60_000), false, at(60_100), grace);
        assert_eq!(wait, Some(STEPS[0]));
        assert_eq!(doubt.since(), at(0));
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
