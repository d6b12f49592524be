//! The kinds against a server on loopback.
