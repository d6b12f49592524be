//! What a store is opened with.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::key;

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    pub kind: Kind,
    /// The key that seals the records; a memory store without one draws its own.
    pub key: Option<key::Source>,
    /// The folder of the lock files; `None`: beside the database, with `.locks` added to its name.
    pub locks: Option<PathBuf>,
    /// How long a write waits for another process that is writing before it fails.
    pub busy: Duration,
    /// After which silence the holder of a lease counts as suspended; the same for all processes on one store.
    pub suspended: Duration,
}

/// Which store (`store.url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite(PathBuf),
}

/// Why a text is no `store.url`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("a store is \"memory:\" or \"sqlite:PATH\"")]
    Unknown,
    #[error("\"sqlite:\" needs the path of a file")]
    NoPath,
    #[error("\"{0}:\" stores are not in this build")]
    NotBuilt(&'static str),
}

// === impl Config ===

impl Config {
    /// How long a write waits for another process: commits take milliseconds, and a response waits behind this one.
    pub const BUSY: Duration = Duration::from_secs(2);

    /// After which silence the holder of a lease counts as suspended: longer than a refresh may take.
    pub const SUSPENDED: Duration = Duration::from_secs(30);

    pub fn memory() -> Self {
        Self {
            kind: Kind::Memory,
            key: None,
            locks: None,
            busy: Self::BUSY,
            suspended: Self::SUSPENDED,
        }
    }

    pub fn sqlite(path: impl Into<PathBuf>, key: key::Source) -> Self {
        Self {
            kind: Kind::Sqlite(path.into()),
            key: Some(key),
            locks: None,
            busy: Self::BUSY,
            suspended: Self::SUSPENDED,
        }
    }
}

impl Kind {
    /// Parses a `store.url`; a relative path is relative to `base`.
    pub fn parse(url: &str, base: &Path) -> Result<Self, BadUrl> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(BadUrl::Unknown);
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "sqlite" if rest.is_empty() => Err(BadUrl::NoPath),
            "sqlite" => Ok(Self::Sqlite(base.join(rest))),
            "postgres" | "postgresql" => Err(BadUrl::NotBuilt("postgres")),
            "redis" | "rediss" => Err(BadUrl::NotBuilt("redis")),
            _ => Err(BadUrl::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_stores() {
        let parse = |url| Kind::parse(url, Path::new("/state"));
        for (url, expected) in [
            ("memory:", Ok(Kind::Memory)),
            ("sqlite:a.db", Ok(Kind::Sqlite("/state/a.db".into()))),
            ("sqlite:/x/a.db", Ok(Kind::Sqlite("/x/a.db".into()))),
            ("sqlite:", Err(BadUrl::NoPath)),
            ("postgres://h/d", Err(BadUrl::NotBuilt("postgres"))),
            ("redis://h", Err(BadUrl::NotBuilt("redis"))),
            ("memory:x", Err(BadUrl::Unknown)),
            ("a.db", Err(BadUrl::Unknown)),
            ("", Err(BadUrl::Unknown)),
        ] {
            assert_eq!(parse(url), expected, "{url}");
        }
    }
}
