//! `refresh`: renew a session now.

use super::change::{self, Args};
use crate::{
    cli::{context::Context, error::Error, output},
    server::Secrets,
};

/// Refreshes; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    change::run(context, args, Secrets::Needed, async |reach, which| {
        let progress = output::progress(format!("renewing {}", which.session));
        let status = reach.refresh(which).await;
        progress.finish_and_clear();
        status
    })
}
