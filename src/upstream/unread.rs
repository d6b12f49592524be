//! An upload over HTTP/2 that is answered before all of it has come.
//!
//! Nobody reads the rest, and the library says so with a RST_STREAM right behind the answer (RFC 9113 §8.1). A client
//! that is sending at that moment may find its stream gone before it has looked at the answer: curl 7.88 fails then
//! (error 92), and never shows the 401 or 413. So the stream stays for a moment; what comes meanwhile is held back by
//! its window.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

use crate::http2::{self, server::Informing};

/// How long a client has to find the answer.
const FOUND: Duration = Duration::from_millis(200);

/// A request's body; the rest of it outlives it for a moment.
#[derive(Debug)]
pub struct Unread(Option<http2::Body>);

// === impl Unread ===

impl Unread {
    /// Returns where informational answers to the request go to.
    pub fn informing(&self) -> Option<Arc<Informing>> {
        self.0.as_ref()?.informing()
    }

    /// Returns where the stream comes from once it has changed over to another protocol.
    pub fn take_upgraded(&mut self) -> Option<oneshot::Receiver<http2::Tunnel>> {
        self.0.as_mut()?.take_upgraded()
    }
}

impl From<http2::Body> for Unread {
    fn from(body: http2::Body) -> Self {
        Self(Some(body))
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = http2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, http2::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.0.as_ref().map_or_else(none, Body::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if !self.is_end_stream()
            && let Some(body) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                sleep(FOUND).await;
                drop(body);
            });
        }
    }
}
