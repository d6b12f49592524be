//! A body of which nothing is sent unless somebody agrees in the moment before its bytes are written.

use std::fmt;

use bytes::Bytes;
use http_body::Frame;

use crate::http1::BoxError;

/// A whole body, and who is asked.
pub struct Guarded {
    bytes: Bytes,
    may: Box<dyn Fn() -> bool + Send + Sync>,
}

// === impl Guarded ===

impl Guarded {
    pub fn new(bytes: Bytes, may: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            bytes,
            may: Box::new(may),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the bytes, once; an error if they may not be sent (any more).
    pub(super) fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return None;
        }
        Some(match (self.may)() {
            true => Ok(Frame::data(bytes)),
            false => Err("it may not be sent any more".into()),
        })
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}
