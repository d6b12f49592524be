//! HTTP on a client connection: the library's connection, its two clocks, and its end.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use http::{Request, Response};
use tokio_rustls::server::TlsStream;

use super::{
    Proxy, Stop,
    body::{Counted, ResponseBody},
    connect::Connection,
    cork::Corked,
    error::{Error, Kind},
    http1,
    outlive::Outliving,
    respond,
    stage::Stage,
    timer::{Activity, Busy, Expired, Timer, Watched},
};
use crate::{
    http1::{BoxError, server::OnConnect},
    http2::{self, Multiplexed, Streams, calm::Calm, server::Reply},
    origin::Origin,
    upstream::{
        Peer, Reach, RequestBody,
        io::{Chunked, Io},
    },
};

/// Streams of one HTTP/2 connection at once (RFC 9113 §5.1.2 recommends at least 100).
const STREAMS: u32 = 128;

/// Bytes of an upload that a client may send before they are read. It is close: little is on the way.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same, of all uploads on a connection: some that wait leave room for the others (RFC 9113 §5.2).
const WINDOW: u32 = 32 * STREAM_WINDOW;

/// Bytes of an answer that wait here for the client.
const SEND_BUFFER: usize = 256 * 1024;

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
    fn scope(self, request: &Request<RequestBody>) -> Result<Arc<Scope>, Error> {
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

    /// Answers one request. What waits for the answer has no room for the request, which is moved once.
    fn answer(
        self,
        request: Request<RequestBody>,
        busy: Busy,
    ) -> impl Future<Output = Response<Counted>> {
        let exchange = self
            .scope(&request)
            .map(|scope| Outliving::new(scope, request));
        let exchange = exchange.map_err(|error| Box::new(respond::error(&error)));
        async move {
            let response = match exchange {
                Ok(exchange) => exchange.await,
                Err(response) => response.map(ResponseBody::Whole),
            };
            response.map(|body| Counted::new(body, busy))
        }
    }
}

/// Serves requests in absolute form, on a connection whose client may not be known yet; a CONNECT may follow.
pub fn serve_plain<S: Io + 'static>(connection: Connection, io: Chunked<S>) -> Stage {
    let (proxy, reach) = (connection.proxy.clone(), connection.reach());
    let (who, activity) = match connection.client.clone() {
        Some(client) => {
            let scope = Scope::new(proxy.clone(), client, None);
            let activity = scope.activity.clone();
            (Who::Known(Arc::new(Scope { reach, ..scope })), activity)
        }
        None => {
            let activity = Activity::new();
            let who = Who::EachTells(proxy.clone(), reach, activity.clone());
            (who, activity)
        }
    };
    let then = |io: Chunked<S>, mut read: BytesMut| {
        let (io, unread) = io.into_parts();
        read.unsplit(unread);
        connection.begin(io, read)
    };
    http1(who, proxy, activity, io, Some(Box::new(then)))
}

/// Serves HTTP/1.1 until the client leaves, is idle for too long, or the proxy stops.
pub fn serve_http1<S: Io + 'static>(scope: Scope, io: S) -> Stage {
    let (proxy, activity) = (scope.proxy.clone(), scope.activity.clone());
    http1(Who::Known(Arc::new(scope)), proxy, activity, io, None)
}

/// What is done with a connection once a CONNECT follows, and with what was read of it.
type Then<S> = Box<dyn FnOnce(S, BytesMut) -> Stage + Send>;

fn http1<S: Io + 'static>(
    who: Who,
    proxy: Arc<Proxy>,
    activity: Arc<Activity>,
    io: S,
    then: Option<Then<S>>,
) -> Stage {
    let answer = move |request, busy| who.clone().answer(request, busy);
    let io = Watched::new(io, activity.clone());
    let on_connect = match then {
        Some(_) => OnConnect::Stop,
        None => OnConnect::Serve,
    };
    let connection = http1::serve(io, on_connect, proxy.clone(), activity.clone(), answer);
    let closing = activity.clone();
    let end = move |_: Pin<&mut _>| closing.close();
    let connection = Box::pin(connection);
    let driven = drive(connection, end, Patience::Quiet, activity, proxy);
    Stage::new(async {
        let left = driven.await?.flatten();
        Ok(left
            .zip(then)
            .map(|((io, read), then)| then(io.into_inner(), read)))
    })
}

