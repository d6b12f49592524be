//! The whole proxy in one process, for clients that a test cannot be from outside: other users, other machines.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use rustls::RootCertStore;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    net::TcpListener,
};

use super::*;
use crate::{
    ca,
    env::Env,
    rule::{Recipe, sample},
    session::{Context, Keeping},
    store::Store,
    upstream::{self, egress::Egress},
};

/// A name that `resolve` leads to the loopback.
const LED: &str = "led.example.test";

/// A proxy with these sessions; `led` leads to the address.
async fn proxy(clients: Clients, recipes: Vec<Recipe>, led: SocketAddr) -> Arc<Proxy> {
    let folder = tempfile::tempdir().unwrap();
    let (env, limits) = (Env::real(), Limits::default());
    let upstream = Upstream::new(upstream::Config {
        roots: RootCertStore::empty(),
        resolve: HashMap::from([((LED.parse().unwrap(), led.port()), led)]),
        egress: Egress::direct(),
        ours: Vec::new(),
        limits: limits.clone(),
    })
    .unwrap();
    let params = ca::Params {
        folder: folder.path(),
        constrain: None,
        leaves: 16,
    };
    let context = Context {
        store: Store::memory(),
        upstream: upstream.clone(),
        env: env.clone(),
        limits: limits.clone(),
        before: None,
        keeping: Keeping::AtRest,
    };
    let recipes = recipes.into_iter().map(Arc::new).collect();
    let world = World {
        sessions: Sessions::open(recipes, context).await.unwrap(),
        clients,
        unmatched: Unmatched::Tunnel,
    };
    Arc::new(Proxy {
        world: ArcSwap::from_pointee(world),
        ca: ArcSwap::from_pointee(Ca::open(&params, env).unwrap()),
        upstream,
        kept: Total::new(limits.replay_total),
        limits,
        added: Default::default(),
        alone: Default::default(),
        stop: Stop::default(),
    })
}

/// An origin that answers whatever comes; returns its address.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                if matches!(socket.read(&mut head).await, Ok(n) if n > 0) {
                    let answer =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                    let _ = socket.write_all(answer).await;
                }
            });
        }
    });
    address
}

/// Says all of it to the proxy and returns all that it says.
async fn say(proxy: &Arc<Proxy>, arrival: &Arrival, bytes: &[u8]) -> Vec<u8> {
    let saying = tokio::time::timeout(Duration::from_secs(60), say_all(proxy, arrival, bytes));
    saying.await.expect("the proxy answers, and ends")
}

