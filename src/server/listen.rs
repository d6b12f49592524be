//! Sockets to accept on, and accepting from them.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    time::sleep,
};

use crate::{config::Listen, proxy::Arrival, upstream::alive};

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The client whose own listener this is.
    client: Option<Arc<str>>,
    /// When the log was last told that the system accepts nothing.
    told: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Remove),
}

/// Removes the file of a unix socket in the end.
#[derive(Debug)]
struct Remove(PathBuf);

/// A client's connection.
pub enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Drop for Remove {
    fn drop(&mut self) {
        // It may have been removed already.
        drop(std::fs::remove_file(&self.0));
    }
}

// === impl Listener ===

impl Listener {
    pub async fn bind(listen: &Listen, client: Option<Arc<str>>) -> io::Result<Self> {
        let socket = match listen {
            Listen::Tcp(address) => Socket::Tcp(listen_on(*address)?),
            Listen::Unix(path) => {
                free(path)?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Socket::Unix(listener, Remove(path.clone()))
            }
        };
        Ok(Self {
            socket,
            client,
            told: Mutex::default(),
        })
    }

    /// Returns where clients connect to; a port that was chosen by the system is known now.
    pub fn address(&self) -> Listen {
        match &self.socket {
            Socket::Tcp(listener) => Listen::Tcp(
                listener
                    .local_addr()
                    .expect("a bound socket has an address"),
            ),
            Socket::Unix(_, Remove(path)) => Listen::Unix(path.clone()),
        }
    }

    /// Accepts a connection. A failing system (no more file descriptors) is given time, and never ends this.
    pub async fn accept(&self) -> (Accepted, Arrival) {
        /// So short that nobody notices when descriptors are free again.
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                // The client left before it was accepted: the next one is waiting.
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    self.tell(&error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Ends listening, and returns the connections whose clients the system has told already that they are connected.
    pub async fn close(self) -> Vec<(Accepted, Arrival)> {
        /// How long a handshake with a client elsewhere takes.
        const UNDER_WAY: Duration = Duration::from_millis(200);
        let mut waiting = Vec::new();
        let client = || self.client.clone();
        // Errors end the loops: that nothing is left, or that nothing can be had.
        match self.socket {
            Socket::Tcp(socket) => {
                if refuse(&socket).is_ok() && !is_loopback(&socket) {
                    sleep(UNDER_WAY).await;
                }
                let Ok(socket) = socket.into_std() else {
                    return waiting;
                };
                while let Ok((stream, peer)) = socket.accept() {
                    let taken = stream.set_nonblocking(true);
                    let taken = taken.and_then(|()| TcpStream::from_std(stream));
                    waiting.extend(taken.and_then(|stream| of_tcp(stream, peer, client())));
                }
            }
            Socket::Unix(socket, file) => {
                // Nobody finds it any more.
                drop(file);
                let Ok(socket) = socket.into_std() else {
                    return waiting;
                };
                while let Ok((stream, _)) = socket.accept() {
                    let taken = stream.set_nonblocking(true);
                    let taken = taken.and_then(|()| UnixStream::from_std(stream));
                    waiting.extend(taken.map(|stream| of_unix(stream, client())));
                }
            }
        }
        waiting
    }

    /// Says in the log that nothing can be accepted; not each time.
    fn tell(&self, error: &io::Error) {
        const AGAIN: Duration = Duration::from_secs(10);
        let mut told = self.told.lock().expect("no panic while it is held");
        if told.is_none_or(|told| told.elapsed() >= AGAIN) {
            *told = Some(Instant::now());
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "cannot accept connections"
            );
        }
    }

    async fn try_accept(&self) -> io::Result<(Accepted, Arrival)> {
        let client = self.client.clone();
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                of_tcp(stream, peer, client)
            }
            Socket::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok(of_unix(stream, client))
            }
        }
    }
}

fn of_tcp(
    stream: TcpStream,
    peer: SocketAddr,
    listener: Option<Arc<str>>,
) -> io::Result<(Accepted, Arrival)> {
    stream.set_nodelay(true)?;
    let arrival = Arrival {
        peer: Some(peer),
        local: stream.local_addr().ok(),
        uid: None,
        listener,
    };
    Ok((Accepted::Tcp(stream), arrival))
}

fn of_unix(stream: UnixStream, listener: Option<Arc<str>>) -> (Accepted, Arrival) {
    let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
    let arrival = Arrival {
        peer: None,
        local: None,
        uid,
        listener,
    };
    (Accepted::Unix(stream), arrival)
}

/// Listens with room for a crowd: what does not fit into the queue is tried again by the client's system a second later.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    /// Connections that wait to be accepted; the system may allow less.
    const WAITING: u32 = 4096;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(WAITING)?;
    if !address.ip().is_loopback() {
        // What is accepted has it from its listener. On this machine nobody is gone without a word.
        alive::watch(&listener)?;
    }
    Ok(listener)
}

fn is_loopback(socket: &TcpListener) -> bool {
    let address = socket.local_addr();
    address.is_ok_and(|address| address.ip().is_loopback())
}

/// Lets nobody connect from here on, while what has begun goes on: a connection that is made between the last `accept`
/// and the end of the socket would be reset.
#[cfg(target_os = "linux")]
fn refuse(socket: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;
    // The filter sees segments from their TCP header on (RFC 9293 §3.1): those with SYN are dropped, and are sent again
    // by the client's system a second later.
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    socket2::SockRef::from(socket).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn refuse(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Removes a socket that a dead process left behind; anything else in its place is an error.
fn free(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)
        }
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path is taken by something else",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client elsewhere may be gone without a word.
    #[tokio::test]
    async fn whether_a_client_elsewhere_is_there_is_asked() {
        for (address, asked) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
            let listener = listen_on(address.parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let accepted = socket2::SockRef::from(&accepted);
            assert_eq!(accepted.keepalive().unwrap(), asked, "{address}");
        }
    }
}
