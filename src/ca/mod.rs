//! The local certificate authority: its root, the leaves it mints on demand, and how machines come to trust it.

mod cache;
mod certificate;
mod der;
mod file;
mod leaf;
mod root;
#[cfg(test)]
mod tests;
pub mod trust;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ServerConfig;

use self::cache::Cache;
pub use self::root::Root;
use crate::{env::Env, origin::Host, rule::HostPattern};

/// What the CA is configured with.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    /// The folder of `ca.pem` and `ca.key`.
    pub folder: &'a Path,
    /// The hosts for which a new root is good; `None`: all.
    pub constrain: Option<&'a [HostPattern]>,
    /// How many leaves are kept.
    pub leaves: usize,
}

/// The CA at work: hands out TLS configurations for the hosts that are intercepted.
#[derive(Debug)]
pub struct Ca {
    root: Root,
    cache: Cache,
    env: Env,
}

/// Why there is no CA, or no leaf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("others may read {} (its mode is {mode:04o})", path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("there is no CA in {}", .0.display())]
    Missing(PathBuf),
    #[error("{} is there, but not {}", .0.display(), .1.display())]
    Half(PathBuf, PathBuf),
    #[error("{} {reason}", path.display())]
    Unfit { path: PathBuf, reason: &'static str },
    #[error("{} holds no private key in PEM, or an encrypted one", .0.display())]
    Key(PathBuf),
    #[error("{} is not the key of {}", .0.display(), .1.display())]
    Mismatch(PathBuf, PathBuf),
    #[error("the CA's key is of a kind that clients do not take")]
    Algorithm,
    #[error("the CA in {} has expired", .0.display())]
    Expired(PathBuf),
    #[error("the CA in {} was not made by staysigned", .0.display())]
    Foreign(PathBuf),
    #[error("the CA's name constraints leave out {0}")]
    NotCovered(Host),
    #[error("cannot sign with the CA's key")]
    Mint(#[source] rcgen::Error),
    #[error("cannot set up TLS for clients")]
    Tls(#[source] rustls::Error),
}

// === impl Ca ===

impl Ca {
    /// Loads the root, or makes it at the first start, and gets ready to mint.
    pub fn open(params: &Params<'_>, env: Env) -> Result<Self, Error> {
        let Params {
            folder,
            constrain,
            leaves,
        } = *params;
        let root = Root::open(folder, constrain, env.wall())?;
        let cache = Cache::new(&root, leaves)?;
        Ok(Self { root, cache, env })
    }

    /// Returns the TLS configuration for clients of this host, minting its leaf if there is none that lasts. Takes
    /// some 50 µs then, and does not wait for anything but another mint of the same host.
    pub fn resolve(&self, host: &Host) -> Result<Arc<ServerConfig>, Error> {
        self.cache.resolve(&self.root, host, self.env.wall())
    }

    pub fn root(&self) -> &Root {
        &self.root
    }
}

// === impl Error ===

impl Error {
    fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// Returns what can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some(
                "the folder is set by `dir` under `[ca]`; a read-only one must already hold ca.pem and ca.key".into(),
            ),
            Self::Mode { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::Missing(_) => Some("`staysigned init` makes one, and so does the first start".into()),
            Self::Half(present, missing) => Some(format!(
                "put {} back, or remove {} to have a new CA made",
                missing.display(),
                present.display()
            )),
            Self::Unfit { .. } | Self::Algorithm => {
                Some("ca.pem must begin with a CA's certificate, its key P-256, P-384 or RSA".into())
            }
            Self::Key(_) => Some("PKCS#8, PKCS#1 and SEC1 are read, without a password".into()),
            Self::Mismatch(..) => Some("put back the key that belongs to it, or `staysigned ca renew`".into()),
            Self::Expired(_) => Some("staysigned ca renew".into()),
            Self::Foreign(_) => Some("renew it where it was made, and put ca.pem and ca.key in place".into()),
            Self::NotCovered(_) => {
                Some("`staysigned ca renew` makes a CA for the hosts that are bound now".into())
            }
            Self::Mint(_) | Self::Tls(_) => None,
        }
    }
}
