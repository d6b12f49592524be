//! What goes through the store: single flights of reading, notes, taking up what another process has stored, and
//! saving later what could not be saved at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Session,
    held::Held,
    lesson::Taught,
    runner::{Unnoted, Unsaved},
};
use crate::{
    life::{Doubt, Event, Reason},
    store::{Attempt, Change, Committed, Cookies, Durability, Error, Notes, Stored},
};

/// How often a change is based anew on what others have stored before it is given up. A process that is slower than the
/// others loses most of its turns: with eight of them an answer was lost under load.
pub(super) const TRIES: usize = 64;

/// How a refresh that succeeded is noted.
pub(super) const OK: &str = "ok";

/// The waits before a save that failed is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(1);
const SAVE_AGAIN_MAX: Duration = Duration::from_secs(5);

/// Joins those who want the store read at the same time.
#[derive(Debug, Default)]
pub(super) struct Reads {
    asked: AtomicU64,
    /// Who asked up to here has been served.
    served: tokio::sync::Mutex<u64>,
}

// === impl Session ===

impl Session {
    /// Reads the store again, together with whoever asks while another reading is about to begin.
    pub(super) async fn read_again(&self) -> Result<(), Error> {
        let ticket = self.reads.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut served = self.reads.served.lock().await;
        if *served >= ticket {
            return Ok(());
        }
        let all = self.reads.asked.load(Ordering::Acquire);
        self.take_up(false).await?;
        *served = all;
        Ok(())
    }

    /// Takes up what another process has stored; with `all` also what did not move the generation.
    pub(super) async fn take_up(&self, all: bool) -> Result<(), Error> {
        let Some(stored) = self.store.load(&self.id).await? else {
            return Ok(());
        };
        if stored.generation <= self.generation() && !all {
            return Ok(());
        }
        let _writing = self.writing.lock().await;
        // What was read may have been written over while we waited for our turn.
        if let Some(stored) = self.store.load(&self.id).await? {
            self.adopt(stored);
        }
        Ok(())
    }

    /// Takes what is stored for what is held. The caller holds `writing`.
    pub(super) fn adopt(&self, stored: Stored) {
        let effects = {
            let mut inner = self.inner();
            if stored.generation < inner.held.generation || inner.unsaved.is_some() {
                return;
            }
            let refreshed = stored.grant.obtained_at != inner.held.grant.obtained_at;
            let moved = stored.generation > inner.held.generation;
            let mut held = Held {
                skew: inner.held.skew,
                learnt_at: inner.held.learnt_at.filter(|_| !moved),
                ..Held::of(stored, &self.definition, &self.store, &self.id)
            };
            let is_newest = |ours: &Unnoted| ours.calls >= held.notes.calls;
            inner.unnoted = inner.unnoted.take().filter(is_newest);
            if let Some(ours) = &inner.unnoted
                && held.token == inner.held.token
            {
                Arc::make_mut(&mut held.notes).last_refresh = Some(ours.ended.clone());
            }
            let taught = if refreshed {
                Arc::new(Taught::anew(held.generation))
            } else if moved {
                let mut taught = Taught::clone(&inner.taught);
                let before = &inner.held.jar;
                taught.note_others(before, &held.jar, held.generation, self.shared.env.wall());
                Arc::new(taught)
            } else {
                Arc::clone(&inner.taught)
            };
            if moved {
                inner.held_back.clear();
            }
            let notes = Arc::clone(&held.notes);
            let doubt = doubt(&notes, held.token.as_deref());
            self.put(&mut inner, held, taught, |held| Event::Stored {
                held,
                doubt,
                ended: notes.needs_login.as_deref().map(Reason::stored),
                vain: notes.vain,
            })
        };
        self.perform(effects);
    }

