//! The world of a simulated life: a server, the origin that takes its tokens, and the network in between.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    fate::Fate,
    judge::Call,
    refresher::answered,
    server::{Pair, Server},
};
use crate::{
    auth,
    env::Env,
    life::Failure,
    origin::Origin,
    session::{
        moved::{Moved, Seen},
        refresh::{Answered, Outcome, Permit, Pulse, Refresh, Renewed, Spend},
    },
};

#[derive(Debug)]
pub(super) struct World {
    pub(super) env: Env,
    began: Instant,
    pub(super) latency: Duration,
    inner: Mutex<Inner>,
    /// Ticks when the machine sleeps: connections do not survive it.
    slept: Moved,
    host: Origin,
    tells: bool,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) server: Server,
    pub(super) fates: VecDeque<Fate>,
    pub(super) calls: Vec<Call>,
    /// How long the machine has slept.
    asleep: Duration,
    /// When something last went wrong that excuses a rejection.
    pub(super) trouble: Option<Duration>,
    /// The call with which the server took the token for a stolen one, and when.
    pub(super) revoked_by: Option<(usize, Duration)>,
    /// From when to when clocks or disks could not be relied on.
    pub(super) shaken: Vec<(Duration, Duration)>,
    /// Nobody could have saved the session.
    pub(super) unsavable: bool,
    /// What must never happen, and did.
    pub(super) wrong: Option<String>,
    /// Reuses that must not have happened, if what this call brought was not lost by a crash.
    pub(super) reuses: Vec<(usize, String)>,
    /// Processes that hear nothing.
    pub(super) suspended: [bool; 3],
    /// The refresh token of the last login, once it is stored.
    pub(super) signed_in: usize,
    /// Clients ask for nothing more.
    pub(super) over: bool,
    log: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
}

// === impl World ===

