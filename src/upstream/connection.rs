//! An HTTP/1.1 connection: polled by whoever has taken it, on loan to a response body, given back at its end.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use super::{
    Counted,
    body::Body,
    io::{Filling, Stream},
    peer::Peer,
};
use crate::http1::{
    Bounds, Error,
    client::{Connection, Upgraded},
};

/// An HTTP/1.1 connection that nobody uses, or that one exchange has taken.
#[derive(Debug)]
pub(super) struct Http1(Box<Open>);

#[derive(Debug)]
struct Open {
    connection: Connection<Filling<Stream>, Body>,
    idle_since: Instant,
    _counted: Counted,
}

/// A connection on loan to a response body.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Http1,
    peer: Arc<Peer>,
}

// === impl Http1 ===

impl Http1 {
    pub(super) fn new(io: Filling<Stream>, bounds: Bounds, counted: Counted) -> Self {
        Self(Box::new(Open {
            connection: Connection::new(io, bounds),
            idle_since: Instant::now(),
            _counted: counted,
        }))
    }

    pub(super) fn get(&mut self) -> &mut Connection<Filling<Stream>, Body> {
        &mut self.0.connection
    }

    /// Returns the body of a request of which nothing was sent.
    pub(super) fn unsent(self) -> Option<Body> {
        self.0.connection.unsent()
    }

    pub(super) fn into_upgraded(self) -> Upgraded {
        let (io, read) = self.0.connection.into_parts();
        (Box::new(io), read)
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.0.idle_since.elapsed()
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(connection: Http1, peer: Arc<Peer>) -> Self {
        Self { connection, peer }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.connection.get().poll_body(cx)
    }

    /// Returns how many bytes are still to come, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        self.connection.0.connection.remaining()
    }

    /// Tells whether all of the body has been read.
    pub(super) fn is_complete(&self) -> bool {
        self.connection.0.connection.is_complete()
    }

    /// Gives the connection back to the pool, if it can carry another request.
    pub(super) fn give_back(mut self) {
        if self.connection.get().is_reusable() {
            self.connection.0.idle_since = Instant::now();
            self.peer.keep(self.connection);
        }
    }
}
