//! A simulated process: its sessions, its clients, and its crash.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    super::{asks, injected},
    Random,
    refresher::Refresher,
    wire::{Wire, World, number},
};
use crate::{
    env::Env,
    limits::Limits,
    rule::Recipe,
    session::{Session, Sessions, Unusable, Verdict, fuse::Fuse, refresh::Refresh},
    store::{Memory, SessionId, Store},
};

/// For so long after trouble a client may see a rejection: the backoff, and what the cooldown adds.
pub(super) const TROUBLED: Duration = Duration::from_secs(100);

/// The number of a command beside the two processes.
pub(super) const COMMAND: usize = 2;

/// What clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) accepted: AtomicUsize,
    pub(super) refused: AtomicUsize,
    pub(super) waiting: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Process {
    number: usize,
    world: Arc<World>,
    sessions: Arc<Sessions>,
    pub(super) session: Arc<Session>,
    pub(super) fuse: Arc<Fuse>,
    clients: JoinSet<()>,
}

impl Process {
    pub(super) async fn start(
        number: usize,
        world: &Arc<World>,
        store: Memory,
        env: &Env,
        recipe: &Arc<Recipe>,
    ) -> Self {
        let wire = Arc::new(Wire {
            world: Arc::clone(world),
            process: number,
        });
        let make =
            move |_: &Arc<Recipe>, _: &SessionId| -> Arc<dyn Refresh> { Arc::<Wire>::clone(&wire) };
        let shared = Sessions::shared(env.clone(), Limits::default(), None);
        if number == COMMAND {
            // It keeps nothing fresh.
            shared.stop.cancel();
        }
        let fuse = Arc::clone(&shared.fuse);
        let recipes = [Arc::clone(recipe)];
        let sessions =
            Sessions::open_with(&recipes, Store::Memory(store), shared, None, Box::new(make));
        let sessions = sessions.await.unwrap();
        let session = sessions.session(0, None);
        world.note(|| {
            format!(
                "process {number}: starts as {:?}",
                session.inner().life.state.name()
            )
        });
        Self {
            number,
            world: Arc::clone(world),
            sessions,
            session,
            fuse,
            clients: JoinSet::new(),
        }
    }

    pub(super) fn serve(&mut self, clients: usize, random: &mut Random, seen: &Arc<Seen>) {
        for _ in 0..clients {
            let client = Client {
                process: self.number,
                session: Arc::clone(&self.session),
                world: Arc::clone(&self.world),
                seen: Arc::clone(seen),
                random: Random(random.next()),
            };
            self.clients
                .spawn(Arc::clone(&self.fuse).guard(client.run()));
        }
    }

    /// One of its clients refreshes by itself.
    pub(super) fn refresh_too(&mut self, token: String, random: &mut Random) {
        let client = Refresher {
            process: self.number,
            session: Arc::clone(&self.session),
            world: Arc::clone(&self.world),
            random: Random(random.next()),
            token,
        };
        self.clients
            .spawn(Arc::clone(&self.fuse).guard(client.run()));
    }

    /// Its clients are done with what they have begun.
    pub(super) async fn stop_clients(&mut self) {
        while self.clients.join_next().await.is_some() {}
    }

    /// Ends everything of it at once.
    pub(super) fn crash(mut self) {
        self.fuse.burn();
        self.clients.abort_all();
        drop(self.sessions);
    }
}

struct Client {
    process: usize,
    session: Arc<Session>,
    world: Arc<World>,
    seen: Arc<Seen>,
    random: Random,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Accepted,
    /// It was sent without a credential.
    Without(Unusable),
    /// The client sees the rejection.
    Refused(&'static str),
    /// Somebody waited without end.
    Stuck,
}

impl Client {
    async fn run(mut self) {
        loop {
            sleep(self.random.millis(200, 4000)).await;
            if self.world.inner().over {
                return;
            }
            let path = ["/a", "/b"][self.random.below(2) as usize];
            let travel = self.random.millis(5, 400);
            let answer = request(&self.session, &self.world, path, travel).await;
            let world = &self.world;
            match answer {
                Answer::Accepted => {
                    self.seen.accepted.fetch_add(1, Ordering::Relaxed);
                }
                Answer::Without(why) => {
                    self.seen.waiting.fetch_add(1, Ordering::Relaxed);
                    if !world.is_troubled(TROUBLED) {
                        world.wrong(format!("process {}: {why}", self.process));
                    }
                }
                Answer::Refused(why) => {
                    self.seen.refused.fetch_add(1, Ordering::Relaxed);
                    if !world.is_troubled(TROUBLED) {
                        world.wrong(format!(
                            "process {}: a client sees a rejection: {why}",
                            self.process
                        ));
                    }
                }
                // It was suspended itself, and goes on just now.
                Answer::Stuck if world.is_troubled(Duration::from_secs(1)) => {}
                Answer::Stuck => world.wrong(format!("process {}: a client waits", self.process)),
            }
        }
    }
}

/// One request as the data path makes it: sent again once at most.
pub(super) async fn request(
    session: &Session,
    world: &World,
    path: &str,
    travel: Duration,
) -> Answer {
    let about = asks(path);
    let current = match timeout(Duration::from_secs(25), session.current()).await {
        Ok(Ok(current)) => current,
        Ok(Err(why)) => return Answer::Without(why),
        Err(_) => return Answer::Stuck,
    };
    let accepted = |header: &str| world.accepts(number(header, "Bearer at-"));
    sleep(travel).await;
    if accepted(&injected(&current)) {
        session.accepted(current.generation, about);
        return Answer::Accepted;
    }
    let verdict = session.reject(current.generation, about);
    let again = match timeout(Duration::from_secs(45), verdict).await {
        Ok(Verdict::Again(again)) => again,
        Ok(Verdict::Pass(why)) => return Answer::Refused(why),
        Err(_) => return Answer::Stuck,
    };
    sleep(travel).await;
    if accepted(&injected(&again)) {
        session.accepted(again.generation, about);
        return Answer::Accepted;
    }
    session.rejected_again(current.generation, again.generation, about);
    Answer::Refused("it was sent again")
}
