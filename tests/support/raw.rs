//! An origin that says exactly the bytes a test tells it to, and breaks where it is told to break.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::server::TlsStream;

use super::pki::{TRUSTED, Valid};

pub type Stream = TlsStream<TcpStream>;

/// A running scripted origin; it ends when this is dropped.
pub struct Raw {
    pub address: SocketAddr,
    pub name: String,
    /// The heads that scripts read with [`read_head`], by way of [`Heads`].
    pub heads: Heads,
    task: JoinHandle<()>,
}

/// The request heads that came, as they were.
#[derive(Clone, Default)]
pub struct Heads(Arc<Mutex<Vec<String>>>);

/// Starts an origin that runs the script for each connection once TLS is done.
pub async fn raw<F, Fut>(name: &str, script: F) -> Raw
where
    F: Fn(Stream, Heads) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let config = TRUSTED
        .issue(&[name], Valid::Now)
        .server_config(&["http/1.1"]);
    raw_with(name, config, script).await
}

pub async fn raw_with<F, Fut>(name: &str, config: Arc<ServerConfig>, script: F) -> Raw
where
    F: Fn(Stream, Heads) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let heads = Heads::default();
    let shared = heads.clone();
    let script = Arc::new(script);
    let (address, task) = tcp(move |socket| {
        let (acceptor, heads, script) = (acceptor.clone(), shared.clone(), script.clone());
        async move {
            if let Ok(stream) = acceptor.accept(socket).await {
                script(stream, heads).await;
            }
        }
    })
    .await;
    Raw {
        address,
        name: name.to_owned(),
        heads,
        task,
    }
}

/// A listener that runs the script for each TCP connection.
pub async fn tcp<F, Fut>(script: F) -> (SocketAddr, JoinHandle<()>)
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            connections.spawn(script(socket));
        }
    });
    (address, task)
}

/// An origin that answers each request head on a connection with the same bytes, and then ends or keeps it.
pub async fn says(name: &str, bytes: impl Into<Vec<u8>>, after: After) -> Raw {
    let bytes = Arc::new(bytes.into());
    raw(name, move |mut stream, heads| {
        let bytes = bytes.clone();
        async move {
            while heads.read(&mut stream).await.is_some() {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                match after {
                    After::Keep => {}
                    After::Close => {
                        let _ = stream.shutdown().await;
                        return;
                    }
                    After::Reset => return reset(stream),
                    After::Silence => std::future::pending().await,
                }
            }
        }
    })
    .await
}

#[derive(Clone, Copy, Debug)]
pub enum After {
    Keep,
    Close,
    Reset,
    Silence,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Heads ===

impl Heads {
    /// Reads one request head and remembers it.
    pub async fn read(&self, stream: &mut Stream) -> Option<String> {
        let head = read_head(stream).await?;
        self.0.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Reads a head, its empty line included, byte by byte so that nothing behind it is taken.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Ends a connection with a TCP reset.
pub fn reset(stream: Stream) {
    let (socket, _) = stream.into_inner();
    socket2::SockRef::from(&socket)
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("linger");
}
