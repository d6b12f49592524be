//! Free ports for processes that must be told theirs.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

/// Ports below the range that the system gives to outgoing connections, so that none is taken between the moment it
/// was found free and the moment its process binds it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// Returns a loopback address whose port was free a moment ago, and is given once by this process.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(7_919);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address =
            SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("below 32,000")));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
