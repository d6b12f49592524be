//! From an origin to a connected socket: names to addresses, addresses to a connection, never to ourselves.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

use super::{
    alive,
    error::{Error, Kind},
    mark::Marks,
    names::Names,
    reach::Reach,
};
use crate::origin::Host;

/// The head start of each address over the next (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Finds addresses and connects to them.
#[derive(Debug)]
pub struct Dialer {
    /// "Connect there instead", by host and port.
    pub resolve: HashMap<(Host, u16), SocketAddr>,
    /// The addresses that this process listens on: no request is ever sent there.
    pub ours: Vec<SocketAddr>,
    /// For names, connection and the way through a proxy together.
    pub limit: Duration,
    /// What we are called on the way.
    pub marks: Marks,
    names: Arc<Names>,
}

// === impl Dialer ===

impl Dialer {
    pub fn new(
        resolve: HashMap<(Host, u16), SocketAddr>,
        ours: Vec<SocketAddr>,
        limit: Duration,
    ) -> Self {
        Self {
            resolve,
            ours,
            limit,
            marks: Marks::default(),
            names: Arc::new(Names::new()),
        }
    }

    /// Connects to a host, trying its addresses in turn with a head start each. What `reach` forbids is judged by the
    /// addresses that are then dialled; what the configuration leads elsewhere may be anywhere.
    pub async fn connect(
        &self,
        client: Option<&Arc<str>>,
        host: &Host,
        port: u16,
        reach: Reach,
    ) -> Result<TcpStream, Error> {
        let until = Instant::now() + self.limit;
        let addresses = match timeout_at(until, self.addresses(client, host, port)).await {
            Ok(addresses) => addresses?,
            Err(_) => return Err(Error::unsent(Kind::DnsTimeout)),
        };
        let configured =
            reach == Reach::Guarded && self.resolve.contains_key(&(host.clone(), port));
        for address in &addresses {
            if !configured && !reach.allows(address.ip()) {
                return Err(Error::unsent(Kind::Prohibited));
            }
            if self.is_ours(*address) {
                return Err(Error::unsent(Kind::Ourselves(*address)));
            }
        }
        match timeout_at(until, race(addresses)).await {
            Ok(Ok(socket)) => {
                // Small writes must not wait for an acknowledgement; what is large is written at once anyway.
                socket
                    .set_nodelay(true)
                    .and_then(|()| alive::watch(&socket))
                    .map_err(|e| Error::unsent(Kind::Connect).because(e))?;
                Ok(socket)
            }
            Ok(Err(error)) => {
                self.doubt(host);
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => Kind::ConnectRefused,
                    io::ErrorKind::TimedOut => Kind::ConnectTimeout,
                    _ => Kind::Connect,
                };
                Err(Error::unsent(kind).because(error))
            }
            Err(_) => {
                self.doubt(host);
                Err(Error::unsent(Kind::ConnectTimeout))
            }
        }
    }

    /// Has a name asked for before it is next used: nobody answered at its addresses.
    fn doubt(&self, host: &Host) {
        if let Host::Name(name) = host {
            self.names.doubt(name);
        }
    }

    async fn addresses(
        &self,
        client: Option<&Arc<str>>,
        host: &Host,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Error> {
        let key = (host.clone(), port);
        if let Some(address) = self.resolve.get(&key) {
            return Ok(vec![*address]);
        }
        match host {
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
            Host::Name(name) => {
                let mut addresses = self.names.find(client, name).await?.to_vec();
                addresses.iter_mut().for_each(|a| a.set_port(port));
                Ok(addresses)
            }
        }
    }

    /// Tells whether something that listens at `address` is this process.
    pub fn is_ours(&self, address: SocketAddr) -> bool {
        let address_ip = address.ip().to_canonical();
        self.ours
            .iter()
            .filter(|own| own.port() == address.port())
            .any(|own| {
                let own_ip = own.ip().to_canonical();
                own_ip == address_ip
                || address_ip.is_unspecified()
                || (own_ip.is_unspecified() && is_local(address_ip))
                // A listener on one loopback address is meant by any: 127.0.0.2 is as much us as ::1.
                || (own_ip.is_loopback() && address_ip.is_loopback())
            })
    }
}

/// Tells whether an address is one of this machine's: only those can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// Connects to whichever answers first; the next address starts when the one before failed or its head start is over.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    if let Some(address) = waiting.next() {
        running.push(TcpStream::connect(address));
    }
    while !running.is_empty() {
        let more = waiting.len() > 0;
        tokio::select! {
            Some(result) = running.next() => match result {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    last_error = error;
                    running.extend(waiting.next().map(TcpStream::connect));
                }
            },
            () = sleep(STAGGER), if more => running.extend(waiting.next().map(TcpStream::connect)),
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer(ours: &[&str]) -> Dialer {
        let ours = ours.iter().map(|a| a.parse().unwrap()).collect();
        Dialer::new(HashMap::new(), ours, Duration::from_secs(5))
    }

    #[test]
    fn ourselves_in_every_spelling() {
        let dialer = dialer(&["127.0.0.1:8080", "0.0.0.0:8082"]);
        let cases = [
            ("127.0.0.1:8080", true),
            ("127.0.0.2:8080", true),
            ("0.0.0.0:8080", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]:8080", true),
            ("[::]:8080", true),
            ("127.0.0.1:8082", true),
            ("127.0.0.1:443", false),
            ("192.0.2.1:8080", false),
            ("192.0.2.1:8082", false),
        ];
        for (address, expected) in cases {
            assert_eq!(
                dialer.is_ours(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[tokio::test]
    async fn a_dead_address_does_not_stop_a_live_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let dead = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        assert_eq!(
            race(vec![dead, live]).await.unwrap().peer_addr().unwrap(),
            live
        );
    }

    #[tokio::test]
    async fn we_never_dial_ourselves() {
        let error = dialer(&["127.0.0.1:9"])
            .connect(None, &"127.0.0.9".parse().unwrap(), 9, Reach::Anywhere)
            .await
            .unwrap_err();
        assert!(matches!(error.kind(), Kind::Ourselves(_)));
    }

    /// A network that forgets a connection would be waited for without an end.
    #[tokio::test]
    async fn whether_the_other_side_is_there_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = "127.0.0.1".parse().unwrap();
        let dialer = dialer(&[]);
        let socket = dialer.connect(None, &host, port, Reach::Anywhere).await;
        let socket = socket.unwrap();
        let socket = socket2::SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
    }
}
