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
    client::{self, SendRequest},
};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_LENGTH};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use super::{
    BoxError, Error, Streams,
    body::Body,
    calm::Calm,
    heard::Heard,
    inbox::{Head, Incoming},
    pipe::Pipe,
};

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
    heard: Arc<Heard>,
    streams: Streams,
}

/// An answer that is waited for. If it is dropped, the request is taken back.
pub struct Answer {
    /// `None`: it has come.
    incoming: Option<Incoming>,
    heard: Arc<Heard>,
    upload: Option<Upload>,
}

/// Holds the request's body that is still being sent: it is given up when this is dropped.
pub(super) type Upload = oneshot::Sender<()>;

/// The connection itself, with a look now and then whether the upstream is still there.
struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    connection: client::Connection<Calm<S>, Bytes>,
    pings: PingPong,
    /// The answer to a ping is waited for: how often something had been read by then.
    pinged: Option<u32>,
    heard: Arc<Heard>,
    /// How often something was heard when that was last looked at, and at the last ping, and when that was.
    before: u32,
    last: Option<(u32, Instant)>,
    /// Whether streams are open: more than one holds it.
    open: Weak<()>,
    sleep: Pin<Box<Sleep>>,
}

/// How long an upstream with open streams may be silent before it is asked whether it is there, and how long it has to
/// say so, or anything else: what it is asked and what it says may stand behind other things on a slow way.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// How long it is not asked again if all it has said meanwhile is that it is there: servers of gRPC end a connection
/// whose client asks more often.
const AGAIN: Duration = Duration::from_secs(300);

/// Bytes of a request's body that wait here for the upstream.
const SEND_BUFFER: usize = 1024 * 1024;

/// Greets an upstream. `streams` drives the connection; whoever has a stream on it holds `open`, beside its owner.
pub async fn handshake<S>(
    io: S,
    config: Config,
    streams: &Streams,
    open: &Arc<()>,
) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Config {
        stream_window,
        window,
        head_bytes,
    } = config;
    let heard = Arc::<Heard>::default();
    let io = Calm::of_server(io, streams.inbox().clone(), heard.clone());
    let (requests, mut connection) = client::Builder::new()
        .initial_window_size(stream_window)
        .initial_connection_window_size(window)
        // What is not read is in the inbox, and bounded there.
        .data_frame_budget(usize::MAX)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        .handshake(io)
        .await?;
    streams.add(Driver {
        pings: connection.ping_pong().expect("it is asked for once"),
        connection,
        pinged: None,
        heard: heard.clone(),
        before: 0,
        last: None,
        open: Arc::downgrade(open),
        sleep: Box::pin(sleep(PING)),
    });
    Ok(Sender {
        requests,
        heard,
        streams: streams.clone(),
    })
}

// === impl Sender ===

