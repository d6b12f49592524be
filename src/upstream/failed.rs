//! What is left of a request that had no answer.

use http::Request;
use hyper::client::conn::TrySendError;

use super::{
    body::Body,
    error::{Error, Sent},
};

/// A failed attempt; the request comes back if not a byte of it was written.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) request: Option<Request<Body>>,
}

// === impl Failed ===

impl Failed {
    pub(super) fn new(mut failed: TrySendError<Request<Body>>) -> Self {
        let request = failed.take_message();
        let sent = if request.is_some() {
            Sent::No
        } else {
            Sent::Maybe
        };
        Self {
            error: Error::http(failed.into_error(), sent),
            request,
        }
    }

    /// No answer came in time.
    pub(super) fn silent() -> Self {
        Self {
            error: Error::silent(),
            request: None,
        }
    }
}
