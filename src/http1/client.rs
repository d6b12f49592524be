//! A connection to an upstream. It has no task: whoever waits for its answer, or reads the body, polls it, and with it
//! the request body that is still on its way.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING},
};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Bounds, BoxError, Error, Refused, Spelling,
    decode::Decoder,
    encode::{Encoder, Out},
    fill::Inbox,
    head::{self, Length},
};
pub use super::{head::Response, request::Upgraded};

/// A connection to an upstream, for one request after another.
pub struct Connection<S, B> {
    io: S,
    bounds: Bounds,
    inbox: Inbox,
    out: Out,
    /// The request's body, until all of it is in `out`.
    sending: Option<(B, Encoder)>,
    method: Method,
    receiving: Decoder,
    keep_alive: bool,
    /// Whether a byte of the request has been written; whether anything of its body has been taken.
    wrote: bool,
    began: bool,
    /// The upstream takes nothing more; it may have said why.
    deaf: Option<io::Error>,
}

/// The head of a request that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub method: &'r Method,
    /// In origin form.
    pub target: &'r str,
    /// Without hop-by-hop fields.
    pub headers: &'r HeaderMap,
    pub spelling: &'r Spelling,
    /// What `Host` is if the request has none.
    pub authority: &'r str,
}

// === impl Connection ===

impl<S, B> Connection<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error = BoxError> + Default + Unpin,
{
    pub fn new(io: S, bounds: Bounds) -> Self {
        Self {
            io,
            bounds,
            inbox: Inbox::new(),
            out: Out::default(),
            sending: None,
            method: Method::GET,
            receiving: Decoder::new(Length::Exact(0)),
            keep_alive: true,
            wrote: false,
            began: false,
            deaf: None,
        }
    }

    /// Takes one look at a connection that waits: whether the upstream has closed it, or said what nobody asked for.
    pub fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_reusable() && self.inbox.poll_some(&mut self.io, cx).is_pending()
    }

    /// Waits for the first word of an upstream that nobody has asked anything; tells whether it is HTTP/2.
    pub fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match is_http2(&self.inbox.bytes) {
                Some(is_http2) if self.inbox.closed || !self.inbox.bytes.is_empty() => {
                    return Poll::Ready(Ok(is_http2));
                }
                None if self.inbox.closed => return Poll::Ready(Ok(false)),
                _ => ready!(self.inbox.poll_some(&mut self.io, cx))?,
            }
        }
    }

    /// Begins a request: nothing is written before the first poll.
    pub fn begin(&mut self, request: Request<'_>, body: B) {
        self.method = request.method.clone();
        (self.wrote, self.began, self.keep_alive) = (false, false, false);
        let length = write(request, &body, self.out.small());
        self.sending =
            (!body.is_end_stream()).then(|| (body, Encoder::new(length, request.headers)));
    }

    /// Returns the body of a request of which nothing was sent, if nothing of it was taken either.
    pub fn unsent(self) -> Option<B> {
        match self.sending {
            _ if self.wrote || self.began => None,
            Some((body, _)) => Some(body),
            None => Some(B::default()),
        }
    }

    /// Tells whether the request has been sent to its end.
    pub fn is_sent(&self) -> bool {
        self.sending.is_none() && self.out.is_flushed()
    }

    /// Sends the request, and reads until the head of the answer is there. Informational answers go to `heard`
    /// (RFC 9110 §15.2), which says whether more of them are taken.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        heard: &mut dyn FnMut(StatusCode, &HeaderMap, &Spelling) -> bool,
    ) -> Poll<Result<Response, Error>> {
        loop {
            self.send(cx)?;
            let is_http2 = is_http2(&self.inbox.bytes);
            if is_http2 == Some(true) {
                return Poll::Ready(Err(Error::Http2));
            }
            self.inbox.skip_empty_lines(self.bounds)?;
            while is_http2.is_some() && !self.inbox.bytes.is_empty() && self.inbox.may_hold_head() {
                let Some(head) = head::response(&mut self.inbox.bytes, self.bounds)? else {
                    break;
                };
                self.inbox.took_head();
                let upgrades = head.status == StatusCode::SWITCHING_PROTOCOLS;
                if head.status.is_informational() && !upgrades {
                    if !heard(head.status, &head.headers, &head.spelling) {
                        return Poll::Ready(Err(Error::Body(
                            "informational answers without an end",
                        )));
                    }
                    continue;
                }
                self.receiving = Decoder::new(head.length(&self.method)?);
                self.keep_alive = head.keep_alive && !upgrades;
                return Poll::Ready(Ok(head));
            }
            if self.inbox.bytes.len() > self.bounds.bytes {
                return Poll::Ready(Err(Refused::TooLarge.into()));
            }
            if self.inbox.closed {
                return Poll::Ready(Err(match self.deaf.take() {
                    Some(error) => Error::Io(error),
                    None => Error::Incomplete,
                }));
            }
            ready!(self.inbox.poll_some(&mut self.io, cx))?;
        }
    }

    /// Reads the answer's body, and sends what is still to be sent of the request's.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.send(cx)?;
        self.inbox.poll_frame(&mut self.io, cx, &mut self.receiving)
    }

    /// Tells whether the answer's body has been read.
    pub fn is_complete(&self) -> bool {
        self.receiving.is_end()
    }

    /// Returns how many bytes of the answer's body are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        self.receiving.remaining()
    }

    /// Tells whether the connection can carry another request (RFC 9112 §9.3).
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.is_sent()
            && self.receiving.is_end()
            && self.inbox.bytes.is_empty()
            && !self.inbox.closed
            && self.deaf.is_none()
    }

    /// Takes the connection apart after the change to another protocol; what was read already comes first.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.inbox.bytes)
    }

    /// Sends as much of the request as goes.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.deaf.is_none() && !self.is_sent() {
            let waits = self.gather(cx)?;
            let last = waits || self.sending.is_none();
            let written = match last {
                true => self.out.poll_flush(&mut self.io, cx),
                false => self.out.poll_write(&mut self.io, cx),
            };
            self.wrote |= !self.out.is_untouched();
            match written {
                Poll::Ready(Ok(())) if !last => {}
                Poll::Ready(Err(error)) => {
                    // The answer may be there, and says more than that nothing is read any more (RFC 9112 §9.5).
                    self.deaf = Some(error);
                    self.out.clear();
                    break;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Frames what is there of the body, while there is room; tells whether more of it has to be waited for.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        while let Some((body, encoder)) = &mut self.sending
            && self.out.has_room()
        {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                return Ok(true);
            };
            self.began = true;
            let framed = match frame.transpose().map_err(Error::Sending)? {
                Some(frame) => encoder.encode(frame, &mut self.out),
                None => encoder.end(&mut self.out),
            };
            framed.map_err(|error| Error::Sending(error.into()))?;
            // A length that is reached needs no look at what comes behind.
            if encoder.is_end() {
                self.sending = None;
            }
        }
        Ok(false)
    }
}

