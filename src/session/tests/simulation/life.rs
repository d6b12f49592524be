//! A simulated life: what happens to it, and the judgement at its end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::{
    Random,
    fate::{Fate, fate},
    judge::LOST,
    process::{Answer, Process, Seen, TROUBLED, request},
    refresher::capture,
    server::{Rules, Server},
    wire::{World, number},
};
use crate::{
    env::Env,
    rule::Recipe,
    session::bench::bearer,
    store::{Memory, SessionId, Store},
};

/// How long the weather lasts, and how long after it everything must be well.
const WEATHER: Duration = Duration::from_secs(45);
const CALM: Duration = Duration::from_secs(80);

/// After so long without a pulse a process loses its leases.
const SUSPENDED: Duration = Duration::from_secs(30);

/// Forced refreshes closer than the cooldown look vain, as they should.
const COOLDOWN: Duration = Duration::from_secs(35);

/// What may happen in a life.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Calls in a row that go wrong, at most.
    faults: u64,
    crashes: bool,
    full_disks: bool,
    clocks: bool,
    /// Clients refresh by themselves; whether those that ask at once share one.
    relays: Option<bool>,
    /// Processes are suspended for a while.
    pauses: bool,
}

pub(super) struct Life {
    seed: u64,
    random: Random,
    /// Somebody who signs in again, in one life of four.
    pub(super) person: Option<Random>,
    weather: Weather,
    pub(super) world: Arc<World>,
    pub(super) env: Env,
    store: Memory,
    pub(super) recipe: Arc<Recipe>,
    pub(super) processes: Vec<Option<Process>>,
    /// Of the two processes, and of commands.
    pub(super) handles: Vec<Memory>,
    seen: Arc<Seen>,
    voided: Instant,
}

impl Life {
    pub(super) fn begin(seed: u64, tells: bool) -> Self {
        let mut random = Random(seed);
        let rules = Rules::random(&mut random);
        let weather = Weather {
            faults: [0, 1, 2, 6][random.below(4) as usize],
            crashes: random.below(2) == 0,
            full_disks: random.below(4) == 0,
            clocks: random.below(3) == 0,
            relays: [None, None, Some(true), Some(false)][random.below(4) as usize],
            pauses: random.below(4) == 0,
        };
        let lifetime = random.millis(15_000, 60_000);
        let env = Env::simulated(
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            random.next(),
        );
        let mut recipe = bearer();
        recipe.refresh.grace = rules.grace();
        recipe.captures = weather.relays.into_iter().map(capture).collect();
        let host = "https://auth.example".parse().unwrap();
        let server = Server::new(rules, lifetime);
        let world = World::new(env.clone(), server, random.millis(1, 400), host, tells);
        let Store::Memory(store) = Store::memory() else {
            unreachable!("it was asked for")
        };
        store.rough().begin(random.next());
        world.note(|| format!("seed {seed}: {rules:?}, tokens live {lifetime:?}, {weather:?}"));
        Self {
            seed,
            random,
            // Not of the same numbers: what else happens stays as it is without.
            person: matches!(seed % 8, 0 | 3).then_some(Random(!seed)),
            weather,
            world: Arc::new(world),
            env,
            handles: vec![store.peer(), store.peer(), store.peer()],
            store,
            recipe: Arc::new(recipe),
            processes: vec![None, None],
            seen: Arc::default(),
            voided: Instant::now(),
        }
    }

    async fn start(&mut self, which: usize) {
        let store = self.handles[which].clone();
        let process = Process::start(which, &self.world, store, &self.env, &self.recipe);
        let mut process = process.await;
        process.serve(2 - which, &mut self.random, &self.seen);
        if self.weather.relays.is_some() {
            let token = format!("rt-{}", self.stored().await);
            process.refresh_too(token, &mut self.random);
        }
        self.processes[which] = Some(process);
    }

    pub(super) async fn live(mut self) -> Result<String, String> {
        self.start(0).await;
        self.start(1).await;
        let began = Instant::now();
        while began.elapsed() < WEATHER {
            sleep(self.random.millis(1000, 8000)).await;
            self.something_happens().await;
            self.somebody_may_sign_in().await;
        }
        self.calm().await;
        self.judge().await
    }

