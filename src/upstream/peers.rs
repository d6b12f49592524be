//! The origins that are known, in parts: requests for different origins wait for no lock of all.

use std::{
    array,
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard},
};

use rustls::ClientConfig;

use super::{Peer, Route};

/// Enough that two requests of a moment seldom meet, few enough to be walked through.
const PARTS: usize = 64;

type Part = HashMap<Route, Arc<Peer>>;

#[derive(Debug)]
pub(super) struct Peers {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
    /// One for each client: tickets do not link accounts.
    tls: Mutex<HashMap<Option<Arc<str>>, Arc<ClientConfig>>>,
}

// === impl Peers ===

impl Peers {
    pub(super) fn new() -> Self {
        Self {
            parts: array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            tls: Mutex::default(),
        }
    }

    /// Returns the peer for a route; a new one is made with the client's own TLS configuration.
    pub(super) fn of(
        &self,
        route: &Route,
        tls: impl FnOnce() -> Arc<ClientConfig>,
        make: impl FnOnce(Arc<ClientConfig>) -> Arc<Peer>,
    ) -> Arc<Peer> {
        let part = self.hasher.hash_one(route) as usize % PARTS;
        let mut part = lock(&self.parts[part]);
        if let Some(peer) = part.get(route) {
            return peer.clone();
        }
        let tls = {
            let mut of_clients = self.tls.lock().expect("no panic while clients are held");
            let of_client = of_clients.entry(route.client.clone());
            of_client.or_insert_with(tls).clone()
        };
        let peer = make(tls);
        part.insert(route.clone(), peer.clone());
        peer
    }

    /// Closes what has been idle for long, and forgets who has no connection and no user.
    pub(super) fn sweep(&self) {
        for part in &self.parts {
            lock(part).retain(|_, peer| peer.sweep() || Arc::strong_count(peer) > 1);
        }
    }

    /// Returns how many idle connections are kept.
    pub(super) fn idle(&self) -> usize {
        let of_part = |part| lock(part).values().map(|peer| peer.idle()).sum::<usize>();
        self.parts.iter().map(of_part).sum()
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().expect("no panic while peers are held")
}
