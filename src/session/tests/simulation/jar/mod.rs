//! Lives of a session of cookies: a site that gives another cookie with its answers, some of which are slow, some lost;
//! two processes on one store, which crash or are suspended; disks that are full, databases that are locked; clocks
//! that jump.

mod client;
mod site;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    client::Client,
    site::{Manner, Site},
};
use super::{Random, in_its_own_time, lives};
use crate::{
    env::Env,
    limits::Limits,
    rule::{Concurrency, Recipe, RefreshKind},
    session::{Session, Sessions, bench::cookies, fuse::Fuse, refresh::Refresh},
    store::{Memory, SessionId, Store},
};

const WEATHER: Duration = Duration::from_secs(60);
const CALM: Duration = Duration::from_secs(40);

/// For so long after trouble a client may see a rejection: the cooldown, and a login that was put off.
const TROUBLED: Duration = Duration::from_secs(100);

/// After so long without a pulse a process loses its leases.
const SUSPENDED: Duration = Duration::from_secs(30);

/// Ends of the session are farther apart than the cooldown.
const APART: Duration = Duration::from_secs(35);

/// One process, as its clients see it.
struct Process {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    fuse: Arc<Fuse>,
    clients: JoinSet<()>,
}

struct Life {
    seed: u64,
    random: Random,
    site: Arc<Site>,
    recipe: Arc<Recipe>,
    store: Memory,
    handles: [Memory; 2],
    processes: [Option<Process>; 2],
    loses: u64,
    slow: u64,
    crashes: bool,
    disks: bool,
    clocks: bool,
    pauses: bool,
    ended: Instant,
}

impl Life {
    fn begin(seed: u64, tells: bool) -> Self {
        let mut random = Random(seed);
        let env = Env::simulated(
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            random.next(),
        );
        let mut recipe = cookies(&["sid"]);
        recipe.refresh.kind = RefreshKind::Steps(Vec::new());
        let serial = random.below(2) == 0;
        recipe.concurrency = match serial {
            true => Concurrency::Serial,
            false => Concurrency::Parallel,
        };
        let manner = match serial {
            true => Manner::Strict,
            false => Manner::Window(Duration::from_secs([20, 60][random.below(2) as usize])),
        };
        let site = Arc::new(Site {
            env,
            origin: "https://site.example".parse().unwrap(),
            manner,
            rotates: [1, 1, 3][random.below(3) as usize],
            tells,
            began: Instant::now(),
            state: Mutex::default(),
        });
        let Store::Memory(store) = Store::memory() else {
            unreachable!("it was asked for")
        };
        store.rough().begin(random.next());
        let life = Self {
            seed,
            loses: [0, 0, 40, 8][random.below(4) as usize],
            slow: [0, 10, 4][random.below(3) as usize],
            crashes: random.below(3) == 0,
            disks: random.below(4) == 0,
            clocks: random.below(3) == 0,
            pauses: random.below(4) == 0,
            ended: Instant::now(),
            random,
            site,
            recipe: Arc::new(recipe),
            handles: [store.peer(), store.peer()],
            store,
            processes: [None, None],
        };
        life.site.note(|| {
            format!(
                "seed {seed}: {manner:?}, 1 in {} rotates, {} lost, {} slow, crashes {}, disks {}, clocks {}, \
                 pauses {}",
                life.site.rotates,
                life.loses,
                life.slow,
                life.crashes,
                life.disks,
                life.clocks,
                life.pauses
            )
        });
        life
    }

    async fn start(&mut self, which: usize) {
        let site = Arc::clone(&self.site);
        let make =
            move |_: &Arc<Recipe>, _: &SessionId| -> Arc<dyn Refresh> { Arc::<Site>::clone(&site) };
        let shared = Sessions::shared(self.site.env.clone(), Limits::default(), None);
        let fuse = Arc::clone(&shared.fuse);
        let recipes = [Arc::clone(&self.recipe)];
        let store = Store::Memory(self.handles[which].clone());
        let sessions = Sessions::open_with(&recipes, store, shared, None, Box::new(make));
        let sessions = sessions.await.unwrap();
        let session = sessions.session(0, None);
        let held = Arc::default();
        let mut clients = JoinSet::new();
        for _ in 0..2 {
            let client = Client {
                process: which,
                session: Arc::clone(&session),
                site: Arc::clone(&self.site),
                random: Random(self.random.next()),
                loses: self.loses,
                slow: self.slow,
                // In turn they would wait for each other longer than they may.
                slowest: match self.recipe.concurrency {
                    Concurrency::Serial => 3000,
                    Concurrency::Parallel => 15_000,
                },
                held: Arc::clone(&held),
            };
            clients.spawn(Arc::clone(&fuse).guard(client.run()));
        }
        self.processes[which] = Some(Process {
            sessions,
            session,
            fuse,
            clients,
        });
    }

