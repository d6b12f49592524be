//! Response bodies on their way to the client. On the plain path nothing is boxed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::timer::Busy;
use crate::{
    http1::{self, Spelling, request::Upgraded},
    upstream::{self, Incoming},
};

/// A response body.
#[derive(Debug)]
pub enum ResponseBody {
    /// The proxy's own, or one that was read whole.
    Whole(Bytes),
    /// The upstream's, streamed.
    Streamed(Incoming),
    /// The upstream's, of which the beginning was looked at.
    Begun(Box<Begun>),
}

/// What was read, and what is still to come.
#[derive(Debug)]
pub struct Begun {
    pub read: Bytes,
    pub trailers: Option<HeaderMap>,
    pub rest: Option<Incoming>,
    /// How the head was written.
    pub spelling: Spelling,
}

/// A response body with the exchange that it belongs to: when it is dropped, the exchange is over.
#[derive(Debug)]
pub struct Counted {
    body: ResponseBody,
    /// Why it ends before its end; said once what came before was written.
    failed: Option<Box<upstream::Error>>,
    /// Something was handed on, and nothing was asked for since.
    held: bool,
    busy: Busy,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// Returns how the response's head was written.
    pub fn spelling(&self) -> &Spelling {
        match self {
            Self::Whole(_) => &http1::PLAIN,
            Self::Streamed(body) => body.spelling(),
            Self::Begun(begun) => &begun.spelling,
        }
    }

    /// Returns the connection of a response that changed over to another protocol.
    pub fn take_upgraded(&mut self) -> Option<Upgraded> {
        match self {
            Self::Whole(_) => None,
            Self::Streamed(body) => body.take_upgraded(),
            Self::Begun(begun) => begun.rest.as_mut()?.take_upgraded(),
        }
    }
}

// === impl Counted ===

impl Counted {
    pub fn new(body: ResponseBody, busy: Busy) -> Self {
        Self {
            body,
            failed: None,
            held: false,
            busy,
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, upstream::Error>>> {
        match &mut self.body {
            ResponseBody::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            ResponseBody::Streamed(body) => Pin::new(body).poll_frame(cx),
            ResponseBody::Begun(begun) => {
                let read = std::mem::take(&mut begun.read);
                if !read.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(read))));
                }
                if let Some(trailers) = begun.trailers.take() {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                match &mut begun.rest {
                    Some(rest) => Pin::new(rest).poll_frame(cx),
                    None => Poll::Ready(None),
                }
            }
        }
    }

    /// Returns how the response's head was written.
    pub fn spelling(&self) -> &Spelling {
        self.body.spelling()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.busy.hold(&mut self.held, false);
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = upstream::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, upstream::Error>>> {
        let this = self.get_mut();
        if let Some(failed) = this.failed.take() {
            return Poll::Ready(Some(Err(*failed)));
        }
        this.busy.hold(&mut this.held, false);
        match this.poll_body(cx) {
            // The HTTP library throws away what it has not written yet, the head too, when it hears of a failure. It
            // writes when it has to wait.
            Poll::Ready(Some(Err(failed))) => {
                this.failed = Some(Box::new(failed));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => {
                this.busy.hold(&mut this.held, polled.is_ready());
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            ResponseBody::Whole(bytes) => bytes.is_empty(),
            ResponseBody::Streamed(body) => body.is_end_stream(),
            ResponseBody::Begun(begun) => {
                begun.read.is_empty()
                    && begun.trailers.is_none()
                    && begun.rest.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ResponseBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Streamed(body) => body.size_hint(),
            ResponseBody::Begun(begun) => {
                let rest = begun
                    .rest
                    .as_ref()
                    .map_or(SizeHint::with_exact(0), Body::size_hint);
                // Trailers say that the length was never declared.
                let known = rest.exact().filter(|_| begun.trailers.is_none());
                let read = begun.read.len() as u64;
                known.map_or_else(SizeHint::default, |exact| {
                    SizeHint::with_exact(read + exact)
                })
            }
        }
    }
}
