//! Which changes a running proxy cannot take up.

use std::{collections::BTreeMap, sync::Arc};

use super::{Client, Config};

// === impl Config ===

impl Config {
    /// Names the keys whose change is taken up only by a restart.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        // Listeners; a client without one comes and goes at any time.
        let ports = |clients: &[Client]| -> BTreeMap<Arc<str>, u16> {
            let of = |client: &Client| Some((client.name.clone(), client.port?));
            clients.iter().filter_map(of).collect()
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
            ("proxy.resolve", self.resolve != new.resolve),
            ("ca.dir", self.ca.dir != new.ca.dir),
            ("ca.constrain", self.ca.constrain != new.ca.constrain),
            ("store.url", self.store.url != new.store.url),
            ("store.key", self.store.key != new.store.key),
            ("log.level", self.log.level != new.log.level),
            ("log.format", self.log.format != new.log.format),
            (
                "clients.*.port",
                ports(&self.clients) != ports(&new.clients),
            ),
            // Some are taken up by new sessions; a restart makes all of them count.
            ("limits", self.limits != new.limits),
        ];
        let changed = checks.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }
}
