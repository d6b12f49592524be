//! Inside a CONNECT that a session is bound to: the first byte tells TLS from plain HTTP, and the requests are served.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    Proxy, Unmatched,
    error::{Error, Kind},
    requests::{self, Scope},
    stage::{Next, Stage},
    tunnel,
};
use crate::{
    origin::{Host, Origin, Scheme},
    upstream::{
        Reach, Route,
        io::{Chunked, Filling, Io},
    },
};

/// The first byte of a TLS record that begins a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A fatal alert `unrecognized_name` (RFC 6066 §3), as a record of its own.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// Serves what comes through a CONNECT to `origin`, which is https until the first byte says otherwise.
pub async fn serve<S: Io + 'static>(
    proxy: Arc<Proxy>,
    client: Option<Arc<str>>,
    origin: Origin,
    mut io: Chunked<S>,
) -> Next {
    let mut first = BytesMut::with_capacity(1);
    let read = timeout(proxy.limits.handshake, io.read_buf(&mut first)).await;
    let Some(byte) = read
        .ok()
        .and_then(Result::ok)
        .and_then(|_| first.first().copied())
    else {
        return Ok(None);
    };
    // What was read beyond the first byte stands in `first` too.
    io.unread(first);
    Ok(Some(match byte {
        TLS_HANDSHAKE => Stage::new(serve_tls(proxy, client, origin, io)),
        b'A'..=b'Z' | b'a'..=b'z' => {
            let origin = Origin {
                scheme: Scheme::Http,
                ..origin
            };
            requests::serve_http1(Scope::new(proxy, client, Some(origin)), io)
        }
        _ => Stage::last(serve_opaque(proxy, client, origin, io)),
    }))
}

async fn serve_tls<S: Io + 'static>(
    proxy: Arc<Proxy>,
    client: Option<Arc<str>>,
    origin: Origin,
    io: S,
) -> Next {
    let limit = proxy.limits.handshake;
    let Ok(stream) = timeout(limit, handshake(&proxy, &origin, io)).await else {
        return Ok(None);
    };
    let stream = stream?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let scope = Scope::new(proxy, client, Some(origin));
    Ok(Some(if is_http2 {
        requests::serve_http2(scope, stream)
    } else {
        requests::serve_http1(scope, Filling(stream))
    }))
}

async fn handshake<S: Io>(proxy: &Proxy, origin: &Origin, io: S) -> Result<TlsStream<S>, Error> {
    let failed = |e| Error::from(Kind::BadRequest("the TLS handshake failed")).because(e);
    // The client is told why, if it is still there (RFC 8446 §6.2).
    let start = LazyConfigAcceptor::new(Acceptor::default(), io)
        .await
        .map_err(failed)?;
    if let Some(name) = start.client_hello().server_name()
        && name.parse::<Host>().as_ref() != Ok(&origin.host)
    {
        let mut io = start.io;
        drop(io.write_all(&UNRECOGNIZED_NAME).await);
        drop(io.shutdown().await);
        return Err(Kind::Misdirected.into());
    }
    let config = proxy
        .ca
        .load()
        .resolve(&origin.host)
        .map_err(|e| Error::from(Kind::Internal).because(e))?;
    start.into_stream(config).await.map_err(failed)
}

/// Neither TLS nor HTTP: a tunnel if hosts without a session are tunnelled, else nothing. It is never guessed at.
async fn serve_opaque<S: Io + 'static>(
    proxy: Arc<Proxy>,
    client: Option<Arc<str>>,
    origin: Origin,
    io: S,
) -> Result<(), Error> {
    if proxy.world.load().unmatched == Unmatched::Deny {
        return Err(Kind::Denied.into());
    }
    let route = Route {
        client,
        origin,
        // A session names the host: the configuration leads there.
        reach: Reach::Anywhere,
    };
    let upstream = proxy.upstream.tunnel(&route).await?;
    if let Err(error) = tunnel::relay(io, upstream, proxy.limits.tunnel_idle, &proxy.stop.now).await
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "tunnel ended");
    }
    Ok(())
}
