//! A body on its way out.

use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use super::{BoxError, Error};

/// Sends a body to its end, or to that of its stream.
pub(super) struct Pipe<B> {
    stream: SendStream<Bytes>,
    body: B,
    /// What waits for room in the window, and whether the body ends with it.
    waiting: Option<(Bytes, bool)>,
}

// === impl Pipe ===

impl<B> Pipe<B> {
    pub(super) fn new(stream: SendStream<Bytes>, body: B) -> Self {
        Self {
            stream,
            body,
            waiting: None,
        }
    }

    /// Gives the stream up.
    pub(super) fn cancel(&mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }
}

impl<B> Pipe<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            // Asked each time, so that the end of the stream wakes whoever waits for the body.
            if let Poll::Ready(reason) = self.stream.poll_reset(cx) {
                return Poll::Ready(Err(Error::from(reason.map_err(Error::from)?).into()));
            }
            if self.waiting.is_some() {
                ready!(poll_room(&mut self.stream, cx))?;
            }
            if let Some((data, last)) = self.waiting.take() {
                self.stream.send_data(data, last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
            }
            // Room is asked for when there is something to send: what is held without need is missing to other
            // streams of the connection.
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(Ok(self.stream.send_data(Bytes::new(), true)?));
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    let error = error.into();
                    self.stream.send_reset(reason(&*error));
                    return Poll::Ready(Err(error));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let last = self.body.is_end_stream();
                    if !data.is_empty() {
                        self.stream.reserve_capacity(1);
                        self.waiting = Some((data, last));
                    } else if last {
                        return Poll::Ready(Ok(self.stream.send_data(data, true)?));
                    }
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else {
                        continue;
                    };
                    return Poll::Ready(Ok(self.stream.send_trailers(trailers)?));
                }
            }
        }
    }
}

impl<B> Future for Pipe<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_sent(cx).map(|sent| {
            if let Err(error) = sent {
                tracing::debug!(error = &*error as &dyn StdError, "a body ended early");
            }
        })
    }
}

/// Waits until something fits into the stream's window and the connection's.
pub(super) fn poll_room(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), BoxError>> {
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(room) => room.map_err(Error::from)?,
            None => return Poll::Ready(Err("the stream is closed".into())),
        };
    }
    Poll::Ready(Ok(()))
}

/// The code that says why a body fails: what the other side's stream failed with, if it did. That there is no error
/// some clients take for the end of a whole answer; with the others below they would send again what has been done.
fn reason(error: &(dyn StdError + 'static)) -> Reason {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref().and_then(Error::reason) {
            Some(Reason::NO_ERROR | Reason::REFUSED_STREAM | Reason::HTTP_1_1_REQUIRED) => break,
            Some(reason) => return reason,
            None => next = error.source(),
        }
    }
    Reason::INTERNAL_ERROR
}
