//! A request body that is read whole before anything is sent, since values in it are exchanged.
//!
//! Where nothing is, it goes on as it came, to the byte. Where something is, it goes on without its content coding, and
//! with the length it has then; what was computed over the old bytes (`Content-MD5`, `Content-Digest`) is taken off.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT},
};

use super::{
    error::{Error, Kind},
    exchange::Exchange,
    interim::want_body,
};
use crate::{
    message::{decode, hop},
    upstream::{Body, ClientBody, Loan, NotWhole, RequestBody, read_whole},
};

static CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
static DIGEST: HeaderName = HeaderName::from_static("digest");
static REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Decoded bytes that need no room among the kept bodies.
const FREE: usize = 64 * 1024;

/// A body as the client sent it, and what it says.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    raw: Bytes,
    /// `None`: `raw` is not encoded.
    decoded: Option<Bytes>,
    /// What it is larger for being decoded counts among the kept bodies.
    loan: Option<Arc<Loan>>,
}

/// A client's body: still to come, or read already.
pub(super) enum Arrived {
    Coming(RequestBody),
    Whole(Box<Whole>),
}

impl Exchange<'_> {
    /// Reads a body to its end; one over `limits.whole_body`, encoded or decoded, is refused.
    pub(super) async fn whole(
        &self,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<Whole, Error> {
        want_body(self.gate.as_ref(), self.informs.as_ref());
        let limits = &self.proxy.limits;
        let most = limits.whole_body;
        let body = Body::Client(Box::new(ClientBody::new(body, limits.silence)));
        let raw = match read_whole(body, most).await {
            Ok(raw) => raw,
            Err(NotWhole::TooLarge) => return Err(Kind::BodyTooLarge.into()),
            Err(NotWhole::Failed(error)) => {
                return Err(Error::from(Kind::RequestBody).because(error));
            }
        };
        let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::to_str);
        let Some(Ok(encoding)) = encoding else {
            return Ok(Whole {
                raw,
                decoded: None,
                loan: None,
            });
        };
        let bounds = decode::Bounds::up_to(most);
        let decoded: Bytes = match decode::decode(encoding, &raw, bounds) {
            Ok(decoded) => decoded.into(),
            Err(decode::Error::TooLarge | decode::Error::Ratio) => {
                return Err(Kind::BodyTooLarge.into());
            }
            // In what cannot be read nothing is found.
            Err(decode::Error::Coding | decode::Error::Damaged) => Bytes::new(),
        };
        let loan = self.room(raw.len(), decoded.len())?;
        Ok(Whole {
            raw,
            decoded: Some(decoded),
            loan: loan.map(Arc::new),
        })
    }

    /// Has what was decoded count among the kept bodies if it is out of proportion to what was sent: so many bytes on the
    /// wire take a bounded multiple of them, and beyond that a fixed sum in all. `None`: it is in proportion.
    pub(super) fn room(&self, encoded: usize, decoded: usize) -> Result<Option<Loan>, Error> {
        let ratio = self.proxy.limits.inspect_ratio;
        if decoded <= FREE.max(encoded.saturating_mul(ratio)) {
            return Ok(None);
        }
        let loan = self.proxy.kept.lend(decoded).ok_or(Kind::KeptTooMuch)?;
        Ok(Some(loan))
    }
}

// === impl Whole ===

impl Whole {
    /// Returns the body without its content coding.
    pub(super) fn plain(&self) -> &Bytes {
        self.decoded.as_ref().unwrap_or(&self.raw)
    }

    /// Returns the body with another text in its place.
    pub(super) fn exchanged(&self, headers: &mut HeaderMap, new: Vec<u8>) -> Self {
        hop::retain(headers, |name, _| !is_of_the_bytes(name));
        Self {
            raw: new.into(),
            decoded: None,
            loan: self.loan.clone(),
        }
    }

    /// Returns the body to send: as it came, or with what took its place.
    pub(super) fn send(&self, headers: &mut HeaderMap, new: Option<Vec<u8>>) -> Body {
        let body = match new {
            Some(new) => {
                hop::retain(headers, |name, _| !is_of_the_bytes(name));
                Bytes::from(new)
            }
            None => {
                hop::retain(headers, |name, _| *name != EXPECT);
                self.raw.clone()
            }
        };
        headers.insert(CONTENT_LENGTH, body.len().into());
        Body::Full(body)
    }
}

/// Tells whether a field is about the bytes of a body, or waits for its sending.
pub(super) fn is_of_the_bytes(name: &HeaderName) -> bool {
    [
        &EXPECT,
        &CONTENT_ENCODING,
        &CONTENT_MD5,
        &DIGEST,
        &CONTENT_DIGEST,
        &REPR_DIGEST,
    ]
    .contains(&name)
}
