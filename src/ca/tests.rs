//! The CA as its clients meet it: handshakes over memory, and its folder in every state.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore,
    ServerConnection,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;

use super::{Ca, Error, Params};
use crate::{env::Env, origin::Host, rule::HostPattern};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn open(folder: &Path, constrain: Option<&[HostPattern]>, env: &Env) -> Result<Ca, Error> {
    let params = Params {
        folder,
        constrain,
        leaves: 64,
    };
    Ca::open(&params, env.clone())
}

fn client(root: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Does a handshake in memory and hands over tickets; returns the client's view.
fn shake(
    ca: &Ca,
    at: &str,
    config: &Arc<ClientConfig>,
    ask: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(ask.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name)?;
    let mut server = ServerConnection::new(ca.resolve(&host(at)).unwrap()).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        let mut left = &wire[..];
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        let mut left = &wire[..];
        while !left.is_empty() {
            client.read_tls(&mut left).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client)
}

#[test]
fn names_and_addresses_verify() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None, &Env::real()).unwrap();
    let config = client(ca.root().der());
    let long = format!("{}.{}.example", "a".repeat(63), "b".repeat(63));
    for (at, ask) in [
        ("api.example.com", "api.example.com"),
        ("under_score.example", "under_score.example"),
        (&long, &long),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
    ] {
        let client = shake(&ca, at, &config, ask).unwrap();
        let suite = client.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256, "{at}");
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519, "{at}");
    }
    assert!(shake(&ca, "api.example.com", &config, "other.example").is_err());
}

#[test]
fn a_client_resumes_at_its_host_alone() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None, &Env::real()).unwrap();
    let config = client(ca.root().der());
    let kind = |at: &str| shake(&ca, at, &config, at).unwrap().handshake_kind();
    assert_eq!(kind("a.example"), Some(HandshakeKind::Full));
    assert_eq!(kind("a.example"), Some(HandshakeKind::Resumed));
    assert_eq!(kind("b.example"), Some(HandshakeKind::Full));
    assert_eq!(kind("b.example"), Some(HandshakeKind::Resumed));
    // A ticket outlives the cached leaf it was given with.
    for n in 0..1000 {
        ca.resolve(&host(&format!("{n}.example"))).unwrap();
    }
    assert_eq!(kind("a.example"), Some(HandshakeKind::Resumed));
}

#[test]
fn a_ticket_is_not_taken_for_another_host() {
    /// Keeps what it is given under one name, as a client that mixes its hosts up.
    #[derive(Debug)]
    struct OneName(rustls::client::ClientSessionMemoryCache);
    impl OneName {
        fn name() -> ServerName<'static> {
            ServerName::try_from("one.example").unwrap()
        }
    }
    impl rustls::client::ClientSessionStore for OneName {
        fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            None
        }
        fn set_tls12_session(
            &self,
            _: ServerName<'static>,
            v: rustls::client::Tls12ClientSessionValue,
        ) {
            self.0.set_tls12_session(Self::name(), v);
        }
        fn tls12_session(
            &self,
            _: &ServerName<'_>,
        ) -> Option<rustls::client::Tls12ClientSessionValue> {
            self.0.tls12_session(&Self::name())
        }
        fn remove_tls12_session(&self, _: &ServerName<'static>) {}
        fn insert_tls13_ticket(
            &self,
            _: ServerName<'static>,
            v: rustls::client::Tls13ClientSessionValue,
        ) {
            self.0.insert_tls13_ticket(Self::name(), v);
        }
        fn take_tls13_ticket(
            &self,
            _: &ServerName<'static>,
        ) -> Option<rustls::client::Tls13ClientSessionValue> {
            self.0.take_tls13_ticket(&Self::name())
        }
    }
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None, &Env::real()).unwrap();
    let mut config = ClientConfig::clone(&client(ca.root().der()));
    let store = OneName(rustls::client::ClientSessionMemoryCache::new(8));
    config.resumption = rustls::client::Resumption::store(Arc::new(store));
    let config = Arc::new(config);
    let kind = |at: &str| shake(&ca, at, &config, at).unwrap().handshake_kind();
    assert_eq!(kind("a.example"), Some(HandshakeKind::Full));
    assert_eq!(kind("a.example"), Some(HandshakeKind::Resumed));
    assert_eq!(kind("b.example"), Some(HandshakeKind::Full));
}

