//! The root: made at the first start, or put into the folder by its user; loaded and checked at every start.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _,
    SerialNumber,
};
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use zeroize::Zeroizing;

use super::{
    Error,
    certificate::Certificate,
    file,
    leaf::{BACKDATED, Press, serial},
};
use crate::{
    origin::{Host, HostName},
    rule::HostPattern,
};

/// How long a root of ours is valid. A local root is seldom looked after, so it ends by itself; two years are few
/// enough renewals that nobody scripts them away.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// When to begin to speak of the end.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
/// What the names of our roots begin with; a random suffix follows, so that no two share a subject.
const NAME: &str = "staysigned CA ";
const PEM: &str = "ca.pem";
const KEY: &str = "ca.key";
const OLD: &str = "ca.pem.old";

/// The certificate authority's certificate and key.
pub struct Root {
    folder: PathBuf,
    pem: String,
    new: bool,
    pub(super) certificate: Certificate,
    /// What follows the CA in its file and is not self-issued: sent along with each leaf.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
    /// The root alone, to verify what was minted.
    anchor: RootCertStore,
}

// === impl Root ===

impl Root {
    /// Loads the root from the folder, or makes one there if it has neither certificate nor key. With `constrain` a
    /// new root is good for these hosts alone.
    pub fn open(
        folder: &Path,
        constrain: Option<&[HostPattern]>,
        now: SystemTime,
    ) -> Result<Self, Error> {
        match Self::load(folder, now) {
            // Another process may be making or renewing it at this moment: its files come one after the other.
            Err(Error::Missing(_) | Error::Half(..) | Error::Mismatch(..)) => {}
            result => return result,
        }
        file::make_folder(folder)?;
        let _held = file::lock(folder)?;
        match Self::load(folder, now) {
            Err(Error::Missing(_)) => {}
            result => return result,
        }
        make(folder, constrain, now)?;
        Ok(Self {
            new: true,
            ..Self::load(folder, now)?
        })
    }

    /// Loads the root; makes nothing.
    pub fn load(folder: &Path, now: SystemTime) -> Result<Self, Error> {
        let (pem_path, key_path) = (folder.join(PEM), folder.join(KEY));
        match (file::exists(&pem_path)?, file::exists(&key_path)?) {
            (true, true) => {}
            (true, false) => return Err(Error::Half(pem_path, key_path)),
            (false, true) => return Err(Error::Half(key_path, pem_path)),
            (false, false) => return Err(Error::Missing(folder.to_owned())),
        }
        file::only_owner(&key_path)?;
        let unfit = |reason| Error::Unfit {
            path: pem_path.clone(),
            reason,
        };
        let text = file::read(&pem_path)?;
        let mut chain = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| unfit("is not PEM"))?
            .into_iter();
        let first = chain.next().ok_or(unfit("holds no certificate"))?;
        let certificate = Certificate::parse(first).ok_or(unfit("holds no X.509 certificate"))?;
        if !certificate.is_ca || !certificate.may_sign {
            return Err(unfit("is not the certificate of a CA"));
        }
        // A file may begin with `EC PARAMETERS`; the first private key counts.
        let secret = Zeroizing::new(file::read(&key_path)?);
        let key = PrivateKeyDer::from_pem_slice(&secret)
            .ok()
            .and_then(|der| KeyPair::try_from(&der).ok())
            .ok_or(Error::Key(key_path.clone()))?;
        if key.subject_public_key_info() != certificate.public_key {
            return Err(Error::Mismatch(key_path, pem_path));
        }
        let mut anchor = RootCertStore::empty();
        anchor
            .add(certificate.der.clone())
            .map_err(|_| unfit("cannot be a root"))?;
        let root = Self {
            folder: folder.to_owned(),
            pem: String::from_utf8_lossy(&text).into_owned(),
            new: false,
            intermediates: intermediates(&certificate, chain),
            certificate,
            key,
            anchor,
        };
        if root.certificate.not_after <= now {
            return Err(root.expired());
        }
        Ok(root)
    }

    /// Makes a new root in the place of the old one, whose certificate is kept beside it until a new one is
    /// installed. A root that we did not make is left alone.
    pub fn renew(
        folder: &Path,
        constrain: Option<&[HostPattern]>,
        now: SystemTime,
    ) -> Result<Self, Error> {
        file::make_folder(folder)?;
        let _held = file::lock(folder)?;
        let pem = folder.join(PEM);
        if file::exists(&pem)? {
            let text = file::read(&pem)?;
            let old = CertificateDer::from_pem_slice(&text)
                .ok()
                .and_then(Certificate::parse);
            if old.is_some_and(|old| !is_ours(&old)) {
                return Err(Error::Foreign(pem));
            }
            // Those of earlier renewals stay behind it: they may still be installed.
            let old = folder.join(OLD);
            let before = match file::exists(&old)? {
                true => file::read(&old)?,
                false => Vec::new(),
            };
            file::write(&old, &[text, before].concat(), 0o644)?;
        }
        make(folder, constrain, now)?;
        Self::load(folder, now)
    }

    /// Returns where the certificate lies in its folder.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join(PEM)
    }

    /// Returns where the certificates lie that renewals replaced, the last one first, as long as they are kept.
    pub fn old_file(folder: &Path) -> PathBuf {
        folder.join(OLD)
    }

    /// Returns the certificates of the folder that were ever ours, as far as they can be read: the CA's, and those that
    /// renewals replaced.
    pub fn own(folder: &Path) -> Vec<CertificateDer<'static>> {
        let read = |path: PathBuf| file::read(&path).unwrap_or_default();
        let (own, old) = (read(Self::file(folder)), read(Self::old_file(folder)));
        let own = CertificateDer::from_pem_slice(&own).ok();
        let old = CertificateDer::pem_slice_iter(&old).filter_map(Result::ok);
        own.into_iter().chain(old).collect()
    }

    /// Returns the folder of certificate and key.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file of the certificate.
    pub fn path(&self) -> PathBuf {
        Self::file(&self.folder)
    }

    /// Returns the certificate (and what follows it in its file) as it stands in the file.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.certificate.der
    }

    /// Returns the CA's common name.
    pub fn name(&self) -> &str {
        self.certificate
            .common_name
            .as_deref()
            .unwrap_or("(no name)")
    }

    /// Tells whether it was made just now.
    pub fn is_new(&self) -> bool {
        self.new
    }

    pub fn not_after(&self) -> SystemTime {
        self.certificate.not_after
    }

    /// Tells whether it ends within 30 days.
    pub fn ends_soon(&self, now: SystemTime) -> bool {
        self.certificate.not_after <= now + SOON
    }

    /// Tells whether the certificate has name constraints.
    pub fn is_constrained(&self) -> bool {
        self.certificate.constrained
    }

    /// Returns the patterns for which leaves of this root would not be valid.
    pub fn uncovered<'h>(
        &self,
        hosts: &'h [HostPattern],
        now: SystemTime,
    ) -> Result<Vec<&'h HostPattern>, Error> {
        let press = Press::new(self)?;
        let mut uncovered = Vec::new();
        for pattern in hosts {
            let leaf = press.mint(self, &example(pattern), now)?;
            if self.verify(&leaf.certified.cert, now).is_err() {
                uncovered.push(pattern);
            }
        }
        Ok(uncovered)
    }

    /// Verifies a minted chain as a client would: signature, time, name constraints.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'static>],
        now: SystemTime,
    ) -> Result<(), rustls::Error> {
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(&chain[0])?,
            &self.anchor,
            &[],
            UnixTime::since_unix_epoch(since),
            aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .all,
        )
    }

    pub(super) fn expired(&self) -> Error {
        Error::Expired(self.path())
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("folder", &self.folder)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

fn is_ours(certificate: &Certificate) -> bool {
    let name = certificate.common_name.as_deref();
    certificate.self_issued && name.is_some_and(|name| name.starts_with(NAME))
}

/// What a client needs to reach a root it knows: the CA itself and those above it, but no root.
fn intermediates(
    ca: &Certificate,
    rest: impl Iterator<Item = CertificateDer<'static>>,
) -> Vec<CertificateDer<'static>> {
    let above = rest.filter(|der| Certificate::parse(der.clone()).is_some_and(|c| !c.self_issued));
    let own = (!ca.self_issued).then(|| ca.der.clone());
    own.into_iter().chain(above).collect()
}

