//! A connection to an upstream: requests, and their answers.

use std::{
    error::Error as StdError,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_LENGTH};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use super::{BoxError, Streams, body::Body, pipe::Pipe};

/// What an upstream is told in the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of an answer that may be sent before they are read.
    pub stream_window: u32,
    /// The same, of all answers together.
    pub window: u32,
    /// Bytes of a head.
    pub head_bytes: usize,
}

/// Sends requests on a connection; clones share it.
#[derive(Clone)]
pub struct Sender {
    requests: SendRequest<Bytes>,
    streams: Streams,
}

/// An answer that is waited for. If it is dropped, the request is taken back.
pub struct Answer {
    response: ResponseFuture,
    /// Ends the request's body, if that is still being sent.
    cancel: Option<oneshot::Sender<()>>,
}

/// The connection itself, with a look now and then whether the upstream is still there.
struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    connection: client::Connection<S, Bytes>,
    pings: PingPong,
    /// Whether an answer to a ping is waited for.
    pinged: bool,
    /// Whether streams are open: more than one holds it.
    open: Weak<()>,
    sleep: Pin<Box<Sleep>>,
}

/// How often an upstream with open streams is asked whether it is there, and how long it has to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// Bytes of a request's body that wait here for the upstream.
const SEND_BUFFER: usize = 1024 * 1024;

/// Greets an upstream. `streams` drives the connection; whoever has a stream on it holds `open`, beside its owner.
pub async fn handshake<S>(
    io: S,
    config: Config,
    streams: &Streams,
    open: &Arc<()>,
) -> Result<Sender, h2::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Config {
        stream_window,
        window,
        head_bytes,
    } = config;
    let (requests, mut connection) = client::Builder::new()
        .initial_window_size(stream_window)
        .initial_connection_window_size(window)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        .handshake(io)
        .await?;
    streams.add(Driver {
        pings: connection.ping_pong().expect("it is asked for once"),
        connection,
        pinged: false,
        open: Arc::downgrade(open),
        sleep: Box::pin(sleep(PING)),
    });
    Ok(Sender {
        requests,
        streams: streams.clone(),
    })
}

// === impl Sender ===

impl Sender {
    /// Is ready when a request can be sent, or the connection takes no more.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.requests.poll_ready(cx)
    }

    /// Tells whether the connection takes no more requests.
    pub fn is_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Returns how many streams the upstream takes at once.
    pub fn most_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Sends a request, and of its body what is there; the rest is sent by whoever drives the connection.
    pub fn send<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut request: Request<()>,
        body: B,
    ) -> Result<Answer, h2::Error>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let ends = body.is_end_stream();
        // That there is none says the end of the head.
        if let Some(length) = body.size_hint().exact().filter(|_| !ends) {
            let headers = request.headers_mut();
            headers
                .entry(CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        let (response, stream) = self.requests.send_request(request, ends)?;
        let mut answer = Answer {
            response,
            cancel: None,
        };
        if ends {
            return Ok(answer);
        }
        let mut pipe = Pipe::new(stream, body);
        if Pin::new(&mut pipe).poll(cx).is_pending() {
            let (cancel, cancelled) = oneshot::channel();
            answer.cancel = Some(cancel);
            let mut cancelled = Some(cancelled);
            self.streams.spawn(poll_fn(move |cx| {
                if let Some(asked) = &mut cancelled {
                    match Pin::new(asked).poll(cx) {
                        Poll::Ready(Ok(())) => pipe.cancel(),
                        // The answer is there: the body goes on.
                        Poll::Ready(Err(_)) => cancelled = None,
                        Poll::Pending => {}
                    }
                }
                Pin::new(&mut pipe).poll(cx)
            }));
        }
        Ok(answer)
    }
}

// === impl Answer ===

impl Answer {
    /// Waits for the answer. Informational ones go to `heard` (RFC 9110 §15.2), which says whether more of them are
    /// taken; `None`: they are not.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        heard: &mut dyn FnMut(StatusCode, &HeaderMap) -> bool,
    ) -> Poll<Option<Result<Response<Body>, h2::Error>>> {
        while let Poll::Ready(Some(head)) = self.response.poll_informational(cx) {
            let Ok(head) = head else { break };
            if !heard(head.status(), head.headers()) {
                return Poll::Ready(None);
            }
        }
        let answered = ready!(Pin::new(&mut self.response).poll(cx));
        let answered = answered.map(|response| {
            self.cancel = None;
            let (head, stream) = response.into_parts();
            let body = Body::new(stream, &head.headers);
            Response::from_parts(head, body)
        });
        Poll::Ready(Some(answered))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            // It may have been sent meanwhile.
            let _: Result<(), ()> = cancel.send(());
        }
    }
}

// === impl Driver ===

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Is ready when the upstream has not answered a ping.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pinged && self.pings.poll_pong(cx).is_ready() {
            self.pinged = false;
            self.sleep.as_mut().reset(Instant::now() + PING);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.pinged {
                return Poll::Ready(());
            }
            let busy = self.open.strong_count() > 1;
            // One that cannot be sent any more is no question: the connection itself says why.
            self.pinged = busy && self.pings.send_ping(Ping::opaque()).is_ok();
            let next = if self.pinged { PONG } else { PING };
            self.sleep.as_mut().reset(Instant::now() + next);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn StdError, "upstream connection ended");
            }
            return Poll::Ready(());
        }
        // With the connection its streams end.
        this.poll_silent(cx)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
