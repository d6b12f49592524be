//! cli

pub mod ca;
