//! What the tests are built from: throw-away certificates, origins, a token endpoint, rotating sites, a client, and
//! the proxy as a process.

pub mod authority;
pub mod beside;
pub mod canary;
pub mod cgi;
pub mod child;
pub mod client;
pub mod content;
pub mod frames;
pub mod gotrue;
pub mod oauth;
pub mod origin;
pub mod pki;
pub mod ports;
pub mod project;
pub mod proxy;
pub mod raw;
pub mod rotating;
pub mod routes;
pub mod strace;
pub mod strict;
pub mod tap;
pub mod tool;
pub mod usual;
pub mod wire;

/// What a fallible test step can fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