async fn say_all(proxy: &Arc<Proxy>, arrival: &Arrival, bytes: &[u8]) -> Vec<u8> {
    let (mut client, server) = duplex(64 * 1024);
    let serving = tokio::spawn(proxy.clone().serve(server, arrival.clone()));
    client.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    if bytes[0] == socks::VERSION {
        // Negotiation, answer.
        said.resize(12, 0);
        client.read_exact(&mut said).await.unwrap();
        said.drain(..2);
        if said[1] == 0 {
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
    }
    client.read_to_end(&mut said).await.unwrap();
    drop(client);
    serving.await.unwrap();
    said
}

fn arrival(peer: &str, uid: Option<u32>) -> Arrival {
    Arrival {
        peer: Some(peer.parse().unwrap()),
        local: Some("192.0.2.1:8080".parse().unwrap()),
        uid,
        listener: None,
    }
}

/// One client with a password, `a:b`.
fn named() -> Clients {
    Clients {
        named: vec![Client {
            name: "a".into(),
            password: Some("b".into()),
            uid: None,
        }],
        local_users: LocalUsers::Own,
    }
}

fn any() -> Clients {
    Clients {
        named: Vec::new(),
        local_users: LocalUsers::Any,
    }
}

/// Asks for a host in one of the ways there are, and tells whether it was reached.
async fn reaches(proxy: &Arc<Proxy>, arrival: &Arrival, way: &str, host: &str, port: u16) -> bool {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let authorization = "Proxy-Authorization: Basic YTpi\r\n";
    let at = format!("{host}:{port}");
    let message = match way {
        "connect" => format!(
            "CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{authorization}\r\nGET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"
        )
        .into_bytes(),
        "absolute" => {
            format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{authorization}Connection: close\r\n\r\n").into_bytes()
        }
        _ => {
            let name = host.trim_matches(['[', ']']).as_bytes();
            let length = u8::try_from(name.len()).unwrap();
            [&[5, 1, 0, 5, 1, 0, 3, length][..], name, &port.to_be_bytes()].concat()
        }
    };
    let said = say(proxy, arrival, &message).await;
    if way == "socks" {
        assert!(matches!(said[1], 0 | 2), "{said:?}");
        return said[1] == 0;
    }
    let text = String::from_utf8_lossy(&said);
    let reached = text.ends_with("ok");
    assert!(
        reached || text.contains("403") && text.contains("destination_ip_prohibited"),
        "{way} {at}: {text}"
    );
    reached
}

#[tokio::test]
async fn who_reaches_what() {
    let site = origin().await;
    let me = rustix::process::getuid().as_raw();
    let own = arrival("192.0.2.1:5000", Some(me));
    let other_user = arrival("127.0.0.1:5000", Some(me ^ 1));
    let other_machine = arrival("192.0.2.9:5000", None);
    let only_own = Clients {
        local_users: LocalUsers::Own,
        ..any()
    };
    let local = ["127.0.0.1", "localhost", "::ffff:127.0.0.1"];
    for (who, clients, arrival, expected) in [
        ("the own user", only_own, &own, true),
        ("the own user among all", any(), &own, true),
        ("another user", any(), &other_user, false),
        ("another machine", any(), &other_machine, false),
        ("a named client of the own user", named(), &own, true),
        ("a named client elsewhere", named(), &other_machine, false),
    ] {
        let passwords = !clients.named.is_empty();
        let proxy = proxy(clients, Vec::new(), site).await;
        for way in ["connect", "absolute", "socks"] {
            if way == "socks" && passwords {
                // The password is another message there; what follows is the same.
                continue;
            }
            for host in local {
                if host.contains(':') && way == "socks" {
                    continue;
                }
                let reached = reaches(&proxy, arrival, way, host, site.port()).await;
                assert_eq!(reached, expected, "{who}, {way} {host}");
            }
            // What the configuration leads to the loopback is there for everybody.
            assert!(
                reaches(&proxy, arrival, way, LED, site.port()).await,
                "{who}, {way}"
            );
        }
    }
}

/// A session that is bound to it opens an address; the rest of this machine stays closed.
#[tokio::test]
async fn a_binding_opens_an_address() {
    let (site, other) = (origin().await, origin().await);
    let bound = format!("http://127.0.0.1:{}/only/this", site.port());
    let recipe = sample::recipe("app", &[], &[&bound]);
    let proxy = proxy(any(), vec![recipe], site).await;
    let stranger = arrival("192.0.2.9:5000", None);
    for way in ["connect", "absolute"] {
        assert!(reaches(&proxy, &stranger, way, "127.0.0.1", site.port()).await);
        assert!(!reaches(&proxy, &stranger, way, "127.0.0.1", other.port()).await);
        assert!(!reaches(&proxy, &stranger, way, "localhost", site.port()).await);
    }
}

/// What was dialled for the own user is not handed to another.
#[tokio::test]
async fn a_pooled_connection_opens_nothing() {
    let site = origin().await;
    let proxy = proxy(any(), Vec::new(), site).await;
    let own = arrival("127.0.0.1:5000", Some(rustix::process::getuid().as_raw()));
    let stranger = arrival("192.0.2.9:5000", None);
    assert!(reaches(&proxy, &own, "absolute", "127.0.0.1", site.port()).await);
    assert!(!reaches(&proxy, &stranger, "absolute", "127.0.0.1", site.port()).await);
}

/// A stream on which something goes wrong that nobody thought of.
struct Faulty;

impl AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        panic!("a fault of the test's own")
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_alone() {
    let site = origin().await;
    let proxy = proxy(any(), Vec::new(), site).await;
    let own = arrival("127.0.0.1:5000", Some(rustix::process::getuid().as_raw()));
    for _ in 0..3 {
        let task = proxy
            .stop
            .tasks
            .spawn(proxy.clone().serve(Faulty, own.clone()));
        assert!(task.await.unwrap_err().is_panic());
        assert!(reaches(&proxy, &own, "connect", "127.0.0.1", site.port()).await);
    }
    assert!(proxy.stop.tasks.is_empty());
}
