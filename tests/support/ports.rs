//! Free ports for processes that must be told theirs.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use socket2::{Domain, Socket, Type};

/// Ports below the range that the system gives to outgoing connections.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// Sockets that hold the ports given, until the end of this process.
static HELD: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// Returns a loopback address whose port is given once: by this process, and by others that choose theirs here.
///
/// A socket is bound to it and never listens: a server that sets `SO_REUSEADDR` can bind beside it, `connect` is
/// refused, and whoever looks for a free port finds it taken.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(7_919);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address =
            SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("below 32,000")));
        if let Ok(socket) = hold(address) {
            HELD.lock().expect("no panic while held").push(socket);
            return address;
        }
    }
    panic!("no port is free");
}

fn hold(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Without SO_REUSEADDR the port must be nobody's; from then on it is shared with those who set it.
    socket.bind(&address.into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}
