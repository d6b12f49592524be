//! TLS to an HTTP/2 client, whose frames are gathered until the connection has nothing more to do.
//!
//! HTTP/2 writes and flushes every frame by itself: a record of 16 KiB, one of nine bytes, and a system call for each
//! frame, and as many for each of the small answers that are ready together. Here a flush means nothing; whoever
//! drives the connection calls [`Corked::uncork`] when it can do no more by itself, and so many records go out at
//! once, all but the last of them full. Nothing waits for bytes that are yet to come.

use std::{
    array,
    io::{self, IoSlice, Write},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::{
    http1::off_page,
    upstream::io::{Filling, Io},
};

/// The largest plaintext of a record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// What is gathered at most before it is written in any case.
const MOST: usize = 8 * RECORD;

/// What is taken in of one write at most: TLS has room for what is gathered twice over, and loses what it has none for.
const AT_ONCE: usize = MOST / 2;

/// Slices of one write that are looked at; HTTP/2 has two, its head and its payload.
const SLICES: usize = 4;

/// A client's TLS stream. Clones are the same stream: the library has one, whoever drives it the other.
#[derive(Debug)]
pub struct Corked<S>(Arc<Mutex<Gathered<S>>>);

#[derive(Debug)]
struct Gathered<S> {
    stream: Filling<TlsStream<S>>,
    /// Less than a record, not yet given to TLS.
    rest: BytesMut,
    /// About as many bytes have been given to TLS and not been written.
    held: usize,
    /// An error that nobody has been told of.
    failed: Option<io::Error>,
}

// === impl Corked ===

impl<S: Io> Corked<S> {
    pub fn new(mut stream: TlsStream<S>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(2 * MOST));
        Self(Arc::new(Mutex::new(Gathered {
            stream: Filling(stream),
            rest: BytesMut::new(),
            held: 0,
            failed: None,
        })))
    }

    /// Writes what was gathered. An error comes with the next read or write; `true`: there is one to come.
    pub fn uncork(&self, cx: &mut Context<'_>) -> bool {
        let mut gathered = self.lock();
        if let Poll::Ready(Err(error)) = gathered.poll_out(cx) {
            gathered.failed = Some(error);
        }
        gathered.failed.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Gathered<S>> {
        self.0.lock().expect("no panic while a stream is held")
    }
}

impl<S> Clone for Corked<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Io> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut gathered = self.lock();
        gathered.check()?;
        Pin::new(&mut gathered.stream).poll_read(cx, out)
    }
}

impl<S: Io> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_in(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_in(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.lock().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_out(cx))?;
        Pin::new(&mut gathered.stream).poll_shutdown(cx)
    }
}

// === impl Gathered ===

impl<S: Io> Gathered<S> {
    /// Takes bytes in, in whole records as far as they go.
    fn poll_in(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.held >= MOST {
            // Whoever reads slowly makes the other side wait.
            ready!(self.poll_out(cx))?;
        }
        // A client may take frames of any size, and so a write may be as large as an answer that was read whole.
        let mut room = AT_ONCE;
        let mut bytes = bytes.iter().take(SLICES).map(|slice| {
            let slice = &slice[..slice.len().min(room)];
            room -= slice.len();
            slice
        });
        let bytes: [&[u8]; SLICES] = array::from_fn(|_| bytes.next().unwrap_or_default());
        let taken: usize = bytes.iter().map(|slice| slice.len()).sum();
        let all = self.rest.len() + taken;
        // What goes to TLS now, and of that what is new.
        let whole = all - all % RECORD;
        let mut new = whole.saturating_sub(self.rest.len());
        let mut slices = [IoSlice::new(&[]); SLICES + 1];
        slices[0] = IoSlice::new(&self.rest);
        let mut behind: [&[u8]; SLICES] = [&[]; SLICES];
        for (n, slice) in bytes.iter().enumerate() {
            let (before, after) = slice.split_at(new.min(slice.len()));
            new -= before.len();
            slices[n + 1] = IoSlice::new(before);
            behind[n] = after;
        }
        if whole > 0 {
            let written = self.stream.0.get_mut().1.writer().write_vectored(&slices)?;
            assert_eq!(written, whole, "twice as much fits as is gathered");
            self.held += written;
            self.rest.clear();
        }
        if self.rest.capacity() == 0 && behind.iter().any(|after| !after.is_empty()) {
            self.rest = off_page(RECORD);
        }
        for after in behind {
            self.rest.extend_from_slice(after);
        }
        Poll::Ready(Ok(taken))
    }

    /// Writes all that is here.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            self.stream.0.get_mut().1.writer().write_all(&self.rest)?;
            self.held += self.rest.len();
        }
        self.rest = BytesMut::new();
        if self.held > 0 {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.held = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}
