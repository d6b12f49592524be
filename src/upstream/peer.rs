//! One origin as one client sees it: its idle HTTP/1.1 connections and its shared HTTP/2 connection.
//!
//! An HTTP/1.1 connection has no task of its own. Whoever has taken it drives it: the exchange until the head is
//! there, then the response body until its end. That spares two wake-ups for every request.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming as HyperBody,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::{
    Shared, adapt,
    body::{Body, Incoming},
    error::{Error, Kind, Sent},
    hush::Hush,
    io::{Filling, Stream},
    server_name,
    tls::Alpn,
};
use crate::origin::{Origin, Scheme};

/// An origin for one client. Clones of the `Arc` share its connections.
#[derive(Debug)]
pub struct Peer {
    origin: Origin,
    shared: Arc<Shared>,
    tls: Arc<ClientConfig>,
    /// The one that was used last at the back.
    idle: Mutex<VecDeque<Http1>>,
    http2: Mutex<Option<http2::SendRequest<Body>>>,
    /// One handshake at a time where its result may be shared.
    dialing: tokio::sync::Mutex<()>,
    /// What the origin speaks, once a handshake has told.
    speaks: AtomicU8,
}

/// How long a connection beyond the limit of idle ones is kept at least.
const BURST: Duration = Duration::from_secs(1);

const UNKNOWN: u8 = 0;
const ONLY_HTTP1: u8 = 1;
const ONLY_HTTP2: u8 = 2;

type Io = TokioIo<Filling<Stream>>;

/// An HTTP/1.1 connection that nobody uses, or that one exchange has taken.
#[derive(Debug)]
struct Http1(Box<Connection>);

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Body>,
    driver: http1::Connection<Io, Body>,
    /// Whether the driver has ended.
    ended: bool,
    hush: Hush,
    idle_since: Instant,
}

/// A connection on loan to a response body.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Http1,
    peer: Arc<Peer>,
}

/// A connection as the handshake left it.
enum Fresh {
    Http1(Http1),
    Http2(http2::SendRequest<Body>),
}

/// A failed attempt; the request comes back if not a byte of it was written.
struct Failed {
    error: Error,
    request: Option<Request<Body>>,
}

// === impl Peer ===

