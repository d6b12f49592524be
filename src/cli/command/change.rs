//! What `refresh` and `restore` have in common: a session is changed, and then its state shown.

use serde_json::Value;

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

/// Changes the session and shows what it is then; returns the exit code.
pub(super) fn run(
    context: Context,
    args: Args,
    secrets: Secrets,
    change: impl AsyncFnOnce(&mut Reach, &Which) -> Result<Value, Error>,
) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args { which, json } = args;
    let found = context.load()?;
    which.check(found.config())?;
    let status = runtime::one()?.block_on(async {
        let mut reach = Reach::new(&context, found, secrets).await?;
        let status = change(&mut reach, &which).await;
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
