//! Response bodies on their way to the client. On the plain path nothing is boxed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
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
    pub frames: std::collections::VecDeque<Frame<Bytes>>,
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
            ResponseBody::Begun(begun) => match (begun.frames.pop_front(), &mut begun.rest) {
                (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
                (None, Some(rest)) => Pin::new(rest).poll_frame(cx),
                (None, None) => Poll::Ready(None),
            },
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
                begun.frames.is_empty() && begun.rest.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ResponseBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Streamed(body) => body.size_hint(),
            ResponseBody::Begun(begun) => {
                let read = begun
                    .frames
                    .iter()
                    .filter_map(Frame::data_ref)
                    .map(|d| d.len() as u64)
                    .sum::<u64>();
                let rest = begun
                    .rest
                    .as_ref()
                    .map_or(SizeHint::with_exact(0), Body::size_hint);
                // Trailers among the frames say that the length was never declared.
                let known = rest
                    .exact()
                    .filter(|_| begun.frames.iter().all(Frame::is_data));
                known.map_or_else(SizeHint::default, |exact| {
                    SizeHint::with_exact(read + exact)
                })
            }
        }
    }
}
