//! The proxy as a whole between a client and an origin, of which one says what it likes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
    time::Duration,
};

use http::{StatusCode, header::AUTHORIZATION};
use staysigned::{
    ca::{self, Ca},
    env::Env,
    limits::Limits,
    origin::Scheme,
    proxy::{Arrival, Clients, LocalUsers, Proxy, Stop, Unmatched, World},
    rule::{
        Bind, Cookies, HostPattern, Inject, Mode, Place, Recipe, Rejected, Target, glob::Glob,
        template::Template,
    },
    session::{Context, Keeping, Sessions},
    store::Store,
    upstream::{self, Total, Upstream, egress::Egress},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};

/// No exchange of either target takes longer.
const LONG: Duration = Duration::from_secs(20);

/// After this silence of the proxy a client has nothing to wait for, and ends.
const SILENCE: Duration = Duration::from_millis(5);

/// No input is longer.
const LARGEST: usize = 1 << 16;

/// A client's bytes from the first to the last: CONNECT, SOCKS5, TLS and HTTP, in whatever form. What comes out at the
/// origin has one reading.
pub fn client(data: &[u8]) {
    let world = &*WORLD;
    world
        .origin
        .says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    world.exchange(data, SILENCE);
    for heard in world.origin.heard() {
        plain(&heard);
    }
}

/// An origin's bytes: interim answers, a head, a body. What comes out at the client has one reading.
pub fn answer(data: &[u8]) {
    let world = &*WORLD;
    world.origin.says(data);
    let said = world.exchange(
        b"GET http://a.test/x HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n",
        LONG,
    );
    let shown = said.escape_ascii();
    assert!(said.starts_with(b"HTTP/1."), "there is an answer: {shown}");
    plain(&said);
    drop(world.origin.heard());
}

/// Everybody who reads this head reads the same: whole lines, one length, one host.
fn plain(message: &[u8]) {
    let shown = message.escape_ascii();
    let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") else {
        return;
    };
    let (mut lengths, mut hosts) = (0, 0);
    for line in message[..end].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(
            !line.iter().any(|byte| matches!(byte, b'\r' | 0)),
            "{shown}"
        );
        assert!(
            !line.starts_with(b" ") && !line.starts_with(b"\t"),
            "{shown}"
        );
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" | b"transfer-encoding" => lengths += 1,
            b"host" => hosts += 1,
            _ => {}
        }
    }
    let whole = message[..end]
        .windows(2)
        .filter(|two| two == b"\r\n")
        .count();
    let any = message[..end].iter().filter(|byte| **byte == b'\n').count();
    assert!(whole == any && lengths <= 1 && hosts <= 1, "{shown}");
}

static WORLD: LazyLock<Between> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let (origin, proxy) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let origin = Origin::default();
        tokio::spawn(origin.clone().serve(listener));
        (origin, proxy(folder.path(), address).await)
    });
    Between {
        runtime: Mutex::new(runtime),
        origin,
        proxy,
        _folder: folder,
    }
});

/// The proxy, and what is on its far side.
struct Between {
    runtime: Mutex<Runtime>,
    origin: Origin,
    proxy: Arc<Proxy>,
    _folder: tempfile::TempDir,
}

/// Says the same to everybody, and keeps what it heard.
#[derive(Clone, Default)]
struct Origin(Arc<Mutex<Spoken>>);

#[derive(Default)]
struct Spoken {
    says: Vec<u8>,
    heard: Vec<Vec<u8>>,
}

// === impl Between ===

impl Between {
    /// Says all this as a client, which ends after so much silence, and returns what was said to it.
    fn exchange(&self, data: &[u8], silence: Duration) -> Vec<u8> {
        let runtime = self.runtime.lock().expect("no panic");
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let data = &data[..data.len().min(LARGEST)];
            client.write_all(data).await.expect("there is room");
            let arrival = Arrival {
                peer: None,
                local: None,
                uid: Some(u32::MAX),
                listener: None,
            };
            let serving = tokio::spawn(self.proxy.clone().serve(server, arrival));
            let mut said = Vec::new();
            let talk = async {
                while let Ok(read) = timeout(silence, client.read_buf(&mut said)).await {
                    if read.expect("a stream in memory") == 0 {
                        return;
                    }
                }
                // One that ends before its answer is one that does not want it.
                client.shutdown().await.expect("it ends");
                let rest = client.read_to_end(&mut said).await;
                rest.expect("a stream in memory");
            };
            timeout(LONG, talk).await.expect("it ends with its client");
            drop(client);
            serving.await.expect("no panic");
            said
        })
    }
}

