//! Which changes a running proxy cannot take up, and the second step of loading: reading the secrets.

use std::sync::Arc;

use super::{
    Client, Config, Diagnostics, Loaded, Variables,
    diagnose::Diagnostic,
    source::{Pending, Slot},
};

/// What to do about sources that run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    Run,
    /// `check` runs nothing: such secrets stay out.
    Leave,
}

// === impl Config ===

impl Config {
    /// Names the keys whose change is taken up only by a restart.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let ports = |clients: &[Client]| -> Vec<Option<u16>> {
            clients.iter().map(|client| client.port).collect()
        };
        let checks = [
            ("proxy.listen", self.listen != new.listen),
            ("proxy.listen_tls", self.listen_tls != new.listen_tls),
            ("proxy.admin", self.admin != new.admin),
            ("proxy.health", self.health != new.health),
            ("proxy.state", self.state != new.state),
            (
                "proxy.upstream_proxy",
                self.upstream_proxy != new.upstream_proxy,
            ),
            ("proxy.extra_roots", self.extra_roots != new.extra_roots),
            ("ca.dir", self.ca.dir != new.ca.dir),
            ("store.url", self.store.url != new.store.url),
            ("store.key", self.store.key != new.store.key),
            ("log.level", self.log.level != new.log.level),
            ("log.format", self.log.format != new.log.format),
            (
                "clients.*.port",
                ports(&self.clients) != ports(&new.clients),
            ),
            (
                "limits.connections",
                self.limits.connections != new.limits.connections,
            ),
        ];
        let changed = checks.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }
}

// === impl Loaded ===

impl Loaded {
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
            warnings: _,
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
                        Slot::Password(_) => false,
                    };
                    let message = format!("the source cannot be read: {error}");
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
        Ok((config, faults.warnings()))
    }
}
