//! Chance that can be had again: the seed of a run is in its output, and `STAYSIGNED_SEED` gives it.

use std::time::Duration;

/// A xorshift generator.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let given = std::env::var("STAYSIGNED_SEED").ok();
        let seed = given.map_or_else(
            || {
                let mut seed = [0; 8];
                aws_lc_rs::rand::fill(&mut seed).expect("random bytes");
                u64::from_le_bytes(seed)
            },
            |text| text.parse().expect("STAYSIGNED_SEED: a number"),
        );
        println!("seed {seed}");
        Self(seed | 1)
    }

    /// Another one, for somebody who throws at the same time.
    pub fn another(&mut self) -> Self {
        Self(self.next().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit * 1000))
    }

    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from((most - least).as_micros()).expect("some minutes");
        least + Duration::from_micros(self.below(span.max(1)))
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("few")]
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