impl World {
    pub(super) fn new(
        env: Env,
        server: Server,
        latency: Duration,
        host: Origin,
        tells: bool,
    ) -> Self {
        Self {
            env,
            began: Instant::now(),
            latency,
            inner: Mutex::new(Inner {
                server,
                fates: VecDeque::new(),
                calls: Vec::new(),
                asleep: Duration::ZERO,
                trouble: None,
                revoked_by: None,
                shaken: Vec::new(),
                unsavable: false,
                wrong: None,
                reuses: Vec::new(),
                suspended: [false; 3],
                signed_in: 0,
                over: false,
                log: Vec::new(),
            }),
            slept: Moved::default(),
            host,
            tells,
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The time since the life began, by the server's clock.
    pub(super) fn now(&self) -> Duration {
        self.now_in(&self.inner())
    }

    pub(super) fn now_in(&self, inner: &Inner) -> Duration {
        self.began.elapsed() + inner.asleep
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if self.tells {
            let mut inner = self.inner();
            let line = format!("{:>9.3} {}", self.now_in(&inner).as_secs_f64(), text());
            inner.log.push(line);
        }
    }

    pub(super) fn log(&self) -> String {
        self.inner().log.join("\n")
    }

    /// Notes what must never happen; the first is what counts.
    pub(super) fn wrong(&self, text: String) {
        self.note(|| format!("WRONG {text}"));
        self.inner().wrong.get_or_insert(text);
    }

    /// Tells whether a call came not long ago.
    pub(super) fn was_called(&self, ago: Duration) -> bool {
        let now = self.now();
        let inner = self.inner();
        inner.calls.last().is_some_and(|call| now - call.sent < ago)
    }

    /// Returns when a refresh token was asked for.
    pub(super) fn asked_for(&self, token: usize) -> Duration {
        let inner = self.inner();
        inner
            .brought(token)
            .map_or(Duration::ZERO, |call| call.sent)
    }

    pub(super) fn accepts(&self, access: usize) -> bool {
        let inner = self.inner();
        inner.server.accepts(access, self.now_in(&inner))
    }

    /// The machine sleeps: time passes for the server and on the wall, and for no timer.
    pub(super) fn sleep(&self, time: Duration) {
        self.inner().asleep += time;
        self.env.jump(time.as_millis() as i64);
        self.trouble();
        self.slept.tell();
    }

    fn begin(&self, process: usize, token: usize) -> usize {
        let mut inner = self.inner();
        let fate = inner.fates.pop_front();
        let sent = self.now_in(&inner);
        if fate.is_some() {
            inner.trouble = Some(sent);
        }
        inner.calls.push(Call {
            process,
            token,
            sent,
            fate,
            acted: 0,
            delivered: None,
            lost: false,
            overtaken: false,
        });
        inner.calls.len() - 1
    }

    /// The server acts on a call.
    fn act(&self, call: usize) -> Result<Pair, ()> {
        let (result, token, before) = {
            let mut inner = self.inner();
            let now = self.now_in(&inner);
            let token = inner.calls[call].token;
            let before = inner.server.clone();
            // What a later call brought is void now.
            let later = &inner.calls[call + 1..];
            let overtaken = later.iter().any(|o| o.token == token && o.acted > 0);
            inner.calls[call].overtaken |= overtaken;
            inner.unsavable |= overtaken;
            inner.calls[call].acted += 1;
            let result = inner.server.redeem(token, now);
            let ended = inner.server.revoked && !before.revoked;
            (result, token, ended.then_some(before))
        };
        self.note(|| format!("server: call {call} with rt-{token}: {result:?}"));
        if let Some(before) = before {
            self.judge_reuse(call, &before);
        }
        result.ok_or(())
    }

    /// Carries a call to the server and its answer back, whether anybody waits for it or not.
    async fn carry(
        self: Arc<Self>,
        call: usize,
        fate: Option<Fate>,
        back: oneshot::Sender<Result<Pair, ()>>,
    ) {
        let slept = self.slept.subscribe();
        let half = self.latency / 2;
        sleep(match fate {
            Some(Fate::LateRequest(by)) => half + by,
            _ => half,
        })
        .await;
        match fate {
            Some(Fate::LoseRequest) => return,
            Some(Fate::Hang) => return self.hold(back, slept).await,
            _ => {}
        }
        let mut answer = self.act(call);
        match fate {
            Some(Fate::LoseAnswer) => return,
            Some(Fate::Silence) => return self.hold(back, slept).await,
            Some(Fate::Twice) => {
                sleep(half).await;
                answer = self.act(call);
            }
            Some(Fate::LateAnswer(by)) => sleep(by).await,
            _ => {}
        }
        sleep(half).await;
        if !slept.has_changed() {
            let _ = back.send(answer);
        }
    }

    /// Nothing is said until the machine has slept.
    async fn hold(&self, back: oneshot::Sender<Result<Pair, ()>>, slept: Seen) {
        slept.changed().await;
        drop(back);
    }
}

// === impl Wire ===

impl Wire {
    async fn ask(&self, token: &str, permit: Permit) -> Outcome {
        let (world, process) = (&self.world, self.process);
        // To connect takes a while, and the process may be suspended in it.
        sleep(world.latency).await;
        self.stands_still().await;
        if !permit.take() {
            world.note(|| format!("process {process}: {token} may not be sent any more"));
            return Outcome::Failed(Failure::Unsent("it may not be sent".to_owned()));
        }
        let call = world.begin(process, number(token, "rt-"));
        if number(token, "rt-") < world.inner().signed_in {
            world.wrong(format!("call {call} spends {token}, of an earlier login"));
        }
        let fate = world.inner().calls[call].fate;
        world.note(|| format!("process {process}: call {call} with {token}: {fate:?}"));
        let outcome = self.call(call).await;
        world.note(|| format!("process {process}: call {call}: {outcome:?}"));
        outcome
    }

    async fn stands_still(&self) {
        while self.world.inner().suspended[self.process] {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn call(&self, call: usize) -> Outcome {
        let world = &self.world;
        let fate = world.inner().calls[call].fate;
        let in_doubt = |why: &str, answered| {
            Outcome::Failed(Failure::InDoubt {
                why: why.to_owned(),
                answered,
            })
        };
        match fate {
            Some(Fate::Unsent) => return Outcome::Failed(Failure::Unsent("refused".to_owned())),
            Some(Fate::Html) => {
                sleep(world.latency).await;
                return Outcome::Failed(Failure::NotAnAnswer("HTML".to_owned()));
            }
            Some(Fate::Throttled(wait)) => {
                sleep(world.latency).await;
                return Outcome::Failed(Failure::Throttled {
                    until: world.env.wall() + wait,
                    why: "429".to_owned(),
                });
            }
            Some(Fate::BadGateway { acts }) => {
                sleep(world.latency).await;
                if acts {
                    let _ = world.act(call);
                }
                return in_doubt("502", true);
            }
            _ => {}
        }
        let (back, answer) = oneshot::channel();
        tokio::spawn(Arc::clone(world).carry(call, fate, back));
        let answer = answer.await;
        self.stands_still().await;
        match answer {
            Err(_) => in_doubt("reset", false),
            Ok(Err(())) => Outcome::Failed(Failure::Terminal("invalid_grant".to_owned())),
            Ok(Ok(pair)) => {
                let now = world.now();
                world.inner().calls[call].delivered = Some((now, pair));
                Outcome::Renewed(Renewed {
                    fields: vec![
                        (
                            "access_token".to_owned(),
                            format!("at-{}", pair.access).into(),
                        ),
                        (
                            "refresh_token".to_owned(),
                            format!("rt-{}", pair.refresh).into(),
                        ),
                    ],
                    expires_at: Some(world.env.wall() + world.inner().server.lifetime),
                    ..Renewed::default()
                })
            }
        }
    }
}

impl Refresh for Wire {
    fn refresh(self: Arc<Self>, spend: Spend) -> BoxFuture<'static, Outcome> {
        async move {
            let token = spend.grant.field("refresh_token").unwrap();
            self.ask(token.expose(), spend.permit).await
        }
        .boxed()
    }

    fn beat(
        self: Arc<Self>,
        _: usize,
        _: Spend,
    ) -> BoxFuture<'static, Result<(Answered, Pulse), Failure>> {
        unreachable!("there is no heartbeat here")
    }

    fn relay(
        self: Arc<Self>,
        asked: auth::Request,
        permit: Permit,
    ) -> BoxFuture<'static, Result<Answered, Failure>> {
        async move {
            let token = String::from_utf8(asked.body.expose().clone()).unwrap();
            let outcome = self.ask(&token, permit).await;
            let lifetime = self.world.inner().server.lifetime;
            answered(outcome, lifetime, self.world.env.wall())
        }
        .boxed()
    }

    fn verify(self: Arc<Self>, _: Spend) -> BoxFuture<'static, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    fn host(&self) -> Option<&Origin> {
        Some(&self.world.host)
    }

    fn probe(self: Arc<Self>) -> BoxFuture<'static, bool> {
        let reachable = !matches!(self.world.inner().fates.front(), Some(Fate::Unsent));
        async move { reachable }.boxed()
    }
}

/// The number in a simulated token.
pub(super) fn number(token: &str, prefix: &str) -> usize {
    token.strip_prefix(prefix).unwrap().parse().unwrap()
}
