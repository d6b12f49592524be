//! Throw-away certificate authorities and server certificates, made at run time.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    DigitallySignedStruct, RootCertStore, ServerConfig,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};

/// The authority that proxies under test are told to trust.
pub static TRUSTED: LazyLock<Ca> = LazyLock::new(|| Ca::new("Test Origins"));
/// An authority nobody trusts.
pub static UNKNOWN: LazyLock<Ca> = LazyLock::new(|| Ca::new("Nobody's Roots"));

pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate chain with its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub chain_pem: String,
    pub key_pem: String,
}

/// When a certificate is good.
#[derive(Clone, Copy, PartialEq)]
pub enum Valid {
    Now,
    Expired,
}

const DAY: Duration = Duration::from_secs(86_400);

// === impl Ca ===

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + 30 * DAY).into();
        let key = KeyPair::generate().expect("key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("CA"),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn issue(&self, names: &[&str], valid: Valid) -> Identity {
        let key = KeyPair::generate().expect("key");
        let certificate = leaf(names, valid)
            .signed_by(&key, &self.issuer)
            .expect("leaf");
        Identity::new(certificate.der().clone(), certificate.pem(), &key)
    }
}

// === impl Identity ===

impl Identity {
    fn new(der: CertificateDer<'static>, chain_pem: String, key: &KeyPair) -> Self {
        Self {
            chain: vec![der],
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8"),
            chain_pem,
            key_pem: key.serialize_pem(),
        }
    }

    /// A certificate that signed itself.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("key");
        let certificate = leaf(names, Valid::Now).self_signed(&key).expect("leaf");
        Self::new(certificate.der().clone(), certificate.pem(), &key)
    }

    /// The TLS side of an origin, with the protocols it offers.
    pub fn server_config(self, alpn: &[&str]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .expect("certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub fn crypto() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Roots from PEM text.
pub fn roots(pem: &str) -> RootCertStore {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("root");
    }
    roots
}

fn leaf(names: &[&str], valid: Valid) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    let now = SystemTime::now();
    (params.not_before, params.not_after) = match valid {
        Valid::Now => ((now - DAY).into(), (now + 7 * DAY).into()),
        Valid::Expired => ((now - 3 * DAY).into(), (now - DAY).into()),
    };
    let mut serial = [0; 16];
    aws_lc_rs_rand(&mut serial);
    serial[0] &= 0x7f;
    params.serial_number = Some(serial.to_vec().into());
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn aws_lc_rs_rand(bytes: &mut [u8]) {
    ::aws_lc_rs::rand::fill(bytes).expect("random bytes");
}

/// Believes any certificate: a client that is attacked, or attacks.
#[derive(Debug)]
pub struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crypto()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