    async fn something_happens(&mut self) {
        let Weather {
            faults,
            crashes,
            full_disks,
            clocks,
            pauses,
            relays: _,
        } = self.weather;
        match self.random.below(9) {
            0 | 1 => self.void(),
            2 | 3 if faults > 0 => self.storm(faults),
            4 | 5 if crashes => self.crash().await,
            6 if full_disks => self.fill_the_disk().await,
            7 if clocks => self.jump(),
            8 if pauses => self.suspend().await,
            _ => {}
        }
    }

    /// Ends the access tokens, if every request has the newest: one extra request is all that may be sent, so that two
    /// ends in a row are seen.
    fn void(&mut self) {
        if self.voided.elapsed() < COOLDOWN || self.world.was_called(Duration::from_secs(2)) {
            return;
        }
        self.world
            .note(|| "origin: all access tokens are void".to_owned());
        self.world.inner().server.void();
        self.voided = Instant::now();
    }

    fn storm(&mut self, faults: u64) {
        let fates: Vec<Fate> = (0..1 + self.random.below(faults))
            .map(|_| fate(&mut self.random))
            .collect();
        self.world.note(|| format!("weather: {fates:?}"));
        let mut inner = self.world.inner();
        inner.fates.clear();
        inner.fates.extend(fates);
    }

    async fn crash(&mut self) {
        let which = self.random.below(2) as usize;
        let Some(process) = self.processes[which].take() else {
            return;
        };
        // Somewhere in what it does next, await by await.
        let polls = self.random.below(120) as i64;
        process.fuse.light(polls);
        if self.random.below(2) == 0 {
            self.void();
        }
        let patience = self.random.millis(100, 6000);
        let began = Instant::now();
        while !process.fuse.is_burnt() && began.elapsed() < patience {
            sleep(Duration::from_millis(50)).await;
        }
        self.world
            .note(|| format!("process {which}: crashes, after at most {polls} polls"));
        self.world.trouble();
        process.crash();
        self.bury(which).await;
        let away = [0, 300, 3000, 20_000][self.random.below(4) as usize];
        sleep(self.random.millis(0, away + 1)).await;
        self.world.trouble();
        self.start(which).await;
    }

    /// What was delivered to a process that crashed is lost if it had no time to store it.
    async fn bury(&mut self, which: usize) {
        let stored = self.stored().await;
        let now = self.world.now();
        let mut dropped = None;
        let asked = self.world.asked_for(stored);
        let disks = self.weather.full_disks;
        let mut inner = self.world.inner();
        for number in 0..inner.calls.len() {
            let call = inner.calls[number];
            let Some((at, pair)) = call.delivered else {
                continue;
            };
            if call.process != which || pair.refresh <= stored || call.lost || call.sent < asked {
                continue;
            }
            inner.calls[number].lost = true;
            // The answer to a later call would be worth more: it was waited for.
            let later = &inner.calls[number + 1..];
            let waits = later.iter().any(|later| later.token == call.token);
            if now - at > Duration::from_millis(100) && !disks && !waits {
                dropped = Some(format!(
                    "process {which} has dropped rt-{}, stored is rt-{stored}",
                    pair.refresh
                ));
            }
        }
        drop(inner);
        if let Some(dropped) = dropped {
            self.world.wrong(dropped);
        }
    }

    async fn stored(&self) -> usize {
        let id = SessionId::new("app", None);
        let stored = Store::Memory(self.store.clone()).load(&id).await.unwrap();
        let token = stored.and_then(|stored| stored.grant.field("refresh_token").cloned());
        token.map_or(0, |token| number(token.expose(), "rt-"))
    }

    async fn fill_the_disk(&mut self) {
        let time = self.random.millis(500, 20_000);
        let full = self.random.below(2) == 0;
        let how = if full { "full" } else { "locked" };
        self.world.note(|| format!("store: {how} for {time:?}"));
        self.world.trouble();
        let rough = self.store.rough();
        let spoil = |on| if full { rough.fill(on) } else { rough.lock(on) };
        let since = self.world.now();
        spoil(true);
        sleep(time).await;
        spoil(false);
        if !full {
            self.world.unlocked(since);
        }
        self.world.shook(since);
    }

