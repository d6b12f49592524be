//! TLS over a stream to an origin, by the library's connection without buffers: what was read is decrypted where it
//! was read.
//!
//! The library's own buffer grows by 4 KiB at a time and begins anew for each record, so that a record is moved two and
//! a half times more before it is decrypted. Here many records are read at once. An idle connection has no buffer.

mod encode;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{
    ClientConfig,
    client::{ClientConnectionData, UnbufferedClientConnection},
    pki_types::ServerName,
    unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::encode::append;
use crate::http1::off_page;

/// The largest plaintext of a record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// What is read at once: a small answer, and four records in bulk.
const SMALL: usize = 8 * 1024;
const BULK: usize = 64 * 1024;

/// What is encrypted at once, and what may wait to be sent before more is taken.
const MOST: usize = 64 * 1024;

/// What is read before anything can be made of it: a handshake message has 64 KiB at most, as with the library's own
/// buffer.
const UNREADABLE: usize = 128 * 1024;

/// A client's TLS connection over a stream.
pub struct TlsStream<S> {
    connection: UnbufferedClientConnection,
    io: S,
    /// What was read and not yet decrypted.
    incoming: BytesMut,
    /// Whether there is more to read than a small answer.
    bulk: bool,
    /// What was decrypted and not yet asked for.
    rest: BytesMut,
    /// What was encrypted and not yet sent.
    outgoing: BytesMut,
    /// Whether the other side has said that it sends no more.
    ended: bool,
    /// Whether we have.
    parted: bool,
    failed: Option<rustls::Error>,
}

/// What the connection has come to.
enum Step<T> {
    /// It goes on by itself.
    Again,
    /// The handshake needs more bytes.
    Blocked,
    /// Everything that was read is decrypted, and data may be sent.
    Open(T),
    Closed,
}

// === impl TlsStream ===

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands with a server. Our last message goes out with the first data, or before data is waited for.
    pub async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
        io: S,
    ) -> io::Result<Self> {
        let connection =
            UnbufferedClientConnection::new_with_alpn(config, name, alpn).map_err(invalid)?;
        let mut stream = Self {
            connection,
            io,
            incoming: BytesMut::new(),
            bulk: false,
            rest: BytesMut::new(),
            outgoing: BytesMut::new(),
            ended: false,
            parted: false,
            failed: None,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Returns the protocol that was agreed on (RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.step(&mut ReadBuf::new(&mut []), |_, _| ()) {
                Ok(Step::Again) => {}
                Ok(Step::Open(())) => return Poll::Ready(Ok(())),
                Ok(Step::Blocked) => {
                    ready!(self.poll_send(cx))?;
                    ready!(self.poll_more(cx))?;
                }
                Ok(Step::Closed) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => {
                    // The server is told why, if that goes without waiting.
                    let _ = self.poll_send(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Lets the connection go on until something comes of it: what is decrypted goes to `out`, and to `rest` where it
    /// is too long for that. When it is open, `write` has its turn.
    fn step<T>(
        &mut self,
        out: &mut ReadBuf<'_>,
        write: impl FnOnce(&mut WriteTraffic<'_, ClientConnectionData>, &mut BytesMut) -> T,
    ) -> io::Result<Step<T>> {
        if let Some(error) = &self.failed {
            return Err(invalid(error.clone()));
        }
        let UnbufferedStatus {
            mut discard, state, ..
        } = self.connection.process_tls_records(&mut self.incoming);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    discard += record.discard;
                    let fits = if self.rest.is_empty() {
                        record.payload.len().min(out.remaining())
                    } else {
                        0
                    };
                    let (now, later) = record.payload.split_at(fits);
                    out.put_slice(now);
                    self.rest.extend_from_slice(later);
                }
                Ok(Step::Again)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                append(&mut self.outgoing, |room| data.encode(room)).map(|()| Step::Again)
            }
            // It is sent before anything is waited for.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                Ok(Step::Open(write(&mut traffic, &mut self.outgoing)))
            }
            Ok(ConnectionState::PeerClosed) => {
                self.ended = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::Closed) => Ok(Step::Closed),
            Ok(_) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => {
                self.failed = Some(error.clone());
                Err(invalid(error))
            }
        };
        self.incoming.advance(discard);
        if self.failed.is_some() {
            self.take_alerts();
        }
        step
    }

    /// Takes what is to be said about an error, and no more: nothing is decrypted after one.
    fn take_alerts(&mut self) {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut self.incoming);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                return;
            };
            if append(&mut self.outgoing, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Waits for more bytes.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.incoming.len() >= UNREADABLE {
            return Poll::Ready(Err(invalid(rustls::Error::General(
                "a message is too large".to_owned(),
            ))));
        }
        let room = if self.bulk { BULK } else { SMALL };
        self.incoming.reserve(room);
        let room = self.incoming.capacity() - self.incoming.len();
        let read = tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut self.incoming);
        if self.incoming.is_empty() {
            self.incoming = BytesMut::new();
        }
        match ready!(read)? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            n => {
                self.bulk = n == room || self.bulk && n >= SMALL;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Sends what was encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.outgoing.advance(n),
            }
        }
        self.outgoing = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Has `write` add something to what is sent, when the connection is open for that.
    fn write(
        &mut self,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ClientConnectionData>,
            &mut BytesMut,
        ) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match self.step(&mut ReadBuf::new(&mut []), &mut write)? {
                Step::Again => {}
                Step::Open(written) => return written,
                Step::Blocked | Step::Closed => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let n = this.rest.len().min(out.remaining());
            out.put_slice(&this.rest[..n]);
            this.rest.advance(n);
            if this.rest.is_empty() {
                this.rest = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        while out.remaining() > 0 && !this.ended {
            let got = out.filled().len() > before;
            if got && out.remaining() < RECORD {
                break; // Another record may not fit.
            }
            match this.step(out, |_, _| ()) {
                Ok(Step::Again) => {}
                Ok(Step::Closed) => break,
                // What was decrypted before an error is handed on first; the error comes again.
                Ok(Step::Open(()) | Step::Blocked) | Err(_) if got => break,
                Ok(Step::Open(()) | Step::Blocked) => {
                    // One that hears no more may have said why: whoever writes is told that it does not.
                    let _ = this.poll_send(cx);
                    ready!(this.poll_more(cx))?;
                }
                Err(error) => {
                    let _ = this.poll_send(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
        if this.incoming.is_empty() && !this.bulk {
            this.incoming = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.len() >= MOST {
            ready!(this.poll_send(cx))?;
        }
        let bytes = &bytes[..bytes.len().min(MOST)];
        if !bytes.is_empty() {
            this.write(|traffic, outgoing| append(outgoing, |room| traffic.encrypt(bytes, room)))?;
        }
        // What does not go out now does with the next write or flush.
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = slices.iter().filter(|slice| !slice.is_empty());
        match (full.next(), full.next()) {
            (None, _) => self.poll_write(cx, &[]),
            (Some(one), None) => self.poll_write(cx, one),
            // A head and the beginning of its body go out in one record.
            (Some(_), Some(_)) => {
                let all: usize = slices.iter().map(|slice| slice.len()).sum();
                let mut together = off_page(all.min(MOST));
                for slice in slices {
                    let room = MOST - together.len();
                    together.extend_from_slice(&slice[..slice.len().min(room)]);
                }
                self.poll_write(cx, &together)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.parted {
            this.parted = true;
            // Without a connection that is open there is nobody to say it to.
            let _ = this.write(|traffic, outgoing| {
                append(outgoing, |room| traffic.queue_close_notify(room))
            });
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
