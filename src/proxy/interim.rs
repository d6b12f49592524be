//! Informational answers (1xx) on their way to an HTTP/1.1 client.
//!
//! The HTTP library's server cannot send them (but for 100, which it writes itself), so they go past it: what the
//! upstream says before its answer waits in [`Interim`], and [`Announcing`], which stands between the library and the
//! client, writes it where one message has ended and the next has not begun. There and nowhere else: what comes too
//! late is left out, as any of them may be.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, SET_COOKIE, TRAILER},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timer::Activity;
use crate::{message::hop, upstream::Gate};

/// What waits to be written before an answer.
#[derive(Debug, Default)]
pub struct Interim {
    /// Whether anything waits: looked at before each write, without a lock.
    waits: AtomicBool,
    /// Whether the answer itself may be on its way.
    over: AtomicBool,
    heads: Mutex<BytesMut>,
}

/// Writes to a client, and what waits before its answer.
#[derive(Debug)]
pub struct Announcing<S> {
    io: S,
    activity: Arc<Activity>,
    /// Whether all that the library wrote is with the client: nothing of a message stands before the next byte.
    between: bool,
    /// What is being written; no other byte goes out before its end.
    begun: BytesMut,
}

/// What is heard of the upstream before it answers one request.
#[derive(Debug)]
pub struct Informed {
    /// The client's connection, if it can be told.
    pub client: Option<Arc<Activity>>,
    /// Whether cookies are kept from the client.
    pub hides_cookies: bool,
    /// Opens when the upstream wants the body that the client holds back.
    pub gate: Option<Arc<Gate>>,
    /// Bytes of all of them may be.
    pub limit: usize,
    pub bytes: AtomicUsize,
}

// === impl Interim ===

impl Interim {
    /// Notes that a request has come: what belongs to it may be written until its answer is.
    pub fn begin(&self) {
        self.over.store(false, Ordering::Relaxed);
    }

    /// Notes that the answer has come: what is not written before it is not written any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn push(&self, status: StatusCode, headers: &HeaderMap) {
        let mut heads = self.lock();
        heads.extend_from_slice(b"HTTP/1.1 ");
        heads.extend_from_slice(status.as_str().as_bytes());
        heads.extend_from_slice(b" ");
        heads.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        heads.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            heads.extend_from_slice(name.as_str().as_bytes());
            heads.extend_from_slice(b": ");
            heads.extend_from_slice(value.as_bytes());
            heads.extend_from_slice(b"\r\n");
        }
        heads.extend_from_slice(b"\r\n");
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Returns what may be written now; `between`: no byte of a message stands before it.
    fn take(&self, between: bool) -> BytesMut {
        let mut heads = self.lock();
        if between {
            self.waits.store(false, Ordering::Relaxed);
            return std::mem::take(&mut heads);
        }
        if self.over.load(Ordering::Relaxed) {
            heads.clear();
            self.waits.store(false, Ordering::Relaxed);
        }
        BytesMut::new()
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.heads.lock().expect("no panic while heads are held")
    }
}

// === impl Informed ===

impl Informed {
    /// Takes an informational answer.
    pub fn hear(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::CONTINUE {
            // The library's server says so itself when the body is asked for.
            if let Some(gate) = &self.gate {
                gate.open();
            }
        }
        let size = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
        let size = size.sum::<usize>() + 32;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if status == StatusCode::CONTINUE || bytes > self.limit {
            return;
        }
        let Some(client) = &self.client else { return };
        let mut headers = headers.clone();
        hop::strip(&mut headers);
        hop::retain(&mut headers, |name, _| {
            // No framing in what has no body (RFC 9110 §8.6).
            *name != CONTENT_LENGTH
                && *name != TRAILER
                && !(self.hides_cookies && *name == SET_COOKIE)
        });
        client.interim.push(status, &headers);
    }

    /// Tells whether there were more of them than anybody has a use for.
    pub fn is_flood(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.limit
    }
}

// === impl Announcing ===

impl<S> Announcing<S> {
    pub fn new(io: S, activity: Arc<Activity>) -> Self {
        Self {
            io,
            activity,
            between: true,
            begun: BytesMut::new(),
        }
    }
}

impl<S: AsyncWrite + Unpin> Announcing<S> {
    fn announce(&mut self, cx: &mut Context<'_>, between: bool) -> Poll<io::Result<()>> {
        let interim = &self.activity.interim;
        if self.begun.is_empty() && interim.waits.load(Ordering::Relaxed) {
            self.begun = interim.take(between);
        }
        while !self.begun.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.begun))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Announcing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Announcing<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.announce(cx, this.between))?;
        this.between = false;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.announce(cx, this.between))?;
        this.between = false;
        Pin::new(&mut this.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The library flushes only what it has written whole.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let over = this.activity.interim.over.load(Ordering::Relaxed);
        this.between = true;
        ready!(this.announce(cx, !over))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    const ANSWER: &str = "HTTP/1.1 200 OK\r\n\r\n";

    enum Step {
        /// The library writes.
        Write(&'static str),
        Flush,
        Begin,
        Hear(u16),
        End,
    }

    #[tokio::test]
    async fn only_between_messages() {
        use Step::{Begin, End, Flush, Hear, Write};
        let cases: [(&str, &[Step], Vec<&str>); 6] = [
            (
                "at once",
                &[Begin, Hear(103), Flush, End, Write(ANSWER), Flush],
                vec![HINTS, ANSWER],
            ),
            (
                "together with the answer",
                &[Begin, Hear(103), Hear(103), End, Write(ANSWER), Flush],
                vec![HINTS, HINTS, ANSWER],
            ),
            (
                "behind the last answer, once that is written",
                &[Write("tail"), Begin, Hear(103), Write("end"), Flush, End],
                vec!["tail", "end", HINTS],
            ),
            (
                "too late: the answer is among what is written",
                &[Write("tail"), Begin, Hear(103), End, Write(ANSWER), Flush],
                vec!["tail", ANSWER],
            ),
            (
                "of the answer before",
                &[Begin, End, Hear(103), Flush, Begin, Write(ANSWER), Flush],
                vec![ANSWER],
            ),
            (
                "not ours to say",
                &[Begin, Hear(100), End, Write(ANSWER), Flush],
                vec![ANSWER],
            ),
        ];
        for (name, steps, expected) in cases {
            let (mut client, io) = duplex(4096);
            let activity = Activity::new();
            let informed = Informed {
                client: Some(activity.clone()),
                hides_cookies: true,
                gate: None,
                limit: 4096,
                bytes: AtomicUsize::new(0),
            };
            let mut headers = HeaderMap::new();
            for (field, value) in [
                ("link", "</a>"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("set-cookie", "a=1"),
                ("content-length", "3"),
            ] {
                headers.insert(field, HeaderValue::from_static(value));
            }
            let mut io = Announcing::new(io, activity.clone());
            for step in steps {
                match step {
                    Write(bytes) => io.write_all(bytes.as_bytes()).await.unwrap(),
                    Flush => io.flush().await.unwrap(),
                    Begin => activity.interim.begin(),
                    Hear(status) => informed.hear(StatusCode::from_u16(*status).unwrap(), &headers),
                    End => activity.interim.end(),
                }
            }
            drop(io);
            let mut got = String::new();
            client.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, expected.concat(), "{name}");
        }
    }
}