/// Serves HTTP/2 until the client leaves, is idle for too long, or the proxy stops.
pub fn serve_http2<S: Io + 'static>(scope: Scope, stream: TlsStream<S>) -> Stage {
    let (streams, io) = (Streams::default(), Corked::new(stream));
    let (proxy, activity) = (scope.proxy.clone(), scope.activity.clone());
    let who = Who::Known(Arc::new(scope));
    let serve = {
        let (activity, streams) = (activity.clone(), streams.clone());
        move |request: Request<http2::Body>, reply: Reply| {
            let request = request.map(|body| RequestBody::Http2(body.into()));
            let answer = who.clone().answer(request, activity.busy());
            streams.add(reply.send(answer));
        }
    };
    let config = http2::server::Config {
        streams: STREAMS,
        stream_window: STREAM_WINDOW,
        window: WINDOW,
        head_bytes: proxy.limits.head_bytes,
        send_buffer: SEND_BUFFER,
    };
    let inbox = streams.inbox();
    let calm = Calm::of_client(io.clone(), inbox.clone());
    let connection = http2::server::Connection::new(calm, config, inbox.clone(), serve);
    let end = http2::server::Connection::graceful_shutdown;
    // What could not be written is told with the next read or write: one more round.
    let uncork = move |cx: &mut Context<'_>| io.uncork(cx);
    let connection = Multiplexed::new(connection, streams, uncork, end);
    let end = Multiplexed::graceful_shutdown;
    let connection = Box::pin(connection);
    let driven = drive(connection, end, Patience::First, activity, proxy);
    Stage::last(async { driven.await.map(|_| ()) })
}

/// What is waited for before a connection is told that the proxy stops, for [`Stop::GRACE`] at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The end of all requests: over HTTP/1.1 only an answer can say that it is the last one.
    Quiet,
    /// The first request: whoever has just connected is about to send it. Later GOAWAY says it (RFC 9113 §6.8).
    First,
}

/// Drives a connection with its clocks, and lets it end gracefully when the proxy drains. Returns what it ends with;
/// `None`: its time was over.
async fn drive<C, T, E>(
    mut connection: Pin<Box<C>>,
    end: impl FnOnce(Pin<&mut C>),
    patience: Patience,
    activity: Arc<Activity>,
    proxy: Arc<Proxy>,
) -> Result<Option<T>, Error>
where
    C: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    let mut timer = Timer::new(activity.clone(), &proxy.limits);
    {
        let mut drained = std::pin::pin!(proxy.stop.drain.cancelled());
        // Once is enough to be woken; afterwards the flag is looked at, which takes no lock.
        let mut registered = false;
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(result.map(Some)));
            }
            if !std::mem::replace(&mut registered, true) && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match timer.poll(cx) {
                // Half a head is no request: there is nothing to finish.
                // What is not read in time holds the upstream's connection, too.
                Poll::Ready(Expired::Head | Expired::Unread) => Poll::Ready(Some(Ok(None))),
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
    // In a box: a connection that goes on holds no room for its end.
    Box::pin(end_gracefully(connection, end, patience, timer, proxy)).await
}

/// Lets a connection finish what is under way, and say goodbye.
async fn end_gracefully<C, T, E>(
    mut connection: Pin<Box<C>>,
    end: impl FnOnce(Pin<&mut C>),
    patience: Patience,
    mut timer: Timer,
    proxy: Arc<Proxy>,
) -> Result<Option<T>, Error>
where
    C: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    /// How long an idle connection has to say goodbye. Over HTTP/2 it answers a PING, behind which no request can be on
    /// its way any more.
    const GOODBYE: Duration = Duration::from_secs(5);
    let activity = timer.activity().clone();
    let draining = proxy.stop.draining.load(Ordering::Acquire);
    if draining && (patience == Patience::Quiet || activity.is_new()) {
        let mut quiet = std::pin::pin!(activity.quiet(Stop::GRACE));
        let mut now = std::pin::pin!(proxy.stop.now.cancelled());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(result.map(Some)));
            }
            let begun = patience == Patience::First && !activity.is_new();
            match begun || quiet.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(None),
                false => now.as_mut().poll(cx).map(|()| Some(Ok(None))),
            }
        });
        if let Some(result) = ended.await {
            return result.map_err(client_failed);
        }
    }
    end(connection.as_mut());
    if draining {
        let silent = match patience {
            // It has said nothing yet, and nothing is waited for.
            Patience::Quiet => Stop::GRACE,
            Patience::First => GOODBYE,
        };
        tokio::select! {
            result = connection => result.map(Some).map_err(client_failed),
            () = activity.quiet(silent) => Ok(None),
            () = proxy.stop.now.cancelled() => Ok(None),
        }
    } else {
        let mut quiet = std::pin::pin!(activity.quiet(GOODBYE));
        let mut now = std::pin::pin!(proxy.stop.now.cancelled());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.map(Some));
            }
            // What its client has asked before it heard of the end is answered.
            let expired = matches!(timer.poll(cx), Poll::Ready(Expired::Head | Expired::Unread));
            match expired || quiet.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(Ok(None)),
                false => now.as_mut().poll(cx).map(|()| Ok(None)),
            }
        });
        ended.await.map_err(client_failed)
    }
}

fn client_failed(error: impl Into<BoxError>) -> Error {
    Error::from(Kind::RequestBody).because(error)
}
