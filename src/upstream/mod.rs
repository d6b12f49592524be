//! Connections to upstreams: resolve, dial, TLS, pool, and one `send` for whoever has a request.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};

use crate::origin::Origin;

/// Who a connection is for and where it goes: connections are shared only within one client and one origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub client: Option<Arc<str>>,
    pub origin: Origin,
}

/// The upstream side of the proxy. Clones share one pool.
#[derive(Clone, Debug)]
pub struct Upstream;

/// A request body on its way out.
#[derive(Debug)]
pub enum Body {
    Empty,
    Full(Bytes),
}

/// A response body on its way in.
#[derive(Debug)]
pub struct Incoming;

/// Whether a failed request can have reached the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte of it was written.
    No,
    /// It may have been received, and acted on.
    Maybe,
}

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
#[error("upstream failed")]
pub struct Error;

// === impl Upstream ===

impl Upstream {
    /// Sends one request over a pooled connection and returns the answer's head and its streaming body. The caller
    /// bounds the time.
    pub async fn send(
        &self,
        route: &Route,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let _ = (route, request);
        todo!()
    }

    /// Connects and hangs up: tells whether the origin's host can be reached, and sends nothing.
    pub async fn probe(&self, origin: &Origin) -> Result<SocketAddr, Error> {
        let _ = origin;
        todo!()
    }
}

// === impl Error ===

impl Error {
    pub fn sent(&self) -> Sent {
        todo!()
    }
}