#[tokio::test(start_paused = true)]
async fn leaves_are_minted_again_in_time_and_end_with_their_ca() {
    let folder = TempDir::new().unwrap();
    let env = Env::simulated(SystemTime::now(), 1);
    let ca = open(folder.path(), None, &env).unwrap();
    let config = || ca.resolve(&host("a.example")).unwrap();
    let first = config();
    assert!(Arc::ptr_eq(&first, &config()));
    tokio::time::sleep(4 * DAY).await;
    assert!(Arc::ptr_eq(&first, &config()));
    tokio::time::sleep(DAY).await;
    let second = config();
    assert!(!Arc::ptr_eq(&first, &second));
    // Two days before the CA's end its last leaf is minted, and then kept.
    let left = ca.root().not_after().duration_since(env.wall()).unwrap();
    tokio::time::sleep(left - 2 * DAY).await;
    let last = config();
    tokio::time::sleep(2 * DAY - Duration::from_secs(1)).await;
    assert!(ca.root().ends_soon(env.wall()));
    assert!(Arc::ptr_eq(&last, &config()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        ca.resolve(&host("a.example")),
        Err(Error::Expired(_))
    ));
    assert!(matches!(
        open(folder.path(), None, &env),
        Err(Error::Expired(_))
    ));
}

#[test]
fn one_flight_for_a_host() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None, &Env::real()).unwrap();
    let configs = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| ca.resolve(&host("a.example")).unwrap()))
            .collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(configs.iter().all(|c| Arc::ptr_eq(c, &configs[0])));
}

#[test]
fn what_it_makes_is_for_its_owner_and_made_once() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("deep/certs");
    let first = open(&folder, None, &Env::real()).unwrap();
    assert!(first.root().is_new());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("ca.key")), 0o600);
    assert_eq!(mode(&folder.join("ca.pem")), 0o644);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let second = open(&folder, None, &Env::real()).unwrap();
    assert!(!second.root().is_new());
    assert_eq!(first.root().der(), second.root().der());
    let debug = format!("{first:?}");
    assert!(
        !debug.contains("PRIVATE") && !debug.contains("key"),
        "{debug}"
    );
}

#[test]
fn a_constrained_root_is_good_for_its_hosts_alone() {
    let names = [
        HostPattern::Exact(host("api.example.com")),
        HostPattern::Below("example.org".parse().unwrap()),
    ];
    let addresses = [HostPattern::Exact(host("127.0.0.1"))];
    let cases: [(&[HostPattern], &[&str], &[&str]); 3] = [
        (
            &names,
            &["api.example.com", "a.b.example.org"],
            &["example.com", "127.0.0.1", "[::1]"],
        ),
        (
            &addresses,
            &["127.0.0.1"],
            &["127.0.0.2", "[::1]", "example.com"],
        ),
        (&[], &[], &["example.com", "127.0.0.1"]),
    ];
    for (hosts, good, bad) in cases {
        let folder = TempDir::new().unwrap();
        let env = Env::real();
        let ca = open(folder.path(), Some(hosts), &env).unwrap();
        assert!(ca.root().is_constrained());
        assert!(ca.root().uncovered(hosts, env.wall()).unwrap().is_empty());
        let more = [HostPattern::Exact(host("new.example"))];
        assert_eq!(ca.root().uncovered(&more, env.wall()).unwrap(), [&more[0]]);
        for name in good {
            ca.resolve(&host(name)).unwrap();
        }
        for name in bad {
            let result = ca.resolve(&host(name));
            assert!(
                matches!(result, Err(Error::NotCovered(_))),
                "{hosts:?} {name}"
            );
        }
    }
}

#[test]
fn a_mint_is_cheap() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None, &Env::real()).unwrap();
    let started = Instant::now();
    for n in 0..1000 {
        ca.resolve(&host(&format!("h{n}.example"))).unwrap();
    }
    let each = started.elapsed() / 1000;
    println!("{each:?} a mint");
    assert!(each < Duration::from_millis(20), "{each:?}");
}
