//! The roots that upstream certificates are verified against: the system's, or what `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name in their place, and the files of `extra_roots`.
//!
//! Our own CA is never one of them: whoever could make it sign would be every upstream at once. It gets here more
//! easily than one thinks: it is installed in the system's store so that clients trust it, and a shell that was
//! prepared for clients hands its bundle on to a proxy started from it.

use std::{
    collections::HashSet,
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem, pem::PemObject as _},
};

/// Where bundles of roots lie, distribution by distribution; the first that is there counts. The library's own search
/// follows the environment, which may name a bundle with our CA.
const BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",   // older RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/pki/tls/cacert.pem",            // OpenELEC
    "/etc/ssl/cert.pem",                  // Alpine, the BSDs
    "/opt/etc/ssl/certs/ca-certificates.crt", // Entware
];
/// Folders of single certificates, where there is no bundle.
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// What the roots are loaded from.
#[derive(Clone, Debug, Default)]
pub struct Params<'a> {
    pub inherited: Inherited,
    /// PEM files whose certificates are added.
    pub extra: &'a [PathBuf],
    /// Our own CA (and the one it replaced): never a root.
    pub own: &'a [CertificateDer<'static>],
    /// Whether the certificates are kept whole, too.
    pub whole: bool,
}

/// The places named by this process's environment in place of the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    pub file: Option<PathBuf>,
    pub folders: Vec<PathBuf>,
}

/// The roots, as rustls wants them and, if that was asked for, as they stood in their files.
#[derive(Clone, Debug)]
pub struct Roots {
    pub store: RootCertStore,
    /// With [`Params::whole`].
    pub certificates: Vec<CertificateDer<'static>>,
    pub warnings: Vec<Warning>,
}

/// What was put right while loading, and should be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The environment's bundle holds our CA; the system's roots are used.
    InheritedOwn(Inherited),
    /// An entry of `extra_roots` is our CA, by file and line; it was left out.
    ExtraOwn(PathBuf, usize),
    /// Part of what the environment names cannot be read.
    Unread(String),
    /// The system has no roots; those of Mozilla that came with this program are used.
    BuiltIn,
}

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {reason}", path.display())]
    Entry {
        path: PathBuf,
        line: usize,
        reason: &'static str,
    },
    #[error("{} holds no certificate in PEM", .0.display())]
    Empty(PathBuf),
    #[error("{0} no root certificate")]
    Inherited(Inherited),
}

// === impl Inherited ===

impl Inherited {
    /// Reads `SSL_CERT_FILE` and `SSL_CERT_DIR`; empty ones count as unset.
    pub fn from_env() -> Self {
        let folders = env::var_os("SSL_CERT_DIR").unwrap_or_default();
        Self {
            file: env::var_os("SSL_CERT_FILE")
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            folders: env::split_paths(&folders)
                .filter(|folder| !folder.as_os_str().is_empty())
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.file.is_none() && self.folders.is_empty()
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.folders[..]) {
            (Some(file), []) => write!(f, "SSL_CERT_FILE ({}) holds", file.display()),
            (None, _) => write!(f, "SSL_CERT_DIR ({}) holds", join(&self.folders)),
            (Some(file), folders) => write!(
                f,
                "SSL_CERT_FILE and SSL_CERT_DIR ({}:{}) hold",
                file.display(),
                join(folders)
            ),
        }
    }
}

fn join(folders: &[PathBuf]) -> String {
    let all: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
    all.join(":")
}

// === impl Roots ===

impl Roots {
    /// Loads the roots. Files are read; nothing is taken from the environment but through `params`.
    pub fn load(params: &Params<'_>) -> Result<Self, Error> {
        let own = Own::new(params.own);
        let mut warnings = Vec::new();
        let mut found = base(params, &own, &mut warnings)?;
        for path in params.extra {
            for (line, certificate) in read_extra(path)? {
                if own.holds(&certificate) {
                    warnings.push(Warning::ExtraOwn(path.clone(), line));
                } else {
                    found.add(certificate);
                }
            }
        }
        Ok(Self {
            store: found.store,
            certificates: found.certificates,
            warnings,
        })
    }
}

/// Returns what the environment names, or else the system's roots, or else those built in; ours left out.
fn base<'a>(
    params: &Params<'_>,
    own: &'a Own,
    warnings: &mut Vec<Warning>,
) -> Result<Found<'a>, Error> {
    let inherited = &params.inherited;
    let none = || Found::new(own, params.whole);
    if !inherited.is_empty() {
        let mut found = none();
        let unread = found.read(inherited.file.as_deref(), &inherited.folders);
        if found.ours {
            warnings.push(Warning::InheritedOwn(inherited.clone()));
        } else if found.store.is_empty() {
            return Err(Error::Inherited(inherited.clone()));
        } else {
            warnings.extend(unread.into_iter().map(Warning::Unread));
            return Ok(found);
        }
    }
    let mut found = none();
    found.system();
    if found.store.is_empty() {
        warnings.push(Warning::BuiltIn);
        for one in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            found.add(one.clone());
        }
    }
    Ok(found)
}

/// Roots while they are read. Each certificate is put away before the next one is read: what is freed again stays in
/// memory for long, and there are hundreds.
struct Found<'a> {
    own: &'a Own,
    /// Digests of what there was, since the system's folder holds each certificate three times.
    seen: HashSet<[u8; 32]>,
    store: RootCertStore,
    /// Whether one of ours was among them, and left out.
    ours: bool,
    whole: bool,
    certificates: Vec<CertificateDer<'static>>,
}

