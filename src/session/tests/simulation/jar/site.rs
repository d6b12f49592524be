//! A site that gives another cookie with its answers, and what it takes of earlier ones.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::{Instant, sleep};

use super::{super::Random, TROUBLED, client::number};
use crate::{
    auth,
    env::Env,
    grant::Generation,
    jar::{Bounds, Cookie, Jar},
    life::Failure,
    limits::Limits,
    origin::Origin,
    session::{
        Current,
        refresh::{Answered, Outcome, Permit, Pulse, Refresh, Renewed, Spend},
    },
};

/// How long a request is on its way at most.
const TRAVEL: Duration = Duration::from_millis(200);

/// Which earlier values a site takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// The one before the newest; an older one ends the session. It is asked in turn.
    Strict,
    /// Those that were replaced less than so long ago; it is asked by many at once.
    Window(Duration),
}

/// One value of the cookie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) login: usize,
    pub(super) replaced: Option<Instant>,
    /// The generation of the request whose answer brought it.
    pub(super) seen: Generation,
    /// When its answer was learnt.
    pub(super) learnt: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Site {
    pub(super) env: Env,
    pub(super) origin: Origin,
    pub(super) manner: Manner,
    /// One answer in so many brings another value.
    pub(super) rotates: u64,
    pub(super) tells: bool,
    pub(super) began: Instant,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) values: Vec<Value>,
    /// The login whose values count, and whether its session has ended.
    pub(super) login: usize,
    pub(super) ended: bool,
    /// The logins whose sessions ended without a fault of ours.
    pub(super) ends: BTreeSet<usize>,
    pub(super) trouble: Option<Instant>,
    /// The store has failed: numbers of generations may come twice.
    pub(super) failed: bool,
    pub(super) wrong: Option<String>,
    pub(super) log: Vec<String>,
}

// === impl State ===

impl State {
    /// Tells whether a newer value was known when this one was sent: one whose answer had come, and was to a newer
    /// generation. Of two answers to one generation the one that came last is taken: no one knows which is newer.
    fn has_newer(&self, value: usize) -> bool {
        let known = self.values[value];
        self.values[value + 1..].iter().any(|newer| {
            newer.login == known.login
                && newer.seen > known.seen
                && newer.learnt.is_some_and(|at| at.elapsed() > TRAVEL)
        })
    }
}

// === impl Site ===

impl Site {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if self.tells {
            let line = format!("{:>9.3} {}", self.began.elapsed().as_secs_f64(), text());
            self.state().log.push(line);
        }
    }

    pub(super) fn wrong(&self, text: String) {
        self.note(|| format!("WRONG {text}"));
        self.state().wrong.get_or_insert(text);
    }

    pub(super) fn trouble(&self) {
        self.state().trouble = Some(Instant::now());
    }

    pub(super) fn is_troubled(&self) -> bool {
        let at = self.state().trouble;
        at.is_some_and(|at| at.elapsed() < TROUBLED)
    }

    fn value(&self, seen: Generation) -> usize {
        let mut state = self.state();
        let login = state.login;
        let newest = state.values.last_mut();
        if let Some(newest) = newest.filter(|newest| newest.login == login) {
            newest.replaced = Some(Instant::now());
        }
        state.values.push(Value {
            login,
            replaced: None,
            seen,
            learnt: None,
        });
        state.values.len() - 1
    }

    fn log_in(&self) -> usize {
        {
            let mut state = self.state();
            (state.login, state.ended) = (state.login + 1, false);
        }
        self.value(Generation(0))
    }

    /// Tells whether two values came of one login.
    pub(super) fn is_of_one_login(&self, one: &Current, two: &Current) -> bool {
        let now = self.env.wall();
        let (one, two) = (number(one, now), number(two, now));
        let values = &self.state().values;
        values[one].login == values[two].login
    }

    /// A request with a value: whether it is accepted, and what its answer sets.
    pub(super) fn visit(
        &self,
        value: usize,
        seen: Generation,
        random: &mut Random,
    ) -> (bool, Option<String>) {
        let good = {
            let mut state = self.state();
            let known = state.values[value];
            let newest = state.values.len() - 1;
            let good = !state.ended
                && known.login == state.login
                && match self.manner {
                    Manner::Strict => value + 1 >= newest,
                    Manner::Window(time) => known.replaced.is_none_or(|at| at.elapsed() < time),
                };
            let stolen = matches!(self.manner, Manner::Strict) && known.login == state.login;
            state.ended |= stolen && !good;
            if !good && matches!(self.manner, Manner::Window(_)) && !state.has_newer(value) {
                state.ends.insert(known.login);
            }
            good
        };
        if !good {
            let deletes = random.below(3) == 0;
            return (false, deletes.then(|| "sid=; Max-Age=0; Path=/".to_owned()));
        }
        let set = (random.below(self.rotates) == 0).then(|| set_cookie(self.value(seen)));
        (true, set)
    }
}

fn set_cookie(value: usize) -> String {
    format!("sid=v{value}; Path=/; Secure")
}

impl Refresh for Site {
    fn refresh(self: Arc<Self>, spend: Spend) -> BoxFuture<'static, Outcome> {
        async move {
            if !spend.permit.take() {
                return Outcome::Failed(Failure::Unsent("it may not be sent".to_owned()));
            }
            sleep(Duration::from_millis(150)).await;
            let value = self.log_in();
            self.note(|| format!("site: a login brings v{value}"));
            sleep(Duration::from_millis(150)).await;
            let mut jar = Jar::new(Bounds::from(&Limits::default()));
            let now = self.env.wall();
            let _ = jar.store(&self.origin, "/", set_cookie(value).as_bytes(), now);
            let cookies: Vec<Cookie> = jar.iter(now).cloned().collect();
            Outcome::Renewed(Renewed {
                cookies,
                ..Renewed::default()
            })
        }
        .boxed()
    }

    fn verify(self: Arc<Self>, _: Spend) -> BoxFuture<'static, Result<(), String>> {
        async { Ok(()) }.boxed()
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
        _: auth::Request,
        _: Permit,
    ) -> BoxFuture<'static, Result<Answered, Failure>> {
        unreachable!("no client here refreshes by itself")
    }

    fn host(&self) -> Option<&Origin> {
        Some(&self.origin)
    }

    fn probe(self: Arc<Self>) -> BoxFuture<'static, bool> {
        async { true }.boxed()
    }
}