impl Sender {
    /// Is ready when a request can be sent, or the connection takes no more.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.requests.poll_ready(cx).map_err(Error::from)
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
    ) -> Result<Answer, Error>
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
            incoming: Some(self.streams.inbox().answer(response)),
            heard: self.heard.clone(),
            upload: None,
        };
        if ends {
            return Ok(answer);
        }
        let mut pipe = Pipe::new(stream, body);
        if Pin::new(&mut pipe).poll(cx).is_pending() {
            let (upload, mut over) = oneshot::channel();
            answer.upload = Some(upload);
            self.streams.spawn(poll_fn(move |cx| {
                // Also while there is no room for it: who does not read it may never say that there is.
                if Pin::new(&mut over).poll(cx).is_ready() {
                    pipe.cancel();
                    return Poll::Ready(());
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
    ) -> Poll<Option<Result<Response<Body>, Error>>> {
        let incoming = self.incoming.as_ref().expect("its last head is to come");
        let head = loop {
            let head = match ready!(incoming.poll_head(cx)) {
                Ok(head) => head,
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            self.heard.note();
            match head {
                Head::Interim(head) if heard(head.status(), head.headers()) => {}
                Head::Interim(_) => return Poll::Ready(None),
                Head::Final(head) => break head,
            }
        };
        let body = Body::new(self.incoming.take(), &head.headers);
        let body = body.answers(self.heard.clone(), self.upload.take());
        Poll::Ready(Some(Ok(Response::from_parts(head, body))))
    }
}

// === impl Driver ===

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Is ready when the upstream has not answered a ping.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pinged.is_some() && self.pings.poll_pong(cx).is_ready() {
            self.pinged = None;
            self.sleep.as_mut().reset(Instant::now() + PING);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let (now, heard, reads) = (Instant::now(), self.heard.parts(), self.heard.reads());
            if let Some(before) = &mut self.pinged {
                if std::mem::replace(before, reads) == reads {
                    return Poll::Ready(());
                }
                self.sleep.as_mut().reset(now + PONG);
                continue;
            }
            let silent = std::mem::replace(&mut self.before, heard) == heard;
            let asks = self.open.strong_count() > 1
                && silent
                && self
                    .last
                    .is_none_or(|(at, when)| at != heard || when + AGAIN <= now);
            // One that cannot be sent any more is no question: the connection itself says why.
            let asked = asks && self.pings.send_ping(Ping::opaque()).is_ok();
            self.pinged = asked.then_some(reads);
            if asked {
                self.last = Some((heard, now));
            }
            let next = if asked { PONG } else { PING };
            self.sleep.as_mut().reset(now + next);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            if let Err(error) = ended.map_err(Error::from) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, Empty};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A byte of the answer's body.
    const BYTE: &[u8] = &[0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];
    /// Room in the window of the connection.
    const ROOM: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    /// What an upstream sends by itself, and how often.
    type Sends = Option<(Duration, &'static [u8])>;

    /// An upstream written by hand: it answers one request, and sends something by itself; tells when it was pinged, in
    /// seconds.
    async fn upstream(mut io: DuplexStream, sends: Sends, pongs: bool) -> Vec<u64> {
        const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
        let (began, mut pings) = (Instant::now(), Vec::new());
        io.write_all(SETTINGS).await.unwrap();
        io.read_exact(&mut [0; 24]).await.unwrap();
        let mut head = [0; 9];
        loop {
            let (every, frame) = sends.unwrap_or((Duration::from_secs(1_000_000), &[]));
            let due = sleep(every);
            tokio::select! {
                read = io.read_exact(&mut head[..1]) => if read.is_err() { return pings },
                () = due => {
                    // Whoever reads may be done in this very moment.
                    match io.write_all(frame).await {
                        Ok(()) => continue,
                        Err(_) => return pings,
                    }
                }
            }
            io.read_exact(&mut head[1..]).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            io.read_exact(&mut payload).await.unwrap();
            match (head[3], head[4]) {
                // HEADERS: `:status: 200`.
                (1, _) => io
                    .write_all(&[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88])
                    .await
                    .unwrap(),
                (6, 0) => {
                    pings.push(began.elapsed().as_secs());
                    if pongs {
                        let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat();
                        io.write_all(&pong).await.unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads an answer for 25 minutes; returns how that ended, and the pings.
    async fn read(sends: Sends, pongs: bool) -> (bool, Vec<u64>) {
        let (near, far) = duplex(64 * 1024);
        let far = tokio::spawn(upstream(far, sends, pongs));
        let (streams, open) = (Streams::default(), Arc::new(()));
        let config = Config {
            stream_window: 65_535,
            window: 65_535,
            head_bytes: 4096,
        };
        let mut sender = handshake(near, config, &streams, &open).await.unwrap();
        let driver = tokio::spawn(streams.run());
        let _stream = open.clone();
        let request = Request::get("https://origin.test/").body(()).unwrap();
        let body = Empty::new().map_err(|never| -> BoxError { match never {} });
        let mut request = Some((request, body));
        let mut answer = None;
        let answer = poll_fn(|cx| {
            if let Some((request, body)) = request.take() {
                answer = Some(sender.send(cx, request, body).unwrap());
            }
            answer.as_mut().unwrap().poll(cx, &mut |_, _| true)
        });
        let mut body = answer.await.unwrap().unwrap().into_body();
        let reading = async { while let Some(Ok(_)) = body.frame().await {} };
        let ended = tokio::time::timeout(Duration::from_secs(1500), reading).await;
        driver.abort();
        drop((driver.await, body, sender));
        (ended.is_ok(), far.await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_upstream_is_asked_and_not_too_often() {
        // Servers of gRPC bear no more than one in five minutes when they say nothing else.
        let (ended, pings) = read(None, true).await;
        assert!(!ended && pings.len() <= 5, "{pings:?}");
        assert!(pings[0] <= 60, "{pings:?}");
        let apart = pings.windows(2).all(|pair| pair[1] - pair[0] >= 300);
        assert!(apart && pings.len() >= 4, "{pings:?}");
        // One that says something is there.
        let (ended, pings) = read(Some((Duration::from_secs(10), BYTE)), true).await;
        assert_eq!((ended, pings.len()), (false, 0), "{pings:?}");
        let (ended, pings) = read(None, false).await;
        assert_eq!((ended, pings.len()), (true, 1), "it is gone: {pings:?}");
        // Its answer to the ping may stand behind other things, or the ping behind an upload.
        let (ended, pings) = read(Some((Duration::from_secs(10), ROOM)), false).await;
        assert_eq!((ended, pings.len()), (false, 1), "{pings:?}");
    }
}