    async fn live(mut self) -> Result<String, String> {
        self.start(0).await;
        self.start(1).await;
        let began = Instant::now();
        while began.elapsed() < WEATHER {
            sleep(self.random.millis(1000, 8000)).await;
            match self.random.below(6) {
                0 => self.end(),
                1 if self.crashes => self.crash().await,
                2 if self.disks => self.spoil_the_disk().await,
                3 if self.clocks => self.jump(),
                4 if self.pauses => self.suspend().await,
                _ => {}
            }
        }
        self.judge().await
    }

    /// The site ends the session by itself.
    fn end(&mut self) {
        if self.ended.elapsed() < APART || self.site.state().login == 0 {
            return;
        }
        self.ended = Instant::now();
        self.site.note(|| "site: ends the session".to_owned());
        let mut state = self.site.state();
        let login = state.login;
        state.ends.insert(login);
        state.ended = true;
    }

    async fn crash(&mut self) {
        let which = self.random.below(2) as usize;
        let Some(process) = self.processes[which].take() else {
            return;
        };
        process.fuse.light(self.random.below(120) as i64);
        let began = Instant::now();
        while !process.fuse.is_burnt() && began.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(50)).await;
        }
        self.site.note(|| format!("process {which}: crashes"));
        self.site.trouble();
        process.fuse.burn();
        drop(process);
        sleep(self.random.millis(0, 5000)).await;
        self.start(which).await;
    }

    async fn spoil_the_disk(&mut self) {
        let time = self.random.millis(500, 12_000);
        let full = self.random.below(2) == 0;
        self.site
            .note(|| format!("store: full {full}, else locked, for {time:?}"));
        let rough = self.store.rough();
        let spoil = |on| if full { rough.fill(on) } else { rough.lock(on) };
        self.site.state().failed = true;
        self.site.trouble();
        spoil(true);
        sleep(time).await;
        spoil(false);
        self.site.trouble();
    }

    /// The wall's clock is set, or the machine has slept.
    fn jump(&mut self) {
        let by = self.random.below(7_200_000) as i64 - 3_600_000;
        self.site.note(|| format!("clock: jumps by {by} ms"));
        self.site.env.jump(by);
        self.site.trouble();
    }

    /// A process is stopped, and goes on later, as if nothing had been: what it holds is taken from it meanwhile.
    async fn suspend(&mut self) {
        let which = self.random.below(2) as usize;
        let time = self.random.millis(500, 90_000);
        let Some(process) = &self.processes[which] else {
            return;
        };
        let fuse = Arc::clone(&process.fuse);
        self.site
            .note(|| format!("process {which}: is suspended for {time:?}"));
        self.site.trouble();
        fuse.suspend(true);
        sleep(time.min(SUSPENDED)).await;
        if time > SUSPENDED {
            self.store.take_away(&self.handles[which]);
            sleep(time - SUSPENDED).await;
        }
        self.site.note(|| format!("process {which}: goes on"));
        self.site.trouble();
        fuse.suspend(false);
    }

    async fn judge(mut self) -> Result<String, String> {
        self.site.note(|| "calm".to_owned());
        let logins = self.site.state().login;
        for process in self.processes.iter_mut().flatten() {
            process.clients.shutdown().await;
        }
        sleep(CALM).await;
        for (number, process) in self.processes.iter().enumerate() {
            let Some(process) = process else { continue };
            let mut client = Client {
                process: number,
                session: Arc::clone(&process.session),
                site: Arc::clone(&self.site),
                random: Random(self.seed),
                loses: 0,
                slow: 0,
                slowest: 1,
                held: Arc::default(),
            };
            if let Err(why) = client.request("/end").await {
                let state = process.session.status().state;
                self.site
                    .wrong(format!("process {number} is {state} at the end: {why}"));
            }
            let _ = &process.sessions;
        }
        let state = self.site.state();
        let ends = state.ends.len();
        let quiet = self.loses == 0 && !self.crashes && !self.disks && !self.pauses;
        let too_many = (quiet && logins > 1 + ends)
            .then(|| format!("{logins} logins for {ends} ends of the session"));
        let log = state.log.join("\n");
        match state.wrong.clone().or(too_many) {
            Some(wrong) => Err(format!("seed {}: {wrong}\n{log}", self.seed)),
            None => Ok(log),
        }
    }
}

fn live(seed: u64, tells: bool) -> Result<String, String> {
    in_its_own_time(async move { Life::begin(seed, tells).live().await })
}

#[test]
fn a_life_of_cookies_never_goes_back_to_an_older_one() {
    lives(300, live);
}

#[test]
fn a_seed_repeats_its_life_of_cookies() {
    for seed in 0..50 {
        assert_eq!(live(seed, true), live(seed, true), "seed {seed}");
    }
}
