//! Real processes, and what happens to them in the middle of a rotation: death, pauses, disks that fail, networks
//! that are silent.

mod cost;
mod disk;
mod full;
mod kill;
mod network;
mod outage;
mod patient;
mod provider;
mod rekey;
mod shared;
mod suspended;

use crate::support::{
    authority::{Authority, holding, logged_in, session},
    client::Connection,
    oauth::{Pair, Policy},
    origin::Origin,
    proxy::{Builder, Proxy},
};

const HOST: &str = "api.example.test";

/// A site whose refresh tokens are good for one use, and who is logged in there.
async fn world(policy: Policy) -> (Authority, Origin, Pair) {
    logged_in(HOST, policy).await
}

/// The proxy for it, its tasks on one thread, so that the calls of a rotation have an order.
fn with(site: &Origin, pair: &Pair, more: &str) -> Builder {
    holding(site, pair, session("app", HOST, more))
        .env("TOKIO_WORKER_THREADS", "1")
        .level("info")
}

/// A connection whose first request is over: what comes next is the rejection.
async fn warm(proxy: &Proxy, url: &str) -> Connection {
    let mut client = proxy.client().open(&url.parse().unwrap()).await.unwrap();
    client.get(url).await.unwrap().expect(200);
    client
}
