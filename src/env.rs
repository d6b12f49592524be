//! What the engine asks of the world: the wall clock, a monotonic clock, randomness.
//!
//! Expiry is wall-clock time: a monotonic clock stands still while a machine sleeps. Under test the wall clock
//! follows tokio's paused time plus jumps, and the randomness is seeded, so that a run can be repeated.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// The engine's only clock and source of randomness.
#[derive(Clone, Debug)]
pub struct Env(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Real,
    Virtual(Virtual),
}

#[derive(Debug)]
struct Virtual {
    wall_at_start: SystemTime,
    started: Instant,
    /// Milliseconds by which the wall clock was set forward (or back) since the start.
    jumped: AtomicI64,
    seed: Mutex<u64>,
}

// === impl Env ===

impl Env {
    pub fn real() -> Self {
        Self(Arc::new(Kind::Real))
    }

    /// A clock that starts at `wall` and advances with tokio's own (paused) time; `seed` repeats the randomness.
    pub fn simulated(wall: SystemTime, seed: u64) -> Self {
        Self(Arc::new(Kind::Virtual(Virtual {
            wall_at_start: wall,
            started: Instant::now(),
            jumped: AtomicI64::new(0),
            seed: Mutex::new(seed),
        })))
    }

    /// Returns the wall-clock time.
    pub fn wall(&self) -> SystemTime {
        match &*self.0 {
            Kind::Real => SystemTime::now(),
            Kind::Virtual(v) => {
                let elapsed = v.wall_at_start + v.started.elapsed();
                let jumped = v.jumped.load(Ordering::Relaxed);
                let by = Duration::from_millis(jumped.unsigned_abs());
                if jumped < 0 {
                    elapsed - by
                } else {
                    elapsed + by
                }
            }
        }
    }

    /// Returns the monotonic time, for waits and ages.
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// Returns 64 random bits.
    pub fn random(&self) -> u64 {
        match &*self.0 {
            Kind::Real => {
                let mut bytes = [0; 8];
                aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source must answer");
                u64::from_ne_bytes(bytes)
            }
            Kind::Virtual(v) => {
                // SplitMix64: small, and good enough to spread simulated waits.
                let mut seed = v.seed.lock().expect("no panic while the seed is held");
                *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *seed;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// Returns 16 random bytes.
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random().to_ne_bytes());
        bytes[8..].copy_from_slice(&self.random().to_ne_bytes());
        bytes
    }

    /// Sets a simulated wall clock forward or back; does nothing to the real one.
    pub fn jump(&self, millis: i64) {
        if let Kind::Virtual(v) = &*self.0 {
            v.jumped.fetch_add(millis, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_advances_and_jumps() {
        let env = Env::simulated(SystemTime::UNIX_EPOCH + Duration::from_secs(1000), 7);
        tokio::time::sleep(Duration::from_secs(5)).await;
        env.jump(-2000);
        assert_eq!(
            env.wall(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1003)
        );
        assert_ne!(env.random(), env.random());
    }
}
