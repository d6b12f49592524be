//! What people ask of a session: to refresh it now, to put material in, to go back, to forget.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    Session, Status,
    held::{ACCESS_TOKEN, Held, REFRESH_TOKEN},
    history::{format, name},
    lesson::{Taught, is_field},
    relay::kept,
    write::{TRIES, contended},
};
use crate::{
    grant::{Generation, Grant},
    jar::{Cookie, Jar},
    life::{Event, State},
    secret::Secret,
    store::{self, Change, Committed, Cookies, Durability, Notes, Store},
};

/// Material for a session: imported, or put in by hand.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Fields of the grant; those that are not named stay, but for an access token that another refresh token brought.
    pub fields: BTreeMap<String, Secret>,
    /// When the token ends, if that is known.
    pub expires_at: Option<SystemTime>,
    /// The cookies of the jar from now on; none: the jar stays as it is.
    pub cookies: Vec<Cookie>,
}

/// What a session is like after a restore, and what it went back to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Restored {
    #[serde(flatten)]
    pub status: Status,
    pub restored: Before,
}

/// A credential that was held before: its number then, and when it was obtained (RFC 3339, UTC).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Before {
    pub generation: u64,
    pub obtained_at: Option<String>,
    /// What is to be expected of it, if that is not good: its refresh token was spent before.
    pub warning: Option<String>,
}

// === impl Session ===

impl Session {
    /// Refreshes now, whatever the clock says, and returns how that ended; when a refresh is under way, that one.
    pub async fn refresh_now(&self) -> Result<Status, store::Error> {
        self.open().await?;
        self.read_again().await?;
        let deadline =
            Instant::now() + self.shared.limits.refresh_wait + self.definition.rules.timeout;
        let mut moved = self.moved.subscribe();
        self.happen(Event::Asked);
        loop {
            moved.look();
            let in_flight = matches!(self.inner().life.state, State::Refreshing { .. });
            if !in_flight || timeout_at(deadline, moved.changed()).await.is_err() {
                return Ok(self.status());
            }
        }
    }

    /// Tells whether what is held is there for the next process too; a session in memory only ends with its own.
    pub fn outlives_its_process(&self) -> bool {
        match self.store {
            Store::Memory(_) => false,
            Store::Sqlite(_) => true,
        }
    }

    /// Puts material in as the credential from now on: it heals every end.
    pub async fn put_material(&self, material: Material) -> Result<Status, store::Error> {
        self.open().await?;
        let Material {
            mut fields,
            expires_at,
            cookies,
        } = material;
        fields.retain(|_, value| is_field(value.expose()));
        let now = self.shared.env.wall();
        let replace = |held: &Held| {
            let mut grant = Grant::clone(&held.grant);
            if !fields.is_empty() {
                let names = |field| fields.contains_key(field);
                if names(REFRESH_TOKEN) && !names(ACCESS_TOKEN) {
                    // It is not this one's: it may be of another account.
                    grant.fields.remove(ACCESS_TOKEN);
                }
                grant.fields.extend(fields.clone());
                grant.expires_at = expires_at;
            }
            grant.obtained_at = Some(now);
            let jar = if cookies.is_empty() {
                Jar::clone(&held.jar)
            } else {
                let names = self.definition.recipe.cookies.required.iter();
                let mut jar = Jar::new(self.definition.bounds).keeping(names);
                for cookie in &cookies {
                    // What does not fit is left out; what was evicted was never stored.
                    let _ = jar.insert(cookie.clone(), now);
                }
                jar
            };
            (grant, jar)
        };
        self.replace(replace).await?;
        self.record(name::ROTATED, "imported".to_owned());
        Ok(self.status())
    }

    /// Brings back the grant and the cookies from before the last change that kept them; `None`: there are none.
    pub async fn restore(&self) -> Result<Option<Restored>, store::Error> {
        self.open().await?;
        let Some(previous) = self.store.previous(&self.id).await? else {
            return Ok(None);
        };
        let jar = self.definition.jar(&previous);
        let token = self
            .definition
            .fingerprint(&self.store, &self.id, &previous.grant);
        let mut spent = false;
        self.replace(|held| {
            let mut grant = previous.grant.clone();
            let token = token.as_deref();
            if let Some(token) = token.filter(|token| self.was_spent(held, &grant, token)) {
                spent = true;
                // Who goes back and forth is told again.
                kept::spend(&mut grant, token);
            }
            (grant, jar.clone())
        })
        .await?;
        let from = previous.generation;
        let of_token = if spent {
            "; its refresh token was spent before"
        } else {
            ""
        };
        let detail = format!("as it was at generation {from}{of_token}");
        self.record(name::RESTORED, detail);
        Ok(Some(Restored {
            status: self.status(),
            restored: Before {
                generation: from.0,
                obtained_at: previous.grant.obtained_at.map(format),
                warning: spent.then(|| self.spent_before()),
            },
        }))
    }

