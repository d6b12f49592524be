//! Connections to upstreams: resolve, dial, TLS, pool, and one `send` for whoever has a request.
//!
//! Connections are shared only within one client and one origin, so that nothing of one account (a ticket, a
//! connection) is seen with another. Certificates are always verified.

mod adapt;
pub mod alive;
mod body;
mod connection;
pub mod dial;
pub mod egress;
mod error;
mod guarded;
mod handshake;
mod http2;
pub mod io;
mod keep;
mod mark;
mod names;
mod patience;
mod peer;
mod peers;
mod reach;
pub mod roots;
mod send;
mod silence;
pub(crate) mod through;
mod tls;
pub mod tls_stream;
mod unread;
mod whole;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_util::task::TaskTracker;

pub use self::{
    body::{Body, ClientBody, Gate, Incoming, RequestBody},
    error::{Error, Kind, Sent},
    guarded::Guarded,
    keep::{Keep, Loan, Total},
    mark::Marks,
    peer::Peer,
    reach::Reach,
    send::{Hears, Outgoing},
    silence::Silence,
    tls::Alpn,
    whole::{NotWhole, read_whole},
};
use self::{dial::Dialer, egress::Egress, peers::Peers};
use crate::{
    http1::Spelling,
    limits::Limits,
    origin::{Host, Origin},
};

/// Who a connection is for and where it goes: connections are shared only within one client and one origin, and
/// between those who may reach the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub client: Option<Arc<str>>,
    pub origin: Origin,
    pub reach: Reach,
}

/// What the upstream side is made from.
#[derive(Debug)]
pub struct Config {
    pub roots: RootCertStore,
    /// "Connect there instead", by host and port; names and certificates stay as they are.
    pub resolve: HashMap<(Host, u16), SocketAddr>,
    pub egress: Egress,
    /// The addresses that this process listens on.
    pub ours: Vec<SocketAddr>,
    pub limits: Limits,
}

/// The upstream side of the proxy. Clones share one pool.
#[derive(Clone, Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    /// What each client's own configuration is made from.
    tls: Arc<ClientConfig>,
    peers: Arc<Peers>,
}

/// What all peers share.
#[derive(Debug)]
struct Shared {
    dialer: Dialer,
    egress: Egress,
    limits: Limits,
    /// What is kept of bodies until it is known what their origins speak: as much for all of them as for any one.
    unsure: Arc<Total>,
    tasks: TaskTracker,
    open: Arc<AtomicUsize>,
}

/// A connection that counts as open for as long as this lives.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

// === impl Shared ===

impl Shared {
    fn count(&self) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(self.open.clone())
    }
}

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Upstream ===

impl Upstream {
    pub fn new(config: Config) -> Result<Self, Error> {
        let Config {
            roots,
            resolve,
            egress,
            ours,
            limits,
        } = config;
        let dialer = Dialer::new(resolve, ours, limits.connect);
        let shared = Shared {
            dialer,
            egress,
            unsure: Total::new(limits.replay_body),
            limits,
            tasks: TaskTracker::new(),
            open: Arc::default(),
        };
        let tls = tls::config(Arc::new(roots)).map_err(|e| Error::unsent(Kind::Tls).because(e))?;
        Ok(Self {
            shared: Arc::new(shared),
            tls: Arc::new(tls),
            peers: Arc::new(Peers::new()),
        })
    }

    /// Returns the origin as this client sees it, for whoever has many requests for it.
    pub fn peer(&self, route: &Route) -> Arc<Peer> {
        let tls = || tls::for_client(&self.tls);
        let make = |tls| Peer::new(route, self.shared.clone(), tls);
        self.peers.of(route, tls, make)
    }

    /// Sends one request over a pooled connection and returns the answer's head and its streaming body. The caller
    /// bounds the time.
    pub async fn send(
        &self,
        route: &Route,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let (mut head, body) = request.into_parts();
        let outgoing = Outgoing {
            head: &mut head,
            spelling: &Spelling::default(),
            hears: None,
        };
        let mut body = Some(body);
        let peer = self.peer(route);
        peer.send(outgoing, &mut body, Alpn::Http1).await
    }

    /// Connects and hangs up: tells whether the origin's host can be reached, and sends nothing.
    pub async fn probe(&self, origin: &Origin) -> Result<(), Error> {
        let route = Route {
            client: None,
            origin: origin.clone(),
            reach: Reach::Anywhere,
        };
        self.tunnel(&route).await.map(drop)
    }

    /// Connects to an origin's host and port for a tunnel.
    pub async fn tunnel(&self, route: &Route) -> Result<io::Hop, Error> {
        let tls = self.peer(route).tls();
        let Shared { egress, dialer, .. } = &*self.shared;
        egress.connect(route, dialer, &tls).await
    }

    /// Tells whether something that listens at this address is this process.
    pub fn is_ours(&self, address: SocketAddr) -> bool {
        self.shared.dialer.is_ours(address)
    }

    /// Returns our name in `Via` on a client's messages to an origin.
    pub fn mark(&self, client: Option<&str>, origin: &Origin) -> String {
        self.shared.dialer.marks.of(client, origin)
    }

    /// Closes idle connections in time, for as long as the upstream side is in use.
    pub async fn sweep(&self) {
        let every = (self.shared.limits.upstream_idle_for / 4).max(Duration::from_secs(1));
        loop {
            tokio::time::sleep(every).await;
            self.peers.sweep();
        }
    }

    /// Returns how many connections for requests are open, idle ones included.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Returns how many idle connections are kept.
    pub fn idle(&self) -> usize {
        self.peers.idle()
    }
}

/// Returns the name that a certificate must be valid for.
fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|e| Error::unsent(Kind::Tls).because(e)),
    }
}
