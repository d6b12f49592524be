//! Why a proxy does not start, and what can be done about it.

use std::io;

use super::tls;
use crate::{
    admin, ca,
    config::{self, Diagnostics, Listen},
    session, store,
    upstream::{self, roots},
};

/// Why a proxy does not start or a configuration is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(Diagnostics),
    #[error("cannot listen on {0}")]
    Bind(Listen, #[source] io::Error),
    #[error("the CA cannot be used")]
    Ca(#[source] ca::Error),
    #[error("the roots for upstreams cannot be loaded")]
    Roots(#[source] roots::Error),
    #[error("the store cannot be opened")]
    Store(#[source] store::Error),
    #[error("the store's key cannot be read")]
    StoreKey(#[source] config::source::Error),
    #[error("the upstream side cannot be set up")]
    Upstream(#[source] upstream::Error),
    #[error("the sessions cannot be opened")]
    Sessions(#[source] session::Error),
    #[error("TLS to the proxy cannot be set up")]
    Tls(#[from] tls::Error),
    #[error("the admin side cannot be set up")]
    Admin(#[source] admin::Error),
}

// === impl Error ===

impl Error {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind(listen, error) => Some(match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "another program listens on {listen}; if that is staysigned itself, `staysigned status` tells"
                ),
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 are for root; choose a higher one".to_owned()
                }
                _ => "choose another address in [proxy]".to_owned(),
            }),
            Self::Ca(error) => error.hint(),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Admin(error) => Some(error.hint().to_owned()),
            Self::Config(_)
            | Self::Roots(_)
            | Self::StoreKey(_)
            | Self::Upstream(_)
            | Self::Sessions(_)
            | Self::Tls(_) => None,
        }
    }
}
