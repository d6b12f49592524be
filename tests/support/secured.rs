//! A proxy to which TLS is spoken (`listen_tls`).

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use super::{
    pki::{TRUSTED, Valid},
    proxy::{Builder, Proxy},
};

/// Starts one with a certificate for this name.
pub async fn secured(builder: Builder, name: &str) -> Proxy {
    let identity = TRUSTED.issue(&[name], Valid::Now);
    let builder = builder
        .key("listen_tls = { cert = \"proxy.pem\", key = \"proxy.key\" }")
        .file("proxy.pem", &identity.chain_pem)
        .file("proxy.key", &identity.key_pem);
    let mut proxy = builder.prepare();
    let key = proxy.path().join("proxy.key");
    std::fs::set_permissions(key, Permissions::from_mode(0o600)).unwrap();
    proxy.start().await;
    proxy
}
