//! The second step of loading: the secrets are read from their sources.

use std::sync::Arc;

use super::{
    Config, Diagnostics, Loaded, Store, Variables,
    diagnose::Diagnostic,
    source::{self, Pending, Slot, Source},
};
use crate::{secret::Secret, store};

/// What to do about sources that run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    Run,
    /// `check` runs nothing: such secrets stay out.
    Leave,
}

// === impl Loaded ===

impl Loaded {
    /// Returns the configuration with the secrets that are at hand: no program is run, and what cannot be read is no
    /// error. What is only used and never stored has a stand-in then, so that it counts as there; nothing may be sent
    /// with such a configuration.
    pub fn at_hand(self, variables: &Variables) -> Config {
        let Self {
            mut config,
            pending,
            ..
        } = self;
        for Pending { slot, source, .. } in pending {
            let read = if source.runs() {
                None
            } else {
                source.read(variables).ok()
            };
            let Slot::Secret { recipe, name } = slot else {
                continue;
            };
            let recipe = Arc::make_mut(&mut config.recipes[recipe]);
            let stand_in = || (!recipe.seeds.contains(&name)).then(|| "?".into());
            if let Some(secret) = read.or_else(stand_in) {
                recipe.secrets.insert(name, secret);
            }
        }
        config
    }

    /// Leaves out all secrets but those that a login to this session is made with: neither those of others, nor those that
    /// it brings.
    pub fn for_login(mut self, session: &str) -> Self {
        let recipes = &self.config.recipes;
        self.pending.retain(|pending| match &pending.slot {
            Slot::Secret { recipe, name } => {
                let recipe = &recipes[*recipe];
                *recipe.name == *session && !recipe.seeds.contains(name)
            }
            Slot::Password(_) | Slot::StoreKey => false,
        });
        self
    }

    /// Reads one client's password; `None` if there is no such client, or it has none.
    pub fn client_password(
        &self,
        client: &str,
        variables: &Variables,
    ) -> Result<Option<Secret>, Diagnostics> {
        let index = self.config.clients.iter().position(|c| &*c.name == client);
        let mut pending = self.pending.iter();
        let Some(pending) =
            index.and_then(|index| pending.find(|pending| pending.slot == Slot::Password(index)))
        else {
            return Ok(None);
        };
        let Pending { source, path, .. } = pending;
        source.read(variables).map(Some).map_err(|error| {
            let message = format!("the source cannot be read: {error}");
            Diagnostic::without_place(path, message, source.hint(&error)).into()
        })
    }

    /// Returns what the store is opened with; reads its key, unless that is in a file, which the store reads and makes
    /// itself. Blocks while a command runs.
    pub fn store(&self, variables: &Variables) -> Result<store::Config, Diagnostics> {
        let Store {
            url,
            key,
            rotate: _,
        } = &self.config.store;
        let store::Kind::Sqlite(path) = url else {
            return Ok(store::Config::memory());
        };
        let key = match key {
            Source::File(path) => store::key::Source::File(path.clone()),
            source => store::key::Source::Text {
                place: source.shown(),
                text: self.key(source, variables)?,
            },
        };
        Ok(store::Config {
            suspended: self.config.limits.lease,
            ..store::Config::sqlite(path, key)
        })
    }

    fn key(&self, source: &Source, variables: &Variables) -> Result<Secret, Diagnostics> {
        source.read(variables).map_err(|error| {
            let mut places = self.pending.iter();
            if let Some(at) = places.find(|pending| pending.slot == Slot::StoreKey) {
                self.faults
                    .error(at.span, &at.path, unreadable(&error), source.hint(&error));
            }
            self.faults.errors()
        })
    }
    /// Reads the secrets from their sources. `held` tells whether the store has this field of this session: then a
    /// source that cannot be read is a warning. Blocks while commands run.
    pub fn resolve_sources(
        self,
        variables: &Variables,
        programs: Programs,
        held: impl Fn(&str, &str) -> bool,
    ) -> Result<(Config, Vec<Diagnostic>), Diagnostics> {
        let Self {
            mut config,
            mut warnings,
            pending,
            faults,
        } = self;
        for pending in pending {
            let Pending {
                slot,
                source,
                span,
                path,
            } = pending;
            // The store has read it.
            if slot == Slot::StoreKey {
                continue;
            }
            if source.runs() && programs == Programs::Leave {
                continue;
            }
            if source.is_open_to_others() {
                let hint = format!("chmod 600 {}", source.shown());
                faults.warn(
                    span,
                    &path,
                    "everybody on this machine can read the file",
                    hint,
                );
            }
            let secret = match source.read(variables) {
                Ok(secret) => secret,
                Err(error) => {
                    let stored = match &slot {
                        Slot::Secret { recipe, name } => {
                            let recipe = &config.recipes[*recipe];
                            held(&recipe.name, name)
                        }
                        Slot::Password(_) | Slot::StoreKey => false,
                    };
                    let message = unreadable(&error);
                    if stored {
                        let hint = "the store holds this field: it is used";
                        faults.warn(span, &path, message, hint);
                    } else {
                        faults.error(span, &path, message, source.hint(&error));
                    }
                    continue;
                }
            };
            match slot {
                Slot::StoreKey => {}
                Slot::Password(client) => config.clients[client].password = Some(secret),
                Slot::Secret { recipe, name } => {
                    Arc::make_mut(&mut config.recipes[recipe])
                        .secrets
                        .insert(name, secret);
                }
            }
        }
        if faults.any() {
            return Err(faults.errors());
        }
        warnings.extend(faults.warnings());
        Ok((config, warnings))
    }
}

fn unreadable(error: &source::Error) -> String {
    format!("the source cannot be read: {error}")
}
