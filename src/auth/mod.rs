//! The messages of renewing: requests to token endpoints and what their answers mean, JWTs, one-time passwords, what
//! credential commands print. Pure: bytes in, facts out; the time is an argument.

pub mod jwt;
pub mod totp;