    /// Tells whether an earlier grant's refresh token is known to have been sent, and the server to make something of
    /// that when it is sent again.
    fn was_spent(&self, held: &Held, earlier: &Grant, token: &str) -> bool {
        if held.token.as_deref() == Some(token) {
            return false;
        }
        let last = held.notes.came_of.as_ref();
        if last.is_some_and(|last| last.spent == token) {
            // Without an end of its grace the server takes it, and answers with what came of it.
            return self.definition.rules.grace.is_some();
        }
        kept::was_spent(&held.grant, token) || kept::was_spent(earlier, token)
    }

    /// Says what a refresh token that was spent before means.
    fn spent_before(&self) -> String {
        let client = self.id.client.as_ref();
        let client = client.map_or_else(String::new, |client| format!(" --client {client}"));
        let (name, hint) = (&self.id.name, self.hint());
        format!(
            "the refresh token that this brings back was spent before: when it is sent again, the server is likely to \
             refuse it, and may end the whole session; `staysigned restore {name}{client}` takes this back, `{hint}` \
             begins anew"
        )
    }

    async fn replace(
        &self,
        mut make: impl FnMut(&Held) -> (Grant, Jar),
    ) -> Result<(), store::Error> {
        // No flight of another process may journal or store meanwhile what this would write over.
        let _lease = self.leased().await?;
        let _writing = self.writing.lock().await;
        for _ in 0..TRIES {
            let held = self.inner().held.clone();
            let (grant, jar) = make(&held);
            let generation = held.generation.next();
            let notes = Notes {
                attempt: None,
                came_of: None,
                needs_login: None,
                vain: None,
                confirmed: BTreeMap::new(),
                ..(*held.notes).clone()
            };
            let now = self.shared.env.wall();
            let change = Change {
                generation,
                grant: Some(grant.clone()),
                cookies: Cookies::Replace(jar.iter(now).cloned().collect()),
                notes: Some(notes.clone()),
                keep_previous: true,
            };
            let committed = self
                .store
                .commit(&self.id, held.generation, change, Durability::Synced)
                .await?;
            match committed {
                Committed::Done => {
                    let new = Held {
                        generation,
                        token: self.definition.fingerprint(&self.store, &self.id, &grant),
                        grant: Arc::new(grant),
                        jar: Arc::new(jar),
                        notes: Arc::new(notes),
                        learnt_at: None,
                        skew: held.skew,
                        ageless: false,
                    };
                    self.inner().unsaved = None;
                    self.install(new, Taught::anew(generation), Event::Imported);
                    return Ok(());
                }
                Committed::Conflict(stored) => {
                    self.inner().unsaved = None;
                    self.adopt(*stored);
                }
            }
        }
        Err(contended())
    }

    /// Forgets all that is held, also what `restore` would bring back. Seeds that were taken are not taken again.
    pub async fn forget(&self) -> Result<(), store::Error> {
        self.open().await?;
        let _lease = self.leased().await?;
        let _writing = self.writing.lock().await;
        self.store.forget(&self.id).await?;
        let stored = self.store.load(&self.id).await?.unwrap_or_default();
        let generation = stored.generation.max(self.generation().next());
        let before = Arc::clone(&self.inner().held.notes);
        let notes = Notes {
            taken: before.taken.clone(),
            calls: before.calls,
            ..Notes::default()
        };
        let change = Change {
            generation,
            notes: Some(notes.clone()),
            ..Change::default()
        };
        let committed = self
            .store
            .commit(&self.id, stored.generation, change, Durability::Synced)
            .await?;
        self.inner().unsaved = None;
        match committed {
            Committed::Done => {
                let held = Held {
                    notes: Arc::new(notes),
                    ..Held::nothing(&self.definition, generation)
                };
                self.install(held, Taught::anew(generation), Event::Imported);
            }
            Committed::Conflict(stored) => self.adopt(*stored),
        }
        Ok(())
    }

    /// Returns what is held, for whoever exports it.
    pub async fn held(&self) -> Result<(Generation, Arc<Grant>, Arc<Jar>), store::Error> {
        self.open().await?;
        let inner = self.inner();
        let held = &inner.held;
        Ok((
            held.generation,
            Arc::clone(&held.grant),
            Arc::clone(&held.jar),
        ))
    }
}
