//! `key`: the key that seals the store.

use clap::Subcommand;

use crate::{
    cli::{
        command::import,
        context::Context,
        error::Error,
        output::{self, Paint},
        runtime,
    },
    config::Source,
    server,
    store::{self, NewKey},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Args {
    /// Print a new key, for the place that `store.key` names
    New,
    /// Give the store another key and seal everything with it; proxies on it go on
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// The new key, where it does not lie in a file: env:NAME, file:PATH, cmd:COMMAND or keyring:NAME
    #[arg(long, value_name = "SOURCE", value_parser = import::source)]
    to: Option<Source>,
}

/// Carries it out; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    match args {
        Args::New => {
            let key = store::key::generate();
            output::print(format_args!("{}\n", key.expose()))?;
            Ok(0)
        }
        Args::Rotate(Rotate { to }) => rotate(context, to),
    }
}

fn rotate(context: Context, to: Option<Source>) -> Result<u8, Error> {
    context.log_quietly()?;
    let found = context.load()?;
    let config = found.config();
    let place = &config.store.key;
    let in_file = matches!(place, Source::File(_));
    if config.store.url == store::Kind::Memory {
        return Err(Error::asked(
            "the store is in memory: it has no key to replace",
        ));
    }
    let key = match import::secret(&context, "--to", to)? {
        None if in_file => NewKey::Drawn,
        None => {
            return Err(
                Error::asked(format!("the store's key comes from {place:?}, where no new one can be put"))
                    .hint("stop the proxies, draw one with `staysigned key new`, put it where --to SOURCE finds it, and then where store.key says".to_owned()),
            );
        }
        Some(_) if in_file => {
            return Err(Error::asked("the new key goes into the file of the old")
                .hint("leave --to out".to_owned()));
        }
        Some(text) => NewKey::Given(store::key::parse("--to", &text)?),
    };
    let given = matches!(key, NewKey::Given(_));
    let records = runtime::one()?.block_on(server::replace_key(config, &context.variables, key))?;
    output::print(format_args!(
        "{}  {records} records are sealed with the new key\n",
        Paint::Good("done")
    ))?;
    if given {
        output::note(format_args!(
            "Put the new key where store.key says ({place:?}): the old one opens nothing any more."
        ));
    }
    Ok(0)
}