    /// A process is stopped, and goes on later, as if nothing had been: what it holds is taken from it meanwhile.
    async fn suspend(&mut self) {
        let which = self.random.below(2) as usize;
        let time = self.random.millis(500, 90_000);
        let Some(process) = &self.processes[which] else {
            return;
        };
        self.world
            .note(|| format!("process {which}: is suspended for {time:?}"));
        self.world.trouble();
        process.fuse.suspend(true);
        let fuse = Arc::clone(&process.fuse);
        // What it was told, or is just being told, may come too late for the grace.
        self.world.suspended(which, self.stored().await);
        sleep(time.min(SUSPENDED)).await;
        if time > SUSPENDED {
            self.store.take_away(&self.handles[which]);
            sleep(time - SUSPENDED).await;
        }
        self.world.note(|| format!("process {which}: goes on"));
        self.world.trouble();
        self.world.inner().suspended[which] = false;
        fuse.suspend(false);
    }

    fn jump(&mut self) {
        let since = self.world.now();
        if self.random.below(2) == 0 {
            let by = self.random.below(7_200_000) as i64 - 3_600_000;
            self.world.note(|| format!("clock: jumps by {by} ms"));
            self.env.jump(by);
        } else {
            let time = self.random.millis(1000, 3_600_000);
            self.world.note(|| format!("machine: sleeps for {time:?}"));
            self.world.sleep(time);
        }
        self.world.shook(since);
    }

    /// Nothing goes wrong any more. In one life of four its clients go on until no trouble from before excuses what they
    /// see, and then every access token ends, twice.
    async fn calm(&mut self) {
        self.world.note(|| "calm".to_owned());
        self.world.inner().fates.clear();
        if self.seed.is_multiple_of(4) {
            for wait in [TROUBLED, COOLDOWN, COOLDOWN] {
                sleep(wait + Duration::from_secs(5)).await;
                self.void();
            }
            sleep(COOLDOWN).await;
        }
        self.world.inner().over = true;
        for process in self.processes.iter_mut().flatten() {
            process.stop_clients().await;
        }
        sleep(CALM).await;
    }

    async fn ask_at_the_end(&self, process: &Process) -> Answer {
        let travel = Duration::from_millis(20);
        request(&process.session, &self.world, "/end", travel).await
    }

    async fn judge(&mut self) -> Result<String, String> {
        for which in 0..2 {
            let Some(process) = &self.processes[which] else {
                continue;
            };
            let mut answer = self.ask_at_the_end(process).await;
            for _ in 0..9 {
                // A clock that was set back makes a minute longer by as much.
                if self.weather.clocks && !matches!(answer, Answer::Accepted) {
                    sleep(Duration::from_secs(8)).await;
                    answer = self.ask_at_the_end(process).await;
                }
            }
            let state = process.session.status().state;
            let revoked = self.world.inner().server.revoked;
            self.world
                .note(|| format!("process {which}: ends {state}, {answer:?}"));
            if !matches!(answer, Answer::Accepted) && !revoked {
                self.world.wrong(format!(
                    "process {which} is {state} at the end, though the server would renew it"
                ));
            }
            if revoked
                && !matches!(
                    answer,
                    Answer::Accepted | Answer::Without(_) | Answer::Refused(_)
                )
            {
                self.world.wrong(format!("process {which}: {answer:?}"));
            }
        }
        let inner = self.world.inner();
        let lost = inner.is_lost();
        let reuse = inner
            .reuses
            .iter()
            .find(|(call, _)| !inner.calls[*call].lost)
            .map(|(_, reuse)| reuse.clone());
        let wrong = inner.wrong.clone().or(reuse);
        drop(inner);
        match wrong.or(lost.then(|| LOST.to_owned())) {
            Some(wrong) => Err(format!("seed {}: {wrong}\n{}", self.seed, self.world.log())),
            None => Ok(self.world.log()),
        }
    }
}
