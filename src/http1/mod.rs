//! HTTP/1.1 (RFC 9112) on both sides of the proxy: heads, the framing of bodies, and the two ends of a connection.
//!
//! It is ours because a proxy has both ends in one task. What a library passes from one to the other through
//! channels and copies goes straight across here; a head keeps the spelling of its fields ([`Spelling`]); and a
//! connection that waits holds no buffer.
//!
//! - [`head`]: what httparse makes of the bytes, and how long the message is
//! - `decode`, `encode`: bodies
//! - [`client`]: a connection to an upstream; [`server`]: one from a client

mod answer;
pub mod client;
mod decode;
mod encode;
mod fill;
pub mod head;
mod off_page;
pub mod request;
pub mod server;
mod span;
mod spelling;
#[cfg(test)]
mod tests;
mod wire;

use std::{error::Error as StdError, io};

pub use self::{
    head::{Bounds, Refused},
    off_page::off_page,
    spelling::{PLAIN, Spelling},
};

/// What the body that is sent may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Head(#[from] Refused),
    #[error("{0}")]
    Body(&'static str),
    /// The other side hung up in the middle of a message.
    #[error("the connection ended within a message")]
    Incomplete,
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// An upstream that speaks HTTP/2 says so first, and makes nothing of what it is asked (RFC 9113 §3.4).
    #[error("the upstream speaks HTTP/2")]
    Http2,
    /// The body that was to be sent failed.
    #[error("the body that was to be sent failed")]
    Sending(#[source] BoxError),
}
