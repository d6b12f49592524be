//! HTTP on a client connection: the library's connection, its two clocks, and its end.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_rustls::server::TlsStream;

use super::{
    Proxy, Stop,
    body::{Counted, ResponseBody},
    cork::Corked,
    error::{Error, Kind},
    interim::Announcing,
    outlive::Outliving,
    respond,
    stage::Stage,
    timer::{Activity, Busy, Expired, Timer, Watched},
};
use crate::{
    origin::Origin,
    upstream::{
        Peer, Reach,
        calm::Calm,
        io::Io,
        streams::{Multiplexed, Streams},
    },
};

/// Streams of one HTTP/2 connection at once (RFC 9113 §5.1.2 recommends at least 100).
const STREAMS: u32 = 128;

/// What all requests of a connection have in common.
#[derive(Debug)]
pub struct Scope {
    pub proxy: Arc<Proxy>,
    pub client: Option<Arc<str>>,
    /// The target of the CONNECT around it; `None`: each request names its own.
    pub origin: Option<Origin>,
    /// Where requests may go that no session says anything about.
    pub reach: Reach,
    /// The origin's connections, once a request has gone there.
    pub peer: OnceLock<Arc<Peer>>,
    /// What the connection is doing.
    pub activity: Arc<Activity>,
}

// === impl Scope ===

impl Scope {
    /// What comes through a CONNECT to `origin`, which a session names; or in absolute form.
    pub fn new(proxy: Arc<Proxy>, client: Option<Arc<str>>, origin: Option<Origin>) -> Self {
        Self {
            proxy,
            client,
            origin,
            reach: Reach::Anywhere,
            peer: OnceLock::new(),
            activity: Activity::new(),
        }
    }
}

/// Who makes the requests of a connection.
#[derive(Clone, Debug)]
enum Who {
    /// Whoever opened it.
    Known(Arc<Scope>),
    /// Each request says so itself, by its password.
    EachTells(Arc<Proxy>, Reach, Arc<Activity>),
}

// === impl Who ===

impl Who {
    /// Returns what the request belongs to, or why its client is not served.
    fn scope(self, request: &Request<Incoming>) -> Result<Arc<Scope>, Error> {
        match self {
            Self::Known(scope) => Ok(scope),
            Self::EachTells(proxy, reach, activity) => {
                let known = proxy.world.load().clients.authenticate(request.headers());
                known.map(|name| {
                    let scope = Scope::new(proxy, Some(name), None);
                    Arc::new(Scope {
                        reach,
                        activity,
                        ..scope
                    })
                })
            }
        }
    }

    /// Answers one request.
    async fn answer(self, request: Request<Incoming>, busy: Busy) -> Answered {
        let response = match self.scope(&request) {
            Ok(scope) => Outliving::new(scope, request).await,
            Err(error) => respond::error(&error).map(ResponseBody::Whole),
        };
        Ok(response.map(|body| Counted::new(body, busy)))
    }
}

type Answered = Result<Response<Counted>, Infallible>;

/// Serves requests in absolute form, on a connection whose client may not be known yet.
pub fn serve_plain<S: Io + 'static>(
    proxy: Arc<Proxy>,
    client: Option<Option<Arc<str>>>,
    reach: Reach,
    io: S,
) -> Stage {
    match client {
        Some(client) => {
            let scope = Scope::new(proxy, client, None);
            serve_http1(Scope { reach, ..scope }, io)
        }
        None => {
            let activity = Activity::new();
            let who = Who::EachTells(proxy.clone(), reach, activity.clone());
            http1(who, proxy, activity, io)
        }
    }
}

/// Serves HTTP/1.1 until the client leaves, is idle for too long, or the proxy stops.
pub fn serve_http1<S: Io + 'static>(scope: Scope, io: S) -> Stage {
    let (proxy, activity) = (scope.proxy.clone(), scope.activity.clone());
    http1(Who::Known(Arc::new(scope)), proxy, activity, io)
}

fn http1<S: Io + 'static>(who: Who, proxy: Arc<Proxy>, activity: Arc<Activity>, io: S) -> Stage {
    let service = service_fn({
        let (activity, draining) = (activity.clone(), proxy.stop.draining.clone());
        move |request| {
            let (who, activity) = (who.clone(), activity.clone());
            activity.interim.begin();
            let draining = draining.clone();
            async move {
                let mut answered = who.answer(request, activity.busy()).await;
                activity.interim.end();
                if draining.load(Ordering::Acquire)
                    && let Ok(response) = &mut answered
                {
                    say_goodbye(response);
                }
                answered
            }
        }
    });
    let io = Watched::new(io, activity.clone());
    let io = TokioIo::new(Announcing::new(io, activity.clone()));
    let connection = http1_builder(&proxy)
        .serve_connection(io, service)
        .with_upgrades();
    let end = http1::UpgradeableConnection::graceful_shutdown;
    Stage::last(drive(
        Box::pin(connection),
        end,
        Patience::Quiet,
        activity,
        proxy,
    ))
}