impl Peer {
    pub(super) fn new(origin: Origin, shared: Arc<Shared>, tls: Arc<ClientConfig>) -> Arc<Self> {
        Arc::new(Self {
            origin,
            shared,
            tls,
            idle: Mutex::default(),
            http2: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
            speaks: AtomicU8::new(UNKNOWN),
        })
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends one request and returns the answer's head and its streaming body.
    ///
    /// The request has its path alone as URI and no hop-by-hop fields; `Host` is written here if the upstream's
    /// protocol needs it. A request that was not written is sent again on a new connection by itself; anything else
    /// is the caller's decision ([`Error::sent`], [`Error::reused`]).
    pub async fn send(
        self: &Arc<Self>,
        request: Request<Body>,
        wants: Alpn,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = request;
        loop {
            let wants = match self.speaks.load(Ordering::Relaxed) {
                _ if self.origin.scheme == Scheme::Http => Alpn::Http1,
                ONLY_HTTP1 => Alpn::Http1,
                ONLY_HTTP2 => Alpn::Http2,
                _ => wants,
            };
            let (connection, reused) = match wants {
                Alpn::Http1 => match self.take_idle().await {
                    Some(connection) => (Fresh::Http1(connection), true),
                    None => (self.dial(wants).await?, false),
                },
                Alpn::Http2 => self.shared_http2().await?,
            };
            let sent = match connection {
                Fresh::Http1(connection) => self.send_http1(connection, request).await,
                Fresh::Http2(sender) => self.send_http2(sender, request).await,
            };
            match sent {
                Ok(response) => return Ok(response),
                Err(Failed {
                    request: Some(again),
                    ..
                }) if reused => request = again,
                Err(Failed { error, .. }) => return Err(error.on_reused(reused)),
            }
        }
    }

    /// Sends a request that asks for another protocol (`Upgrade`) on a connection of its own.
    pub async fn send_upgrade(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let io = self.connect(Alpn::Http1).await?.0;
        let (mut sender, driver) = self.handshake_http1(io).await?;
        self.shared.tasks.spawn(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "upstream connection ended"
                );
            }
        });
        let request = adapt::to_http1(request, &self.origin);
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| Error::http(e, Sent::Maybe))?;
        let silence = self.shared.limits.silence;
        Ok(response.map(|body| Incoming::new(body, None, silence)))
    }

    /// Returns an idle connection that the upstream has not closed.
    async fn take_idle(&self) -> Option<Http1> {
        loop {
            let mut connection = {
                let mut idle = self
                    .idle
                    .lock()
                    .expect("no panic while connections are held");
                idle.pop_back()?
            };
            if connection.0.idle_since.elapsed() > self.shared.limits.upstream_idle_for {
                continue;
            }
            // One look at the socket: a close that has arrived is seen before the request is written.
            let open = poll_fn(|cx| Poll::Ready(!connection.drive(cx))).await;
            if open && connection.0.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Returns the HTTP/2 connection, or makes one; or an HTTP/1.1 connection if that is what the origin speaks.
    async fn shared_http2(self: &Arc<Self>) -> Result<(Fresh, bool), Error> {
        let open = || {
            let mut sender = self
                .http2
                .lock()
                .expect("no panic while connections are held");
            if sender.as_ref().is_some_and(http2::SendRequest::is_closed) {
                *sender = None;
            }
            sender.clone()
        };
        if let Some(sender) = open() {
            return Ok((Fresh::Http2(sender), true));
        }
        let _dialing = self.dialing.lock().await;
        if let Some(sender) = open() {
            return Ok((Fresh::Http2(sender), true));
        }
        if self.speaks.load(Ordering::Relaxed) == ONLY_HTTP1 {
            return match self.take_idle().await {
                Some(connection) => Ok((Fresh::Http1(connection), true)),
                None => Ok((self.dial(Alpn::Http1).await?, false)),
            };
        }
        let fresh = self.dial(Alpn::Http2).await?;
        if let Fresh::Http2(sender) = &fresh {
            *self
                .http2
                .lock()
                .expect("no panic while connections are held") = Some(sender.clone());
        }
        Ok((fresh, false))
    }

    /// Makes a connection.
    async fn dial(self: &Arc<Self>, wants: Alpn) -> Result<Fresh, Error> {
        let (io, is_http2) = match self.connect(wants).await {
            Err(error) if wants == Alpn::Http1 && error.is_no_application_protocol() => {
                self.speaks.store(ONLY_HTTP2, Ordering::Relaxed);
                self.connect(Alpn::Http2).await?
            }
            other => other?,
        };
        if is_http2 {
            return self.handshake_http2(io).await.map(Fresh::Http2);
        }
        if wants == Alpn::Http2 {
            self.speaks.store(ONLY_HTTP1, Ordering::Relaxed);
        }
        let (sender, driver) = self.handshake_http1(io).await?;
        let connection = Connection {
            sender,
            driver,
            ended: false,
            hush: Hush::new(),
            idle_since: Instant::now(),
        };
        Ok(Fresh::Http1(Http1(Box::new(connection))))
    }

    /// Connects, with TLS if the origin has it; tells whether HTTP/2 was agreed on.
    async fn connect(&self, alpn: Alpn) -> Result<(Io, bool), Error> {
        let hop = self
            .shared
            .egress
            .connect(&self.origin, &self.shared.dialer, &self.tls)
            .await?;
        if self.origin.scheme == Scheme::Http {
            return Ok((TokioIo::new(Filling(Stream::Plain(hop))), false));
        }
        let connector = TlsConnector::from(self.tls.clone());
        let connector = connector.with_alpn(alpn.protocols());
        let handshake = connector.connect(server_name(&self.origin.host)?, hop);
        let stream = match timeout(self.shared.limits.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::tls(error)),
            Err(_) => return Err(Error::unsent(Kind::HandshakeTimeout)),
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((
            TokioIo::new(Filling(Stream::Tls(Box::new(stream)))),
            is_http2,
        ))
    }

    async fn handshake_http1(
        &self,
        io: Io,
    ) -> Result<(http1::SendRequest<Body>, http1::Connection<Io, Body>), Error> {
        let limits = &self.shared.limits;
        let mut builder = http1::Builder::new();
        builder
            .preserve_header_case(true)
            .max_buf_size(limits.head_bytes.max(8192));
        if limits.fields != 100 {
            builder.max_headers(limits.fields);
        }
        builder
            .handshake(io)
            .await
            .map_err(|e| Error::http(e, Sent::No))
    }

    async fn handshake_http2(&self, io: Io) -> Result<http2::SendRequest<Body>, Error> {
        let limits = &self.shared.limits;
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_while_idle(false)
            .handshake(io);
        let (sender, driver) = handshake.await.map_err(|e| Error::http(e, Sent::No))?;
        self.shared.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "upstream connection ended"
                );
            }
        });
        Ok(sender)
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut connection: Http1,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failed> {
        let request = adapt::to_http1(request, &self.origin);
        let mut answer = pin!(connection.0.sender.try_send_request(request));
        let sent = poll_fn(|cx| {
            let Connection {
                driver,
                ended,
                hush,
                ..
            } = &mut *connection.0;
            hush.drive(cx, |cx| {
                drive(driver, ended, cx);
                let answer = answer.as_mut().poll(cx);
                if let Poll::Ready(Ok(response)) = &answer
                    && response.body().is_end_stream()
                {
                    // Nothing will poll this body: one more look lets the connection end the exchange.
                    drive(driver, ended, cx);
                }
                answer
            })
        })
        .await;
        match sent {
            Ok(response) => {
                let mut lease = Some(Lease {
                    connection,
                    peer: self.clone(),
                });
                if response.body().is_end_stream()
                    && let Some(lease) = lease.take()
                {
                    lease.keep_if_ready();
                }
                let silence = self.shared.limits.silence;
                Ok(response.map(|body| Incoming::new(body, lease, silence)))
            }
            Err(mut failed) => {
                let request = failed.take_message();
                let sent = if request.is_some() {
                    Sent::No
                } else {
                    Sent::Maybe
                };
                Err(Failed {
                    error: Error::http(failed.into_error(), sent),
                    request,
                })
            }
        }
    }

    async fn send_http2(
        &self,
        mut sender: http2::SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failed> {
        let request = adapt::to_http2(request, &self.origin);
        match sender.try_send_request(request).await {
            Ok(response) => {
                let silence = self.shared.limits.silence;
                Ok(response.map(|body| Incoming::new(body, None, silence)))
            }
            Err(mut failed) => {
                let request = failed.take_message();
                let sent = if request.is_some() {
                    Sent::No
                } else {
                    Sent::Maybe
                };
                Err(Failed {
                    error: Error::http(failed.into_error(), sent),
                    request,
                })
            }
        }
    }

    /// Closes what was idle for too long; tells whether anything is left.
    pub(super) fn sweep(&self) -> bool {
        let keep_for = self.shared.limits.upstream_idle_for;
        let mut idle = self
            .idle
            .lock()
            .expect("no panic while connections are held");
        idle.retain(|connection| connection.0.idle_since.elapsed() <= keep_for);
        while idle.len() > self.shared.limits.upstream_idle
            && idle
                .front()
                .is_some_and(|oldest| oldest.0.idle_since.elapsed() > BURST)
        {
            idle.pop_front();
        }
        idle.shrink_to_fit();
        let mut http2 = self
            .http2
            .lock()
            .expect("no panic while connections are held");
        if http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *http2 = None;
        }
        !idle.is_empty() || http2.is_some()
    }

    /// Returns how many idle HTTP/1.1 connections are kept.
    pub(super) fn idle(&self) -> usize {
        self.idle
            .lock()
            .expect("no panic while connections are held")
            .len()
    }
}

