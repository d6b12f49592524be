//! Mints leaves (RFC 5280): one for each host, all with the one key of this process, signed by the CA.
//!
//! The subject is empty and the name stands in a critical `subjectAltName` (RFC 5280 §4.2.1.6), as clients have
//! looked nowhere else since RFC 6125; so no name is too long for a common name.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use super::{
    Error,
    certificate::Certificate,
    der::{self, tag},
    root::Root,
};
use crate::origin::Host;

/// How long a leaf is valid, the part before now included. Short, since nobody can revoke one.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far a leaf begins in the past, for clients whose clock is behind.
pub(super) const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// What is the same for all leaves of this process.
pub(super) struct Press {
    /// Differs from the CA's key: a leaf whose key identifiers are equal is taken for self-signed by some clients.
    key: Arc<dyn rustls::sign::SigningKey>,
    public_key: Vec<u8>,
    /// All extensions but the name, encoded.
    extensions: Vec<u8>,
    algorithm: &'static [u8],
}

/// A minted leaf with its key and chain, and when it ends.
pub(super) struct Leaf {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: SystemTime,
}

// === impl Press ===

impl Press {
    pub(super) fn new(root: &Root) -> Result<Self, Error> {
        let pair = KeyPair::generate().map_err(Error::Mint)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let algorithm = identifier(root.key.algorithm()).ok_or(Error::Algorithm)?;
        Ok(Self {
            key: any_supported_type(&der).map_err(Error::Tls)?,
            public_key: pair.subject_public_key_info(),
            extensions: extensions(&root.certificate, &key_id(pair.public_key_raw())),
            algorithm,
        })
    }

    /// Signs a leaf for the host, valid around `now` and never longer than the CA.
    pub(super) fn mint(&self, root: &Root, host: &Host, now: SystemTime) -> Result<Leaf, Error> {
        let not_before = now - BACKDATED;
        let not_after = (not_before + LIFETIME).min(root.certificate.not_after);
        if not_after <= now {
            return Err(root.expired());
        }
        let validity = [time(not_before), time(not_after)];
        let name = subject_alt_name(host);
        let list = der::value(tag::SEQUENCE, &[&self.extensions, &name]);
        let tbs = der::value(
            tag::SEQUENCE,
            &[
                // Version 3.
                &[0xa0, 3, tag::INTEGER, 1, 2],
                &der::value(tag::INTEGER, &[&serial()]),
                self.algorithm,
                &root.certificate.subject,
                &der::value(tag::SEQUENCE, &[&validity[0], &validity[1]]),
                &[tag::SEQUENCE, 0],
                &self.public_key,
                &der::value(tag::CONTEXT_3, &[&list]),
            ],
        );
        let signature = root.key.sign(&tbs).map_err(Error::Mint)?;
        let signature = der::value(tag::BIT_STRING, &[&[0], &signature]);
        let leaf = der::value(tag::SEQUENCE, &[&tbs, self.algorithm, &signature]);
        let mut chain = vec![CertificateDer::from(leaf)];
        chain.extend(root.intermediates.iter().cloned());
        Ok(Leaf {
            certified: Arc::new(CertifiedKey::new(chain, Arc::clone(&self.key))),
            not_after,
        })
    }
}

/// Returns 128 random bits (two are given up for a number that is positive and never shorter). A serial must never
/// repeat under one issuer: NSS refuses the second certificate it sees.
pub(super) fn serial() -> [u8; 16] {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).expect("the system's random source must answer");
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// A key identifier: the first 160 bits of the SHA-256 of the public key's bits (RFC 7093 §2, method 1).
fn key_id(public_key: &[u8]) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public_key);
    digest.as_ref()[..20].to_vec()
}

fn extensions(ca: &Certificate, key_id: &[u8]) -> Vec<u8> {
    let own = der::value(tag::OCTET_STRING, &[key_id]);
    let mut all = Vec::with_capacity(160);
    // keyUsage: digitalSignature.
    all.extend(extension(
        &[0x55, 29, 15],
        true,
        &[tag::BIT_STRING, 2, 7, 0x80],
    ));
    // basicConstraints: no CA.
    all.extend(extension(&[0x55, 29, 19], true, &[tag::SEQUENCE, 0]));
    // extKeyUsage: serverAuth.
    let server_auth = der::value(tag::OID, &[&[0x2b, 6, 1, 5, 5, 7, 3, 1]]);
    let usages = der::value(tag::SEQUENCE, &[&server_auth]);
    all.extend(extension(&[0x55, 29, 37], false, &usages));
    all.extend(extension(&[0x55, 29, 14], false, &own));
    if let Some(issuer) = &ca.key_id {
        let issuer = der::value(tag::SEQUENCE, &[&der::value(0x80, &[issuer])]);
        all.extend(extension(&[0x55, 29, 35], false, &issuer));
    }
    all
}

fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical {
        &[tag::BOOLEAN, 1, 0xff]
    } else {
        &[]
    };
    der::value(
        tag::SEQUENCE,
        &[
            &der::value(tag::OID, &[oid]),
            critical,
            &der::value(tag::OCTET_STRING, &[content]),
        ],
    )
}

fn subject_alt_name(host: &Host) -> Vec<u8> {
    let name = match host {
        Host::Name(name) => der::value(0x82, &[name.as_str().as_bytes()]),
        Host::Ip(IpAddr::V4(ip)) => der::value(0x87, &[&ip.octets()]),
        Host::Ip(IpAddr::V6(ip)) => der::value(0x87, &[&ip.octets()]),
    };
    extension(&[0x55, 29, 17], true, &der::value(tag::SEQUENCE, &[&name]))
}

/// A time as RFC 5280 §4.1.2.5 wants it: `UTCTime` up to 2049.
fn time(at: SystemTime) -> Vec<u8> {
    let at = OffsetDateTime::from(at);
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let (kind, year) = if (1950..2050).contains(&at.year()) {
        (tag::UTC_TIME, format!("{:02}", at.year() % 100))
    } else {
        (tag::GENERALIZED_TIME, format!("{:04}", at.year()))
    };
    der::value(kind, &[year.as_bytes(), rest.as_bytes()])
}

/// The `AlgorithmIdentifier` of the signatures a CA's key makes; `None` for keys that clients would not take.
fn identifier(algorithm: &SignatureAlgorithm) -> Option<&'static [u8]> {
    const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ECDSA_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    const RSA_SHA256: &[u8] = &[
        0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0,
    ];
    if *algorithm == rcgen::PKCS_ECDSA_P256_SHA256 {
        Some(ECDSA_SHA256)
    } else if *algorithm == rcgen::PKCS_ECDSA_P384_SHA384 {
        Some(ECDSA_SHA384)
    } else if *algorithm == rcgen::PKCS_RSA_SHA256 {
        Some(RSA_SHA256)
    } else {
        None
    }
}