/// Serves HTTP/2 until the client leaves, is idle for too long, or the proxy stops.
pub fn serve_http2<S: Io + 'static>(scope: Scope, stream: TlsStream<S>) -> Stage {
    let (streams, io) = (Streams::default(), Corked::new(stream));
    let (proxy, activity) = (scope.proxy.clone(), scope.activity.clone());
    let who = Who::Known(Arc::new(scope));
    let service = service_fn({
        let activity = activity.clone();
        move |request| who.clone().answer(request, activity.busy())
    });
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(proxy.limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Calm::of_client(io.clone())), service);
    let end = http2::Connection::graceful_shutdown;
    // What could not be written is told with the next read or write: one more round.
    let uncork = move |cx: &mut Context<'_>| io.uncork(cx);
    let connection = Multiplexed::new(connection, streams, uncork, end);
    let end = Multiplexed::graceful_shutdown;
    Stage::last(drive(
        Box::pin(connection),
        end,
        Patience::First,
        activity,
        proxy,
    ))
}

fn http1_builder(proxy: &Proxy) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_buf_size(proxy.limits.head_bytes.max(8192));
    // The default, 100, needs no allocation for each request.
    if proxy.limits.fields != 100 {
        builder.max_headers(proxy.limits.fields);
    }
    builder
}

/// Has the client send no other request on this connection (RFC 9112 §9.6).
fn say_goodbye(response: &mut Response<Counted>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

/// What is waited for before a connection is told that the proxy stops, for [`Stop::GRACE`] at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The end of all requests: over HTTP/1.1 only an answer can say that it is the last one.
    Quiet,
    /// The first request: whoever has just connected is about to send it. Later GOAWAY says it (RFC 9113 §6.8).
    First,
}

/// Drives a connection with its clocks, and lets it end gracefully when the proxy drains.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    end: fn(Pin<&mut C>),
    patience: Patience,
    activity: Arc<Activity>,
    proxy: Arc<Proxy>,
) -> Result<(), Error>
where
    C: Future<Output = hyper::Result<()>>,
{
    /// How long an idle connection has to say goodbye.
    const GOODBYE: Duration = Duration::from_secs(5);
    let mut timer = Timer::new(activity.clone(), &proxy.limits);
    {
        let mut drained = std::pin::pin!(proxy.stop.drain.cancelled());
        // Once is enough to be woken; afterwards the flag is looked at, which takes no lock.
        let mut registered = false;
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if !std::mem::replace(&mut registered, true) && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match timer.poll(cx) {
                // Half a head is no request: there is nothing to finish.
                // What is not read in time holds the upstream's connection, too.
                Poll::Ready(Expired::Head | Expired::Unread) => Poll::Ready(Some(Ok(()))),
                Poll::Ready(Expired::Idle) => Poll::Ready(None),
                Poll::Pending if proxy.stop.draining.load(Ordering::Acquire) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if let Some(result) = ended {
            return result.map_err(client_failed);
        }
    }
    let draining = proxy.stop.draining.load(Ordering::Acquire);
    if draining && (patience == Patience::Quiet || activity.is_new()) {
        let mut quiet = std::pin::pin!(activity.quiet(Stop::GRACE));
        let mut now = std::pin::pin!(proxy.stop.now.cancelled());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            let begun = patience == Patience::First && !activity.is_new();
            match begun || quiet.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(None),
                false => now.as_mut().poll(cx).map(|()| Some(Ok(()))),
            }
        });
        if let Some(result) = ended.await {
            return result.map_err(client_failed);
        }
    }
    end(connection.as_mut());
    if draining {
        tokio::select! {
            result = connection => result.map_err(client_failed),
            // It has said nothing yet, and nothing is waited for.
            () = activity.quiet(Stop::GRACE), if patience == Patience::Quiet => Ok(()),
            () = proxy.stop.now.cancelled() => Ok(()),
        }
    } else {
        tokio::time::timeout(GOODBYE, connection)
            .await
            .unwrap_or(Ok(()))
            .map_err(client_failed)
    }
}

fn client_failed(error: hyper::Error) -> Error {
    Error::from(Kind::RequestBody).because(error)
}