// === impl Found ===

impl<'a> Found<'a> {
    fn new(own: &'a Own, whole: bool) -> Self {
        Self {
            own,
            seen: HashSet::new(),
            store: RootCertStore::empty(),
            ours: false,
            whole,
            certificates: Vec::new(),
        }
    }

    /// Adds a certificate, if it is new and not ours. A store of the system may hold some that are too odd to be roots.
    fn add(&mut self, certificate: CertificateDer<'static>) {
        let mut short = [0; 32];
        short.copy_from_slice(digest(&SHA256, &certificate).as_ref());
        if !self.seen.insert(short) {
            return;
        }
        if self.own.holds(&certificate) {
            self.ours = true;
            return;
        }
        let added = self.store.add(CertificateDer::from(&*certificate));
        if self.whole && added.is_ok() {
            self.certificates.push(certificate);
        }
    }

    /// Adds the certificates of a file and of the files in folders; returns what cannot be read.
    fn read(&mut self, file: Option<&Path>, folders: &[PathBuf]) -> Vec<String> {
        let mut unread = Vec::new();
        let mut files: Vec<_> = file.map(Path::to_owned).into_iter().collect();
        for folder in folders {
            match list(folder) {
                Ok(more) => files.extend(more),
                Err(error) => unread.push(format!("{}: {error}", folder.display())),
            }
        }
        for path in files {
            let mut fail = |error: pem::Error| unread.push(format!("{}: {error}", path.display()));
            match CertificateDer::pem_file_iter(&path) {
                Ok(certificates) => {
                    for certificate in certificates {
                        match certificate {
                            Ok(certificate) => self.add(certificate),
                            Err(error) => fail(error),
                        }
                    }
                }
                Err(error) => fail(error),
            }
        }
        unread
    }

    #[cfg(not(any(target_os = "macos", windows)))]
    fn system(&mut self) {
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.exists());
        self.read(bundle, &[]);
        if self.store.is_empty() {
            let folders = FOLDERS.iter().map(PathBuf::from);
            let there: Vec<_> = folders.filter(|path| path.exists()).collect();
            self.read(None, &there);
        }
    }

    /// On these systems the store is no file, and the library's way to it goes by the environment first.
    #[cfg(any(target_os = "macos", windows))]
    fn system(&mut self) {
        for one in rustls_native_certs::load_native_certs().certs {
            self.add(one);
        }
    }
}

/// Returns the files of a folder and those that links in it lead to, by name.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    files.retain(|path| path.is_file());
    files.sort_unstable();
    Ok(files)
}

/// Reads the certificates of a file with the lines on which they begin; each must be fit to be a root.
fn read_extra(path: &Path) -> Result<Vec<(usize, CertificateDer<'static>)>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    let fail = |line, reason| Error::Entry {
        path: path.to_owned(),
        line,
        reason,
    };
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "-----BEGIN CERTIFICATE-----" {
            begun = Some((index + 1, String::new()));
        }
        let Some((start, section)) = &mut begun else {
            continue;
        };
        section.push_str(line.trim());
        section.push('\n');
        if line.trim() == "-----END CERTIFICATE-----" {
            let certificate = CertificateDer::from_pem_slice(section.as_bytes())
                .map_err(|_| fail(*start, "not a certificate in PEM"))?;
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|_| fail(*start, "not an X.509 certificate that can be a root"))?;
            found.push((*start, certificate));
            begun = None;
        }
    }
    match begun {
        Some((start, _)) => Err(fail(start, "the certificate has no end line")),
        None if found.is_empty() => Err(Error::Empty(path.to_owned())),
        None => Ok(found),
    }
}

/// Our own certificates and their public keys.
struct Own {
    certificates: HashSet<CertificateDer<'static>>,
    keys: HashSet<Vec<u8>>,
}

// === impl Own ===

impl Own {
    fn new(certificates: &[CertificateDer<'static>]) -> Self {
        Self {
            keys: certificates.iter().filter_map(public_key).collect(),
            certificates: certificates.iter().cloned().collect(),
        }
    }

    /// Tells whether it is one of ours, or another certificate for the same key.
    fn holds(&self, certificate: &CertificateDer<'static>) -> bool {
        !self.keys.is_empty()
            && (self.certificates.contains(certificate)
                || public_key(certificate).is_some_and(|key| self.keys.contains(&key)))
    }
}

fn public_key(certificate: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from(&**certificate)).ok()?;
    let anchor = store.roots.first()?;
    Some(anchor.subject_public_key_info.to_vec())
}

// === impl Warning ===

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InheritedOwn(inherited) => write!(
                f,
                "{inherited} our own CA, which must not vouch for upstreams: the system's roots are used"
            ),
            Self::ExtraOwn(path, line) => write!(
                f,
                "{}:{line}: our own CA must not vouch for upstreams: left out",
                path.display()
            ),
            Self::Unread(what) => write!(f, "part of the inherited roots is left out: {what}"),
            Self::BuiltIn => f.write_str(
                "this system has no root certificates: those of Mozilla that came with staysigned are used",
            ),
        }
    }
}

// === impl Error ===

impl Error {
    /// Returns what can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Entry { .. } => {
                "`extra_roots` under `[proxy]` names the file"
            }
            Self::Empty(_) => "a DER file becomes PEM with `openssl x509 -inform der -in FILE`",
            Self::Inherited(_) => "unset the variable to use the system's roots",
        }
    }
}

#[cfg(test)]
mod tests;
