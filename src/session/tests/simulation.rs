//! Random lives of two processes on one store: clients, lost answers, voided tokens, crashes, clocks that jump. A seed
//! repeats its life: `STAYSIGNED_SEED=7 cargo test simulation`; `STAYSIGNED_SEEDS` says how many are tried.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::super::{
    Sessions, Verdict,
    bench::{Bench, bearer},
    double::{Authority, Fault},
};
use super::*;
use crate::life::Failure;

/// Seeds that are tried when nobody says how many.
const SEEDS: u64 = 100;

/// How long a life lasts.
const LIFE: Duration = Duration::from_secs(900);

/// What may happen to a life.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Calls in a row that go wrong, at most.
    faults: u64,
    crashes: bool,
}

/// SplitMix64.
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

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    stuck: AtomicUsize,
    extra: AtomicUsize,
    /// When a client saw a rejection.
    at: Mutex<Vec<Instant>>,
}

/// A process: its sessions and its clients.
struct Process {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    clients: JoinSet<()>,
}

impl Process {
    async fn start(bench: &Bench, random: &mut Random, seen: &Arc<Seen>) -> Self {
        let (sessions, session) = bench.open(bearer()).await;
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (session, bench, seen) = (Arc::clone(&session), bench.clone(), Arc::clone(seen));
            let random = Random(random.next());
            clients.spawn(client(session, bench, seen, random));
        }
        Self {
            sessions,
            session,
            clients,
        }
    }

    fn crash(mut self) {
        self.clients.abort_all();
        self.session.crash();
        drop(self.sessions);
    }
}

async fn client(session: Arc<Session>, bench: Bench, seen: Arc<Seen>, mut random: Random) {
    let asks_for = [asks("/a"), asks("/b")];
    loop {
        sleep(random.millis(200, 3000)).await;
        let about = asks_for[random.below(2) as usize];
        let Ok(current) = timeout(Duration::from_secs(25), session.current()).await else {
            seen.stuck.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let Ok(mut current) = current else { continue };
        for attempt in 0.. {
            sleep(random.millis(5, 400)).await;
            let token = injected(&current);
            if bench.authority.accepts(token.trim_start_matches("Bearer ")) {
                session.accepted(current.generation, about);
                seen.accepted.fetch_add(1, Ordering::Relaxed);
                break;
            }
            if attempt == 1 {
                session.rejected_again(about);
                seen.refused.fetch_add(1, Ordering::Relaxed);
                seen.at.lock().unwrap().push(Instant::now());
                break;
            }
            let verdict = session.reject(current.generation, about);
            match timeout(Duration::from_secs(45), verdict).await {
                Ok(Verdict::Again(next)) => {
                    seen.extra.fetch_add(1, Ordering::Relaxed);
                    current = next;
                }
                Ok(Verdict::Pass(_)) => {
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                    seen.at.lock().unwrap().push(Instant::now());
                    break;
                }
                Err(_) => {
                    seen.stuck.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

fn fault(random: &mut Random) -> Fault {
    match random.below(8) {
        0 | 1 => Fault::LoseAnswer,
        2 => Fault::LoseRequest,
        3 => Fault::Late(random.millis(500, 40_000)),
        4 => Fault::Silence,
        5 => Fault::Say(Failure::Unsent("refused".to_owned())),
        6 => Fault::Say(Failure::NotAnAnswer("HTML".to_owned())),
        _ => Fault::Say(Failure::InDoubt {
            why: "502".to_owned(),
            answered: true,
        }),
    }
}

async fn live(seed: u64, weather: Weather) {
    let mut random = Random(seed);
    let mut authority = Authority::new();
    authority.lifetime = Duration::from_secs(20 + random.below(300));
    authority.latency = random.millis(1, 400);
    let bench = Bench::of(authority);
    let benches = [bench.peer(), bench.clone()];
    let seen = Arc::new(Seen::default());
    let mut processes = Vec::new();
    for bench in &benches {
        processes.push(Some(Process::start(bench, &mut random, &seen).await));
    }
    let began = Instant::now();
    while began.elapsed() < LIFE {
        sleep(random.millis(40_000, 90_000)).await;
        match random.below(5) {
            0 | 1 => bench.authority.void().await,
            2 => {
                let by = random.below(7_200_000) as i64 - 3_600_000;
                // A clock that is set forward looks like a machine that slept, and so like a grace that is over.
                if by < 0 || !bench.authority.was_called(Duration::from_secs(12)) {
                    bench.env.jump(by);
                }
            }
            // Not in the middle of the last one.
            _ if weather.faults > 0 && !bench.authority.was_called(Duration::from_secs(12)) => {
                bench.authority.forget_faults();
                for _ in 0..1 + random.below(weather.faults) {
                    bench.authority.then(fault(&mut random));
                }
            }
            _ => {}
        }
        if weather.crashes && random.below(3) == 0 {
            let which = random.below(2) as usize;
            if let Some(process) = processes[which].take() {
                process.crash();
            }
            sleep(random.millis(0, 30_000)).await;
            let started = Process::start(&benches[which], &mut random, &seen).await;
            processes[which] = Some(started);
        }
    }
    judge(seed, weather, &bench, &seen);
}

fn judge(seed: u64, weather: Weather, bench: &Bench, seen: &Seen) {
    let Authority {
        reused, revoked, ..
    } = &*bench.authority;
    let accepted = seen.accepted.load(Ordering::Relaxed);
    let stuck = seen.stuck.load(Ordering::Relaxed);
    assert_eq!(stuck, 0, "seed {seed} {weather:?}: every waiter ends");
    let reuse = reused.lock().unwrap().clone();
    if let Some(reuse) = reuse {
        // A server that takes the token before the newest can be lost only by answers that were lost until its grace
        // was over: never by a second use of a token whose successor had come.
        let strict = weather.faults <= 2 && !weather.crashes;
        if strict
            || reuse
                .spent
                .is_some_and(|spent| spent < bench.authority.grace)
        {
            let log = bench.authority.log.lock().unwrap().join("\n");
            panic!("seed {seed} {weather:?}: {reuse:?}\n{log}");
        }
    }
    if weather.faults == 0 && !weather.crashes {
        assert!(!revoked.load(Ordering::SeqCst), "seed {seed}");
        let refused = seen.refused.load(Ordering::Relaxed);
        assert_eq!(refused, 0, "seed {seed}: no client sees a rejection");
        assert!(accepted > 2000, "seed {seed}: {accepted}");
    }
    assert!(accepted > 100, "seed {seed} {weather:?}: {accepted}");
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("STAYSIGNED_SEED") {
        return seed..seed + 1;
    }
    0..number("STAYSIGNED_SEEDS").unwrap_or(SEEDS)
}

/// Runs a seed in a runtime of its own: its time is its own too.
fn simulate(weather: Weather) {
    for seed in seeds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(live(seed, weather));
    }
}

#[test]
fn in_good_weather_no_client_sees_a_rejection() {
    simulate(Weather {
        faults: 0,
        crashes: false,
    });
}

#[test]
fn two_lost_answers_in_a_row_cost_no_session() {
    simulate(Weather {
        faults: 2,
        crashes: false,
    });
}

#[test]
fn crashes_cost_no_session_that_the_rules_allow_to_keep() {
    simulate(Weather {
        faults: 2,
        crashes: true,
    });
}

#[test]
fn storms_cost_no_session_that_the_rules_allow_to_keep() {
    simulate(Weather {
        faults: 6,
        crashes: true,
    });
}
