//! The beginning of a response body, read before its head is passed on: as much as a rule may look at, and no longer
//! than it may wait.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::body::{Begun, ResponseBody};
use crate::{
    http1::Spelling,
    upstream::{self, Incoming},
};

/// What was read of a body, and the rest.
#[derive(Debug)]
pub struct Peeked {
    /// The bytes as they came, still encoded.
    pub bytes: Bytes,
    /// Whether that is the whole body.
    pub complete: bool,
    frames: VecDeque<Frame<Bytes>>,
    rest: Option<Incoming>,
    spelling: Spelling,
}

/// Reads until `limit` bytes are there, the body ends, or `wait` is over.
pub async fn peek(
    mut body: Incoming,
    limit: usize,
    wait: Duration,
) -> Result<Peeked, upstream::Error> {
    let deadline = Instant::now() + wait;
    let (mut frames, mut bytes) = (VecDeque::new(), BytesMut::new());
    let mut complete = body.is_end_stream();
    while !complete && bytes.len() < limit {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            break;
        };
        match frame {
            Some(frame) => {
                let frame = frame?;
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(data);
                }
                frames.push_back(frame);
                complete = body.is_end_stream();
            }
            None => complete = true,
        }
    }
    let spelling = body.spelling().clone();
    let rest = (!complete).then_some(body);
    Ok(Peeked {
        bytes: bytes.freeze(),
        complete,
        frames,
        rest,
        spelling,
    })
}

/// Reads a body to its end; returns its bytes and the body again, or `None` if it has more than `limit`.
pub async fn whole(
    body: ResponseBody,
    limit: usize,
) -> Result<Option<(Bytes, ResponseBody)>, upstream::Error> {
    let spelling = body.spelling().clone();
    let (mut frames, mut rest) = match body {
        ResponseBody::Whole(bytes) => {
            let fits = bytes.len() <= limit;
            return Ok(fits.then(|| (bytes.clone(), ResponseBody::Whole(bytes))));
        }
        ResponseBody::Streamed(body) => (VecDeque::new(), Some(body)),
        ResponseBody::Begun(begun) => (begun.frames, begun.rest),
    };
    let mut bytes = BytesMut::new();
    let data = frames.iter().filter_map(Frame::data_ref);
    data.for_each(|data| bytes.extend_from_slice(data));
    while let Some(body) = &mut rest {
        if bytes.len() > limit {
            break;
        }
        match body.frame().await.transpose()? {
            Some(frame) => {
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(data);
                }
                frames.push_back(frame);
            }
            None => rest = None,
        }
    }
    let begun = Begun {
        frames,
        rest,
        spelling,
    };
    let body = ResponseBody::Begun(Box::new(begun));
    Ok((bytes.len() <= limit).then(|| (bytes.freeze(), body)))
}

/// Reads and forgets a small rest of a body, so that its connection can be used again; gives up early.
pub async fn discard(mut body: ResponseBody) {
    /// More than this is not worth a connection.
    const SMALL: usize = 64 * 1024;
    const SOON: Duration = Duration::from_millis(50);
    let incoming = match &mut body {
        ResponseBody::Whole(_) => return,
        ResponseBody::Streamed(body) => body,
        ResponseBody::Begun(begun) => match &mut begun.rest {
            Some(rest) => rest,
            None => return,
        },
    };
    if incoming.size_hint().lower() > SMALL as u64 {
        return;
    }
    let drain = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = Pin::new(&mut *incoming).frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > SMALL {
                return;
            }
        }
    };
    drop(tokio::time::timeout(SOON, drain).await);
}

impl Peeked {
    /// Puts the body together again.
    pub fn into_body(self) -> ResponseBody {
        ResponseBody::Begun(Box::new(Begun {
            frames: self.frames,
            rest: self.rest,
            spelling: self.spelling,
        }))
    }
}