// === impl Origin ===

impl Origin {
    fn spoken(&self) -> MutexGuard<'_, Spoken> {
        self.0.lock().expect("no panic")
    }

    fn says(&self, data: &[u8]) {
        self.spoken().says = data[..data.len().min(LARGEST)].to_vec();
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.spoken().heard)
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().answer(stream));
        }
    }

    /// Hears a head, answers, and ends when the other side has.
    async fn answer(self, mut stream: TcpStream) {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => heard.extend_from_slice(&buffer[..n]),
            }
        }
        let says = {
            let mut spoken = self.spoken();
            spoken.heard.push(heard);
            spoken.says.clone()
        };
        if stream.write_all(&says).await.is_ok() && stream.shutdown().await.is_ok() {
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
        }
    }
}

/// A proxy with a session; what it is not bound to is refused.
async fn proxy(folder: &Path, origin: std::net::SocketAddr) -> Arc<Proxy> {
    let limits = Limits {
        connect: Duration::from_secs(1),
        handshake: Duration::from_secs(1),
        request_head: Duration::from_secs(1),
        inspect_wait: Duration::from_millis(100),
        ..Limits::default()
    };
    let upstream = Upstream::new(upstream::Config {
        roots: rustls::RootCertStore::empty(),
        resolve: HashMap::from([
            (("a.test".parse().expect("a host"), 80), origin),
            (
                ("a.test".parse().expect("a host"), 443),
                "127.0.0.1:1".parse().expect("nobody"),
            ),
        ]),
        egress: Egress::direct(),
        ours: Vec::new(),
        limits: limits.clone(),
    })
    .expect("an upstream side");
    let bind = |scheme: Scheme| Bind {
        target: Target {
            scheme,
            host: HostPattern::Exact("a.test".parse().expect("a host")),
            port: scheme.default_port(),
            path: None,
            methods: None,
        },
        when: None,
    };
    let token = "access_token".to_owned();
    let recipe = Recipe {
        inject: vec![Inject {
            place: Place::Header(AUTHORIZATION),
            value: Template::parse("Bearer {{ access_token }}").expect("a template"),
            mode: Mode::Replace,
        }],
        secrets: BTreeMap::from([(token.clone(), "t".into())]),
        seeds: BTreeSet::from([token]),
        bind: vec![bind(Scheme::Http), bind(Scheme::Https)],
        cookies: Cookies {
            enabled: true,
            ..Cookies::default()
        },
        rejected: vec![
            Rejected {
                status: Some(vec![StatusCode::OK.as_u16()]),
                methods: vec![http::Method::GET],
                json: vec![("/error".parse().expect("a pointer"), true.into())],
                ..Rejected::default()
            },
            Rejected {
                status: Some(vec![StatusCode::FOUND.as_u16()]),
                methods: vec![http::Method::GET],
                location: Some(Glob::new("*/login*")),
                ..Rejected::default()
            },
        ],
        ..Recipe::new(Arc::<str>::from("app"))
    };
    let context = Context {
        store: Store::memory(),
        upstream: upstream.clone(),
        env: Env::real(),
        limits: limits.clone(),
        before: None,
        keeping: Keeping::AtRest,
    };
    let world = World {
        sessions: Sessions::open(vec![Arc::new(recipe)], context)
            .await
            .expect("sessions"),
        clients: Clients {
            named: Vec::new(),
            local_users: LocalUsers::Any,
        },
        unmatched: Unmatched::Deny,
    };
    let params = ca::Params {
        folder,
        constrain: None,
        leaves: 16,
    };
    Arc::new(Proxy {
        world: arc_swap::ArcSwap::from_pointee(world),
        ca: arc_swap::ArcSwap::from_pointee(Ca::open(&params, Env::real()).expect("a CA")),
        upstream,
        kept: Total::new(limits.replay_total),
        limits,
        added: Default::default(),
        alone: Default::default(),
        stop: Stop::default(),
    })
}
