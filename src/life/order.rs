//! Which of two values of one credential is the newer, when both came with answers to the same generation.
//!
//! Answers overtake each other on the way. The later `iat` or `exp` of a JWT says more than the order of arrival, and
//! so does an absolute expiry; without either, the later arrival counts.

use std::{cmp::Ordering, time::SystemTime};

use crate::grant::Generation;

/// What is known of a value's age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    /// `iat` of a JWT, in seconds.
    pub issued: Option<i64>,
    /// `exp` of a JWT, in seconds.
    pub ends: Option<i64>,
    /// An absolute expiry beside the value: a cookie's, or a token's `expires_at`.
    pub expires: Option<SystemTime>,
}

/// Tells whether a value that came with an answer to generation `seen` takes the place of the held one, which came
/// with an answer to `taught_by`.
pub fn replaces(seen: Generation, taught_by: Generation, new: Age, held: Age) -> bool {
    match seen.cmp(&taught_by) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => {
            compare(new.issued, held.issued)
                .then(compare(new.ends, held.ends))
                .then(compare(new.expires, held.expires))
                != Ordering::Less
        }
    }
}

/// Compares what both know; what one does not know decides nothing.
fn compare<T: Ord>(new: Option<T>, held: Option<T>) -> Ordering {
    match (new, held) {
        (Some(new), Some(held)) => new.cmp(&held),
        (None, _) | (_, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn age(issued: Option<i64>, ends: Option<i64>, expires: Option<u64>) -> Age {
        Age {
            issued,
            ends,
            expires: expires.map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs)),
        }
    }

    #[test]
    fn an_older_answer_never_wins_and_a_newer_always() {
        let (late, early) = (age(Some(2), None, None), age(Some(1), None, None));
        assert!(!replaces(Generation(4), Generation(5), late, early));
        assert!(replaces(Generation(6), Generation(5), early, late));
    }

    #[test]
    fn within_one_generation_the_later_wins() {
        let cases = [
            (age(None, None, None), age(None, None, None), true),
            (age(Some(2), None, None), age(Some(1), None, None), true),
            (age(Some(1), None, None), age(Some(2), None, None), false),
            (
                age(Some(1), Some(9), None),
                age(Some(1), Some(8), None),
                true,
            ),
            (
                age(Some(1), Some(7), None),
                age(Some(1), Some(8), None),
                false,
            ),
            (age(None, None, Some(5)), age(None, None, Some(6)), false),
            // A JWT against something that is none: the later arrival.
            (age(None, None, None), age(Some(2), Some(9), None), true),
            // A JWT's own times count more than the cookie's.
            (
                age(Some(3), None, Some(1)),
                age(Some(2), None, Some(9)),
                true,
            ),
        ];
        for (new, held, expected) in cases {
            let got = replaces(Generation(5), Generation(5), new, held);
            assert_eq!(got, expected, "{new:?} {held:?}");
        }
    }
}
