//! Heartbeats: requests of our own that show whether the credential is still good, and keep sessions alive at sites
//! that end them when nobody comes.

use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use http::Method;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    About, Answer, Session,
    refresh::{Permit, Pulse, Spend},
};
use crate::{
    life::{Cause, State},
    rule::Heartbeat,
};

/// Beats until the session or all of them end.
pub(super) fn beat(
    session: Weak<Session>,
    number: usize,
    stop: CancellationToken,
) -> BoxFuture<'static, ()> {
    let beating = async move {
        let first = session
            .upgrade()
            .map(|session| session.spread(&session.definition.recipe.heartbeats[number]));
        let mut next = first;
        while let Some(wait) = next {
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
            let Some(session) = session.upgrade() else {
                return;
            };
            next = stop.run_until_cancelled(session.beat(number)).await;
        }
    };
    beating.boxed()
}

// === impl Session ===

impl Session {
    /// Notes an accepted request: it shows what a heartbeat to its origin would.
    pub(super) fn note_pulse(&self, about: About<'_>) {
        let beats = self.definition.recipe.heartbeats.iter();
        for (heartbeat, felt_at) in beats.zip(&*self.felt_at) {
            if heartbeat.url.origin == *about.origin {
                felt_at.store(self.millis_up(), Ordering::Relaxed);
            }
        }
    }

    /// Up to a tenth earlier, so that sessions and processes do not beat in step.
    fn spread(&self, heartbeat: &Heartbeat) -> Duration {
        let tenth = (heartbeat.every / 10).as_millis() as u64;
        heartbeat.every - Duration::from_millis(self.shared.env.random() % (tenth + 1))
    }

    fn millis_up(&self) -> u64 {
        self.shared.uptime().as_millis() as u64
    }

    /// Asks, unless real traffic has shown the same, and returns how long until the next time.
    async fn beat(&self, number: usize) -> Duration {
        let heartbeat = &self.definition.recipe.heartbeats[number];
        let every = self.spread(heartbeat);
        let felt_at = self.felt_at[number].load(Ordering::Relaxed);
        let since = Duration::from_millis(self.millis_up().saturating_sub(felt_at));
        if felt_at > 0 && since < every {
            return every - since;
        }
        if self.is_alive() {
            self.feel(heartbeat, number).await;
        }
        every
    }

    /// Tells whether a heartbeat can say anything: nothing is asked for a session that is dead, or that nobody uses.
    fn is_alive(&self) -> bool {
        let idle = self.definition.rules.idle.is_some_and(|idle| {
            let since = |at| self.shared.env.wall().duration_since(at).ok();
            self.used_at()
                .is_none_or(|at| since(at).is_some_and(|since| since > idle))
        });
        !idle && matches!(self.inner().life.state, State::Fresh(_))
    }

    async fn feel(&self, heartbeat: &Heartbeat, number: usize) {
        let Ok(turn) = self.wait_for_turn().await else {
            return;
        };
        if self.pace().await.is_err() {
            return;
        }
        // Not `ready`: that would count as somebody's use.
        let Some(current) = self.current.load_full() else {
            return;
        };
        let with = Spend {
            grant: current.grant.clone(),
            jar: current.jar.clone(),
            cause: Cause::Background,
            permit: Permit::default(),
        };
        let asked = self.refresh.clone().beat(number, with);
        let (answered, pulse) = match timeout(self.shared.limits.heartbeat, asked).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(failure)) => {
                let why = failure.to_string();
                return tracing::debug!(session = %self.id, why, "a heartbeat was not answered");
            }
            Err(_) => {
                return tracing::debug!(session = %self.id, "a heartbeat was not answered in time");
            }
        };
        let url = &heartbeat.url;
        let about = About {
            method: &Method::GET,
            origin: &url.origin,
            path: &url.path,
            client: None,
        };
        let learnt = self.learn(Answer {
            seen: current.generation,
            about,
            headers: &answered.headers,
            rejected: pulse == Pulse::Bad,
            fields: Vec::new(),
        });
        if let Err(error) = learnt.await {
            tracing::warn!(session = %self.id, %error, "what a heartbeat brought was not stored");
        }
        drop(turn);
        let status = answered.status.as_u16();
        tracing::info!(session = %self.id, status, ?pulse, "heartbeat, a request of our own");
        match pulse {
            Pulse::Good => self.vindicate(current.generation, about),
            Pulse::Bad => {
                self.reject(current.generation, about).await;
            }
            Pulse::Unknown => {}
        }
    }
}
