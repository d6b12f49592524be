//! `completions`: what a shell needs to complete our command lines.
//!
//! They name the sessions and clients of the configuration there is when they are made: a shell that makes them at its
//! start is up to date.

use clap::{Command, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::provider;
use crate::{
    cli::{context::Context, error::Error, output},
    config, export,
    import::{self, browser},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The shell that they are for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions; returns the exit code.
pub(in crate::cli) fn run(context: &Context, args: Args, cli: Command) -> Result<u8, Error> {
    let mut text = Vec::new();
    let mut cli = named(cli, &Names::of(context));
    clap_complete::generate(args.shell, &mut cli, "staysigned", &mut text);
    output::print(String::from_utf8_lossy(&text))?;
    Ok(0)
}

/// Arguments by their ids, and what may stand there.
struct Names(Vec<(&'static str, Vec<String>)>);

// === impl Names ===

impl Names {
    /// Returns what there is; without a configuration that can be read, there are no sessions and no clients.
    fn of(context: &Context) -> Self {
        let known = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let kinds: Vec<&str> = import::KINDS.iter().map(|(name, _)| *name).collect();
        let browsers: Vec<&str> = browser::ALL.iter().map(|(name, _)| *name).collect();
        let forms: Vec<&str> = export::KINDS.iter().map(|(name, _)| *name).collect();
        let place = config::find(
            context.config.as_deref(),
            &context.variables,
            &context.folder,
        );
        let loaded = place.and_then(|place| {
            let loaded = config::load(&place, &context.variables)?;
            Ok((place, loaded.config))
        });
        let (mut sessions, mut clients, mut folder) = (Vec::new(), Vec::new(), None);
        if let Ok((place, config)) = loaded {
            sessions.extend(config.recipes.iter().map(|recipe| recipe.name.to_string()));
            clients.extend(config.clients.iter().map(|client| client.name.to_string()));
            folder = Some(provider::beside(&place));
        }
        Self(vec![
            ("session", sessions),
            ("client", clients),
            ("from", known(&[browsers, kinds].concat())),
            ("to", known(&forms)),
            ("provider", provider::names(folder.as_deref())),
        ])
    }
}

/// Says of each argument what may stand there.
fn named(command: Command, names: &Names) -> Command {
    let command = command.mut_args(|argument| {
        let known = names.0.iter().find(|(id, _)| argument.get_id() == id);
        let Some((_, values)) = known.filter(|(_, values)| !values.is_empty()) else {
            return argument;
        };
        // The program ends with them.
        let values = values.iter().map(|value| &*value.clone().leak());
        argument.value_parser(PossibleValuesParser::new(values))
    });
    command.mut_subcommands(|below| named(below, names))
}
