//! The script of the demo: one request, with what it was given once, directly or through a proxy.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, COOKIE, HOST},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long a request may take: a refresh may be waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A script that knows how it gets to a site.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
    way: Way,
}

#[derive(Clone, Copy)]
pub(super) enum Way {
    /// To the site itself.
    Direct(SocketAddr),
    /// Through the proxy.
    Proxy(SocketAddr),
}

/// What it sends of its own.
#[derive(Clone, Default)]
pub(super) struct Sends {
    pub(super) token: Option<String>,
    pub(super) cookie: Option<String>,
}

// === impl Client ===

impl Client {
    /// A script that trusts this CA, and no other.
    pub(super) fn new(way: Way, ca: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(ca).map_err(io::Error::other)?;
        roots.add(root).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            way,
        })
    }

    /// Asks the site for its page; returns the status.
    pub(super) async fn get(&self, host: &'static str, sends: &Sends) -> io::Result<StatusCode> {
        timeout(PATIENCE, self.ask(host, sends)).await?
    }

    async fn ask(&self, host: &'static str, sends: &Sends) -> io::Result<StatusCode> {
        let io = match self.way {
            Way::Direct(site) => TcpStream::connect(site).await?,
            Way::Proxy(proxy) => tunnel(TcpStream::connect(proxy).await?, host).await?,
        };
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let io = self.tls.connect(name, io).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)?;
        // It ends with the sender.
        tokio::spawn(connection);
        let mut request = Request::get("/").header(HOST, host);
        if let Some(token) = &sends.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(cookie) = &sends.cookie {
            request = request.header(COOKIE, format!("sid={cookie}"));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = response.status();
        response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        Ok(status)
    }
}

/// Asks the proxy for a way to the host (RFC 9110 §9.3.6).
async fn tunnel(mut io: TcpStream, host: &str) -> io::Result<TcpStream> {
    let connect = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    io.write_all(connect.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("the proxy refused"));
    }
    Ok(io)
}