impl<S, B> fmt::Debug for Connection<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Tells whether an answer begins as HTTP/2 does, with SETTINGS (RFC 9113 §6.5); `None`: it may. No head of HTTP/1.1 has
/// the zero of that frame's length.
fn is_http2(bytes: &[u8]) -> Option<bool> {
    const SETTINGS: u8 = 4;
    match bytes {
        [0, _, _, SETTINGS, _, stream @ ..] if stream.len() >= 4 => Some(stream[..4] == [0; 4]),
        [0, ..] if bytes.len() < 9 => None,
        _ => Some(false),
    }
}

/// Writes a request's head: `Host` first if it had none, one `Cookie` field (RFC 9113 §8.2.3), and the framing of the body.
fn write<B: Body>(request: Request<'_>, body: &B, out: &mut Vec<u8>) -> Length {
    let Request {
        method,
        target,
        headers,
        spelling,
        authority,
    } = request;
    out.reserve(256 + 32 * headers.len());
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !headers.contains_key(HOST) {
        out.extend_from_slice(format!("host: {authority}\r\n").as_bytes());
    }
    let crumbs = headers.get_all(COOKIE).iter().nth(1).is_some();
    let mut cookie = crumbs.then(|| join(headers));
    for (name, value) in headers {
        if *name == TRANSFER_ENCODING {
            continue;
        }
        if *name == TE {
            // It is for this hop, and says so (RFC 9110 §10.1.4).
            out.extend_from_slice(b"connection: TE\r\n");
        }
        if crumbs && *name == COOKIE {
            if let Some(cookie) = cookie.take().flatten() {
                spelling.write(name, &cookie, out);
            }
            continue;
        }
        spelling.write(name, value, out);
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok());
    let length = match (
        declared.and_then(|l| l.parse().ok()),
        body.size_hint().exact(),
    ) {
        _ if body.is_end_stream() => Length::Exact(0),
        (Some(declared), _) => Length::Exact(declared),
        (None, Some(bytes)) => {
            out.extend_from_slice(format!("content-length: {bytes}\r\n").as_bytes());
            Length::Exact(bytes)
        }
        (None, None) => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Length::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    length
}

/// Joins the crumbs of an HTTP/2 `Cookie`.
fn join(headers: &HeaderMap) -> Option<HeaderValue> {
    let crumbs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let crumbs: Vec<&[u8]> = crumbs.collect();
    let mut cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}
