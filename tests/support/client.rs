//! The tests' own client: CONNECT, TLS and HTTP with every part of it open to being set apart from the others.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    BoxError,
    origin::{Body, Origin, empty, full},
    pki::{self, TRUSTED, crypto, roots},
    wait::within_limit,
};

pub use super::wait::eventually;

/// A tunnel, an answer's head, or its body: some proxies are stopped, some answers wait for a refresh or are large.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(180);

/// Where the client's connections go.
#[derive(Clone)]
pub struct Client {
    to: SocketAddr,
    proxied: bool,
    roots: Arc<RootCertStore>,
    alpn: &'static [&'static str],
    /// Takes any certificate: for peers that are not who they are asked to be.
    credulous: bool,
    /// Fields of each CONNECT.
    pub connect_fields: String,
}

/// A connection's parts, each of which can contradict the others.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The authority of the CONNECT.
    pub connect: String,
    /// The server name of the ClientHello; `None` sends none.
    pub sni: Option<String>,
    /// `None`: plain HTTP inside the tunnel.
    pub tls: bool,
    pub h2: bool,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub type Stream = Pin<Box<dyn Io>>;

/// An HTTP connection that is used more than once.
pub enum Connection {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

// === impl Client ===

impl Client {
    /// Through a proxy whose CA is in these PEM bytes; the tests' own CA is trusted too, for tunnelled hosts.
    pub fn proxied(to: SocketAddr, ca_pem: &str) -> Self {
        let mut store = roots(ca_pem);
        store.extend(roots(&TRUSTED.pem()).roots);
        Self {
            to,
            proxied: true,
            roots: Arc::new(store),
            alpn: &["http/1.1"],
            credulous: false,
            connect_fields: String::new(),
        }
    }

    /// To the origin itself.
    pub fn direct(origin: &Origin) -> Self {
        Self::to(origin.address)
    }

    /// To a server of the tests, without a proxy.
    pub fn to(address: SocketAddr) -> Self {
        Self {
            proxied: false,
            ..Self::proxied(address, "")
        }
    }

    pub fn h2(mut self) -> Self {
        self.alpn = &["h2", "http/1.1"];
        self
    }

    pub fn credulous(mut self) -> Self {
        self.credulous = true;
        self
    }

