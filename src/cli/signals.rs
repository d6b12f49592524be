//! The signals that end what would go on by itself.

use std::{future::pending, io};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

// === impl Signals ===

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::TERM,
            Some(()) = self.interrupt.recv() => Signal::INT,
            else => pending().await,
        }
    }
}

pub(super) fn name(signal: Signal) -> &'static str {
    if signal == Signal::TERM {
        "SIGTERM"
    } else {
        "SIGINT"
    }
}

/// Returns the exit code of what a signal ended, as shells have it.
pub(super) fn code(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(1)
}
