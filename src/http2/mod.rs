//! HTTP/2 (RFC 9113) on both sides of the proxy: what goes round a connection and its streams.

mod hush;
mod streams;

pub use self::streams::{Multiplexed, Streams};
