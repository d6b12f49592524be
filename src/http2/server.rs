//! A connection from a client: its requests, and their answers.

use std::{
    error::Error as StdError,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{self, Handshake, SendResponse},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use super::{
    BoxError, Error,
    body::Body,
    inbox::{Inbox, Incoming},
    pipe::Pipe,
    tunnel::Tunnel,
};

/// What a client is told in the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Streams at once.
    pub streams: u32,
    /// Bytes of an upload that may be sent before they are read.
    pub stream_window: u32,
    /// The same, of all uploads together.
    pub window: u32,
    /// Bytes of a head.
    pub head_bytes: usize,
    /// Bytes of an answer that wait here for the client.
    pub send_buffer: usize,
}

/// A client's connection; each request goes to `serve`.
pub struct Connection<S, F> {
    state: State<S>,
    inbox: Inbox,
    serve: F,
    /// Whether no more streams are to be taken.
    closing: bool,
}

enum State<S> {
    Greeting(Handshake<S, Bytes>),
    Serving(server::Connection<S, Bytes>),
}

/// Where the answer to a request goes.
pub struct Reply {
    respond: SendResponse<Bytes>,
    informing: Arc<Informing>,
    /// What was asked: an answer to HEAD has no body.
    method: Method,
    tunnel: Option<(Incoming, oneshot::Sender<Tunnel>)>,
}

/// Informational answers on their way to a client, before the answer to one request.
#[derive(Debug, Default)]
pub struct Informing(Mutex<Vec<Response<()>>>);

// === impl Connection ===

impl<S, F> Connection<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Request<Body>, Reply) + Unpin,
{
    /// `inbox` is that of the streams which `serve` begins; whoever reads `io` notes small frames there.
    pub fn new(io: S, config: Config, inbox: Inbox, serve: F) -> Self {
        let Config {
            streams,
            stream_window,
            window,
            head_bytes,
            send_buffer,
        } = config;
        let handshake = server::Builder::new()
            .max_concurrent_streams(streams)
            .initial_window_size(stream_window)
            .initial_connection_window_size(window)
            // What is not read is in the inbox, and bounded there.
            .data_frame_budget(usize::MAX)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(send_buffer)
            .enable_connect_protocol()
            .handshake(io);
        Self {
            state: State::Greeting(handshake),
            inbox,
            serve,
            closing: false,
        }
    }

    /// Takes no more streams, and ends with the last one (RFC 9113 §6.8).
    pub fn graceful_shutdown(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.closing = true;
        if let State::Serving(connection) = &mut this.state {
            connection.graceful_shutdown();
        }
    }
}

impl<S, F> Future for Connection<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Request<Body>, Reply) + Unpin,
{
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Greeting(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    if this.closing {
                        connection.graceful_shutdown();
                    }
                    this.state = State::Serving(connection);
                }
                State::Serving(connection) => {
                    let Some(accepted) = ready!(connection.poll_accept(cx)) else {
                        return Poll::Ready(Ok(()));
                    };
                    let (request, respond) = accepted?;
                    let (request, reply) = Reply::to(request, respond, &this.inbox);
                    (this.serve)(request, reply);
                }
            }
        }
    }
}

// === impl Reply ===

impl Reply {
    /// Takes a request apart from where its answer goes.
    fn to(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        inbox: &Inbox,
    ) -> (Request<Body>, Self) {
        let informing = Arc::<Informing>::default();
        let (head, stream) = request.into_parts();
        let (body, tunnel, upgraded) = if head.method == Method::CONNECT {
            let (sender, receiver) = oneshot::channel();
            let incoming = inbox.body(stream);
            (Body::empty(), Some((incoming, sender)), Some(receiver))
        } else {
            let incoming = (!stream.is_end_stream()).then(|| inbox.body(stream));
            (Body::new(incoming, &head.headers), None, None)
        };
        let body = body.asked(informing.clone(), upgraded);
        let reply = Self {
            respond,
            informing,
            method: head.method.clone(),
            tunnel,
        };
        (Request::from_parts(head, body), reply)
    }

    /// Answers, and sends the answer's body to its end; gives up when the client takes its request back.
    pub async fn send<B>(self, answer: impl Future<Output = Response<B>>)
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let Self {
            mut respond,
            informing,
            method,
            tunnel,
        } = self;
        let answered = {
            let mut answer = pin!(answer);
            poll_fn(|cx| {
                let answer = answer.as_mut().poll(cx);
                let before = informing.take();
                if (answer.is_pending() || !before.is_empty())
                    && let Poll::Ready(reset) = respond.poll_reset(cx)
                {
                    return Poll::Ready(Err(reset.map_or_else(Error::from, Error::from)));
                }
                for head in before {
                    respond.send_informational(head)?;
                }
                answer.map(Ok)
            })
            .await
        };
        let sent =
            answered.and_then(|response| respond_with(&mut respond, &method, response, tunnel));
        match sent {
            Ok(Some(pipe)) => pipe.await,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(error = &error as &dyn StdError, "a stream ended early");
                // Nothing, if that is what it ended with.
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// Sends the head of an answer; returns what is left to be sent.
fn respond_with<B>(
    respond: &mut SendResponse<Bytes>,
    method: &Method,
    response: Response<B>,
    tunnel: Option<(Incoming, oneshot::Sender<Tunnel>)>,
) -> Result<Option<Pipe<B>>, Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let mut head = Response::from_parts(head, ());
    if let Some((receiving, upgraded)) = tunnel
        && head.status().is_success()
    {
        // RFC 9110 §9.3.6: what follows is the tunnel's, of whatever length.
        head.headers_mut().remove(CONTENT_LENGTH);
        let sending = respond.send_response(head, false)?;
        // Nobody may be there to take it: then it ends here.
        drop(upgraded.send(Tunnel::new(sending, receiving)));
        return Ok(None);
    }
    let ends = body.is_end_stream();
    // RFC 9110 §8.6: it has none, whatever the origin says.
    if head.status() == StatusCode::NO_CONTENT {
        head.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(length) = body.size_hint().exact().filter(|_| !ends) {
        let headers = head.headers_mut();
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    let ends = ends || *method == Method::HEAD;
    let stream = respond.send_response(head, ends)?;
    Ok((!ends).then(|| Pipe::new(stream, body)))
}

// === impl Informing ===

impl Informing {
    /// Has an informational answer sent before the answer.
    pub fn push(&self, status: StatusCode, headers: HeaderMap) {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        self.0
            .lock()
            .expect("no panic while heads are held")
            .push(head);
    }

    fn take(&self) -> Vec<Response<()>> {
        std::mem::take(&mut *self.0.lock().expect("no panic while heads are held"))
    }
}

impl<S, F> fmt::Debug for Connection<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
