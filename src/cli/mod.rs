//! cli

pub mod ca;
pub mod run;
