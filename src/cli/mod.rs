//! cli

pub mod ca;
pub mod check;
pub mod run;
