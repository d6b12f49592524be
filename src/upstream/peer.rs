//! One origin as one client sees it: its idle HTTP/1.1 connections and its shared HTTP/2 connections.
//!
//! An HTTP/1.1 connection has no task of its own. Whoever has taken it drives it: the exchange until the head is
//! there, then the response body until its end (`connection`). That spares two wake-ups for every request.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use http::Response;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use super::{
    Route, Shared,
    body::{Body, Incoming},
    connection::Http1,
    error::{Error, Kind},
    handshake,
    http2::{Connections, Place},
    io::{Filling, Stream},
    send::Outgoing,
    server_name,
    tls::Alpn,
    tls_stream::TlsStream,
};
use crate::{
    http1::Bounds,
    origin::{Origin, Scheme},
};

/// An origin for one client. Clones of the `Arc` share its connections.
#[derive(Debug)]
pub struct Peer {
    pub(super) route: Route,
    /// What `Host` is.
    pub(super) authority: String,
    pub(super) shared: Arc<Shared>,
    tls: Arc<ClientConfig>,
    /// The one that was used last at the back.
    idle: Mutex<VecDeque<Http1>>,
    http2: Connections,
    /// One handshake at a time where its result may be shared; how and when the latest one failed.
    dialing: tokio::sync::Mutex<Option<(Instant, Error)>>,
    /// What the origin speaks, once a handshake or its first answer has told.
    pub(super) speaks: AtomicU8,
}

/// How long a connection beyond the limit of idle ones is kept at least.
const BURST: Duration = Duration::from_secs(1);

const UNKNOWN: u8 = 0;
pub(super) const ONLY_HTTP1: u8 = 1;
const ONLY_HTTP2: u8 = 2;

/// A connection as the handshake left it.
enum Fresh {
    Http1(Http1),
    Http2(Place),
    /// No protocol was selected, so that HTTP/1.1 is to be spoken; the first answer tells.
    Unsure(Http1),
}

/// What a handshake has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    Http1,
    Http2,
    Nothing,
}

// === impl Peer ===

