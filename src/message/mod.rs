//! HTTP messages as an intermediary sees them: targets, lengths, hop-by-hop fields, `Proxy-Status`, encoded bodies.

pub mod decode;
pub mod framing;
pub mod hop;
pub mod status;
pub mod target;
pub mod trailers;
