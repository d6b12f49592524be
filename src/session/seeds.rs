//! Secrets of the configuration that the server rotates: they start a session, then the store rules.
//!
//! A seed is taken when its keyed fingerprint differs from the one last taken. So a session goes on with what it has
//! learnt after a restart, and starts anew when its source was changed.

use std::{sync::Arc, time::SystemTime};

use super::Session;
use crate::{
    grant::Grant,
    rule::Recipe,
    secret::Secret,
    store::{Change, Committed, Durability, Error, Notes, Stored},
};

/// Takes the seeds out of a recipe's secrets: what the server renews comes from the grant alone.
pub(super) fn take(recipe: &Arc<Recipe>) -> (Arc<Recipe>, Arc<[(String, Secret)]>) {
    if recipe.seeds.is_empty() {
        return (Arc::clone(recipe), Arc::new([]));
    }
    let mut recipe = Recipe::clone(recipe);
    let Recipe { seeds, secrets, .. } = &mut recipe;
    let seeds = seeds.iter().filter_map(|name| secrets.remove_entry(name));
    let seeds = seeds.collect();
    (Arc::new(recipe), seeds)
}

// === impl Session ===

impl Session {
    /// Takes the seeds that are new, and returns what is stored then.
    pub(super) async fn sow(&self, mut stored: Stored) -> Result<Stored, Error> {
        let seeds = &self.definition.seeds;
        if seeds.is_empty() {
            return Ok(stored);
        }
        let prints: Vec<(String, String)> = seeds
            .iter()
            .map(|(name, value)| {
                let purpose = format!("seed {} {name}", self.id);
                let print = self.store.fingerprint(&purpose, value.expose().as_bytes());
                (name.clone(), print)
            })
            .collect();
        loop {
            let taken = &stored.notes.taken;
            if prints
                .iter()
                .all(|(name, print)| taken.get(name) == Some(print))
            {
                return Ok(stored);
            }
            let next = self.sown(&stored, &prints, self.shared.env.wall());
            let change = Change {
                generation: next.generation,
                grant: Some(next.grant.clone()),
                notes: Some(next.notes.clone()),
                keep_previous: true,
                ..Change::default()
            };
            let expected = stored.generation;
            match self
                .store
                .commit(&self.id, expected, change, Durability::Synced)
                .await?
            {
                Committed::Done => return Ok(next),
                Committed::Conflict(theirs) => stored = *theirs,
            }
        }
    }

    fn sown(&self, stored: &Stored, prints: &[(String, String)], now: SystemTime) -> Stored {
        let fields = self.definition.seeds.iter().cloned().collect();
        Stored {
            generation: stored.generation.next(),
            grant: Grant {
                fields,
                expires_at: None,
                obtained_at: Some(now),
            },
            cookies: stored.cookies.clone(),
            notes: Notes {
                taken: prints.iter().cloned().collect(),
                calls: stored.notes.calls,
                last_refresh: stored.notes.last_refresh.clone(),
                ..Notes::default()
            },
        }
    }
}
