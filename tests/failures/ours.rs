//! Ourselves in the place of an upstream.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::support::{pki::TRUSTED, proxy::proxy, raw::raw_with};

use super::upstreams::judge;

const HOST: &str = "bad.example.test";

/// A shell that was prepared for clients hands its `SSL_CERT_FILE` on, or somebody adds our CA to the roots: whoever has
/// our key could be every upstream. An origin that shows a leaf of ours is refused all the same, also after a renewal.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_ca_vouches_for_no_upstream() {
    let mut proxy = proxy()
        .bearer("bad", HOST, "t1")
        .env("SSL_CERT_FILE", "bundle.pem")
        .prepare();
    let output = proxy.cli(&["ca", "path"]);
    assert!(output.status.success(), "{output:?}");
    // The leaf is of the first CA; for the second round that is the one that was replaced.
    let ca = staysigned::ca::Params {
        folder: &proxy.path().join("certs"),
        constrain: None,
        leaves: 4,
    };
    let ca = staysigned::ca::Ca::open(&ca, staysigned::env::Env::real()).unwrap();
    let first = ca.root().pem().to_owned();
    let config = ca.resolve(&HOST.parse().unwrap()).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let site = raw_with(HOST, config, move |mut stream, heads| {
        let count = count.clone();
        async move {
            if heads.read(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let bundle = proxy.path().join("bundle.pem");
    std::fs::write(&bundle, format!("{}{first}", TRUSTED.pem())).unwrap();
    proxy.edit(|text| {
        let to = format!("resolve = {{ \"{HOST}:443\" = \"{}\"", site.address);
        text.replace("resolve = { ", &to)
            .replace("\"roots.pem\"", "\"roots.pem\", \"bundle.pem\"")
    });
    for round in 0..2 {
        proxy.start().await;
        let answer = proxy.client().get(&format!("https://{HOST}/")).await;
        judge("our own leaf", &answer, 502, &["tls_certificate_error"]);
        let log = proxy.log();
        assert!(log.contains("our own CA must not vouch"), "{log}");
        assert!(log.contains("SSL_CERT_FILE"), "{log}");
        assert_eq!(seen.load(Ordering::SeqCst), 0, "round {round}");
        proxy.kill();
        std::fs::remove_file(proxy.path().join("stderr.log")).unwrap();
        let output = proxy.cli(&["ca", "renew"]);
        assert!(output.status.success(), "{output:?}");
    }
}
