//! Right on the wire (RFC 9110, 9112, 9113): what an intermediary may pass on, and in which form.

mod answers;
mod crowds;
mod exchanges;
mod floods;
mod forwarded;
mod held;
mod hops;
mod http2;
mod http2_answers;
mod informational;
mod llhttp;
mod memory;
mod requests;
mod stopped;
mod targets;
mod unread;