/// Writes a new key and certificate, the key first: a certificate without its key would look like a root to install.
fn make(folder: &Path, constrain: Option<&[HostPattern]>, now: SystemTime) -> Result<(), Error> {
    let key = KeyPair::generate().map_err(Error::Mint)?;
    let id = serial();
    let suffix: String = id[8..12].iter().map(|b| format!("{b:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{NAME}{suffix}"));
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = constrain.map(constraints);
    let certificate = params.self_signed(&key).map_err(Error::Mint)?;
    let secret = Zeroizing::new(key.serialize_pem());
    file::write(&folder.join(KEY), secret.as_bytes(), 0o600)?;
    file::write(&folder.join(PEM), certificate.pem().as_bytes(), 0o644)
}

/// Returns constraints that permit these hosts alone. A kind of name without a permitted entry is unconstrained
/// (RFC 5280 §4.2.1.10), so a kind that no host has is excluded whole.
fn constraints(hosts: &[HostPattern]) -> NameConstraints {
    let everywhere = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
    let permitted: Vec<_> = hosts
        .iter()
        .map(|pattern| match pattern {
            HostPattern::Exact(Host::Ip(ip)) => {
                let prefix = if ip.is_ipv4() { 32 } else { 128 };
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, prefix))
            }
            HostPattern::Exact(Host::Name(name)) | HostPattern::Below(name) => {
                GeneralSubtree::DnsName(name.to_string())
            }
        })
        .collect();
    let mut excluded = Vec::new();
    if !permitted
        .iter()
        .any(|p| matches!(p, GeneralSubtree::DnsName(_)))
    {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !permitted
        .iter()
        .any(|p| matches!(p, GeneralSubtree::IpAddress(_)))
    {
        let whole =
            everywhere.map(|ip| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, 0)));
        excluded.extend(whole);
    }
    NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    }
}

/// Returns a host that the pattern matches.
fn example(pattern: &HostPattern) -> Host {
    match pattern {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(suffix) => format!("a.{suffix}")
            .parse::<HostName>()
            .map_or_else(|_| Host::Name(suffix.clone()), Host::Name),
    }
}

#[cfg(test)]
mod tests;
