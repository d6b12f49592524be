//! HTTP messages as an intermediary sees them: targets, hop-by-hop fields, `Proxy-Status`, encoded bodies.

pub mod decode;
pub mod hop;
pub mod status;
pub mod target;
