//! A client connection from its first byte: which kind of client it is, CONNECT or SOCKS5, and the decision between a tunnel
//! and interception.
//!
//! CONNECT heads are read here and not through an HTTP library's upgrade: that leaves a smaller connection behind. One may
//! follow requests in absolute form: clients use a connection to a proxy for whatever comes next (RFC 9110 §9.3.6).

mod head;

use std::{io, sync::Arc};

use bytes::{Buf, BytesMut};
use http::header::VIA;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use self::head::{Connect, parse};
use super::{
    Proxy, Unmatched,
    error::{Error, Kind},
    identity::Arrival,
    intercept, requests, respond, socks,
    stage::{Next, Stage},
    tunnel,
};
use crate::{
    http1::head::may_end,
    message::target,
    origin::{Origin, Scheme},
    upstream::{
        Reach, Route,
        io::{Chunked, Io},
    },
};

/// Tells the client that its bytes go on to the target from here.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// How many requests without a valid password one connection may make.
const TRIES: usize = 8;

/// A client's connection to the proxy.
#[derive(Clone, Debug)]
pub struct Connection {
    pub proxy: Arc<Proxy>,
    /// Whose it is: `None` until a password tells, `Some(None)` where clients have no names.
    pub client: Option<Option<Arc<str>>>,
    pub arrival: Arrival,
}

/// What becomes of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Intercept,
    Tunnel,
    Deny,
}

// === impl Connection ===

