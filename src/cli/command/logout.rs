//! `logout`: forget what a session holds.

use std::io::{self, IsTerminal as _};

use dialoguer::Confirm;

use super::change;
use crate::{
    cli::{
        context::Context,
        error::Error,
        reach::{Reach, Which},
    },
    server::Secrets,
};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    change: change::Args,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Forgets; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    let Args { change: args, yes } = args;
    let gone = format!("{} holds nothing any more", args.which.session);
    let may = |which: &Which| match yes || is_wanted(which)? {
        true => Ok(()),
        false => Err(Error::failed("nothing was forgotten")),
    };
    let forget = async |reach: &mut Reach, which: &Which| reach.forget(which).await;
    change::run(context, args, Secrets::AtHand, may, forget, |_| gone)
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
