//! What answers teach a session: read, ordered, stored, and only then passed on.

use std::sync::{Arc, MutexGuard, PoisonError};

use http::{HeaderMap, Method, header::SET_COOKIE};
use tokio::sync::oneshot;

use super::{
    About, Answer, Counters, Session,
    held::Held,
    history::name,
    lesson::{Lesson, Taught},
    lessons::Lessons,
    write::{TRIES, contended},
};
use crate::{
    grant::Generation,
    life::Event,
    origin::Origin,
    secret::Secret,
    store::{self, Committed},
};

/// Answers that are stored together at most.
const TOGETHER: usize = 256;

/// An answer that waits for its turn to teach, and who waits for that.
#[derive(Debug)]
pub(super) struct Untaught {
    answer: Owned,
    told: oneshot::Sender<Result<(), Arc<store::Error>>>,
}

/// An answer that outlives its exchange.
#[derive(Debug)]
struct Owned {
    seen: Generation,
    method: Method,
    origin: Origin,
    path: String,
    client: Option<Arc<str>>,
    headers: HeaderMap,
    rejected: bool,
    fields: Vec<(String, Secret)>,
}

// === impl Session ===

impl Session {
    /// Learns what an answer taught, and returns when it is stored; at once if nothing is new.
    ///
    /// Once begun, it ends even if its future is dropped. Answers that come while another is being stored are stored
    /// together. When the store fails, what was learnt is in use and saved later; the error says so.
    pub async fn learn(&self, answer: Answer<'_>) -> Result<(), Arc<store::Error>> {
        let cookies =
            self.definition.recipe.cookies.enabled && answer.headers.contains_key(SET_COOKIE);
        if !cookies && answer.fields.is_empty() {
            return Ok(());
        }
        self.open().await?;
        let (held, taught) = self.known();
        let now = self.shared.env.wall();
        if Lesson::read(&held, &taught, &self.definition, &answer, now).is_none() {
            return Ok(());
        }
        let Some(session) = self.me.upgrade() else {
            return Ok(());
        };
        let (told, outcome) = oneshot::channel();
        let answer = Owned::from(answer);
        self.untaught().push(Untaught { answer, told });
        self.shared
            .spawn(async move { session.learn_together().await });
        outcome
            .await
            .unwrap_or_else(|_| Err(Arc::new(store::Error::Closed)))
    }

    fn known(&self) -> (Held, Arc<Taught>) {
        let inner = self.inner();
        (inner.held.clone(), Arc::clone(&inner.taught))
    }

    pub(super) fn untaught(&self) -> MutexGuard<'_, Vec<Untaught>> {
        let untaught = self.untaught.lock();
        untaught.unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what all the answers teach that have come until it is our turn: nothing if another turn had ours in it.
    async fn learn_together(&self) {
        let _writing = self.writing.lock().await;
        let mut untaught = {
            let mut waiting = self.untaught();
            let n = waiting.len().min(TOGETHER);
            waiting.drain(..n).collect::<Vec<_>>()
        };
        while !untaught.is_empty() {
            let (learnt, outcome) = self.learn_some(&untaught).await;
            for Untaught { told, .. } in untaught.drain(..learnt) {
                // Who asked may be gone.
                told.send(outcome.clone()).ok();
            }
        }
    }

    /// Learns what the first answers teach, as many as one change can hold, and returns how many those are.
    pub(super) async fn learn_some(
        &self,
        untaught: &[Untaught],
    ) -> (usize, Result<(), Arc<store::Error>>) {
        for _ in 0..TRIES {
            let (held, taught) = self.known();
            let now = self.shared.env.wall();
            let mut lessons = Lessons::new(held.clone(), taught);
            let learnt = untaught.iter().take_while(|Untaught { answer, .. }| {
                lessons.add(&self.definition, &answer.borrow(), now, |grant| {
                    self.definition.fingerprint(&self.store, &self.id, grant)
                })
            });
            let learnt = learnt.count();
            if lessons.is_empty() {
                self.inner().held_back.extend(lessons.held_back);
                return (learnt, Ok(()));
            }
            let unsaved = self.inner().unsaved.as_ref().map(|u| u.why.clone());
            let stored = match unsaved {
                // What is saved later has this with it.
                Some(why) => Err(store::Error::Write(why.into())),
                None => {
                    let (change, how) = (lessons.change(), lessons.durability());
                    self.store
                        .commit(&self.id, held.generation, change, how)
                        .await
                }
            };
            let stored = match stored {
                Ok(Committed::Conflict(stored)) => {
                    self.adopt(*stored);
                    continue;
                }
                Ok(Committed::Done) => Ok(()),
                Err(error) => {
                    self.save_later(&held, &error);
                    Err(Arc::new(error))
                }
            };
            self.take_in(lessons);
            return (learnt, stored);
        }
        (untaught.len(), Err(Arc::new(contended())))
    }

    fn take_in(&self, lessons: Lessons) {
        let Lessons {
            held,
            taught,
            rotated,
            held_back,
            ..
        } = lessons;
        let notes = {
            let mut inner = self.inner();
            inner.held_back.extend(held_back);
            Arc::clone(&inner.held.notes)
        };
        self.install(Held { notes, ..held }, taught, Event::Changed);
        for (generation, by) in rotated {
            Counters::add(&self.counters.rotations);
            self.record_of(name::ROTATED, format!("generation {generation}"), by);
        }
    }
}

// === impl Owned ===

impl Owned {
    fn borrow(&self) -> Answer<'_> {
        Answer {
            seen: self.seen,
            about: About {
                method: &self.method,
                origin: &self.origin,
                path: &self.path,
                client: self.client.as_ref(),
            },
            headers: &self.headers,
            rejected: self.rejected,
            fields: self.fields.clone(),
        }
    }
}

impl From<Answer<'_>> for Owned {
    fn from(answer: Answer<'_>) -> Self {
        let Answer {
            seen,
            about,
            headers,
            rejected,
            fields,
        } = answer;
        // Only what is read: an answer's other fields are not kept.
        let mut kept = HeaderMap::new();
        for name in [SET_COOKIE, http::header::DATE] {
            for value in headers.get_all(&name) {
                kept.append(name.clone(), value.clone());
            }
        }
        Self {
            seen,
            method: about.method.clone(),
            origin: about.origin.clone(),
            path: about.path.to_owned(),
            client: about.client.cloned(),
            headers: kept,
            rejected,
            fields,
        }
    }
}
