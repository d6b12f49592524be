//! The data path: from a client's first byte to its last.
//!
//! [`Proxy::serve`] takes a connection. CONNECT is answered by our own code (`connect`), which decides between a
//! tunnel and interception; requests inside go through `exchange`, one at a time from top to bottom.

mod answer;
mod body;
mod connect;
mod cork;
mod error;
mod exchange;
mod http1;
mod identity;
mod inspect;
mod intercept;
mod interim;
mod judge;
pub mod meter;
pub mod outlive;
mod owner;
mod relay;
mod requests;
mod respond;
mod rewrite;
mod seal;
mod sending;
mod signed;
mod socks;
#[cfg(target_os = "linux")]
mod splice;
mod stage;
mod teach;
#[cfg(test)]
mod tests;
mod timer;
mod tunnel;
mod unsigned;
mod upgrade;
mod veil;
mod whole;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use http::HeaderMap;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    answer::Side,
    error::{Error, Kind},
    identity::{Arrival, Client, Clients, LocalUsers},
};
use crate::{
    ca::Ca,
    limits::Limits,
    message::hop,
    origin::Origin,
    session::Sessions,
    upstream::{Marks, Total, Upstream, io::Io},
};

/// What all connections share.
#[derive(Debug)]
pub struct Proxy {
    /// What a reload replaces.
    pub world: ArcSwap<World>,
    /// Replaced by a reload when it was renewed.
    pub ca: ArcSwap<Ca>,
    pub upstream: Upstream,
    pub limits: Limits,
    /// The bytes of all request bodies that are kept.
    pub kept: Arc<Total>,
    /// What it adds to requests.
    pub added: meter::Added,
    /// The exchanges that go on without their clients.
    pub alone: outlive::Alone,
    pub stop: Stop,
}

/// What the configuration says now.
#[derive(Debug)]
pub struct World {
    pub sessions: Arc<Sessions>,
    pub clients: Clients,
    pub unmatched: Unmatched,
}

/// What happens to hosts without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    #[default]
    Tunnel,
    Deny,
}

/// How the proxy comes to an end: first no new work, then none at all.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Finish what is under way, begin nothing.
    pub drain: CancellationToken,
    /// The same as a flag: to look at it takes no lock.
    pub draining: Arc<AtomicBool>,
    /// The time is over.
    pub now: CancellationToken,
    pub tasks: TaskTracker,
}

// === impl Stop ===

impl Stop {
    /// How long a client that is silent when the end begins may still send what it has begun to.
    pub const GRACE: Duration = Duration::from_millis(500);

    /// Is ready when nobody who says nothing is waited for any more.
    pub async fn silence(&self) {
        self.drain.cancelled().await;
        sleep(Self::GRACE).await;
    }
}

// === impl Proxy ===

impl Proxy {
    /// Tells whether a message to this origin has passed this process before: by `Via`, whoever's it was then.
    fn has_passed(&self, headers: &HeaderMap, origin: &Origin) -> bool {
        let mut ours = hop::passed_by(headers)
            .filter(|name| name.starts_with(Marks::PREFIX.as_bytes()))
            .peekable();
        if ours.peek().is_none() {
            return false;
        }
        let world = self.world.load();
        let clients = world.clients.named.iter().map(|client| Some(&*client.name));
        let marks: Vec<String> = clients
            .chain([None])
            .map(|client| self.upstream.mark(client, origin))
            .collect();
        ours.any(|name| marks.iter().any(|mark| mark.as_bytes() == name))
    }

    /// Serves one connection of a client until it ends.
    pub async fn serve<S: Io + 'static>(self: Arc<Self>, io: S, arrival: Arrival) {
        let client = match self.world.load().clients.recognise(&arrival) {
            Ok(client) => client,
            Err(error) => return Box::pin(connect::refuse(io, &error)).await,
        };
        let connection = connect::Connection {
            proxy: self,
            client,
            arrival,
        };
        if let Err(error) = connection.begin(io, BytesMut::new()).run().await {
            match error.side() {
                Side::Client => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "connection ended")
                }
                _ => tracing::warn!(
                    to = error.to().map(tracing::field::display),
                    error = &error as &dyn std::error::Error,
                    "connection failed"
                ),
            }
        }
    }
}
