//! Byte streams to upstreams and from clients: large reads where they pay, no buffer where a peer is idle.
//!
//! rustls' buffered connection, which clients' connections and upstream proxies have, asks for 4 KiB at a time, which
//! makes four system calls of every full record. [`Chunked`] sits between the socket and TLS and reads 64 KiB at once,
//! but only once a read has filled what was asked for: a connection that carries small messages, or none, has no buffer
//! at all. TLS to origins ([`TlsStream`]) asks for as much by itself, and gets it straight from the socket.
//! [`Filling`] sits on top of TLS and hands on several records at once, so that the other side writes them at once.
//! [`Listening`] goes on reading when the upstream has stopped: one that rejects an upload and hangs up has said why.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    through::{by_variant, writes_through},
    tls_stream::TlsStream,
};
/// Any stream of bytes.
pub use crate::http1::request::Duplex as Io;

/// How much is read at once in bulk: four TLS records.
const CHUNK: usize = 64 * 1024;

/// A read that fills at least this much is taken as the beginning of bulk.
const BULK: usize = 4096;

/// Reads in large pieces once there is bulk to read.
#[derive(Debug)]
pub struct Chunked<S> {
    io: S,
    buffer: BytesMut,
    bulk: bool,
}

/// Reads until the buffer is full or nothing more is there.
#[derive(Debug)]
pub struct Filling<S>(pub S);

/// Goes on reading when the other side has stopped.
#[derive(Debug)]
pub struct Listening<S>(pub S);

/// A connection to the next hop: the origin itself, or the way through a proxy.
pub enum Hop {
    Tcp(Chunked<TcpStream>),
    Proxied(Box<dyn Io>),
}

/// A connection to an origin, with or without TLS.
pub enum Stream {
    Plain(Hop),
    Tls(Box<TlsStream<Hop>>),
}

// === impl Chunked ===

impl<S> Chunked<S> {
    pub fn new(io: S) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            bulk: false,
        }
    }

    /// As `new`, with bytes that were read before.
    pub fn with_prefix(io: S, prefix: BytesMut) -> Self {
        Self {
            io,
            buffer: prefix,
            bulk: false,
        }
    }

    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Takes it apart; what was read already comes first.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.buffer)
    }

    /// Puts bytes back in front.
    pub fn unread(&mut self, mut bytes: BytesMut) {
        bytes.unsplit(std::mem::take(&mut self.buffer));
        self.buffer = bytes;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Chunked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.buffer.is_empty() {
            if !this.bulk || out.remaining() >= CHUNK {
                let (before, room) = (out.filled().len(), out.remaining());
                ready!(Pin::new(&mut this.io).poll_read(cx, out))?;
                this.bulk = room >= BULK && out.filled().len() - before == room;
                return Poll::Ready(Ok(()));
            }
            this.buffer.reserve(CHUNK);
            match tokio_util::io::poll_read_buf(Pin::new(&mut this.io), cx, &mut this.buffer) {
                Poll::Ready(Ok(n)) => this.bulk = n >= BULK,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.buffer = BytesMut::new();
                    return Poll::Pending;
                }
            }
        }
        let n = this.buffer.len().min(out.remaining());
        out.put_slice(&this.buffer[..n]);
        this.buffer.advance(n);
        if this.buffer.is_empty() && !this.bulk {
            this.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

writes_through!(Chunked, io);

// === impl Filling ===

impl<S: AsyncRead + Unpin> AsyncRead for Filling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = out.filled().len();
        loop {
            let before = out.filled().len();
            let polled = Pin::new(&mut self.0).poll_read(cx, out);
            let got = out.filled().len();
            return match polled {
                // A full record may have more behind it; anything less was the last of what is there.
                Poll::Ready(Ok(())) if got - before >= BULK && out.remaining() > 0 => continue,
                // What was read before an error or an end is handed on first; either comes again.
                _ if got > start => Poll::Ready(Ok(())),
                other => other,
            };
        }
    }
}

writes_through!(Filling, 0);

// === impl Listening ===

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        written.map(|written| unheard(written, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bytes.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut self.0).poll_write_vectored(cx, bytes);
        written.map(|written| unheard(written, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.0).poll_flush(cx);
        flushed.map(|flushed| unheard(flushed, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Takes what a peer no longer reads for written. Its answer may lie in our buffer, and if there is none, the next
/// read says so (RFC 9112 §9.5: a client watches the connection while it sends).
fn unheard<T>(written: io::Result<T>, all: T) -> io::Result<T> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match written {
        Err(error)
            if matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset
            ) =>
        {
            Ok(all)
        }
        other => other,
    }
}

// === impl Hop, Stream ===

by_variant!(Hop, Tcp, Proxied);
by_variant!(Stream, Plain, Tls);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_as_they_were_sent() {
        let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let (mut a, b) = duplex(100_000);
        let sent = data.clone();
        let writer = tokio::spawn(async move { a.write_all(&sent).await });
        let mut reader = Filling(Chunked::with_prefix(b, BytesMut::from(&b"prefix"[..])));
        let (mut got, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match reader.read(&mut piece).await.unwrap() {
                0 => break,
                n => got.extend_from_slice(&piece[..n]),
            }
        }
        writer.await.unwrap().unwrap();
        assert_eq!(&got[..6], b"prefix");
        assert_eq!(got[6..], data);
    }
}
