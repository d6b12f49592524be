//! Room for what the library writes: it says how much it needs when there is not enough.

use std::io;

use bytes::BytesMut;
use rustls::unbuffered::{EncodeError, EncryptError, InsufficientSizeError};

use super::invalid;

/// Adds what `encode` writes, which says how much room it needs when that is not enough.
pub(super) fn append<E: Encode>(
    outgoing: &mut BytesMut,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let before = outgoing.len();
    let mut room = 0;
    loop {
        outgoing.resize(before + room, 0);
        match encode(&mut outgoing[before..]) {
            Ok(written) => {
                outgoing.truncate(before + written);
                return Ok(());
            }
            Err(error) => {
                outgoing.truncate(before);
                room = error.needed()?;
            }
        }
    }
}

/// Why something was not encoded.
pub(super) trait Encode {
    /// Returns how much room it needs, unless that is not what it lacked.
    fn needed(self) -> io::Result<usize>;
}

impl Encode for EncodeError {
    fn needed(self) -> io::Result<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Ok(required_size),
            other @ Self::AlreadyEncoded => Err(invalid(other)),
        }
    }
}

impl Encode for EncryptError {
    fn needed(self) -> io::Result<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Ok(required_size),
            other @ Self::EncryptExhausted => Err(invalid(other)),
        }
    }
}
