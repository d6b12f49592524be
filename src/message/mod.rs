//! HTTP messages as the rules need them. Pure: bytes in, bytes out.

pub mod decode;