    /// Changes the notes of the session, and nothing else. The caller holds the lease, so that no other process
    /// writes its own over them.
    pub(super) async fn note(
        &self,
        how: Durability,
        edit: impl Fn(&mut Notes),
    ) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        for _ in 0..TRIES {
            let held = self.inner().held.clone();
            let stored = self.store.load(&self.id).await?.unwrap_or_default();
            if stored.generation != held.generation {
                if stored.generation < held.generation {
                    // What is held is not saved yet; its notes go with it.
                    edit(Arc::make_mut(&mut self.inner().held.notes));
                    return Ok(());
                }
                self.adopt(stored);
                continue;
            }
            let mut notes = stored.notes;
            let before = notes.clone();
            edit(&mut notes);
            if notes == before {
                return Ok(());
            }
            let change = Change {
                generation: held.generation,
                notes: Some(notes.clone()),
                ..Change::default()
            };
            match self
                .store
                .commit(&self.id, held.generation, change, how)
                .await?
            {
                Committed::Done => {
                    self.inner().held.notes = Arc::new(notes);
                    return Ok(());
                }
                Committed::Conflict(stored) => self.adopt(*stored),
            }
        }
        Err(contended())
    }

    /// Writes what the life remembers, when the lease is free.
    pub(super) fn settle_later(&self) {
        let Some(session) = self.me.upgrade() else {
            return;
        };
        self.shared.spawn(async move {
            let lease = session.leased().await;
            let settled = match &lease {
                Ok(_) => session.settle().await,
                Err(_) => return,
            };
            if let Err(error) = settled {
                tracing::warn!(session = %session.id, %error, "the session's notes were not stored");
            }
        });
    }

    /// Writes what the life remembers. The caller holds the lease.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        let (doubt, ended, vain, unnoted, token, generation) = {
            let inner = self.inner();
            (
                inner.life.doubt(),
                inner.life.ended().map(ToString::to_string),
                inner.life.vain(),
                inner.unnoted.clone(),
                inner.held.token.clone(),
                inner.held.generation,
            )
        };
        let attempt = doubt.zip(token).map(|(doubt, token)| Attempt {
            token,
            generation,
            started: doubt.since(),
            call: 0,
        });
        let how = if ended.is_some() || attempt.is_some() {
            Durability::Synced
        } else {
            Durability::Written
        };
        self.note(how, |notes| {
            let same = |a: &Attempt, b: &Attempt| (&a.token, a.started) == (&b.token, b.started);
            let known = notes.attempt.as_ref().zip(attempt.as_ref());
            if !known.is_some_and(|(a, b)| same(a, b)) {
                // Whenever that was: which call was the first to send the token stays known.
                let first = known.filter(|(a, b)| a.token == b.token);
                let call = first.map_or(0, |(a, _)| a.call);
                notes.attempt = attempt.clone().map(|attempt| Attempt { call, ..attempt });
            }
            notes.needs_login.clone_from(&ended);
            notes.vain = vain;
            if let Some(ours) = &unnoted {
                notes.last_refresh = Some(ours.ended.clone());
            }
        })
        .await?;
        let mut inner = self.inner();
        if inner.unnoted == unnoted {
            inner.unnoted = None;
        }
        Ok(())
    }

    /// Notes that what is held is newer than what is stored, and saves it when that is possible again.
    ///
    /// `base` is what the store was last seen with.
    pub(super) fn save_later(&self, base: &Held, error: &Error) {
        let why = error.with_causes();
        tracing::error!(session = %self.id, error = why, "the session's newest credential is in memory only");
        {
            let mut inner = self.inner();
            if let Some(unsaved) = &mut inner.unsaved {
                unsaved.why = why;
                return; // The task that saves is on its way.
            }
            inner.unsaved = Some(Unsaved {
                stored: base.generation,
                token: base.token.clone(),
                why,
                lease: None,
            });
        }
        let Some(session) = self.me.upgrade() else {
            return;
        };
        self.shared.spawn(async move {
            let mut wait = SAVE_AGAIN;
            loop {
                tokio::time::sleep(wait).await;
                match session.save().await {
                    Ok(()) => return tracing::info!(session = %session.id, "the session's newest credential is stored"),
                    Err(_) => wait = (wait * 2).min(SAVE_AGAIN_MAX),
                }
            }
        });
    }

    /// Writes all that is held, if it is not stored.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        for _ in 0..TRIES {
            let (held, unsaved) = {
                let inner = self.inner();
                (inner.held.clone(), inner.unsaved.clone())
            };
            let Some(unsaved) = unsaved else {
                return Ok(());
            };
            let now = self.shared.env.wall();
            let cookies = held.jar.iter(now).cloned().collect();
            let change = Change {
                generation: held.generation,
                grant: Some((*held.grant).clone()),
                cookies: if unsaved.stored.next() == held.generation {
                    Cookies::Replace(cookies)
                } else {
                    // Another process has learnt something meanwhile; what of it is not ours stays.
                    Cookies::Patch {
                        put: cookies,
                        remove: Vec::new(),
                    }
                },
                notes: Some((*held.notes).clone()),
                keep_previous: true,
            };
            let committed = self
                .store
                .commit(&self.id, unsaved.stored, change, Durability::Synced)
                .await?;
            match committed {
                Committed::Done => {
                    self.inner().unsaved = None;
                    return Ok(());
                }
                Committed::Conflict(stored) => self.saves_over(*stored, held, &unsaved),
            }
        }
        Err(contended())
    }

    /// Decides between what is held and not saved, and what another process has stored since.
    fn saves_over(&self, stored: Stored, held: Held, unsaved: &Unsaved) {
        let theirs = Held::of(stored.clone(), &self.definition, &self.store, &self.id);
        let came_of = held.notes.came_of.as_ref();
        let is_later =
            came_of.is_some_and(|ours| theirs.gives_way_to(ours.call, Some(&ours.spent)));
        let theirs = theirs.token;
        if theirs != unsaved.token && !is_later
            || theirs.is_none() && stored.generation >= held.generation
        {
            // It has a newer token than the one that ours came of.
            self.inner().unsaved = None;
            return self.adopt(stored);
        }
        let effects = {
            let mut inner = self.inner();
            inner.unsaved = Some(Unsaved {
                stored: stored.generation,
                ..unsaved.clone()
            });
            let held = Held {
                generation: held.generation.max(stored.generation.next()),
                ..held
            };
            let taught = Arc::clone(&inner.taught);
            self.put(&mut inner, held, taught, Event::Changed)
        };
        self.perform(effects);
    }
}

/// Returns what a journal says of the refresh token that is held.
pub(super) fn doubt(notes: &Notes, token: Option<&str>) -> Option<Doubt> {
    let attempt = notes.attempt.as_ref()?;
    // What came right before the token's first use is the success that brought it.
    let ended = notes.last_refresh.as_ref();
    let ended = ended.is_some_and(|(_, result, _)| result != OK);
    (Some(attempt.token.as_str()) == token).then(|| Doubt::journalled(attempt.started, ended))
}

pub(super) fn contended() -> Error {
    Error::Write("other processes write to it all the time".into())
}
