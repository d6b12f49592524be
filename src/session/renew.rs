//! Stores what a refresh brought, on top of whatever was learnt meanwhile, and publishes it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Counters, Session,
    held::{ACCESS_TOKEN, Held, REFRESH_TOKEN},
    history::name,
    lesson::{Taught, usable_fields},
    refresh::{Call, Renewed},
    relay::kept,
    write::{OK, TRIES, contended},
};
use crate::{
    grant::{Generation, Grant},
    jar::{Cookie, Jar, Key, Stored as Kept},
    life::{Attempt, Cause, State, cooldown::Note},
    rule::{RefreshKind, jwt},
    store::{self, CameOf, Change, Committed, Cookies, Durability, Notes, Witness},
};

/// Whether what was obtained has become the session's credential.
#[derive(Debug)]
pub(super) enum Stored {
    /// It is in use (and stored, or saved later).
    InUse(Held, Arc<Taught>),
    /// Another process has a newer one; that was taken up.
    Superseded,
}

/// What a refresh makes of what is held.
pub(super) struct Merged {
    pub(super) grant: Grant,
    pub(super) jar: Jar,
    put: Vec<Cookie>,
    remove: Vec<Key>,
    changed: bool,
}

// === impl Session ===

impl Session {
    /// Stores a new credential. The caller publishes it with [`Session::install`].
    ///
    /// It is written if the store still has the refresh token that was spent, or what an earlier call with the same has
    /// brought: then nobody else can have a newer one. If nothing was spent, no token tells that: whoever has lost the right meanwhile takes nothing's place.
    pub(super) async fn store_renewed(
        &self,
        renewed: &Renewed,
        attempt: &Attempt,
        took: Duration,
        right: &Witness,
    ) -> Result<Stored, store::Error> {
        let now = self.shared.env.wall();
        let Call { number, spent } = &renewed.of;
        for _ in 0..TRIES {
            let (held, cause, cooling) = {
                let inner = self.inner();
                let cause = match &inner.life.state {
                    State::Refreshing { attempt, .. } => attempt.cause,
                    _ => attempt.cause,
                };
                (inner.held.clone(), cause, inner.life.cooling(self.now()))
            };
            let has_no_right = attempt.spends.is_none() && !right.is_held();
            if !held.gives_way_to(*number, spent.as_deref())
                || has_no_right && self.overtaken(attempt).is_some()
            {
                return Ok(Stored::Superseded);
            }
            let merged = self.merge(&held, renewed, attempt.generation, now);
            let generation = if merged.changed {
                held.generation.next()
            } else {
                held.generation
            };
            let token = self
                .definition
                .fingerprint(&self.store, &self.id, &merged.grant);
            let notes = Notes {
                attempt: None,
                calls: held.notes.calls.max(*number),
                came_of: spent
                    .clone()
                    .zip(token.clone())
                    .map(|(spent, brought)| CameOf {
                        call: *number,
                        spent,
                        brought,
                    }),
                needs_login: None,
                vain: if cause == Cause::Rejected {
                    Some(Note {
                        at: now,
                        generation: held.generation.next(),
                        shown: cooling,
                    })
                } else {
                    held.notes.vain
                },
                last_refresh: Some((now, OK.to_owned(), took.as_millis() as u64)),
                ..(*held.notes).clone()
            };
            let Merged {
                grant,
                jar,
                put,
                remove,
                changed,
            } = merged;
            let change = Change {
                generation,
                grant: Some(grant.clone()),
                cookies: Cookies::Patch { put, remove },
                notes: Some(notes.clone()),
                keep_previous: changed,
            };
            let unsaved = self.inner().unsaved.is_some();
            let committed = if unsaved {
                // What is saved later has this with it.
                Ok(Committed::Done)
            } else {
                self.store
                    .commit(&self.id, held.generation, change, Durability::Synced)
                    .await
            };
            match committed {
                Ok(Committed::Done) => {}
                Ok(Committed::Conflict(stored)) => {
                    self.adopt(*stored);
                    continue;
                }
                Err(error) => self.save_later(&held, &error),
            }
            let mut new = Held {
                generation,
                grant: Arc::new(grant),
                jar: Arc::new(jar),
                notes: Arc::new(notes),
                token,
                learnt_at: None,
                skew: renewed.skew.unwrap_or(held.skew),
                ageless: false,
            };
            // Dead on arrival by our clock: then it is the clock that is wrong, or the server's figure.
            new.ageless = new.view(&self.definition, now).holding.expired(now);
            let mut inner = self.inner();
            inner.unnoted = None;
            let taught = if changed {
                Arc::new(Taught::anew(generation))
            } else {
                Arc::clone(&inner.taught)
            };
            return Ok(Stored::InUse(new, taught));
        }
        Err(contended())
    }

