//! Random lives of two processes on one store: clients, an authorization server by the rules of a real one, a network
//! that loses, delays and doubles, crashes at every await and every write, full disks, clocks that jump, machines
//! that sleep.
//!
//! `STAYSIGNED_SEEDS` says how many lives are lived, `STAYSIGNED_FROM` the first of them (0), and
//! `STAYSIGNED_SEED=7 cargo test --lib a_life -- --nocapture` repeats one and tells what happened.

mod fate;
mod jar;
mod judge;
mod life;
mod person;
mod process;
mod refresher;
mod server;
mod wire;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::life::Life;

/// Lives that are lived when nobody says how many; `./test` says more, and lives them optimised.
const SEEDS: u64 = 3_000;

/// So many that went wrong are told.
const ENOUGH: usize = 20;

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// Lives a life in a runtime of its own: its time is its own too.
fn in_its_own_time<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(life)
}

fn live(seed: u64, tells: bool) -> Result<String, String> {
    in_its_own_time(async { Life::begin(seed, tells).live().await })
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn a_life_costs_no_session_that_the_rules_allow_to_keep() {
    lives(SEEDS, live);
}

/// Lives as many as are wanted (else a few), or the one that is.
fn lives(few: u64, live: fn(u64, bool) -> Result<String, String>) {
    if let Some(seed) = number("STAYSIGNED_SEED") {
        let log = live(seed, true).unwrap_or_else(|wrong| panic!("{wrong}"));
        return println!("{log}");
    }
    let seeds = number("STAYSIGNED_SEEDS").unwrap_or(few);
    let from = number("STAYSIGNED_FROM").unwrap_or(0);
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || failed.lock().unwrap().len() >= ENOUGH {
                        return;
                    }
                    if let Err(wrong) = live(seed, false) {
                        failed.lock().unwrap().push(wrong);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "STAYSIGNED_SEED repeats one of these:\n{}",
        failed.concat()
    );
}

#[test]
fn a_seed_repeats_its_life() {
    for seed in 0..100 {
        let (one, two) = (live(seed, true), live(seed, true));
        assert_eq!(one, two, "seed {seed}");
    }
}
