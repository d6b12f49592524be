//! The pause after a vain forced refresh: one whose result no request was accepted with.
//!
//! An origin that always says no would otherwise cause a refresh for every such request. When it began is kept as a
//! wall-clock time, so that it survives a restart; while the process lives the first of both clocks ends it.
//!
//! What is kept is a note of the forced refresh, and it belongs to the generation that this brought: a request accepted
//! with that one strikes it out. A process that dies in between leaves a note that may be wrong, so one that a rejection
//! of its generation has not confirmed is believed only by who made it. Whoever else finds it grants one more refresh,
//! and the note of that one is believed by all: two in one pause, however many processes die.

use std::time::{Duration, SystemTime};

use super::{Moment, Now};
use crate::grant::Generation;

/// A living process writes down within this time whether its forced refresh was vain.
const WRITTEN_DOWN: Duration = Duration::from_secs(1);

/// A forced refresh, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it ended.
    pub at: SystemTime,
    /// A request accepted with this generation or a later one shows that it was not vain.
    pub generation: Generation,
    /// A request with its result was rejected: it was vain.
    pub shown: bool,
}

/// A forced refresh that has not been vindicated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vain {
    pub note: Note,
    until: Moment,
    /// From when on it is not believed unless it is shown; `None`: it is this process's own.
    hearsay: Option<Moment>,
}

// === impl Note ===

impl Note {
    /// Tells whether the refresh was forced by a rejection of this generation, and brought nothing newer.
    pub fn rejects(&self, generation: Generation) -> bool {
        self.generation > generation
    }
}

// === impl Vain ===

impl Vain {
    /// Takes one that has just ended here.
    pub fn new(note: Note, now: Now, cooldown: Duration) -> Self {
        Self {
            note,
            until: ends(note.at, now, cooldown),
            hearsay: None,
        }
    }

    /// Takes one that was stored before this process began.
    pub fn found(note: Note, now: Now, cooldown: Duration) -> Self {
        Self {
            hearsay: Some(now.moment()),
            ..Self::new(note, now, cooldown)
        }
    }

    /// Takes one that another process has just stored: it is soon shown or struck out if that one lives.
    pub fn told(note: Note, now: Now, cooldown: Duration) -> Self {
        Self {
            hearsay: Some(now.moment().after(WRITTEN_DOWN)),
            ..Self::new(note, now, cooldown)
        }
    }

    /// Tells whether a stored note is of this same refresh. Our own is stored before it is known when it ended.
    pub fn is_of(&self, note: Note) -> bool {
        self.note.generation == note.generation
            && (self.hearsay.is_none() || self.note.at == note.at)
    }

    /// Tells whether the pause lasts.
    pub fn cools(&self, now: Now) -> bool {
        self.until.at(now) > now.wall
    }

    /// Tells whether one more refresh is granted all the same.
    pub fn is_hearsay(&self, now: Now) -> bool {
        let hearsay = self.hearsay.is_some_and(|from| from.at(now) <= now.wall);
        hearsay && !self.note.shown
    }
}

/// Returns when the pause ends. One that seems to have begun in the future was noted by a clock that has gone back
/// since: as nothing says how long ago that was, the whole pause begins now.
fn ends(at: SystemTime, now: Now, cooldown: Duration) -> Moment {
    let since = now.wall.duration_since(at).unwrap_or_default();
    now.moment().after(cooldown.saturating_sub(since))
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

    fn note(at: u64) -> Note {
        Note {
            at: now(at, 0).wall,
            generation: Generation(1),
            shown: false,
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
            let vain = Vain::new(note(at), taken_up, Duration::from_secs(30));
            assert_eq!(vain.cools(looked_at), expected, "{vain:?} {looked_at:?}");
        }
    }

    #[test]
    fn what_nobody_has_shown_is_believed_by_who_made_it() {
        let cooldown = Duration::from_secs(30);
        let (began, soon, later) = (now(1000, 0), now(1000, 0), now(1001, 1));
        let own = Vain::new(note(1000), began, cooldown);
        let found = Vain::found(note(1000), began, cooldown);
        let told = Vain::told(note(1000), began, cooldown);
        for (vain, at_once, then) in [
            (own, false, false),
            (found, true, true),
            (told, false, true),
        ] {
            assert_eq!(vain.is_hearsay(soon), at_once, "{vain:?}");
            assert_eq!(vain.is_hearsay(later), then, "{vain:?}");
            let mut shown = vain;
            shown.note.shown = true;
            assert!(!shown.is_hearsay(later), "{vain:?}");
        }
    }
}
