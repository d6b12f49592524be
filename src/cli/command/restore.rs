//! `restore`: go back to the grant before the last one.

use super::change::{self, Args};
use crate::{
    cli::{context::Context, error::Error},
    server::Secrets,
};

/// Restores; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    change::run(context, args, Secrets::AtHand, async |reach, which| {
        reach.restore(which).await
    })
}
