//! A client of a site that rotates its cookie: its requests as the data path makes them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::SET_COOKIE};
use tokio::time::{Instant, sleep, timeout};

use super::{
    super::{super::asks, Random},
    site::Site,
};
use crate::{
    grant::Generation,
    session::{self, About, Current, Session, Verdict},
};

pub(super) struct Client {
    pub(super) process: usize,
    pub(super) session: Arc<Session>,
    pub(super) site: Arc<Site>,
    pub(super) random: Random,
    /// One answer in so many is lost, and one is slow; 0: none.
    pub(super) loses: u64,
    pub(super) slow: u64,
    pub(super) slowest: u64,
    /// What this process held when it was last looked at: of which login, and to which generation it came.
    pub(super) held: Arc<Mutex<(usize, Generation)>>,
}

// === impl Client ===

impl Client {
    pub(super) async fn run(mut self) {
        loop {
            sleep(self.random.millis(100, 3000)).await;
            let path = ["/a", "/b"][self.random.below(2) as usize];
            match timeout(Duration::from_secs(90), self.request(path)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) if self.site.is_troubled() => {
                    self.site
                        .note(|| format!("process {}: {why}", self.process));
                }
                Ok(Err(why)) => self.site.wrong(format!("process {}: {why}", self.process)),
                // It was suspended itself, and goes on just now.
                Err(_) if self.site.is_troubled() => {}
                Err(_) => self
                    .site
                    .wrong(format!("process {}: a client waits", self.process)),
            }
        }
    }

    /// One request as the data path makes it: sent again once at most.
    pub(super) async fn request(&mut self, path: &str) -> Result<(), String> {
        let session = Arc::clone(&self.session);
        let site = Arc::clone(&self.site);
        let about = asks(path);
        let Ok(turn) = session.turn().await else {
            return Err("busy".to_owned());
        };
        let current = session.current().await.map_err(|why| why.to_string())?;
        let Some(accepted) = self.send(&current).await else {
            return Ok(()); // The connection broke: nothing was learnt.
        };
        if accepted {
            session.accepted(current.generation, about);
            return Ok(());
        }
        let again = match session.reject(current.generation, about).await {
            Verdict::Again(again) => again,
            Verdict::Pass(why) => return Err(format!("a client sees a rejection: {why}")),
        };
        let Some(accepted) = self.send(&again).await else {
            return Ok(());
        };
        drop(turn);
        if accepted {
            session.accepted(again.generation, about);
            return Ok(());
        }
        session.rejected_again(current.generation, again.generation, about);
        if site.is_of_one_login(&current, &again) {
            // Another answer came meanwhile, and the site has ended what it brought: more than once nothing is sent again.
            site.note(|| "a rejection that one extra request cannot cure".to_owned());
            return Ok(());
        }
        Err("a client sees a rejection: it was sent again".to_owned())
    }

    /// Sends with what is held, and learns from the answer; `None`: it was lost.
    async fn send(&mut self, with: &Current) -> Option<bool> {
        sleep(self.random.millis(5, 200)).await;
        let site = Arc::clone(&self.site);
        let value = number(with, site.env.wall());
        let (accepted, set) = site.visit(value, with.generation, &mut self.random);
        site.note(|| {
            format!(
                "process {}: v{value} ({}): {accepted} {set:?}",
                self.process, with.generation
            )
        });
        if self.loses > 0 && self.random.below(self.loses) == 0 {
            site.trouble();
            site.note(|| "it is lost".to_owned());
            return None;
        }
        let slow = self.slow > 0 && self.random.below(self.slow) == 0;
        sleep(match slow {
            true => self.random.millis(500, self.slowest),
            false => self.random.millis(5, 200),
        })
        .await;
        let brought = set.as_deref().and_then(brought);
        let mut headers = HeaderMap::new();
        headers.extend(set.map(|set| (SET_COOKIE, set.parse().unwrap())));
        let answer = session::Answer {
            seen: with.generation,
            about: About {
                origin: &site.origin,
                ..asks("/")
            },
            headers: &headers,
            rejected: !accepted,
            fields: Vec::new(),
        };
        // What cannot be stored is used all the same.
        let _ = self.session.learn(answer).await;
        if let Some(value) = brought {
            site.state().values[value].learnt = Some(Instant::now());
        }
        self.look();
        Some(accepted)
    }

    /// An answer to an older generation never takes the place of what one to a newer brought.
    fn look(&self) {
        let Some(current) = self.session.ready() else {
            return;
        };
        let value = number(&current, self.site.env.wall());
        let mut held = self.held.lock().unwrap();
        let (now, failed) = {
            let state = self.site.state();
            let value = state.values[value];
            ((value.login, value.seen), state.failed)
        };
        if now < *held && !failed {
            self.site.wrong(format!(
                "process {}: v{value}, which came with an answer to {}, took the place of one to {}",
                self.process, now.1, held.1
            ));
        }
        *held = now;
    }
}

pub(super) fn number(current: &Current, now: SystemTime) -> usize {
    let cookie = current.jar.named("sid", now).unwrap();
    let text = std::str::from_utf8(cookie.value.expose()).unwrap();
    text.strip_prefix('v').unwrap().parse().unwrap()
}

/// Returns the number of the value that a field sets.
fn brought(set: &str) -> Option<usize> {
    let value = set.strip_prefix("sid=v")?.split(';').next()?;
    value.parse().ok()
}
