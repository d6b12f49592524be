//! TLS to origins: always verified, TLS 1.2 or newer, resumption kept apart by client.

use std::sync::Arc;

use rustls::{
    CipherSuite, ClientConfig, RootCertStore, SupportedCipherSuite,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
};

/// Origins whose tickets are kept, for each client.
const TICKETS: usize = 1024;

/// Which protocols are offered in the handshake (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2, and HTTP/1.1 for origins without it.
    Http2,
}

// === impl Alpn ===

impl Alpn {
    pub(super) fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Makes a client configuration over these roots. There is no switch that turns verification off.
pub(super) fn config(roots: Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: suites(),
        // The hybrid first: what is recorded today must not be readable later.
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    };
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Returns the library's suites with AES-128 before the rest, as browsers have them: most servers take the client's
/// first, it costs less, and its key schedule is SHA-256, which is in hardware where SHA-512 is not.
fn suites() -> Vec<SupportedCipherSuite> {
    let mut suites = aws_lc_rs::default_provider().cipher_suites;
    suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    suites
}

/// Returns the configuration for one client: the same, with tickets of its own.
pub(super) fn for_client(base: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = base.clone();
    config.resumption = Resumption::in_memory_sessions(TICKETS);
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_is_lost_and_the_cheap_ones_come_first() {
        let names: Vec<_> = suites()
            .iter()
            .map(|suite| format!("{:?}", suite.suite()))
            .collect();
        assert_eq!(
            names.len(),
            aws_lc_rs::default_provider().cipher_suites.len()
        );
        let cheap = names.iter().rposition(|name| name.contains("AES_128"));
        let other = names.iter().position(|name| !name.contains("AES_128"));
        assert!(cheap < other, "{names:?}");
    }
}
