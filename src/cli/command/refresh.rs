//! `refresh`: renew a session now.

use super::change::{self, Args};
use crate::{
    cli::{
        command::status,
        context::Context,
        error::Error,
        output,
        reach::{Reach, Which},
    },
    server::Secrets,
};

/// Refreshes; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    let renew = async |reach: &mut Reach, which: &Which| {
        let progress = output::progress(format!("renewing {}", which.session));
        let status = reach.refresh(which).await;
        progress.finish_and_clear();
        status
    };
    let may = change::always;
    change::run(context, args, Secrets::Needed, may, renew, status::line)
}