    pub(super) fn merge(
        &self,
        held: &Held,
        renewed: &Renewed,
        spent: Generation,
        now: SystemTime,
    ) -> Merged {
        let mut grant = Grant::clone(&held.grant);
        let mut changed = false;
        for (name, value) in usable_fields(renewed.fields.clone()) {
            // How it was said is no change of the credential.
            changed |= name != kept::ANSWER && grant.field(&name) != Some(&value);
            grant.fields.insert(name, value);
        }
        let names = |field| renewed.fields.iter().any(|(name, _)| name == field);
        if names(ACCESS_TOKEN) || renewed.expires_at.is_some() {
            let skew = renewed.skew.unwrap_or(held.skew);
            let ours = Held {
                skew,
                ..held.clone()
            };
            let within = || {
                let token = grant.field(ACCESS_TOKEN)?;
                ours.on_our_clock(jwt::times(token.expose()).expires?)
            };
            grant.expires_at = renewed.expires_at.or_else(within);
        }
        if let Some(token) = &held.token
            && grant.field(REFRESH_TOKEN) != held.grant.field(REFRESH_TOKEN)
            && self.definition.clients_refresh()
        {
            kept::spend(&mut grant, token);
        }
        grant.obtained_at = Some(now);
        let mut merged = Merged {
            grant,
            jar: Jar::clone(&held.jar),
            put: Vec::new(),
            remove: Vec::new(),
            changed,
        };
        // A touch is a request like others: what a newer answer taught meanwhile is newer than its cookies.
        let touch = matches!(self.definition.recipe.refresh.kind, RefreshKind::Touch(_));
        if touch && held.generation > spent {
            return merged;
        }
        for cookie in &renewed.cookies {
            merged.put(cookie, |name| self.definition.is_credential(name), now);
        }
        for key in &renewed.removed {
            if merged.jar.remove(key).is_some() {
                merged.changed |= self.definition.is_credential(&key.name);
                merged.remove.push(key.clone());
            }
        }
        merged
    }

    /// Tells of a refresh that is about to be sent.
    pub(super) fn tell_started(&self, cause: Cause) {
        let why = match cause {
            Cause::Background => "ahead of expiry",
            Cause::Needed => "a request waits",
            Cause::Rejected => "a request was rejected",
            Cause::Asked => "asked for",
        };
        let asked = self.inner().asked.clone();
        self.record_of(name::STARTED, why.to_owned(), asked);
    }

    /// Tells of a credential that has come into use.
    pub(super) fn tell_renewed(&self, before: Generation, after: Generation, took: Duration) {
        let millis = took.as_millis();
        let asked = self.inner().asked.clone();
        self.record_of(
            name::SUCCEEDED,
            format!("generation {after}, {millis} ms"),
            asked.clone().taking(took),
        );
        Counters::add(&self.counters.refreshes);
        if after > before {
            Counters::add(&self.counters.rotations);
            self.record_of(name::ROTATED, format!("generation {after}"), asked);
        }
    }
}

// === impl Merged ===

impl Merged {
    fn put(&mut self, cookie: &Cookie, counts: impl Fn(&[u8]) -> bool, now: SystemTime) {
        let outcome = self.jar.insert(cookie.clone(), now);
        self.remove.extend(outcome.evicted);
        let (key, value_changed) = match outcome.stored {
            Kept::Same | Kept::Refused(_) => return,
            Kept::Removed(key) => {
                self.changed |= counts(&key.name);
                return self.remove.push(key);
            }
            Kept::Changed(key) => (key, true),
            Kept::Touched(key) => (key, false),
        };
        self.changed |= value_changed && counts(&key.name);
        self.put.extend(self.jar.get(&key).cloned());
    }
}
