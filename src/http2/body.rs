//! A body on its way in (RFC 9113 §8.1).

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::{
    Error, client::Upload, heard::Heard, inbox::Incoming, server::Informing, tunnel::Tunnel,
};

/// The body of a request or of an answer.
pub struct Body {
    /// `None`: there is nothing to read.
    incoming: Option<Incoming>,
    /// Bytes still to come, where that is known.
    remaining: Option<u64>,
    /// Whether trailers come next, if anything.
    read: bool,
    asked: Option<Asked>,
    answers: Option<Answers>,
}

/// What else belongs to a request.
struct Asked {
    informing: Arc<Informing>,
    /// Where the stream comes from once it has changed over.
    upgraded: Option<oneshot::Receiver<Tunnel>>,
}

/// What else belongs to an answer.
struct Answers {
    /// Counts its parts.
    heard: Arc<Heard>,
    /// The rest of the request: nobody wants it any more when the answer is over, or not wanted itself.
    _upload: Option<Upload>,
}

// === impl Body ===

impl Body {
    /// The body behind a head with these fields.
    pub(super) fn new(incoming: Option<Incoming>, headers: &HeaderMap) -> Self {
        let incoming = incoming.filter(|incoming| !incoming.is_end_stream());
        let remaining = match declared(headers) {
            None if incoming.is_none() => Some(0),
            declared => declared,
        };
        Self {
            incoming,
            remaining,
            read: false,
            asked: None,
            answers: None,
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            incoming: None,
            remaining: Some(0),
            read: true,
            asked: None,
            answers: None,
        }
    }

    /// The same, of a request that is answered with the other end of both.
    pub(super) fn asked(
        self,
        informing: Arc<Informing>,
        upgraded: Option<oneshot::Receiver<Tunnel>>,
    ) -> Self {
        let asked = Asked {
            informing,
            upgraded,
        };
        Self {
            asked: Some(asked),
            ..self
        }
    }

    /// The same, of an answer: its parts are counted, and with it the upload ends.
    pub(super) fn answers(self, heard: Arc<Heard>, upload: Option<Upload>) -> Self {
        let answers = Answers {
            heard,
            _upload: upload,
        };
        Self {
            answers: Some(answers),
            ..self
        }
    }

    /// Returns where informational answers go to; `None`: it is no request.
    pub fn informing(&self) -> Option<Arc<Informing>> {
        self.asked.as_ref().map(|asked| asked.informing.clone())
    }

    /// Returns where the stream comes from once it has changed over; `None`: the request does not ask for that.
    pub fn take_upgraded(&mut self) -> Option<oneshot::Receiver<Tunnel>> {
        self.asked.as_mut()?.upgraded.take()
    }

    /// The stream has failed, or was ended before its end.
    fn ended(&self, error: h2::Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // "Nothing more is wanted" may follow a whole message (RFC 9113 §8.1), and is no error then. It makes none whole
        // whose end was not said, unless all that its length promises has come.
        let whole = self.remaining == Some(0);
        match error.reason() {
            Some(Reason::NO_ERROR) if whole => Poll::Ready(None),
            _ => Poll::Ready(Some(Err(error.into()))),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(incoming) = &this.incoming else {
            return Poll::Ready(None);
        };
        if !this.read {
            match ready!(incoming.poll_data(cx)) {
                Some(Ok(data)) => {
                    if let Some(answers) = &this.answers {
                        answers.heard.note();
                    }
                    if let Some(remaining) = &mut this.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return this.ended(error),
                None => this.read = true,
            }
        }
        match ready!(incoming.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => this.ended(error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
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

/// Returns the length that a head declares, if it has one reading.
fn declared(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let first = lines.next()?;
    let digits = first.as_bytes().iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok()?.parse().ok()?;
    (digits && lines.all(|line| line == first)).then_some(length)
}
