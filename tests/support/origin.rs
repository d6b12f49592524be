//! An origin over loopback: HTTP/1.1 and HTTP/2, TLS or plain, that records all it receives.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{
    BoxError,
    pki::{Identity, TRUSTED, Valid},
    routes,
    tap::Tap,
};

pub type Body = UnsyncBoxBody<Bytes, BoxError>;
pub type Reply = Response<Body>;
pub type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Answer> + Send + Sync>;
/// A handler's answer, or the request back for the next one.
pub type Answer = Result<Reply, Request<Incoming>>;
pub type Gate = Arc<dyn Fn(&Seen) -> bool + Send + Sync>;

/// A running origin; it ends when this is dropped.
pub struct Origin {
    site: Arc<Builder>,
    pub address: SocketAddr,
    pub names: Vec<String>,
    pub scheme: &'static str,
    pub recorder: Arc<Recorder>,
    task: JoinHandle<()>,
}

pub struct Builder {
    names: Vec<String>,
    tls: Option<Arc<ServerConfig>>,
    alpn: Vec<&'static str>,
    identity: Option<Identity>,
    handlers: Vec<Handler>,
    gate: Option<Gate>,
    place: SocketAddr,
}

/// All that an origin received.
#[derive(Default)]
pub struct Recorder {
    pub requests: Mutex<Vec<Arc<Seen>>>,
    /// What came over each connection after TLS, the first bytes of it.
    pub connections: Mutex<Vec<Arc<Connection>>>,
    pub accepted: AtomicU64,
    /// Connections whose TLS handshake failed.
    pub failed: AtomicU64,
}

#[derive(Default)]
pub struct Connection {
    pub bytes: Mutex<Vec<u8>>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub version: Version,
    pub method: String,
    pub target: String,
    pub path: String,
    pub fields: HeaderMap,
}

/// In a reply's extensions: the connection ends instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("aborted")]
pub struct Abort;

pub fn origin(names: &[&str]) -> Builder {
    Builder {
        names: names.iter().map(ToString::to_string).collect(),
        tls: None,
        alpn: vec!["h2", "http/1.1"],
        identity: None,
        handlers: Vec::new(),
        gate: None,
        place: SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

// === impl Builder ===

impl Builder {
    /// Offers only these protocols.
    pub fn alpn(mut self, alpn: &[&'static str]) -> Self {
        self.alpn = alpn.to_vec();
        self
    }

    /// Listens here, where it can come back after an end.
    pub fn place(mut self, place: SocketAddr) -> Self {
        self.place = place;
        self
    }

    /// Shows another certificate than a good one for its names.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Asked before the standard routes.
    pub fn handler<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.handlers
            .push(Arc::new(move |request| Box::pin(handler(request))));
        self
    }

    /// Asked before all that were added so far.
    pub fn before<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.handlers
            .insert(0, Arc::new(move |request| Box::pin(handler(request))));
        self
    }

    /// Answers 401 to what does not pass.
    pub fn gate(mut self, gate: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Answers 401 to what does not bear this token.
    pub fn bearer(self, token: &str) -> Self {
        let expected = format!("Bearer {token}");
        self.gate(move |seen| seen.field("authorization") == Some(&expected))
    }

    pub async fn start(mut self) -> Origin {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let identity = self
            .identity
            .take()
            .unwrap_or_else(|| TRUSTED.issue(&names, Valid::Now));
        self.tls = Some(identity.server_config(&self.alpn));
        self.listen("https").await
    }

    pub async fn start_plain(self) -> Origin {
        self.listen("http").await
    }

    async fn listen(self, scheme: &'static str) -> Origin {
        let listener = TcpListener::bind(self.place).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let recorder = Arc::new(Recorder::default());
        let names = self.names.clone();
        let site = Arc::new(self);
        let task = tokio::spawn(accept(listener, site.clone(), recorder.clone()));
        Origin {
            site,
            address,
            names,
            scheme,
            recorder,
            task,
        }
    }
}

// === impl Origin ===

impl Origin {
    /// The URL of a path at the origin's first name, at the scheme's usual port.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.names[0])
    }

    pub fn port(&self) -> u16 {
        if self.scheme == "https" { 443 } else { 80 }
    }

    /// Ends it with all its connections, as `kill -9` does.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Listens again where it did; what it knows is kept by its handlers.
    pub async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("bind again");
        let (site, recorder) = (self.site.clone(), self.recorder.clone());
        self.task = tokio::spawn(accept(listener, site, recorder));
    }

    pub fn seen(&self) -> Vec<Arc<Seen>> {
        self.recorder.requests.lock().unwrap().clone()
    }

    pub fn last(&self) -> Arc<Seen> {
        self.seen().pop().expect("the origin received nothing")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Seen ===

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .map(|value| value.to_str().expect("a visible value"))
    }

    /// The whole head as searchable text.
    pub fn text(&self) -> Vec<u8> {
        let mut text = format!("{} {}\n", self.method, self.target).into_bytes();
        for (name, value) in &self.fields {
            text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
        }
        text
    }
}

