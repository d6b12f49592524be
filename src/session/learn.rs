//! What answers teach a session: read, ordered, stored, and only then passed on.

use std::sync::Arc;

use http::{HeaderMap, header::SET_COOKIE};

use super::{
    Answer, Counters, Session,
    held::Held,
    history::name,
    lesson::{Lesson, Taught},
    write::{TRIES, contended},
};
use crate::{
    grant::Generation,
    life::Event,
    origin::Origin,
    secret::Secret,
    store::{self, Change, Committed, Cookies, Durability},
};

/// An answer that outlives its exchange.
struct Owned {
    seen: Generation,
    origin: Origin,
    path: String,
    headers: HeaderMap,
    rejected: bool,
    fields: Vec<(String, Secret)>,
}

// === impl Session ===

impl Session {
    /// Learns what an answer taught, and returns when it is stored; at once if nothing is new.
    ///
    /// Once begun, it ends even if its future is dropped. When the store fails, what was learnt is in use and saved
    /// later; the error says so.
    pub async fn learn(&self, answer: Answer<'_>) -> Result<(), store::Error> {
        let cookies =
            self.definition.recipe.cookies.enabled && answer.headers.contains_key(SET_COOKIE);
        if !cookies && answer.fields.is_empty() {
            return Ok(());
        }
        self.open().await?;
        if self.read(&answer).is_none() {
            return Ok(());
        }
        let Some(session) = self.me.upgrade() else {
            return Ok(());
        };
        let answer = Owned::from(answer);
        let learning = async move { session.learn_all(&answer.borrow()).await };
        let learning = self.shared.spawn(learning);
        learning.await.unwrap_or(Err(store::Error::Closed))
    }

    fn read(&self, answer: &Answer<'_>) -> Option<(Held, Arc<Taught>, Lesson)> {
        let (held, taught) = {
            let inner = self.inner();
            (inner.held.clone(), Arc::clone(&inner.taught))
        };
        let now = self.shared.env.wall();
        let lesson = Lesson::read(&held, &taught, &self.definition, answer, now)?;
        Some((held, taught, lesson))
    }

    async fn learn_all(&self, answer: &Answer<'_>) -> Result<(), store::Error> {
        let _writing = self.writing.lock().await;
        for _ in 0..TRIES {
            // Another answer may have taught the same while we waited for our turn.
            let Some((held, taught, lesson)) = self.read(answer) else {
                return Ok(());
            };
            let generation = if lesson.moves {
                held.generation.next()
            } else {
                held.generation
            };
            if lesson.put.is_empty() && lesson.remove.is_empty() && lesson.grant.is_none() {
                self.inner().held_back.extend(lesson.held_back);
                return Ok(());
            }
            let unsaved = self
                .inner()
                .unsaved
                .as_ref()
                .map(|unsaved| unsaved.why.clone());
            let stored = match unsaved {
                // What is saved later has this with it.
                Some(why) => Err(store::Error::Write(why.into())),
                None => {
                    let how = if lesson.new_refresh_token {
                        Durability::Synced
                    } else {
                        Durability::Written
                    };
                    let change = change(&lesson, generation);
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
                    Err(error)
                }
            };
            self.take_in(held, taught, lesson, generation, answer.seen);
            return stored;
        }
        Err(contended())
    }

    fn take_in(
        &self,
        held: Held,
        taught: Arc<Taught>,
        lesson: Lesson,
        generation: Generation,
        seen: Generation,
    ) {
        let mut taught = Arc::unwrap_or_clone(taught);
        taught.note(&lesson, seen);
        let token = match &lesson.grant {
            Some(grant) if lesson.new_refresh_token => {
                self.definition.fingerprint(&self.store, &self.id, grant)
            }
            _ => held.token.clone(),
        };
        let new = Held {
            generation,
            grant: lesson.grant.unwrap_or(held.grant),
            jar: lesson.jar,
            notes: Arc::clone(&self.inner().held.notes),
            token,
            learnt_at: if lesson.counts {
                Some(self.shared.env.wall())
            } else {
                held.learnt_at
            },
            skew: lesson.skew.unwrap_or(held.skew),
            ageless: held.ageless && !lesson.counts,
        };
        self.inner().held_back.extend(lesson.held_back);
        self.install(new, taught, Event::Changed);
        if lesson.moves {
            Counters::add(&self.counters.rotations);
            self.record(name::ROTATED, format!("generation {generation}"));
        }
    }
}

fn change(lesson: &Lesson, generation: Generation) -> Change {
    Change {
        generation,
        grant: lesson.grant.as_deref().cloned(),
        cookies: if lesson.put.is_empty() && lesson.remove.is_empty() {
            Cookies::Keep
        } else {
            Cookies::Patch {
                put: lesson.put.clone(),
                remove: lesson.remove.clone(),
            }
        },
        notes: None,
        keep_previous: lesson.new_refresh_token || lesson.ends,
    }
}

// === impl Owned ===

impl Owned {
    fn borrow(&self) -> Answer<'_> {
        Answer {
            seen: self.seen,
            origin: &self.origin,
            path: &self.path,
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
            origin,
            path,
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
            origin: origin.clone(),
            path: path.to_owned(),
            headers: kept,
            rejected,
            fields,
        }
    }
}
