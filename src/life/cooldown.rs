//! The pause after a vain forced refresh: one whose result no request was accepted with.
//!
//! An origin that always says no would otherwise cause a refresh for every such request. When it began is kept as a
//! wall-clock time, so that it survives a restart; while the process lives the first of both clocks ends it.

use std::time::{Duration, SystemTime};

use super::{Moment, Now};
use crate::grant::Generation;

/// A forced refresh that has not been vindicated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vain {
    /// When it ended; as stored.
    pub at: SystemTime,
    /// A request accepted with this generation or a later one shows that the refresh was not vain.
    pub generation: Generation,
    until: Moment,
}

// === impl Vain ===

impl Vain {
    /// Takes one that has just ended, or that was stored. One that seems to lie ahead was noted by a clock that has gone
    /// back since: as nothing says how long ago that was, the whole pause begins now.
    pub fn new(at: SystemTime, generation: Generation, now: Now, cooldown: Duration) -> Self {
        let since = now.wall.duration_since(at).unwrap_or_default();
        Self {
            at,
            generation,
            until: now.moment().after(cooldown.saturating_sub(since)),
        }
    }

    /// Returns the same, to be vindicated by this generation.
    pub fn of(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    /// Tells whether the pause lasts.
    pub fn cools(&self, now: Now) -> bool {
        self.until.at(now) > now.wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: u64, uptime: u64) -> Now {
        Now {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            uptime: Duration::from_secs(uptime),
            chance: 0,
        }
    }

    #[test]
    fn the_pause_lasts_and_ends_whatever_the_clock_does() {
        let cases = [
            // Vain at, taken up at; looked at; whether the pause lasts.
            (1000, now(1000, 50), now(1029, 79), true),
            (1000, now(1000, 50), now(1030, 80), false),
            // The machine slept.
            (1000, now(1000, 50), now(9999, 51), false),
            // The clock went back by an hour.
            (5000, now(5000, 50), now(1429, 79), true),
            (5000, now(5000, 50), now(1430, 80), false),
            // Stored by an earlier process.
            (1000, now(1020, 0), now(1029, 9), true),
            (1000, now(1020, 0), now(1030, 10), false),
            (1000, now(2000, 0), now(2000, 0), false),
            // The clock went back before the restart.
            (5000, now(1400, 0), now(1429, 29), true),
            (5000, now(1400, 0), now(1430, 30), false),
        ];
        for (at, taken_up, looked_at, expected) in cases {
            let at = now(at, 0).wall;
            let vain = Vain::new(at, Generation(1), taken_up, Duration::from_secs(30));
            assert_eq!(vain.cools(looked_at), expected, "{vain:?} {looked_at:?}");
        }
    }
}