    pub async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).body(empty()).unwrap()).await
    }

    pub async fn post(&self, url: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::post(url).body(full(body)).unwrap())
            .await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// One request on a connection of its own, and its whole answer.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Answer, BoxError> {
        let mut connection = self.open(request.uri()).await?;
        Answer::read(connection.send(request).await?).await
    }

    /// The answer's head, with its body still to come.
    pub async fn start(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        self.open(request.uri()).await?.send(request).await
    }

    /// A connection for requests to this URL's origin.
    pub async fn open(&self, url: &Uri) -> Result<Connection, BoxError> {
        let host = url.host().expect("an absolute URL");
        let tls = url.scheme_str() == Some("https");
        if !tls && self.proxied {
            // Absolute form, to the proxy itself.
            return Connection::h1(Box::pin(TcpStream::connect(self.to).await?)).await;
        }
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        self.open_parts(&Parts {
            connect: format!("{host}:{port}"),
            sni: Some(host.trim_matches(['[', ']']).to_owned()),
            tls,
            h2: self.alpn.contains(&"h2"),
        })
        .await
    }

    pub async fn open_parts(&self, parts: &Parts) -> Result<Connection, BoxError> {
        let stream = self.stream(parts).await?;
        if parts.h2 {
            Connection::h2(stream).await
        } else {
            Connection::h1(stream).await
        }
    }

    /// The byte stream that HTTP is spoken on: behind the CONNECT, and inside TLS if there is any.
    pub async fn stream(&self, parts: &Parts) -> Result<Stream, BoxError> {
        within_limit(ANSWER, &format!("{parts:?}"), self.stream_of(parts)).await
    }

    async fn stream_of(&self, parts: &Parts) -> Result<Stream, BoxError> {
        let socket = if self.proxied {
            self.connect(&parts.connect).await?
        } else {
            TcpStream::connect(self.to).await?
        };
        if !parts.tls {
            return Ok(Box::pin(socket));
        }
        Ok(Box::pin(self.tls(socket, parts).await?))
    }

    pub async fn tls(
        &self,
        socket: TcpStream,
        parts: &Parts,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, BoxError> {
        let config =
            ClientConfig::builder_with_provider(crypto()).with_safe_default_protocol_versions()?;
        let mut config = if self.credulous {
            let verifier = Arc::new(pki::Credulous);
            config
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        } else {
            config
                .with_root_certificates(self.roots.clone())
                .with_no_client_auth()
        };
        config.alpn_protocols = if parts.h2 {
            vec![b"h2".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        config.enable_sni = parts.sni.is_some();
        // Without a server name the certificate is checked against the host of the CONNECT.
        let host = parts
            .connect
            .rsplit_once(':')
            .map_or(parts.connect.as_str(), |(host, _)| host);
        let name = parts
            .sni
            .as_deref()
            .unwrap_or(host.trim_matches(['[', ']']));
        let name = ServerName::try_from(name.to_owned())?;
        Ok(tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await?)
    }

    /// A tunnel to this authority; an answer other than 2xx is the error.
    pub async fn connect(&self, authority: &str) -> Result<TcpStream, BoxError> {
        within_limit(
            ANSWER,
            &format!("CONNECT {authority}"),
            self.tunnel(authority),
        )
        .await
    }

    async fn tunnel(&self, authority: &str) -> Result<TcpStream, BoxError> {
        let mut socket = TcpStream::connect(self.to).await?;
        socket.set_nodelay(true)?;
        let fields = &self.connect_fields;
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n");
        socket.write_all(head.as_bytes()).await?;
        let head = super::raw::read_head(&mut socket)
            .await
            .ok_or("the proxy hung up on a CONNECT")?;
        if head
            .split(' ')
            .nth(1)
            .is_some_and(|status| status.starts_with('2'))
        {
            return Ok(socket);
        }
        let mut body = String::new();
        let _ = tokio::time::timeout(
            std::time::Duration::from_millis(200),
            socket.read_to_string(&mut body),
        )
        .await;
        Err(format!("CONNECT refused: {head}{body}").into())
    }

    /// A TCP connection to the proxy, for bytes of the test's choice.
    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.to)
            .await
            .expect("connect to the proxy")
    }
}

// === impl Connection ===

impl Connection {
    async fn h1(stream: Stream) -> Result<Self, BoxError> {
        let mut http = http1::Builder::new();
        http.preserve_header_case(true).max_headers(500);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(Self::H1(sender))
    }

    async fn h2(stream: Stream) -> Result<Self, BoxError> {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.max_header_list_size(1 << 20);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::H2(sender))
    }

    /// Sends a request with an absolute URL, in the form that fits the connection.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let what = format!("{} {}", request.method(), request.uri());
        within_limit(ANSWER, &what, self.send_on(request)).await
    }

    async fn send_on(&mut self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        match self {
            Self::H1(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(origin_form(request)).await?)
            }
            Self::H2(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }

    /// Tells whether the peer takes another request, as far as is known.
    pub async fn is_ready(&mut self) -> bool {
        match self {
            Self::H1(sender) => sender.ready().await.is_ok(),
            Self::H2(sender) => sender.ready().await.is_ok(),
        }
    }

    pub async fn get(&mut self, url: &str) -> Result<Answer, BoxError> {
        Answer::read(self.send(Request::get(url).body(empty()).unwrap()).await?).await
    }
}

/// Inside a tunnel and to origins the path alone, with a Host; plain http to a proxy keeps its URL.
fn origin_form(mut request: Request<Body>) -> Request<Body> {
    let url = request.uri().clone();
    let Some(authority) = url.authority() else {
        return request;
    };
    if !request.headers().contains_key("host") {
        request
            .headers_mut()
            .insert("host", authority.as_str().parse().unwrap());
    }
    if url.scheme_str() == Some("https") || request.extensions().get::<Direct>().is_some() {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().unwrap();
    }
    request
}

/// In a request's extensions: send the path alone although the scheme is http.
#[derive(Clone)]
pub struct Direct;

// === impl Answer ===

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Result<Self, BoxError> {
        let (head, body) = response.into_parts();
        let status = head.status;
        let what = format!("the body of an answer, {status}");
        let body = within_limit(ANSWER, &what, body.collect()).await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a visible value"))
    }

    /// Fails with the answer's text if it has another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{:?} {}",
            self.headers,
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}