// === impl Recorder ===

impl Recorder {
    /// Everything received, as searchable bytes: the connections as they were, and the heads of HTTP/2 decoded.
    pub fn everything(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for connection in self.connections.lock().unwrap().iter() {
            all.extend_from_slice(&connection.bytes.lock().unwrap());
        }
        for seen in self.requests.lock().unwrap().iter() {
            all.extend(seen.text());
        }
        all
    }

    pub fn count(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn connection(&self, connection: Connection) -> (usize, Arc<Connection>) {
        let connection = Arc::new(connection);
        let mut all = self.connections.lock().unwrap();
        all.push(connection.clone());
        (all.len() - 1, connection)
    }
}

async fn accept(listener: TcpListener, site: Arc<Builder>, recorder: Arc<Recorder>) {
    // Connections end with their origin.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        recorder.accepted.fetch_add(1, Ordering::Relaxed);
        let _ = socket.set_nodelay(true);
        connections.spawn(serve(socket, site.clone(), recorder.clone()));
    }
}

async fn serve(socket: TcpStream, site: Arc<Builder>, recorder: Arc<Recorder>) {
    let Some(tls) = &site.tls else {
        let (number, connection) = recorder.connection(Connection::default());
        return converse(Tap::new(socket, connection), false, number, site, recorder).await;
    };
    let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls.clone())
        .accept(socket)
        .await
    else {
        recorder.failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let session = stream.get_ref().1;
    let h2 = session.alpn_protocol() == Some(b"h2");
    let (number, connection) = recorder.connection(Connection::default());
    converse(Tap::new(stream, connection), h2, number, site, recorder).await;
}

async fn converse<S>(
    stream: Tap<S>,
    h2: bool,
    number: usize,
    site: Arc<Builder>,
    recorder: Arc<Recorder>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (site, recorder) = (site.clone(), recorder.clone());
        async move {
            let reply = answer(request, number, &site, &recorder).await;
            match reply.extensions().get::<Abort>() {
                Some(abort) => Err(abort.clone()),
                None => Ok(reply),
            }
        }
    });
    let io = TokioIo::new(stream);
    // How a connection ends is the tests' own affair.
    let _ = if h2 {
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.max_header_list_size(1 << 20).enable_connect_protocol();
        http.serve_connection(io, service).await
    } else {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.max_headers(500).half_close(true);
        http.serve_connection(io, service).with_upgrades().await
    };
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    site: &Builder,
    recorder: &Recorder,
) -> Reply {
    let seen = Arc::new(Seen {
        connection,
        version: request.version(),
        method: request.method().to_string(),
        target: request.uri().to_string(),
        path: request.uri().path().to_owned(),
        fields: request.headers().clone(),
    });
    recorder.requests.lock().unwrap().push(seen.clone());
    if site.gate.as_ref().is_some_and(|gate| !gate(&seen)) {
        return routes::unauthorized();
    }
    let mut request = request;
    for handler in &site.handlers {
        match handler(request).await {
            Ok(reply) => return reply,
            Err(declined) => request = declined,
        }
    }
    routes::answer(request, seen).await
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
