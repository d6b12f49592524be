//! Upstream proxies over TLS and SOCKS5 that are not who they say, take nobody in, or break off: a 502 that says so, and
//! nothing told to the wrong one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::egress::{BOUND, PLAIN, WAY, by, inner};
use crate::support::{
    pki::{Identity, TRUSTED, UNKNOWN, Valid},
    proxy::Proxy,
    raw::tcp,
};

/// A request for each scheme gets a 502 that names the upstream proxy.
async fn refused(proxy: &Proxy, what: &str) {
    for url in [format!("https://{BOUND}/"), format!("http://{PLAIN}/")] {
        for client in [proxy.client(), proxy.client().h2()] {
            let answer = client.get(&url).await.expect(502);
            let status = answer.field("proxy-status").expect("Proxy-Status");
            assert!(status.contains("upstream proxy"), "{what}: {status}");
        }
    }
}

/// Over TLS: one whose certificate does not verify hears neither where it goes nor a password.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_proxy_that_does_not_verify_hears_nothing() {
    let identities: [(&str, Identity); 4] = [
        (
            "another name",
            TRUSTED.issue(&["other.example.test"], Valid::Now),
        ),
        ("nobody's root", UNKNOWN.issue(&[WAY], Valid::Now)),
        ("expired", TRUSTED.issue(&[WAY], Valid::Expired)),
        ("signed by itself", Identity::self_signed(&[WAY])),
    ];
    for (what, identity) in identities {
        let heard = Arc::<AtomicUsize>::default();
        let acceptor = tokio_rustls::TlsAcceptor::from(identity.server_config(&[]));
        let (address, _task) = tcp({
            let heard = heard.clone();
            move |socket| {
                let (acceptor, heard) = (acceptor.clone(), heard.clone());
                async move {
                    if let Ok(mut stream) = acceptor.accept(socket).await {
                        let mut bytes = Vec::new();
                        let _ = stream.read_to_end(&mut bytes).await;
                        heard.fetch_add(bytes.len(), Ordering::SeqCst);
                    }
                }
            }
        })
        .await;
        let place = format!("{WAY}:{}", address.port());
        let url = format!("https://ann:open%20sesame@{place}");
        let builder = inner("t1").resolve(&place, address).env("all_proxy", &url);
        let proxy = by(builder, "upstream_proxy = \"env\"").await;
        refused(&proxy, what).await;
        assert_eq!(heard.load(Ordering::SeqCst), 0, "{what}");
    }
}

/// SOCKS5 (RFC 1928, RFC 1929): what it says to the greeting, to the password, to the request; what comes behind is never
/// asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_socks_proxy_that_leads_nowhere() {
    let request = 7 + BOUND.len().max(PLAIN.len());
    let cases: [(&str, &[(&[u8], usize)]); 12] = [
        (
            "another protocol",
            &[(b"HTTP/1.1 400 Bad Request\r\n\r\n", 4)],
        ),
        ("an older one", &[(&[4, 0], 4)]),
        ("no way to authenticate", &[(&[5, 0xff], 4)]),
        ("a way that nobody offered", &[(&[5, 1], 4)]),
        ("hangs up", &[(&[], 4)]),
        ("hangs up in the middle", &[(&[5], 4)]),
        ("a wrong password", &[(&[5, 2], 4), (&[1, 1], 17)]),
        ("hangs up at the password", &[(&[5, 2], 4), (&[], 17)]),
        (
            "refused",
            &[(&[5, 0], 4), (&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0], request)],
        ),
        ("no such host", &[(&[5, 0], 4), (&[5, 4, 0, 1], request)]),
        (
            "an address of no type",
            &[(&[5, 0], 4), (&[5, 0, 0, 9], request)],
        ),
        (
            "half an answer",
            &[(&[5, 0], 4), (&[5, 0, 0, 1, 0], request)],
        ),
    ];
    for (what, says) in cases {
        let more = Arc::<AtomicUsize>::default();
        let says: Vec<(Vec<u8>, usize)> = says
            .iter()
            .map(|(said, most)| (said.to_vec(), *most))
            .collect();
        let (address, _task) = tcp({
            let more = more.clone();
            move |mut socket| {
                let (says, more) = (says.clone(), more.clone());
                async move {
                    let mut heard = vec![0; 1000];
                    for (said, most) in says {
                        let count = socket.read(&mut heard).await.unwrap_or(0);
                        more.fetch_add(count.saturating_sub(most), Ordering::SeqCst);
                        if said.is_empty() || socket.write_all(&said).await.is_err() {
                            return;
                        }
                    }
                    let _ = socket.shutdown().await;
                    let count = socket.read(&mut heard).await.unwrap_or(0);
                    more.fetch_add(count, Ordering::SeqCst);
                }
            }
        })
        .await;
        let url = format!("socks5://ann:open%20sesame@{address}");
        let proxy = by(
            inner("t1").env("all_proxy", &url),
            "upstream_proxy = \"env\"",
        )
        .await;
        refused(&proxy, what).await;
        assert_eq!(more.load(Ordering::SeqCst), 0, "{what}");
    }
}
