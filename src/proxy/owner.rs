//! Which user of this machine has the other end of a loopback connection.
//!
//! A loopback port is open to every local user, and with it the sessions behind it. On Linux the kernel tells the
//! owner of a socket by `sock_diag(7)`, in two system calls; elsewhere nobody is told apart.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use socket2::Socket;

/// Kept open: who comes when all files are used up must be told apart, too.
static SOCKET: Mutex<Option<Socket>> = Mutex::new(None);

/// Stands for the owner of a socket that was closed meanwhile: no process has this user id.
const NOBODY: u32 = u32::MAX;

/// Asks the kernel for the owner of the socket that is `peer` here and connected to `local`; `None` where the system
/// has no answer.
pub fn uid(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    match by_netlink(peer, local) {
        Ok(owner) => owner,
        // Whoever uses up all files must not become the own user by it.
        Err(error) if error.raw_os_error().is_some_and(is_shortage) => Some(NOBODY),
        Err(_) => None,
    }
}

/// Tells an error that passes from a system that has no answer.
fn is_shortage(code: i32) -> bool {
    use rustix::io::Errno;
    [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::AGAIN,
    ]
    .iter()
    .any(|errno| errno.raw_os_error() == code)
}

/// `AF_NETLINK`, `NETLINK_SOCK_DIAG` and `SOCK_DIAG_BY_FAMILY`, which are the same on every Linux.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;

fn by_netlink(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<u32>> {
    let mut kept = SOCKET.lock().unwrap_or_else(PoisonError::into_inner);
    // One that has failed is not asked again: a late answer would be taken for the next one's.
    let mut socket = kept.take().map_or_else(open, Ok)?;
    socket.write_all(&request(peer, local))?;
    let mut answer = [0; 512];
    let n = socket.read(&mut answer)?;
    *kept = Some(socket);
    Ok(owner(&answer[..n]))
}

fn open() -> io::Result<Socket> {
    let socket = Socket::new(
        socket2::Domain::from(AF_NETLINK),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::from(NETLINK_SOCK_DIAG)),
    )?;
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
    Ok(socket)
}

/// A `nlmsghdr` and an `inet_diag_req_v2` that name one connection.
fn request(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (peer_ip, local_ip) = (peer.ip().to_canonical(), local.ip().to_canonical());
    let mut message = Vec::with_capacity(72);
    message.extend_from_slice(&72u32.to_ne_bytes());
    message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[
        if peer_ip.is_ipv4() { AF_INET } else { AF_INET6 },
        TCP,
        0,
        0,
    ]);
    message.extend_from_slice(&u32::MAX.to_ne_bytes());
    message.extend_from_slice(&peer.port().to_be_bytes());
    message.extend_from_slice(&local.port().to_be_bytes());
    for ip in [peer_ip, local_ip] {
        let mut bytes = [0; 16];
        match ip {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.copy_from_slice(&ip.octets()),
        }
        message.extend_from_slice(&bytes);
    }
    message.extend_from_slice(&0u32.to_ne_bytes());
    // No cookie: the addresses are enough.
    message.extend_from_slice(&u64::MAX.to_ne_bytes());
    message
}

/// Reads `idiag_uid` of an `inet_diag_msg`. A socket without an inode has no owner any more, and the user id 0 that some
/// kernels write then is not root's.
fn owner(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let (uid, inode) = (number(16 + 64)?, number(16 + 68)?);
    Some(if inode == 0 { NOBODY } else { uid })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn our_own_connection_is_ours() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let me = rustix::process::getuid().as_raw();
            assert_eq!(
                uid(peer, server.local_addr().unwrap()),
                Some(me),
                "{address}"
            );
            drop(client);
        }
    }

    #[test]
    fn a_socket_that_was_closed_has_no_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        drop(client);
        let owner = uid(peer, server.local_addr().unwrap());
        assert!(matches!(owner, Some(NOBODY) | None), "{owner:?}");
    }
}
