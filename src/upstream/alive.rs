//! Whether the other side of a TCP connection is still there. A network that has forgotten a connection, or a machine that
//! is gone, says nothing; and who waits for an answer or for an event has nothing to send that would tell.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};

/// After this silence of the network the other side is asked: what is in use is rarely so silent, and what lies between
/// keeps a connection for longer.
const SILENCE: Duration = Duration::from_secs(60);

/// How long each question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Questions in vain that end a connection: after two minutes in all.
const QUESTIONS: u32 = 4;

/// Has the system ask for the other side of a connection (RFC 9293 §3.8.4), or of each one that a listener accepts.
pub fn watch<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(PATIENCE)
        .with_retries(QUESTIONS);
    socket.into().set_tcp_keepalive(&keepalive)
}
