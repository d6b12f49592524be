//! HTTP/2 (RFC 9113) on both sides of the proxy, over the library `h2`, which has frames, windows and the compression of
//! fields.
//!
//! - `body`: what comes; `pipe`: what is sent; `error`: why it ended
//! - [`server`]: requests of a client, their informational answers, and streams that change over (RFC 8441)
//! - [`client`]: requests to an upstream; `heard`: whether it is there
//! - `streams`, `hush`: connection and streams take turns in one task
//! - [`inbox`]: what has come and is not read yet
//! - [`calm`]: what the frames of a peer cost

mod body;
pub mod calm;
pub mod client;
mod error;
mod heard;
mod hush;
pub mod inbox;
mod pipe;
pub mod server;
mod streams;
mod tunnel;

use std::error::Error as StdError;

pub use self::{
    body::Body,
    error::Error,
    streams::{Multiplexed, Streams},
    tunnel::Tunnel,
};

/// What the body that is sent may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;