impl Connection {
    /// Finds out what the connection is for.
    async fn serve<S: Io + 'static>(mut self, mut io: S, mut buffer: BytesMut) -> Next {
        for _ in 0..TRIES {
            if !self.first_bytes(&mut io, &mut buffer).await? {
                return Ok(None);
            }
            if buffer[0] == socks::VERSION {
                return self.serve_socks(io, buffer).await;
            }
            if !buffer.starts_with(b"CONNECT ") {
                let io = Chunked::with_prefix(io, buffer);
                return Ok(Some(requests::serve_plain(self, io)));
            }
            let connect = match self.head(&mut io, &mut buffer).await {
                Ok(Some(connect)) => connect,
                Ok(None) => return Ok(None),
                Err(error) => {
                    refuse(io, &error).await;
                    return Err(error);
                }
            };
            let client = match &self.client {
                Some(client) => client.clone(),
                None => match self
                    .proxy
                    .world
                    .load()
                    .clients
                    .authenticate(&connect.headers)
                {
                    Ok(name) => Some(name),
                    Err(error) => {
                        // Kept open: git asks again on the same connection.
                        io.write_all(&respond::to_connect(&error))
                            .await
                            .map_err(gone)?;
                        continue;
                    }
                },
            };
            self.client = Some(client.clone());
            let passed = |origin| self.proxy.has_passed(&connect.headers, &origin);
            let looped = connect.headers.contains_key(VIA)
                && target::connect(&connect.target).is_ok_and(passed);
            let then = match looped {
                true => Err(Kind::Loop.into()),
                false => {
                    self.open(&connect.target, client, ESTABLISHED, &mut io, buffer)
                        .await
                }
            };
            return match then {
                Ok(then) => Ok(Some(then.stage(io))),
                Err(error) => {
                    refuse(io, &error).await;
                    Err(error)
                }
            };
        }
        Ok(None)
    }

    /// Begins with a connection, or anew behind requests in absolute form; `buffer` is what was read of it already.
    pub fn begin<S: Io + 'static>(self, io: S, buffer: BytesMut) -> Stage {
        Stage::new(self.serve(io, buffer))
    }

    /// Returns where the client may go that no session says anything about.
    pub fn reach(&self) -> Reach {
        self.proxy.world.load().clients.reach(&self.arrival)
    }

    async fn serve_socks<S: Io + 'static>(self, mut io: S, mut buffer: BytesMut) -> Next {
        let clients = self.proxy.world.load_full();
        let mut negotiation = socks::Negotiation {
            io: &mut io,
            buffer: &mut buffer,
        };
        let asked = async {
            let client = negotiation
                .client(self.client.clone(), &clients.clients)
                .await?;
            Ok::<_, Error>((client, negotiation.target().await?))
        };
        let (client, target) = match timeout(self.proxy.limits.request_head, asked).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => {
                linger(&mut io).await;
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
        let established = &socks::ESTABLISHED;
        match self
            .open(&target, client, established, &mut io, buffer)
            .await
        {
            Ok(then) => Ok(Some(then.stage(io))),
            Err(error) => {
                if io.write_all(&socks::refusal(&error)).await.is_ok() {
                    linger(&mut io).await;
                }
                Err(error)
            }
        }
    }

    /// Reads until the beginning tells CONNECT from anything else; `false`: the client has left.
    async fn first_bytes<S: Io>(&self, io: &mut S, buffer: &mut BytesMut) -> Result<bool, Error> {
        let limit = self.proxy.limits.request_head;
        let enough = |b: &BytesMut| !b.is_empty() && (b.len() >= 8 || !b"CONNECT ".starts_with(b));
        while !enough(buffer) {
            buffer.reserve(1024);
            let read = tokio::select! {
                biased;
                read = timeout(limit, io.read_buf(buffer)) => read,
                () = self.proxy.stop.silence(), if buffer.is_empty() => return Ok(false),
            };
            match read {
                Ok(Ok(n)) if n > 0 => {}
                Ok(Err(error)) => return Err(gone(error)),
                Ok(Ok(_)) | Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Reads a CONNECT head and leaves what follows it in the buffer.
    async fn head<S: Io>(
        &self,
        io: &mut S,
        buffer: &mut BytesMut,
    ) -> Result<Option<Connect>, Error> {
        let limits = &self.proxy.limits;
        let read = async {
            let mut seen = 0;
            loop {
                if (seen == 0 || may_end(buffer, seen))
                    && let Some((connect, length)) = parse(buffer)?
                {
                    buffer.advance(length);
                    return Ok(Some(connect));
                }
                seen = buffer.len();
                if buffer.len() > limits.head_bytes {
                    return Err(Kind::BadRequest("the request's head is too large").into());
                }
                buffer.reserve(1024);
                if io.read_buf(buffer).await.map_err(gone)? == 0 {
                    return Ok(None);
                }
            }
        };
        timeout(limits.request_head, read).await.unwrap_or(Ok(None))
    }

    /// Decides, answers, and says what to do next.
    async fn open<S: Io>(
        &self,
        target: &str,
        client: Option<Arc<str>>,
        established: &[u8],
        io: &mut S,
        rest: BytesMut,
    ) -> Result<Then, Error> {
        let origin = target::connect(target)?;
        let decision = {
            let world = self.proxy.world.load();
            let matcher = world.sessions.matcher();
            let bound =
                |scheme| matcher.decides_for(client.as_deref(), scheme, &origin.host, origin.port);
            match world.unmatched {
                _ if bound(Scheme::Https) || bound(Scheme::Http) => Decision::Intercept,
                Unmatched::Tunnel => Decision::Tunnel,
                Unmatched::Deny => Decision::Deny,
            }
        };
        tracing::debug!(%origin, ?decision, client = client.as_deref(), "CONNECT");
        let proxy = self.proxy.clone();
        match decision {
            Decision::Deny => Err(Kind::Denied.into()),
            Decision::Tunnel => {
                let route = Route {
                    client,
                    origin,
                    reach: self.reach(),
                };
                let upstream = proxy.upstream.tunnel(&route).await;
                let upstream = upstream.map_err(|e| Error::from(e).on_the_way_to(&route.origin))?;
                io.write_all(established).await.map_err(gone)?;
                Ok(Then::Tunnel {
                    proxy,
                    upstream: Box::new(upstream),
                    rest,
                })
            }
            Decision::Intercept => {
                io.write_all(established).await.map_err(gone)?;
                Ok(Then::Intercept {
                    proxy,
                    client,
                    origin,
                    rest,
                })
            }
        }
    }
}

/// What follows a CONNECT that was granted.
enum Then {
    Tunnel {
        proxy: Arc<Proxy>,
        upstream: Box<crate::upstream::io::Hop>,
        rest: BytesMut,
    },
    Intercept {
        proxy: Arc<Proxy>,
        client: Option<Arc<str>>,
        origin: Origin,
        rest: BytesMut,
    },
}

impl Then {
    fn stage<S: Io + 'static>(self, io: S) -> Stage {
        match self {
            Self::Tunnel {
                proxy,
                upstream,
                rest,
            } => Stage::last(async move {
                let (idle, stop) = (proxy.limits.tunnel_idle, &proxy.stop.now);
                if let Err(error) = tunnel::connect(io, rest, *upstream, idle, stop).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "tunnel ended");
                }
                Ok(())
            }),
            Self::Intercept {
                proxy,
                client,
                origin,
                rest,
            } => {
                let io = Chunked::with_prefix(io, rest);
                Stage::new(intercept::serve(proxy, client, origin, io))
            }
        }
    }
}

/// Answers a request that is not served, and hangs up.
pub async fn refuse<S: Io>(mut io: S, error: &Error) {
    // The client may be gone: nobody is there to tell then.
    if io.write_all(&respond::to_connect(error)).await.is_ok() {
        linger(&mut io).await;
    }
}

/// Ends a connection so that the client can read the answer: unread input would make it a reset (RFC 9112 §9.6).
async fn linger<S: Io>(io: &mut S) {
    if io.shutdown().await.is_ok() {
        let mut sink = [0; 1024];
        let drained = async { while matches!(io.read(&mut sink).await, Ok(n) if n > 0) {} };
        drop(timeout(std::time::Duration::from_millis(500), drained).await);
    }
}

/// The client's connection failed: nothing more can be said to it.
fn gone(error: io::Error) -> Error {
    Error::from(Kind::RequestBody).because(error)
}
