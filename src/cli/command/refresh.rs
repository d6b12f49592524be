//! `refresh`: renew a session now.

use crate::{
    cli::{
        command::status,
        context::Context,
        error::Error,
        output,
        reach::{Reach, Which},
        runtime,
    },
    server::Secrets,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
    /// Print what state it is in then as JSON
    #[arg(long)]
    json: bool,
}

/// Refreshes; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args { which, json } = args;
    let found = context.load()?;
    which.check(found.config())?;
    let status = runtime::one()?.block_on(async {
        let mut reach = Reach::new(&context, found, Secrets::Needed).await?;
        let progress = output::progress(format!("renewing {}", which.session));
        let status = reach.refresh(&which).await;
        progress.finish_and_clear();
        reach.close().await?;
        status
    })?;
    if json {
        output::json(&status)?;
    } else {
        output::print(format_args!("{}\n", status::line(&status)))?;
    }
    Ok(0)
}
