//! Waits between attempts: exponential, with full jitter, and a ceiling.

use std::time::Duration;

/// Returns the wait before attempt `n` (the first retry is 1): a random time up to `base · 2^(n-1)`, at most
/// `ceiling`, never less than a tenth of that bound so that a retry is never immediate.
pub fn full_jitter(base: Duration, n: u32, ceiling: Duration, random: u64) -> Duration {
    let bound = base
        .saturating_mul(1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX))
        .min(ceiling);
    bound.mul_f64(0.1 + 0.9 * share(random))
}

/// Returns a random number from 0 to 1 (not 1 itself).
pub fn share(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_ceiling() {
        let (base, ceiling) = (Duration::from_secs(1), Duration::from_secs(60));
        for (n, random, expected) in [
            (1, 0, 0.1),
            (1, u64::MAX, 1.0),
            (3, u64::MAX, 4.0),
            (40, u64::MAX, 60.0),
        ] {
            let wait = full_jitter(base, n, ceiling, random).as_secs_f64();
            assert!((wait - expected).abs() < 0.001, "{n}: {wait}");
        }
    }
}
