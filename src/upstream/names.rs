//! Names to addresses by the system's resolver, which takes a thread for each question and as long as it likes: one
//! question for a name at a time, few at once, answers that are believed for a while, and for longer when the name
//! servers are silent.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};

use super::error::{Error, Kind};
use crate::origin::HostName;

/// How long addresses are believed. Pooling makes lookups rare; this spares them when connections are short.
const FRESH: Duration = Duration::from_secs(30);

/// How long they still serve when no newer ones come (RFC 8767 §5).
const STALE: Duration = Duration::from_secs(3600);

/// After which time name servers are silent: what is stale serves then, and a failure is not theirs (RFC 8767 §5).
const PATIENCE: Duration = Duration::from_millis(1800);

/// Names kept; when there are more, all are asked for again.
const NAMES: usize = 4096;

/// Questions at once. Each has a thread of those that the store needs too, until the resolver gives up.
const QUESTIONS: usize = 64;

/// Of these for one client among several: names that nobody answers for hold up whoever asks for them, and no other client.
const SHARE: usize = 16;

/// Asks for the addresses of a name, whatever their ports.
type Resolve = fn(HostName) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

type Answer = Result<Arc<[SocketAddr]>, Error>;

/// The names that are known, and those that are asked for.
#[derive(Debug)]
pub(super) struct Names {
    resolve: Resolve,
    held: Mutex<Held>,
    questions: Arc<Semaphore>,
    /// The part of each client, by name: as many as the configuration has.
    shares: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// The right to ask: one of a client's questions, and one of all.
#[derive(Debug)]
struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Held {
    found: HashMap<HostName, Found>,
    asked: HashMap<HostName, Asked>,
}

/// The addresses of a name.
#[derive(Debug)]
struct Found {
    addresses: Arc<[SocketAddr]>,
    /// When they came.
    at: Instant,
    /// Until when nobody is asked again.
    until: Instant,
}

/// A question under way.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// What asking comes to.
enum Step {
    Known(Arc<[SocketAddr]>),
    Wait(Asked),
}

// === impl Names ===

impl Names {
    pub(super) fn new() -> Self {
        Self::by(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                Ok(found.collect())
            })
        })
    }

    fn by(resolve: Resolve) -> Self {
        Self {
            resolve,
            held: Mutex::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            shares: Mutex::default(),
        }
    }

    /// Returns the addresses of a name, at least one. The caller bounds the time.
    pub(super) async fn find(
        self: &Arc<Self>,
        client: Option<&Arc<str>>,
        name: &HostName,
    ) -> Answer {
        let (stale, waited) = {
            let held = self.held();
            let stale = match held.found.get(name) {
                Some(found) if Instant::now() < found.until => return Ok(found.addresses.clone()),
                Some(found) if found.at.elapsed() < STALE => Some(found.addresses.clone()),
                _ => None,
            };
            let waited = held.asked.get(name).map(|asked| asked.at.elapsed());
            (stale, waited)
        };
        let share = client.map(|client| self.share(client));
        let Some(stale) = stale else {
            return self.ask(share, name).await;
        };
        let all_ask = self.questions.available_permits() == 0;
        let full = all_ask || share.as_ref().is_some_and(|s| s.available_permits() == 0);
        let patience = match waited {
            Some(waited) => PATIENCE.saturating_sub(waited),
            // All who ask wait for an answer: so would this one.
            None if full => Duration::ZERO,
            None => PATIENCE,
        };
        let answer = timeout(patience, self.ask(share, name)).await;
        answer.unwrap_or(Ok(stale))
    }

    /// Has a name asked for before it is next used: nobody answered at its addresses.
    pub(super) fn doubt(&self, name: &HostName) {
        if let Some(found) = self.held().found.get_mut(name) {
            found.until = Instant::now();
        }
    }

    fn share(&self, client: &Arc<str>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().expect("no panic while shares are held");
        let share = shares.entry(client.clone());
        share
            .or_insert_with(|| Arc::new(Semaphore::new(SHARE)))
            .clone()
    }

    async fn ask(self: &Arc<Self>, share: Option<Arc<Semaphore>>, name: &HostName) -> Answer {
        let begun = Instant::now();
        loop {
            let mut asked = match self.step(share.clone(), name).await {
                Step::Known(addresses) => return Ok(addresses),
                Step::Wait(asked) => asked,
            };
            let answer = match asked.answer.wait_for(Option::is_some).await {
                Ok(answer) => answer.clone(),
                Err(_) => None,
            };
            match answer.unwrap_or_else(|| Err(Error::unsent(Kind::Dns))) {
                // Somebody had asked before: the name servers may be back since.
                Err(_) if asked.at < begun => {}
                answer => return answer,
            }
        }
    }

    /// Joins the question for a name, or asks it when it is its turn. Who waits for the turn and goes away leaves
    /// nothing behind.
    async fn step(self: &Arc<Self>, share: Option<Arc<Semaphore>>, name: &HostName) -> Step {
        if let Some(asked) = self.held().under_way(name) {
            return Step::Wait(asked);
        }
        let turn = self.turn(share).await;
        let mut held = self.held();
        if let Some(found) = held.found.get(name)
            && Instant::now() < found.until
        {
            return Step::Known(found.addresses.clone());
        }
        if let Some(asked) = held.under_way(name) {
            return Step::Wait(asked);
        }
        let (tell, answer) = watch::channel(None);
        let asked = Asked {
            at: Instant::now(),
            answer,
        };
        held.asked.insert(name.clone(), asked.clone());
        tokio::spawn(self.clone().question(name.clone(), tell, turn));
        Step::Wait(asked)
    }

    async fn turn(&self, share: Option<Arc<Semaphore>>) -> Turn {
        const OPEN: &str = "the semaphore is never closed";
        let own = match share {
            Some(share) => Some(share.acquire_owned().await.expect(OPEN)),
            None => None,
        };
        let of_all = self.questions.clone().acquire_owned().await;
        Turn {
            _own: own,
            _of_all: of_all.expect(OPEN),
        }
    }

    /// Asks, and keeps what comes, whoever still waits for it.
    async fn question(
        self: Arc<Self>,
        name: HostName,
        tell: watch::Sender<Option<Answer>>,
        turn: Turn,
    ) {
        let begun = Instant::now();
        let found = (self.resolve)(name.clone()).await;
        drop(turn);
        let silent = begun.elapsed() >= PATIENCE;
        let answer = match found {
            Ok(addresses) if !addresses.is_empty() => Ok(interleave(addresses)),
            Ok(_) => Err(Error::unsent(Kind::Dns)),
            Err(error) if silent => Err(Error::unsent(Kind::DnsTimeout).because(error)),
            Err(error) => Err(Error::unsent(Kind::Dns).because(error)),
        };
        self.held().settle(&name, &answer, silent);
        tell.send_replace(Some(answer));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no panic while names are held")
    }
}

