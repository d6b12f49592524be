//! x509-limbo's chains, each served live: the upstream side takes what rustls-webpki takes and nothing else, and an
//! origin that it refuses sees no byte of a request.
//!
//! Both judge at the present time, whatever the time of a case. Left out are those whose chain the test's own server cannot
//! load.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use http::{Request, header::AUTHORIZATION};
use rustls::{
    RootCertStore, ServerConfig,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::Deserialize;
use staysigned::{
    limits::Limits,
    origin::{Host, Origin, Scheme},
    upstream::{self, Body, Reach, Route, Upstream, egress::Egress},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{pki::crypto, raw::tcp};

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    peer_certificate_key: Option<String>,
    expected_peer_name: Option<Name>,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate in PEM")
}

/// Shows one chain, whatever is asked for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl Case {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let all = [&self.peer_certificate]
            .into_iter()
            .chain(&self.untrusted_intermediates);
        all.map(|pem| certificate(pem)).collect()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.trusted_certs.iter().map(|pem| certificate(pem)));
        roots
    }

    fn server(&self) -> Option<Arc<ServerConfig>> {
        let key =
            PrivateKeyDer::from_pem_slice(self.peer_certificate_key.as_ref()?.as_bytes()).ok()?;
        let key = crypto().key_provider.load_private_key(key).ok()?;
        let shown = Arc::new(CertifiedKey::new(self.chain(), key));
        let config = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(shown)));
        Some(Arc::new(config))
    }

    /// What rustls-webpki itself says.
    fn verdict(&self, host: &Host) -> bool {
        let roots = Arc::new(self.roots());
        let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(roots, crypto()).build()
        else {
            return false;
        };
        let name = match host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => match ServerName::try_from(name.as_str().to_owned()) {
                Ok(name) => name,
                Err(_) => return false,
            },
        };
        let now = UnixTime::since_unix_epoch(SystemTime::UNIX_EPOCH.elapsed().expect("a clock"));
        let chain = self.chain();
        use rustls::client::danger::ServerCertVerifier as _;
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
            .is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_are_judged_as_by_webpki() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/x509-limbo/limbo.json"
    );
    let limbo: Limbo =
        serde_json::from_slice(&std::fs::read(file).expect("the cases")).expect("cases");
    let (mut wrong, mut taken, mut refused) = (Vec::new(), 0, 0);
    for case in &limbo.testcases {
        if case.validation_kind != "SERVER" {
            continue;
        }
        let (Some(server), Some(name)) = (case.server(), &case.expected_peer_name) else {
            continue;
        };
        let Ok(host) = name.value.parse::<Host>() else {
            continue;
        };
        let (asked, seen) = (
            Arc::<AtomicUsize>::default(),
            Arc::<Mutex<Vec<u8>>>::default(),
        );
        let acceptor = tokio_rustls::TlsAcceptor::from(server);
        let (address, task) = tcp({
            let (asked, seen) = (asked.clone(), seen.clone());
            move |socket| {
                let (acceptor, asked, seen) = (acceptor.clone(), asked.clone(), seen.clone());
                async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        seen.lock().unwrap().extend_from_slice(&bytes[..read]);
                        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                        let _ = stream.flush().await;
                    }
                }
            }
        })
        .await;
        let upstream = Upstream::new(upstream::Config {
            roots: case.roots(),
            resolve: HashMap::from([((host.clone(), 443), address)]),
            egress: Egress::direct(),
            ours: Vec::new(),
            limits: Limits::default(),
        })
        .expect("an upstream side");
        let route = Route {
            client: None,
            origin: Origin {
                scheme: Scheme::Https,
                host: host.clone(),
                port: 443,
            },
            reach: Reach::Anywhere,
        };
        let request = Request::get("/")
            .header(AUTHORIZATION, "Bearer t1")
            .body(Body::Empty)
            .unwrap();
        let answered = upstream.send(&route, request).await;
        let expected = case.verdict(&host);
        let saw = seen
            .lock()
            .unwrap()
            .windows(9)
            .any(|bytes| bytes == b"Bearer t1");
        if answered.is_ok() != expected
            || saw != expected
            || (expected && asked.load(Ordering::SeqCst) == 0)
        {
            wrong.push(format!(
                "{}: {:?}, not {expected}; the credential was seen: {saw}",
                case.id,
                answered.map(|a| a.status())
            ));
        }
        *(if expected { &mut taken } else { &mut refused }) += 1;
        task.abort();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        taken >= 80 && refused >= 75 && taken + refused >= 175,
        "{taken} taken, {refused} refused"
    );
    println!("{taken} taken, {refused} refused");
}
