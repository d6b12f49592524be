//! `completions`: what a shell needs to complete our command lines.

use clap_complete::Shell;

use crate::cli::{error::Error, output};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The shell that they are for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions; returns the exit code.
pub(in crate::cli) fn run(args: Args, mut cli: clap::Command) -> Result<u8, Error> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "staysigned", &mut text);
    output::print(String::from_utf8_lossy(&text))?;
    Ok(0)
}
