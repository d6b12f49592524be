//! `ca`: the certificate authority.

use std::{io::Write as _, time::SystemTime};

use clap::Subcommand;
use http::Method;

use crate::{
    ca::trust::Machine,
    cli::{
        ca::{self, Ended, Params, Told},
        client::Client,
        context::Context,
        error::Error,
        runtime,
    },
    config::Config,
    server::bound_hosts,
};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(in crate::cli) enum Args {
    /// Print the certificate as PEM
    Print,
    /// Print the path of the certificate's file, in one line
    Path,
    /// Make this machine and its browsers trust it
    Install,
    /// Take it out of where it was installed
    Uninstall,
    /// Make a new one in its place
    Renew,
}

/// Carries it out; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let found = context.load()?;
    let config = found.config();
    let hosts = bound_hosts(config);
    let params = Params {
        folder: &config.ca.dir,
        constrain: config.ca.constrain.then_some(&hosts[..]),
        machine: &Machine::this(),
        now: SystemTime::now(),
        tell: &|| tell(config),
    };
    let command = match args {
        Args::Print => ca::Command::Print,
        Args::Path => ca::Command::Path,
        Args::Install => ca::Command::Install,
        Args::Uninstall => ca::Command::Uninstall,
        Args::Renew => ca::Command::Renew,
    };
    let mut out = anstream::stdout();
    let ended = ca::run(command, &params, &mut out).map_err(|error| match error {
        ca::Error::Ca(error) => error.into(),
        ca::Error::Write(error) => Error::Write(error),
    })?;
    out.flush().map_err(Error::Write)?;
    match ended {
        Ended::Whole => Ok(0),
        Ended::InPart => Err(Error::InPart),
    }
}

/// Lets the proxy that runs take up the new CA, with whatever else its configuration says now.
fn tell(config: &Config) -> Told {
    let asked = runtime::one().map(|runtime| {
        runtime.block_on(async {
            let mut client = Client::find(config).await?;
            Some(client.ask(Method::POST, "/api/v1/reload", None).await)
        })
    });
    match asked {
        Ok(None) => Told::Nobody,
        Ok(Some(Ok(_))) => Told::Taken,
        Ok(Some(Err(error))) | Err(error) => Told::Refused(error.to_string()),
    }
}
