//! What we make, read and trusted by every client at hand.

use staysigned::{
    ca::{Ca, Error},
    rule::HostPattern,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{NAME, leaf, open, succeeds};

/// Answers every request for `host` on a port of its own.
async fn serve(ca: &Ca, host: &str) -> u16 {
    let acceptor = TlsAcceptor::from(ca.resolve(&host.parse().unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(io).await else {
                    return;
                };
                // HTTP/1.1 is what the clients below are told to speak.
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && tls.read_buf(&mut head).await.unwrap_or(0) > 0
                {
                }
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
                tls.write_all(answer).await.ok();
                tls.shutdown().await.ok();
            });
        }
    });
    port
}

#[test]
fn openssl_reads_what_we_write() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None).unwrap();
    let root = ca.root().path();
    let root = root.to_str().unwrap();
    let text = succeeds("openssl", &["x509", "-in", root, "-noout", "-text"]);
    for expected in [
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "TLS Web Server Authentication",
        "X509v3 Subject Key Identifier",
        "Subject: CN = staysigned CA ",
        "prime256v1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for (host, name) in [
        (NAME, "DNS:api.example.com"),
        ("127.0.0.1", "IP Address:127.0.0.1"),
        ("[::1]", "IP Address:0:0:0:0:0:0:0:1"),
    ] {
        let leaf = leaf(&ca, folder.path(), host);
        let leaf = leaf.to_str().unwrap();
        let verify = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            root,
            leaf,
        ];
        succeeds("openssl", &verify);
        let text = succeeds("openssl", &["x509", "-in", leaf, "-noout", "-text"]);
        for expected in [
            name,
            "Subject Alternative Name: critical",
            "Key Usage: critical\n                Digital Signature\n",
            "CA:FALSE",
            "X509v3 Authority Key Identifier",
            "Subject: \n",
            "ecdsa-with-SHA256",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_trust_a_leaf() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None).unwrap();
    let root = ca.root().path();
    let root = root.to_str().unwrap().to_owned();
    let (named, numbered) = (serve(&ca, NAME).await, serve(&ca, "127.0.0.1").await);
    let work = move || {
        let at = format!("127.0.0.1:{named}");
        let s_client = [
            "s_client",
            "-connect",
            &at,
            "-servername",
            NAME,
            "-verify_hostname",
            NAME,
            "-verify_return_error",
            "-x509_strict",
            "-CAfile",
            &root,
            "-no_ign_eof",
        ];
        assert!(succeeds("openssl", &s_client).contains("Verify return code: 0"));

        let resolve = format!("{NAME}:{named}:127.0.0.1");
        let url = format!("https://{NAME}:{named}/");
        let by_address = format!("https://127.0.0.1:{numbered}/");
        let curl = [
            "-q",
            "-sS",
            "--http1.1",
            "--noproxy",
            "*",
            "--cacert",
            &root,
        ];
        for tls in ["1.2", "1.3"] {
            let one = [&curl[..], &["--tls-max", tls, "--resolve", &resolve, &url]].concat();
            assert_eq!(succeeds("curl", &one), "hello\n");
        }
        assert_eq!(
            succeeds("curl", &[&curl[..], &[&by_address]].concat()),
            "hello\n"
        );
        // GnuTLS, in Debian's build.
        let certificate = format!("--ca-certificate={root}");
        let wget = [
            "--no-config",
            "--no-proxy",
            "-qO-",
            &certificate,
            &by_address,
        ];
        assert_eq!(succeeds("wget", &wget), "hello\n");

        let python = "import socket, ssl, sys\n\
            context = ssl.create_default_context(cafile=sys.argv[1])\n\
            context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN\n\
            for port, name in ((sys.argv[2], 'api.example.com'), (sys.argv[3], '127.0.0.1')):\n    \
            with socket.create_connection(('127.0.0.1', int(port))) as io:\n        \
            with context.wrap_socket(io, server_hostname=name) as tls:\n            \
            print(tls.version(), tls.cipher()[0])\n";
        let ports = [named.to_string(), numbered.to_string()];
        let said = succeeds("python3", &["-c", python, &root, &ports[0], &ports[1]]);
        assert_eq!(said, "TLSv1.3 TLS_AES_128_GCM_SHA256\n".repeat(2));

        let node = "const [root, named, numbered] = process.argv.slice(1);\
            const ca = require('fs').readFileSync(root);\
            for (const [port, servername] of [[named, 'api.example.com'], [numbered, '']])\
            require('https').get({ host: '127.0.0.1', port, servername, ca,\
            headers: { host: servername || '127.0.0.1' } }, r => r.pipe(process.stdout));";
        let said = succeeds("node", &["-e", node, &root, &ports[0], &ports[1]]);
        assert_eq!(said, "hello\n".repeat(2));
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[test]
fn nss_trusts_a_leaf() {
    let folder = TempDir::new().unwrap();
    let ca = open(folder.path(), None).unwrap();
    let database = format!("sql:{}", folder.path().display());
    let root = ca.root().path();
    succeeds("certutil", &["-N", "-d", &database, "--empty-password"]);
    let add = ["-A", "-d", &database, "-n", "root", "-t", "C,,", "-i"];
    succeeds("certutil", &[&add[..], &[root.to_str().unwrap()]].concat());
    for (n, host) in [NAME, "127.0.0.1"].into_iter().enumerate() {
        let leaf = leaf(&ca, folder.path(), host);
        let nick = format!("leaf{n}");
        let add = ["-A", "-d", &database, "-n", &nick, "-t", ",,", "-i"];
        succeeds("certutil", &[&add[..], &[leaf.to_str().unwrap()]].concat());
        let said = succeeds(
            "certutil",
            &["-V", "-d", &database, "-n", &nick, "-u", "V", "-e"],
        );
        assert!(said.contains("certificate is valid"), "{said}");
    }
}

#[test]
fn constraints_hold_for_other_peoples_tls() {
    let folder = TempDir::new().unwrap();
    let hosts = [HostPattern::Below("example.com".parse().unwrap())];
    let constrained = open(folder.path(), Some(&hosts)).unwrap();
    let root = constrained.root().path();
    let root = root.to_str().unwrap();
    let text = succeeds("openssl", &["x509", "-in", root, "-noout", "-text"]);
    assert!(text.contains("Name Constraints: critical"), "{text}");
    let good = leaf(&constrained, folder.path(), NAME);
    let verify = ["verify", "-x509_strict", "-CAfile", root];
    succeeds(
        "openssl",
        &[&verify[..], &[good.to_str().unwrap()]].concat(),
    );
    assert!(matches!(
        constrained.resolve(&"127.0.0.1".parse().unwrap()),
        Err(Error::NotCovered(_))
    ));
}
