//! Java reads neither proxy variables nor PEM: properties in `JAVA_TOOL_OPTIONS`, and a trust store in Java's own
//! format (JKS), which every version reads and which is simple enough to be written without starting a JVM.

use std::net::SocketAddr;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

/// What trust stores have for a password by custom; it protects nothing.
const PASSWORD: &str = "changeit";

/// Writes a trust store: the certificates as entries, and a digest that is checked when a password is given.
pub(super) fn trust_store(certificates: &[&CertificateDer<'static>]) -> Vec<u8> {
    let mut store = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    };
    // Magic number and version.
    store.extend(0xfeed_feed_u32.to_be_bytes());
    store.extend(2_u32.to_be_bytes());
    store.extend((certificates.len() as u32).to_be_bytes());
    for (n, certificate) in certificates.iter().enumerate() {
        // Kind (a trusted certificate), alias, time of creation.
        store.extend(2_u32.to_be_bytes());
        text(&mut store, &format!("root{n}"));
        store.extend(0_u64.to_be_bytes());
        text(&mut store, "X.509");
        store.extend((certificate.len() as u32).to_be_bytes());
        store.extend(certificate.iter());
    }
    let mut whole = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        whole.update(&unit.to_be_bytes());
    }
    whole.update(b"Mighty Aphrodite");
    whole.update(&store);
    store.extend(whole.finish().as_ref());
    store
}

/// Returns `JAVA_TOOL_OPTIONS`: what it was, then ours. A trust store that it already names is left in force.
pub(super) fn options(
    inherited: &str,
    proxy: SocketAddr,
    no_proxy: &[String],
    store: &str,
) -> String {
    let mut all = vec![inherited.trim().to_owned()];
    for scheme in ["http", "https"] {
        all.push(format!("-D{scheme}.proxyHost={}", proxy.ip()));
        all.push(format!("-D{scheme}.proxyPort={}", proxy.port()));
    }
    // Java bypasses loopback unless told otherwise, and knows `*` only at the ends of a name.
    let hosts: Vec<_> = no_proxy
        .iter()
        .map(|entry| match entry.strip_prefix('.') {
            Some(suffix) => format!("*.{suffix}"),
            None if entry.contains("::") => format!("[{entry}]"),
            None => entry.clone(),
        })
        .collect();
    all.push(quoted(&format!("-Dhttp.nonProxyHosts={}", hosts.join("|"))));
    if !inherited.contains("-Djavax.net.ssl.trustStore=") {
        all.push(quoted(&format!("-Djavax.net.ssl.trustStore={store}")));
        all.push("-Djavax.net.ssl.trustStoreType=JKS".into());
        all.push(format!("-Djavax.net.ssl.trustStorePassword={PASSWORD}"));
    }
    all.join(" ").trim().to_owned()
}

/// Quotes an option as the JVM splits them: at blanks, outside quotes.
fn quoted(option: &str) -> String {
    if option.contains([' ', '\t']) {
        format!("\"{option}\"")
    } else {
        option.to_owned()
    }
}
