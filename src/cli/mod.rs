//! The command line: what is asked for, one file a command, and how it is answered.
//!
//! Facts go to standard output, everything else to standard error; nobody has to read one to use the other.

pub mod ca;
pub mod check;
mod client;
mod command;
mod context;
mod demo;
mod error;
mod harden;
mod log;
mod login;
mod output;
mod reach;
pub mod run;
mod runtime;
mod signals;
mod table;
mod tools;

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

pub use self::error::Error;
use self::{command as commands, context::Context};

/// A local HTTP(S) proxy that keeps any tool signed in.
///
/// It puts the current credential of a session on every request, learns the rotated one from every answer, renews it
/// before it expires, and when a server still says no, renews it at once and sends the request again.
#[derive(Debug, Parser)]
#[command(
    name = "staysigned",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    after_help = "Without a command it serves, as `staysigned serve`.\n\
                  Begin with `staysigned init`, or look at it at work: `staysigned demo`."
)]
pub struct Cli {
    /// The configuration file; else $STAYSIGNED_CONFIG, ./config.toml, ~/.config/staysigned/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (what no command means)
    Serve,
    /// Write a commented config.toml, a CA and a key, and say what comes next
    Init,
    /// Run a command through the proxy: the one that runs, or a private one just for it
    Run(commands::run::Args),
    /// Sign in by hand, in a browser or on another device
    Login(commands::login::Args),
    /// Put cookies or tokens into a session
    Import(commands::import::Args),
    /// Write what a session holds, for tools that cannot use a proxy
    Export(commands::export::Args),
    /// Show what state the sessions are in
    Status(commands::status::Args),
    /// Renew a session now
    Refresh(commands::change::Args),
    /// Go back to what a session held before its last renewal or import
    Restore(commands::change::Args),
    /// Forget what a session holds
    Logout(commands::logout::Args),
    /// Validate the configuration; with a URL: which session a request to it meets, and what would be sent
    Check(commands::check::Args),
    /// The certificate authority that intercepted hosts are shown with
    #[command(subcommand, disable_help_subcommand = true)]
    Ca(commands::ca::Args),
    /// The key that seals the store
    #[command(subcommand, disable_help_subcommand = true)]
    Key(commands::key::Args),
    /// Print shell lines that lead the tools of this shell through the running proxy
    Env(commands::env::Args),
    /// The recipes for sites that there are
    #[command(subcommand, disable_help_subcommand = true)]
    Provider(commands::provider::Args),
    /// See it at work for twenty seconds: no network, no account
    Demo(demo::Args),
    /// Print completions for a shell
    Completions(commands::completions::Args),
}

/// Carries out a command line; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(commands::run::usage(error, &args)),
        Err(help) => {
            // `--help | head` is no failure.
            drop(help.print());
            return Ok(0);
        }
    };
    let Cli { config, command } = cli;
    harden::not_dumpable();
    let context = Context::new(config);
    match command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve::run(context),
        Command::Init => commands::init::run(context),
        Command::Run(args) => commands::run::run(context, args),
        Command::Login(args) => commands::login::run(context, args),
        Command::Import(args) => commands::import::run(context, args),
        Command::Export(args) => commands::export::run(context, args),
        Command::Status(args) => commands::status::run(context, args),
        Command::Refresh(args) => commands::refresh::run(context, args),
        Command::Restore(args) => commands::restore::run(context, args),
        Command::Logout(args) => commands::logout::run(context, args),
        Command::Check(args) => commands::check::run(context, args),
        Command::Ca(command) => commands::ca::run(context, command),
        Command::Key(args) => commands::key::run(context, args),
        Command::Env(args) => commands::env::run(context, args),
        Command::Provider(args) => commands::provider::run(&context, args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => commands::completions::run(&context, args, Cli::command()),
    }
}
