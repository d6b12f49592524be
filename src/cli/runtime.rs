//! The runtimes of commands.

use tokio::runtime::{Builder, Runtime};

use super::error::Error;

/// For the proxy: a thread for each core.
pub(super) fn many() -> Result<Runtime, Error> {
    built(Builder::new_multi_thread())
}

/// For a command that asks one thing.
pub(super) fn one() -> Result<Runtime, Error> {
    built(Builder::new_current_thread())
}

fn built(mut builder: Builder) -> Result<Runtime, Error> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|e| Error::because("cannot start", e))
}
