//! The configuration: found, read, merged with its providers, checked, and turned into finished types.
//!
//! Two forms. As written it is a `tree` of keys, values and places, which only this module knows, as it alone
//! knows TOML. As used it is a [`Config`], in which every default is filled in and every text parsed.
//!
//! Loading has two steps: [`load`] reads the files and checks all that can be checked without a secret;
//! [`Loaded::resolve_sources`] then reads the secrets, once the store can say what it holds already.

mod address;
mod clients;
mod diagnose;
mod example;
mod find;
mod general;
mod limits;
mod mask;
mod nearest;
mod provider;
mod read;
mod reload;
mod resolve;
mod scalar;
mod session;
pub mod source;
mod tree;
mod unsupported;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::{diagnose::Faults, find::Trust, read::At};
pub use self::{
    diagnose::{Diagnostic, Diagnostics, Told},
    example::EXAMPLE,
    find::{Found, Place, find},
    resolve::Programs,
    source::{Source, Variables},
};
use crate::{
    limits::Limits,
    origin::{Authority, Host},
    rule::Recipe,
    secret::Secret,
    store,
};

/// The configuration as the program uses it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from, absolute.
    pub file: PathBuf,
    pub listen: Vec<Listen>,
    /// TLS to the proxy itself.
    pub listen_tls: Option<ListenTls>,
    /// The admin side; `None`: off.
    pub admin: Option<Listen>,
    /// Probes and metrics without a token.
    pub health: Option<Listen>,
    /// The folder of the store and the admin token.
    pub state: PathBuf,
    pub unmatched: Unmatched,
    pub upstream_proxy: UpstreamProxy,
    /// PEM files added to the system's roots for upstreams.
    pub extra_roots: Vec<PathBuf>,
    /// Where to connect instead; names and certificates stay.
    pub resolve: BTreeMap<(Host, u16), SocketAddr>,
    pub local_users: LocalUsers,
    pub ca: Ca,
    pub store: Store,
    pub log: Log,
    pub clients: Vec<Client>,
    pub limits: Limits,
    pub recipes: Vec<Arc<Recipe>>,
    /// The variables that `env:` sources name: taken out of a child's environment.
    pub source_variables: Vec<String>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What becomes of a host without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    #[default]
    Tunnel,
    Deny,
}

/// The proxy between us and upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamProxy {
    /// What the environment of this process says.
    Env,
    Through(ProxyScheme, Authority),
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    Http,
    Https,
    Socks5,
}

/// Who may use a loopback listener without a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalUsers {
    /// The user whose process this is.
    #[default]
    Same,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    pub dir: PathBuf,
    pub constrain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub url: store::Kind,
    /// Where the key that seals it comes from.
    pub key: Source,
    /// A new key whenever the present one is this old.
    pub rotate: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives as `info,staysigned::upstream=debug`; `$STAYSIGNED_LOG` if that is set.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    Text,
    Json,
}

/// Somebody who uses the proxy; known by any of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub name: Arc<str>,
    pub password: Option<Secret>,
    /// A loopback listener of the client's own.
    pub port: Option<u16>,
    pub uid: Option<u32>,
}

/// A configuration that is right as far as can be told without its secrets.
#[derive(Debug)]
pub struct Loaded {
    /// Everything but the secrets: clients have no passwords yet, recipes no secrets.
    pub config: Config,
    pub warnings: Vec<Diagnostic>,
    pub(in crate::config) pending: Vec<source::Pending>,
    pub(in crate::config) faults: Faults,
}

/// Reads and checks the configuration at `place`; nothing is run and no secret is read.
pub fn load(place: &Place, variables: &Variables) -> Result<Loaded, Diagnostics> {
    let trust = match place.found {
        Found::Folder => Trust::Own,
        Found::Option | Found::Variable | Found::Home => Trust::Anybodys,
    };
    let text = find::read(&place.path, trust)?;
    let file = std::path::absolute(&place.path).unwrap_or_else(|_| place.path.clone());
    let faults = Faults::default();
    faults.programs.set(place.found != Found::Folder);
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    *faults.folder.borrow_mut() = folder;
    *faults.shown.borrow_mut() = place.path.parent().unwrap_or(Path::new("")).to_owned();
    let Some(root) = faults.parse(&place.path, &text) else {
        return Err(faults.errors());
    };
    let at = At {
        faults: &faults,
        node: &root,
        path: String::new(),
        pattern: String::new(),
    };
    let mut pending = Vec::new();
    let config = at.table(|keys| general::read(keys, file, variables, &mut pending));
    match config.flatten() {
        Some(config) if !faults.any() => Ok(Loaded {
            config,
            warnings: faults.warnings(),
            pending,
            faults,
        }),
        _ => Err(faults.errors()),
    }
}

// === impl Listen ===

impl Listen {
    /// Tells whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
