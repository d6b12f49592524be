//! A request's body as it comes from a client, with what else belongs to the request alone.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use super::{
    Error, Spelling,
    head::{Length, Request},
};

/// A connection both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that changed over to another protocol, and what was read of it already.
pub type Upgraded = (Box<dyn Duplex>, BytesMut);

/// Where a connection goes that changes over.
pub type Upgrade = oneshot::Sender<Upgraded>;

/// Where a body is read from.
pub(super) trait Source: Send + Sync {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>>;

    fn is_end(&self) -> bool;
}

/// The body of a request.
pub struct Body {
    /// `None`: there is nothing more.
    source: Option<Arc<dyn Source>>,
    /// Bytes still to come, where that is known.
    remaining: Option<u64>,
    spelling: Spelling,
    upgrades: bool,
    /// Where the connection comes from once it has changed over.
    upgraded: Option<oneshot::Receiver<Upgraded>>,
}

// === impl Body ===

impl Body {
    pub(super) fn new<S: Source + 'static>(head: &Request, source: impl Fn() -> Arc<S>) -> Self {
        let (source, remaining): (Option<Arc<dyn Source>>, _) = match head.length {
            Length::Exact(0) => (None, Some(0)),
            Length::Exact(bytes) => (Some(source()), Some(bytes)),
            _ => (Some(source()), None),
        };
        Self {
            source,
            remaining,
            spelling: head.spelling.clone(),
            upgrades: head.upgrades,
            upgraded: None,
        }
    }

    /// Returns how the request's head was written.
    pub fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// Returns where the connection is to be given to if it changes over; `None`: the request does not ask for that.
    pub fn offer(&mut self) -> Option<Upgrade> {
        if !self.upgrades {
            return None;
        }
        let (upgrade, upgraded) = oneshot::channel();
        self.upgraded = Some(upgraded);
        Some(upgrade)
    }

    /// Returns where the connection comes from once it has changed over.
    pub fn take_upgraded(&mut self) -> Option<oneshot::Receiver<Upgraded>> {
        self.upgraded.take()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(source) = &self.source else {
            return Poll::Ready(None);
        };
        let polled = source.poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => source.is_end(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let (Some(data), Some(remaining)) = (frame.data_ref(), &mut self.remaining)
        {
            *remaining -= data.len() as u64;
        }
        if ended {
            // The connection's next bytes belong to another request.
            self.source = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}