// === impl Held ===

impl Held {
    /// Returns the question for a name, unless it broke off without an answer.
    fn under_way(&self, name: &HostName) -> Option<Asked> {
        let asked = self.asked.get(name)?;
        asked.answer.has_changed().is_ok().then(|| asked.clone())
    }

    fn settle(&mut self, name: &HostName, answer: &Answer, silent: bool) {
        let now = Instant::now();
        self.asked.remove(name);
        match answer {
            Ok(addresses) => {
                if self.found.len() >= NAMES {
                    self.found.retain(|_, found| now < found.until);
                }
                if self.found.len() >= NAMES {
                    self.found.clear();
                }
                let found = Found {
                    addresses: addresses.clone(),
                    at: now,
                    until: now + FRESH,
                };
                self.found.insert(name.clone(), found);
            }
            // What is stale serves on, and not everybody waits to see that nobody answers (RFC 8767 §5).
            Err(_) => match self.found.get_mut(name) {
                Some(found) if silent && found.at.elapsed() < STALE => found.until = now + FRESH,
                _ => drop(self.found.remove(name)),
            },
        }
    }
}

/// Orders addresses by turns of family, the resolver's first choice first (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let first_is_v6 = seen.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let longest = first.len().max(second.len());
    (0..longest)
        .flat_map(|n| [first.get(n), second.get(n)])
        .flatten()
        .copied()
        .collect()
}
