//! `check`: is the configuration right, and what would become of a request.

use std::io::Write as _;

use http::Method;

use crate::{
    cli::{
        check::{self, Ask, Ended, Params},
        context::Context,
        error::Error,
        runtime,
    },
    config::{self, Config},
    server::{self, Held},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Say what would become of a request for this
    url: Option<String>,
    /// The request's method
    #[arg(
        short = 'X',
        value_name = "METHOD",
        default_value = "GET",
        requires = "url"
    )]
    method: Method,
    /// The client that makes it, where there are [clients]
    #[arg(long, value_name = "CLIENT", requires = "url")]
    client: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Checks; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let place = context.place()?;
    let Args {
        url,
        method,
        client,
        json,
    } = args;
    let ask = url.map(|url| Ask {
        method,
        client,
        url,
    });
    let held = match config::load(&place, &context.variables) {
        Ok(loaded) => held(&loaded.config, &context),
        Err(_) => Held::new(),
    };
    let params = Params {
        place: &place,
        variables: &context.variables,
        ask,
        json,
    };
    let mut out = anstream::stdout();
    let held = |session: &str, field: &str| held.contains(&(session.to_owned(), field.to_owned()));
    let ended = check::run(&params, held, &mut out).map_err(Error::Write)?;
    out.flush().map_err(Error::Write)?;
    Ok(match ended {
        Ended::Right => 0,
        Ended::Wrong => 2,
    })
}

/// Returns the fields that the store has: for these a source may be missing. A check makes no store and runs no
/// program, and a store that cannot be read says nothing.
fn held(config: &Config, context: &Context) -> Held {
    if matches!(config.store.key, config::Source::Command { .. }) {
        return Held::new();
    }
    let Ok(runtime) = runtime::one() else {
        return Held::new();
    };
    let held = runtime.block_on(server::stored_fields(config, &context.variables));
    held.unwrap_or_default()
}