// === impl Http1 ===

impl Http1 {
    /// Lets the connection read and write; tells whether it has ended.
    fn drive(&mut self, cx: &Context<'_>) -> bool {
        let Connection {
            driver,
            ended,
            hush,
            ..
        } = &mut *self.0;
        let driven: Poll<()> = hush.drive(cx, |cx| {
            drive(driver, ended, cx);
            Poll::Pending
        });
        debug_assert!(driven.is_pending());
        *ended
    }
}

/// Polls a connection that has not ended.
fn drive(driver: &mut http1::Connection<Io, Body>, ended: &mut bool, cx: &mut Context<'_>) {
    if *ended {
        return;
    }
    if let Poll::Ready(result) = Pin::new(driver).poll(cx) {
        *ended = true;
        if let Err(error) = result {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "upstream connection ended"
            );
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Polls a body together with the connection that it comes from.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut HyperBody,
        cx: &Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Connection {
            driver,
            ended,
            hush,
            ..
        } = &mut *self.connection.0;
        hush.drive(cx, |cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            drive(driver, ended, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    /// Gives the connection back to the pool, if it is ready for another request.
    pub(super) fn give_back(mut self, cx: &Context<'_>) {
        self.connection.drive(cx);
        self.keep_if_ready();
    }

    fn keep_if_ready(mut self) {
        let connection = &mut self.connection.0;
        // A request body that is still on its way would leave the connection in the middle of a message.
        if connection.ended || !connection.sender.is_ready() {
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = self
            .peer
            .idle
            .lock()
            .expect("no panic while connections are held");
        idle.push_back(self.connection);
        // What was used a moment ago will be wanted again, also beyond the limit: otherwise as many clients at once
        // as connections would make new ones all the time.
        if idle.len() > self.peer.shared.limits.upstream_idle
            && idle
                .front()
                .is_some_and(|oldest| oldest.0.idle_since.elapsed() > BURST)
        {
            idle.pop_front();
        }
    }
}
