//! What can happen to a call on its way.

use std::time::Duration;

use super::Random;

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It never arrives; the connection breaks.
    LoseRequest,
    /// It never arrives, and nobody says so.
    Hang,
    /// The server acts on it, and the connection breaks.
    LoseAnswer,
    /// The server acts on it, and nothing comes back.
    Silence,
    /// The answer takes so long.
    LateAnswer(Duration),
    /// The request takes so long.
    LateRequest(Duration),
    /// Something on the way sends it once more; the second answer arrives.
    Twice,
    Unsent,
    Html,
    /// A 502, whether the server acted or not.
    BadGateway {
        acts: bool,
    },
    Throttled(Duration),
}

/// Draws what happens to a call.
pub(super) fn fate(random: &mut Random) -> Fate {
    match random.below(15) {
        0..=2 => Fate::LoseAnswer,
        3 | 4 => Fate::LoseRequest,
        5 => Fate::Hang,
        6 | 7 => Fate::Silence,
        8 => Fate::LateAnswer(random.millis(500, 40_000)),
        9 => Fate::LateRequest(random.millis(500, 8000)),
        10 => Fate::Twice,
        11 => Fate::Unsent,
        12 => Fate::Html,
        13 => Fate::BadGateway {
            acts: random.below(2) == 0,
        },
        _ => Fate::Throttled(random.millis(1000, 20_000)),
    }
}
