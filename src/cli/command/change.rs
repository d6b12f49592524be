//! What `refresh`, `restore` and `logout` have in common: a session is changed, and then its state shown.

use serde_json::Value;

use crate::{
    cli::{
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
    pub(super) which: Which,
    /// Print what state it is in then as JSON
    #[arg(long)]
    json: bool,
}

/// Checks which session is meant, changes it if it `may` be, and says what came of it; returns the exit code.
pub(super) fn run(
    context: Context,
    args: Args,
    secrets: Secrets,
    may: impl FnOnce(&Which) -> Result<(), Error>,
    change: impl AsyncFnOnce(&mut Reach, &Which) -> Result<Value, Error>,
    shown: impl FnOnce(&Value) -> String,
) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args { which, json } = args;
    let found = context.load()?;
    which.check(found.config())?;
    may(&which)?;
    let status = runtime::one()?.block_on(async {
        let mut reach = Reach::new(&context, found, secrets).await?;
        let status = change(&mut reach, &which).await;
        reach.close().await?;
        status
    })?;
    if json {
        output::json(&status)?;
    } else {
        output::print(format_args!("{}\n", shown(&status)))?;
    }
    Ok(0)
}

/// What needs no leave.
pub(super) fn always(_: &Which) -> Result<(), Error> {
    Ok(())
}
