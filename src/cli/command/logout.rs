//! `logout`: forget what a session holds.

use std::io::{self, IsTerminal as _};

use dialoguer::Confirm;

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
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print what state it is in then as JSON
    #[arg(long)]
    json: bool,
}

/// Forgets; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args { which, yes, json } = args;
    let found = context.load()?;
    which.check(found.config())?;
    if !yes && !is_wanted(&which)? {
        return Err(Error::failed("nothing was forgotten"));
    }
    let status = runtime::one()?.block_on(async {
        let mut reach = Reach::new(&context, found, Secrets::AtHand).await?;
        let status = reach.forget(&which).await;
        reach.close().await?;
        status
    })?;
    if json {
        output::json(&status)?;
    } else {
        output::print(format_args!("{} holds nothing any more\n", which.session))?;
    }
    Ok(0)
}

fn is_wanted(which: &Which) -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        let error = Error::asked("nobody can be asked whether the session is to be forgotten");
        return Err(error.hint("add --yes".to_owned()));
    }
    let question = format!(
        "Forget what {} holds? It cannot be brought back",
        which.session
    );
    let answer = Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact();
    answer.map_err(|e| Error::because("the question was not answered", e))
}
