//! The pause after a vain forced refresh: one whose result no request was accepted with.
//!
//! An origin that always says no would otherwise cause a refresh for every request. The pause is kept as a
//! wall-clock time, so that it survives a restart.

use std::time::{Duration, SystemTime};

use crate::grant::Generation;

/// A forced refresh that has not been vindicated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vain {
    pub at: SystemTime,
    /// A request accepted with this generation or a later one shows that the refresh was not vain.
    pub generation: Generation,
}

/// Returns how much of the pause is left. A refresh that seems to lie ahead was noted by a clock that has gone back
/// since: the pause counts as over, because nothing says how long it would last.
pub fn left(vain_at: SystemTime, now: SystemTime, cooldown: Duration) -> Option<Duration> {
    let since = now.duration_since(vain_at).ok()?;
    cooldown.checked_sub(since).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_ends_whatever_the_clock_does() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let cases = [
            (1000, 1000, Some(30)),
            (1000, 1029, Some(1)),
            (1000, 1030, None),
            (1000, 9999, None),
            // The clock went back by an hour.
            (5000, 1400, None),
        ];
        for (vain_at, now, expected) in cases {
            let got = left(at(vain_at), at(now), Duration::from_secs(30));
            assert_eq!(got, expected.map(Duration::from_secs), "{vain_at} {now}");
        }
    }
}