impl Peer {
    pub(super) fn new(route: &Route, shared: Arc<Shared>, tls: Arc<ClientConfig>) -> Arc<Self> {
        Arc::new(Self {
            route: route.clone(),
            authority: route.origin.authority(),
            shared,
            tls,
            idle: Mutex::default(),
            http2: Connections::default(),
            dialing: tokio::sync::Mutex::default(),
            speaks: AtomicU8::new(UNKNOWN),
        })
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    pub fn origin(&self) -> &Origin {
        &self.route.origin
    }

    /// Sends one request and returns the answer's head and its streaming body.
    ///
    /// `Host` is written here if the upstream's protocol needs it. The body is taken when it is sent. A request of which
    /// nothing was written is sent again on a new connection by itself; anything else is the caller's decision
    /// ([`Error::sent`], [`Error::reused`]).
    pub async fn send(
        self: &Arc<Self>,
        mut request: Outgoing<'_>,
        body: &mut Option<Body>,
        wants: Alpn,
    ) -> Result<Response<Incoming>, Error> {
        let mut told = false;
        loop {
            let wants = match self.speaks.load(Ordering::Relaxed) {
                _ if self.route.origin.scheme == Scheme::Http => Alpn::Http1,
                ONLY_HTTP1 => Alpn::Http1,
                ONLY_HTTP2 => Alpn::Http2,
                _ => wants,
            };
            // What is rare is in boxes: a request holds no room for it.
            let (connection, reused) = match wants {
                Alpn::Http1 => match self.take_idle() {
                    Some(connection) => (Fresh::Http1(connection), true),
                    None => (Box::pin(self.dial(wants)).await?, false),
                },
                Alpn::Http2 => match self.http2.find() {
                    Some(place) => (Fresh::Http2(place), true),
                    None => Box::pin(self.shared_http2()).await?,
                },
            };
            let sent = match connection {
                Fresh::Http1(connection) => self.send_http1(connection, &mut request, body).await,
                Fresh::Http2(place) => Box::pin(self.send_http2(place, &mut request, body)).await,
                Fresh::Unsure(connection) => {
                    Box::pin(self.send_unsure(connection, &mut request, body)).await
                }
            };
            match sent {
                Ok(response) => return Ok(response),
                // Once: an origin could select one protocol and speak the other for ever.
                Err(error) if error.speaks_http2() && !std::mem::replace(&mut told, true) => {
                    self.speaks.store(ONLY_HTTP2, Ordering::Relaxed);
                    if self.route.origin.scheme == Scheme::Http || body.is_none() {
                        return Err(error);
                    }
                }
                Err(_) if reused && body.is_some() => {}
                Err(error) => return Err(error.on_reused(reused)),
            }
        }
    }

    /// Sends a request that asks for another protocol (`Upgrade`), on a new connection.
    pub async fn send_upgrade(
        self: &Arc<Self>,
        mut request: Outgoing<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let io = self.connect(Alpn::Http1).await?.0;
        self.send_http1(self.http1(io), &mut request, body).await
    }

    /// Returns an idle connection that the upstream has not closed.
    fn take_idle(&self) -> Option<Http1> {
        // Whoever polls next waits for the same: nobody has to be woken for what is seen here.
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut connection = {
                let mut idle = self
                    .idle
                    .lock()
                    .expect("no panic while connections are held");
                idle.pop_back()?
            };
            if connection.idle_for() <= self.shared.limits.upstream_idle_for
                && connection.get().is_open(&mut cx)
            {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, connection: Http1) {
        let mut idle = self
            .idle
            .lock()
            .expect("no panic while connections are held");
        idle.push_back(connection);
        self.trim(&mut idle);
    }

    /// Closes what is beyond the limit, except what was used a moment ago: it will be wanted again, and otherwise as
    /// many clients at once as connections would make new ones all the time.
    fn trim(&self, idle: &mut VecDeque<Http1>) {
        while idle.len() > self.shared.limits.upstream_idle
            && idle.front().is_some_and(|oldest| oldest.idle_for() > BURST)
        {
            idle.pop_front();
        }
    }

    /// Makes an HTTP/2 connection, if nobody else just has; or an HTTP/1.1 connection if that is what the origin
    /// speaks. Who waits for another's handshake shares its failure too: a crowd waits no longer than one of it.
    async fn shared_http2(self: &Arc<Self>) -> Result<(Fresh, bool), Error> {
        let asked = Instant::now();
        let mut failed = self.dialing.lock().await;
        if let Some(place) = self.http2.find() {
            return Ok((Fresh::Http2(place), true));
        }
        if self.speaks.load(Ordering::Relaxed) == ONLY_HTTP1 {
            drop(failed);
            return match self.take_idle() {
                Some(connection) => Ok((Fresh::Http1(connection), true)),
                None => Ok((self.dial(Alpn::Http1).await?, false)),
            };
        }
        if let Some((at, error)) = &*failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        let dialed = self.dial(Alpn::Http2).await;
        *failed = dialed.as_ref().err().map(|e| (Instant::now(), e.clone()));
        Ok((dialed?, false))
    }

    /// Makes a connection.
    async fn dial(self: &Arc<Self>, wants: Alpn) -> Result<Fresh, Error> {
        let (io, agreed) = match self.connect(wants).await {
            Err(error) if wants == Alpn::Http1 && error.is_no_application_protocol() => {
                self.speaks.store(ONLY_HTTP2, Ordering::Relaxed);
                self.connect(Alpn::Http2).await?
            }
            other => other?,
        };
        Ok(match agreed {
            Agreed::Http2 => {
                let open = Arc::default();
                let sender = handshake::http2(io, &self.shared, &open).await?;
                Fresh::Http2(self.http2.add(sender, open))
            }
            Agreed::Nothing => Fresh::Unsure(self.http1(io)),
            Agreed::Http1 => {
                if wants == Alpn::Http2 {
                    self.speaks.store(ONLY_HTTP1, Ordering::Relaxed);
                }
                Fresh::Http1(self.http1(io))
            }
        })
    }

    fn http1(&self, io: Filling<Stream>) -> Http1 {
        let limits = &self.shared.limits;
        let bounds = Bounds {
            bytes: limits.head_bytes,
            fields: limits.fields,
        };
        Http1::new(io, bounds, self.shared.count())
    }

    /// Connects, with TLS if the origin has it; tells which protocol was agreed on.
    async fn connect(&self, alpn: Alpn) -> Result<(Filling<Stream>, Agreed), Error> {
        let hop = self
            .shared
            .egress
            .connect(&self.route, &self.shared.dialer, &self.tls)
            .await?;
        if self.route.origin.scheme == Scheme::Http {
            return Ok((Filling(Stream::Plain(hop)), Agreed::Http1));
        }
        let name = server_name(&self.route.origin.host)?;
        let handshake = TlsStream::connect(self.tls.clone(), name, alpn.protocols(), hop);
        let stream = match timeout(self.shared.limits.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::tls(error)),
            Err(_) => return Err(Error::unsent(Kind::HandshakeTimeout)),
        };
        let agreed = match (stream.alpn_protocol(), self.speaks.load(Ordering::Relaxed)) {
            (Some(b"h2"), _) => Agreed::Http2,
            (Some(_), _) => Agreed::Http1,
            // It selects none, and may have shown what it speaks.
            (None, ONLY_HTTP1) => Agreed::Http1,
            (None, ONLY_HTTP2) => Agreed::Http2,
            (None, _) => Agreed::Nothing,
        };
        Ok((Filling(Stream::Tls(Box::new(stream))), agreed))
    }

    /// Closes what was idle for too long; tells whether anything is left.
    pub(super) fn sweep(&self) -> bool {
        let keep_for = self.shared.limits.upstream_idle_for;
        let mut idle = self
            .idle
            .lock()
            .expect("no panic while connections are held");
        idle.retain(|connection| connection.idle_for() <= keep_for);
        self.trim(&mut idle);
        idle.shrink_to_fit();
        let http2 = self.http2.sweep(keep_for);
        !idle.is_empty() || http2
    }

    /// Returns how many idle HTTP/1.1 connections are kept.
    pub(super) fn idle(&self) -> usize {
        self.idle
            .lock()
            .expect("no panic while connections are held")
            .len()
    }
}
