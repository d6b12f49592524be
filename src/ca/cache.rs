//! TLS configurations for the client leg, one for each host, minted once and kept within a bound.
//!
//! All of them share one ticket key and one session store, so that a returning client resumes whatever happened to
//! the cached leaf in between; rustls takes a ticket only for the server name it was given for.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache as Entries;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{
    Error,
    leaf::{Leaf, Press},
    root::Root,
};
use crate::origin::Host;

/// A leaf is minted again this long before its end, so that no connection starts with one about to end.
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Sessions of clients that speak TLS 1.2 without tickets.
const SESSIONS: usize = 256;

/// The configurations by host.
pub(super) struct Cache {
    press: Press,
    entries: Entries<Host, Entry>,
    /// Everything but the certificate.
    template: ServerConfig,
}

#[derive(Clone)]
struct Entry {
    config: Arc<ServerConfig>,
    renew_at: SystemTime,
}

// === impl Cache ===

impl Cache {
    pub(super) fn new(root: &Root, capacity: usize) -> Result<Self, Error> {
        Ok(Self {
            press: Press::new(root)?,
            entries: Entries::new(capacity),
            template: template().map_err(Error::Tls)?,
        })
    }

    /// Returns the host's configuration; whoever asks while it is being made waits for it.
    pub(super) fn resolve(
        &self,
        root: &Root,
        host: &Host,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, Error> {
        let make = || self.make(root, host, now);
        let entry = self.entries.get_or_insert_with(host, make)?;
        if now < entry.renew_at {
            return Ok(entry.config);
        }
        // The one who takes the old one out makes the new one; others find it, or wait.
        self.entries.remove_if(host, |entry| entry.renew_at <= now);
        Ok(self.entries.get_or_insert_with(host, make)?.config)
    }

    fn make(&self, root: &Root, host: &Host, now: SystemTime) -> Result<Entry, Error> {
        let Leaf {
            certified,
            not_after,
        } = self.press.mint(root, host, now)?;
        if root.is_constrained() {
            root.verify(&certified.cert, now)
                .map_err(|_| Error::NotCovered(host.clone()))?;
        }
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        // A leaf cut short by its CA's end cannot be bettered.
        let renew_at = if not_after == root.not_after() {
            not_after
        } else {
            not_after - AHEAD
        };
        Ok(Entry {
            config: Arc::new(config),
            renew_at,
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("leaves", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// Returns the provider of the client leg, which never leaves the machine or its network: the cheap groups and suites
/// first. SHA-256 is in hardware where SHA-512, the key schedule of AES-256's suite, is not.
fn provider() -> CryptoProvider {
    use aws_lc_rs::{cipher_suite as suite, kx_group};
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

fn template() -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Nobody));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Our order is by cost; clients put AES-256 first.
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// Stands in the template, which serves nobody.
#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
