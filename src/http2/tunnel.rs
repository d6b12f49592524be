//! A stream that has changed over to another protocol (RFC 8441): bytes both ways.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Error, inbox::Incoming, pipe::poll_room};

/// Both directions of a stream.
pub struct Tunnel {
    sending: SendStream<Bytes>,
    receiving: Incoming,
    /// What was read and is not taken yet.
    read: Bytes,
    /// Whether our end has been said.
    ended: bool,
}

// === impl Tunnel ===

impl Tunnel {
    pub(super) fn new(sending: SendStream<Bytes>, receiving: Incoming) -> Self {
        Self {
            sending,
            receiving,
            read: Bytes::new(),
            ended: false,
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.read.is_empty() {
            match ready!(this.receiving.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => this.read = data,
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
        let bytes = this.read.len().min(out.remaining());
        out.put_slice(&this.read[..bytes]);
        this.read.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let sending = &mut self.sending;
        sending.reserve_capacity(bytes.len());
        ready!(poll_room(sending, cx)).map_err(io::Error::other)?;
        let room = sending.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(&bytes[..room]);
        sending.send_data(data, false).map_err(failed)?;
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(Ok(()));
        }
        let said = self.sending.send_data(Bytes::new(), true);
        Poll::Ready(said.map_err(failed))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

fn failed(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().expect("it says so"),
        false => io::Error::other(Error::from(error)),
    }
}
