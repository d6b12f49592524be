//! The CA judged by other people's TLS: OpenSSL, GnuTLS, NSS, Python, Node.

/// The CA we make.
mod ours;
/// CAs that users put into the folder.
mod theirs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use rustls::ServerConnection;
use staysigned::{
    ca::{Ca, Error, Params},
    env::Env,
    origin::Host,
    rule::HostPattern,
};

const NAME: &str = "api.example.com";

fn open(folder: &Path, constrain: Option<&[HostPattern]>) -> Result<Ca, Error> {
    let params = Params {
        folder,
        constrain,
        leaves: 16,
    };
    Ca::open(&params, Env::real())
}

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    for name in [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "HTTPS_PROXY",
        "https_proxy",
    ] {
        command.env_remove(name);
    }
    crate::support::tool::output(command.args(args))
}

#[track_caller]
fn succeeds(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {said}{complained}"
    );
    said
}

/// Writes the leaf for the host, as PEM.
fn leaf(ca: &Ca, folder: &Path, host: &str) -> PathBuf {
    let der = chain(ca, host).remove(0);
    let (from, to) = (folder.join("leaf.der"), folder.join("leaf.pem"));
    fs::write(&from, der).unwrap();
    let (from, path) = (from.to_str().unwrap(), to.to_str().unwrap());
    succeeds(
        "openssl",
        &["x509", "-inform", "der", "-in", from, "-out", path],
    );
    to
}

/// Returns the chain a client is sent.
fn chain(ca: &Ca, host: &str) -> Vec<Vec<u8>> {
    use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
    let host: Host = host.parse().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.root().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = match &host {
        Host::Name(name) => ServerName::try_from(name.to_string()).unwrap(),
        Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
    };
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(ca.resolve(&host).unwrap()).unwrap();
    while client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let sent = client.peer_certificates().unwrap();
    sent.iter().map(|der| der.to_vec()).collect()
}
