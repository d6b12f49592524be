//! TLS to the proxy itself (`listen_tls`).

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::config::ListenTls;

/// Why there is no TLS to the proxy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] rustls::pki_types::pem::Error),
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    #[error("{} and {} do not go together", .0.display(), .1.display())]
    Unfit(PathBuf, PathBuf, #[source] rustls::Error),
}

/// Reads certificate and key.
pub(super) fn acceptor(listen: &ListenTls) -> Result<TlsAcceptor, Error> {
    let ListenTls { cert, key } = listen;
    let read = |e| Error::Read(cert.clone(), e);
    let chain = CertificateDer::pem_file_iter(cert).map_err(read)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(read)?;
    if chain.is_empty() {
        return Err(Error::Empty(cert.clone()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| Error::Read(key.clone(), e))?;
    let unfit = |e| Error::Unfit(cert.clone(), key.clone(), e);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    // CONNECT and absolute URLs are HTTP/1.1 here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
