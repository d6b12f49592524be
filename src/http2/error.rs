//! Why a stream or a connection ended, in words that may be logged.

use std::{error::Error as StdError, fmt};

use h2::Reason;

/// Why a stream or a connection ended. What the other side says about it in its GOAWAY (RFC 9113 §6.8) is left out: it
/// may repeat what it was sent.
pub struct Error(h2::Error);

// === impl Error ===

impl Error {
    /// Returns the code that either side gave.
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason()
    }

    /// Tells whether we ended the stream, and for no fault of the other side.
    pub fn is_ours(&self) -> bool {
        self.0.is_reset() && !self.0.is_remote() && !self.0.is_library()
    }

    /// Tells whether the other side does not keep to the protocol, or says that we do not.
    pub fn is_protocol(&self) -> bool {
        self.0.is_library() || self.reason() == Some(Reason::PROTOCOL_ERROR)
    }

    /// Tells whether the other side says that it did nothing with what was asked (§8.7), by its stream or by a last
    /// stream before it, for whatever reason the connection ends: the library tells no other stream of a GOAWAY.
    pub fn is_refused(&self) -> bool {
        self.reason() == Some(Reason::REFUSED_STREAM) || self.is_goodbye()
    }

    fn is_goodbye(&self) -> bool {
        self.0.is_go_away() && self.0.is_remote()
    }
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        Self(error)
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason().filter(|_| self.is_goodbye()) {
            Some(reason) => write!(f, "connection error received: {reason}"),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {}
