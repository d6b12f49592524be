//! Names to addresses by the system's resolver, which takes a thread for each question and as long as it likes: one
//! question for a name at a time, few at once, answers that are believed for a while, and for longer when the name
//! servers are silent.

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

/// Asks for the addresses of a name, whatever their ports.
type Resolve = fn(HostName) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

type Answer = Result<Arc<[SocketAddr]>, Error>;

/// The names that are known, and those that are asked for.
#[derive(Debug)]
pub(super) struct Names {
    resolve: Resolve,
    held: Mutex<Held>,
    questions: Arc<Semaphore>,
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
        }
    }

    /// Returns the addresses of a name, at least one. The caller bounds the time.
    pub(super) async fn find(self: &Arc<Self>, name: &HostName) -> Answer {
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
        let Some(stale) = stale else {
            return self.ask(name).await;
        };
        let patience = match waited {
            Some(waited) => PATIENCE.saturating_sub(waited),
            // All who ask wait for an answer: so would this one.
            None if self.questions.available_permits() == 0 => Duration::ZERO,
            None => PATIENCE,
        };
        let answer = timeout(patience, self.ask(name)).await;
        answer.unwrap_or(Ok(stale))
    }

    /// Has a name asked for before it is next used: nobody answered at its addresses.
    pub(super) fn doubt(&self, name: &HostName) {
        if let Some(found) = self.held().found.get_mut(name) {
            found.until = Instant::now();
        }
    }

    async fn ask(self: &Arc<Self>, name: &HostName) -> Answer {
        let begun = Instant::now();
        loop {
            let mut asked = match self.step(name).await {
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
    async fn step(self: &Arc<Self>, name: &HostName) -> Step {
        if let Some(asked) = self.held().under_way(name) {
            return Step::Wait(asked);
        }
        let turn = self.questions.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
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

    /// Asks, and keeps what comes, whoever still waits for it.
    async fn question(
        self: Arc<Self>,
        name: HostName,
        tell: watch::Sender<Option<Answer>>,
        turn: OwnedSemaphorePermit,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const ADDRESS: &str = "192.0.2.1:0";

    fn names(resolve: Resolve) -> Arc<Names> {
        Arc::new(Names::by(resolve))
    }

    fn name(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn known() -> io::Result<Vec<SocketAddr>> {
        Ok(vec![ADDRESS.parse().unwrap()])
    }

    /// A resolver as the system's: it gives up by itself, long after everybody else.
    async fn gives_up() -> io::Result<Vec<SocketAddr>> {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Err(io::Error::other("try again"))
    }

    async fn asks(names: &Arc<Names>, who: &str) -> Result<usize, Kind> {
        let limit = Duration::from_secs(10);
        match timeout(limit, names.find(&name(who))).await {
            Ok(Ok(addresses)) => Ok(addresses.len()),
            Ok(Err(error)) => Err(error.kind()),
            Err(_) => Err(Kind::DnsTimeout),
        }
    }

    #[test]
    fn families_take_turns() {
        let all = [
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "192.0.2.1:1",
            "[2001:db8::1]:1",
        ];
        let ordered = interleave(all.iter().map(|a| a.parse().unwrap()).collect());
        let expected = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"];
        assert_eq!(*ordered, expected.map(|a| a.parse().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_for_once() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let names = names(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                known()
            })
        });
        let all = (0..100).map(|_| asks(&names, "a.example"));
        let all = futures_util::future::join_all(all).await;
        assert_eq!(all, [Ok(1); 100]);
        assert_eq!(asks(&names, "a.example").await, Ok(1));
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        names.doubt(&name("a.example"));
        assert_eq!(asks(&names, "a.example").await, Ok(1));
        tokio::time::advance(FRESH).await;
        assert_eq!(asks(&names, "a.example").await, Ok(1));
        assert_eq!(ASKED.load(Ordering::Relaxed), 3);
    }

    /// What was known serves while nobody answers, but not for ever, and not when somebody says that it is gone.
    #[tokio::test(start_paused = true)]
    async fn silent_servers_take_nothing_that_was_known() {
        static STATE: AtomicUsize = AtomicUsize::new(0);
        let names = names(|_| {
            Box::pin(async {
                match STATE.load(Ordering::Relaxed) {
                    0 => known(),
                    1 => gives_up().await,
                    _ => Err(io::Error::other("no such name")),
                }
            })
        });
        let silence = |how| STATE.store(how, Ordering::Relaxed);
        assert_eq!(asks(&names, "a.example").await, Ok(1));
        silence(1);
        for pause in [0, 31, 1, 25, 60, 3000] {
            tokio::time::advance(Duration::from_secs(pause)).await;
            let begun = Instant::now();
            assert_eq!(asks(&names, "a.example").await, Ok(1), "after {pause} s");
            assert!(begun.elapsed() <= PATIENCE, "after {pause} s");
        }
        assert_eq!(asks(&names, "b.example").await, Err(Kind::DnsTimeout));
        tokio::time::advance(STALE).await;
        assert_eq!(asks(&names, "a.example").await, Err(Kind::DnsTimeout));
        silence(0);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(asks(&names, "a.example").await, Ok(1));
        silence(2);
        tokio::time::advance(FRESH).await;
        assert_eq!(asks(&names, "a.example").await, Err(Kind::Dns));
    }

    /// A question that broke off is asked again by whoever comes next.
    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_panics_takes_one_question_along() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let names = names(|_| match ASKED.fetch_add(1, Ordering::Relaxed) {
            0 => Box::pin(async { panic!("on purpose") }),
            _ => Box::pin(async { known() }),
        });
        assert_eq!(asks(&names, "a.example").await, Err(Kind::Dns));
        assert_eq!(asks(&names, "a.example").await, Ok(1));
    }

    /// Who came while an older question was under way is not told its failure: the servers may be back.
    #[tokio::test(start_paused = true)]
    async fn few_wait_and_all_come_back() {
        static BACK: AtomicUsize = AtomicUsize::new(0);
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let names = names(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                match BACK.load(Ordering::Relaxed) {
                    0 => gives_up().await,
                    _ => known(),
                }
            })
        });
        let hosts: Vec<_> = (0..1000).map(|n| format!("h{n}.example")).collect();
        let all = hosts.iter().map(|host| asks(&names, host));
        let all = futures_util::future::join_all(all).await;
        assert!(all.iter().all(|one| *one == Err(Kind::DnsTimeout)));
        assert_eq!(ASKED.load(Ordering::Relaxed), QUESTIONS);
        // One more second, and the first questions are given up.
        tokio::time::advance(Duration::from_secs(9)).await;
        BACK.store(1, Ordering::Relaxed);
        let all = hosts.iter().map(|host| asks(&names, host));
        let all = futures_util::future::join_all(all).await;
        assert_eq!(all, [Ok(1); 1000]);
        assert!(names.held().asked.is_empty());
    }
}
