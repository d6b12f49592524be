//! The credential reaches the right host only: whatever a client says, in whichever part of its connection.

mod hop;
mod loops;
mod matrix;
mod redirects;
