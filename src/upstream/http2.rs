//! An origin's HTTP/2 connections. Answers that nobody reads fill the windows of their streams, and together that of the
//! connection (RFC 9113 §5.2): one carries only as many streams as its window holds, so that none waits for another.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::http2::client::Sender;

/// Bytes of an answer that an origin may send before they are read.
pub(super) const STREAM_WINDOW: u32 = 512 * 1024;

/// The same, of all answers on a connection.
pub(super) const WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

/// Streams at the same time on one connection.
const STREAMS: usize = 16;

/// Connections that are open.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Vec<Connection>>);

#[derive(Debug)]
struct Connection {
    sender: Sender,
    /// One reference is this; each stream has another.
    streams: Arc<()>,
    /// Since when it is seen to be idle.
    idle_since: Option<Instant>,
}

/// A place on a connection.
pub(super) struct Place {
    pub sender: Sender,
    pub held: Held,
}

/// Holds a place, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _stream: Arc<()>,
}

// === impl Connections ===

impl Connections {
    /// Returns a place on an open connection, if one has room.
    pub(super) fn find(&self) -> Option<Place> {
        let mut connections = self.lock();
        connections.retain_mut(|connection| !connection.sender.is_closed());
        // Beyond what the upstream takes, a request would wait for the end of another.
        let room = |c: &&mut Connection| c.streams() < STREAMS.min(c.sender.most_streams());
        let free = connections.iter_mut().find(room);
        free.map(Connection::place)
    }

    /// Adds a connection, with what its streams hold, and returns a place on it.
    pub(super) fn add(&self, sender: Sender, streams: Arc<()>) -> Place {
        let mut connection = Connection {
            sender,
            streams,
            idle_since: None,
        };
        let place = connection.place();
        self.lock().push(connection);
        place
    }

    /// Closes what is not needed, and what was idle for so long; tells whether anything is left.
    pub(super) fn sweep(&self, keep_for: Duration) -> bool {
        let mut connections = self.lock();
        let mut first = true;
        connections.retain_mut(|connection| {
            let wanted = connection.streams() > 0 || first && connection.idle_for() < keep_for;
            let keeps = wanted && !connection.sender.is_closed();
            first &= !keeps;
            keeps
        });
        !connections.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        let held = self.0.lock();
        held.expect("no panic while connections are held")
    }
}

// === impl Connection ===

impl Connection {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    /// Returns for how long it has been seen to be idle.
    fn idle_for(&mut self) -> Duration {
        self.idle_since.get_or_insert_with(Instant::now).elapsed()
    }

    fn place(&mut self) -> Place {
        self.idle_since = None;
        Place {
            sender: self.sender.clone(),
            held: Held {
                _stream: self.streams.clone(),
            },
        }
    }
}
