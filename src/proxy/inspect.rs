//! The beginning of a response body, read before its head is passed on: as much as a rule may look at, and no longer
//! than it may wait.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
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
    trailers: Option<HeaderMap>,
    rest: Option<Incoming>,
    spelling: Spelling,
}

/// What was read of a body. Its pieces are joined: each takes more than itself, however small it is.
#[derive(Default)]
struct Read {
    bytes: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Read {
    fn push(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.bytes.extend_from_slice(&data),
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }
}

/// Reads until `limit` bytes are there, the body ends, or `wait` is over.
pub async fn peek(
    mut body: Incoming,
    limit: usize,
    wait: Duration,
) -> Result<Peeked, upstream::Error> {
    let deadline = Instant::now() + wait;
    let mut read = Read::default();
    let mut complete = body.is_end_stream();
    while !complete && read.bytes.len() < limit {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            break;
        };
        match frame {
            Some(frame) => {
                read.push(frame?);
                complete = body.is_end_stream();
            }
            None => complete = true,
        }
    }
    let spelling = body.spelling().clone();
    let rest = (!complete).then_some(body);
    Ok(Peeked {
        bytes: read.bytes.freeze(),
        complete,
        trailers: read.trailers,
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
    let mut read = Read::default();
    let mut rest = match body {
        ResponseBody::Whole(bytes) => {
            let fits = bytes.len() <= limit;
            return Ok(fits.then(|| (bytes.clone(), ResponseBody::Whole(bytes))));
        }
        ResponseBody::Streamed(body) => Some(body),
        ResponseBody::Begun(begun) => {
            read.bytes = BytesMut::from(begun.read);
            read.trailers = begun.trailers;
            begun.rest
        }
    };
    while let Some(body) = &mut rest {
        if read.bytes.len() > limit {
            break;
        }
        match body.frame().await.transpose()? {
            Some(frame) => read.push(frame),
            None => rest = None,
        }
    }
    let bytes = read.bytes.freeze();
    let begun = Begun {
        read: bytes.clone(),
        trailers: read.trailers,
        rest,
        spelling,
    };
    let body = ResponseBody::Begun(Box::new(begun));
    Ok((bytes.len() <= limit).then_some((bytes, body)))
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
            read: self.bytes,
            trailers: self.trailers,
            rest: self.rest,
            spelling: self.spelling,
        }))
    }
}
