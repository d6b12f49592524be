//! `provider`: the recipes for sites that there are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::json;

use crate::{
    cli::{
        command::import,
        context::Context,
        error::Error,
        output::{self, Paint},
    },
    config::Place,
    import::{Error::Sanitized, Kind, draft},
    provider,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Args {
    /// List the built-in ones and your own
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print one, as a file for providers/ to start from
    Show {
        /// Its name, as in `provider = "NAME"`
        #[arg(id = "provider", value_name = "NAME")]
        name: String,
    },
    /// Draft one from a recording of a browser's traffic; the draft has names and places, and no value
    New {
        /// The recording (HAR); - for standard input
        #[arg(long, value_name = "FILE")]
        from_har: PathBuf,
    },
}

/// Where a provider is.
struct Known {
    name: String,
    /// Its file; `None`: it is built in.
    file: Option<PathBuf>,
}

/// Carries it out; returns the exit code.
pub(in crate::cli) fn run(context: &Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    if let Args::New { from_har } = &args {
        return draft(from_har);
    }
    let folder = folder(context)?;
    let known = known(folder.as_deref());
    match args {
        Args::List { json: true } => {
            let all = known.iter().map(
                |known| json!({ "name": known.name, "file": known.file, "about": known.about() }),
            );
            output::json(&json!({ "providers": all.collect::<Vec<_>>() }))?;
        }
        Args::List { json: false } if known.is_empty() => {
            output::note(
                "There are none. Your own go into providers/ beside the configuration: docs/providers.md",
            );
        }
        Args::List { json: false } => {
            let rows = known.iter().map(|known| {
                let place = known.file.as_ref().map(|file| file.display().to_string());
                let place = place.unwrap_or_else(|| "built in".to_owned());
                let about = known.about().unwrap_or_default();
                vec![known.name.clone(), place, about]
            });
            let header = ["PROVIDER", "WHERE", "WHAT FOR"];
            output::print(output::table(&header, rows.collect()))?;
        }
        Args::New { .. } => {}
        Args::Show { name } => output::print(text(&known, &name)?)?,
    }
    Ok(0)
}

/// Prints a draft, and says what to look at.
fn draft(file: &Path) -> Result<u8, Error> {
    let text = import::read(Some(file), Kind::Har)?;
    let draft = draft::draft(&text).map_err(|error| {
        let hint = match error {
            Sanitized => error.hint(),
            _ => Some("a recording is a HAR file, as a browser's network tab saves it"),
        };
        let hint = hint.map(str::to_owned);
        Error::because("nothing was drafted", error).hint(hint)
    })?;
    output::print(&draft.toml)?;
    for note in &draft.notes {
        output::note(format_args!("{} {note}", Paint::Dim("note:")));
    }
    output::note(format_args!(
        "{} it is a guess: read it before you use it, as providers/{}.toml beside the configuration",
        Paint::Dim("note:"),
        draft.name
    ));
    Ok(0)
}

/// Returns the folder of one's own providers; without a configuration there is none.
fn folder(context: &Context) -> Result<Option<PathBuf>, Error> {
    match context.place() {
        Ok(place) => Ok(Some(beside(&place))),
        Err(error) if context.config.is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Returns the folder of one's own providers beside this configuration.
pub(super) fn beside(place: &Place) -> PathBuf {
    let beside = place.path.parent().unwrap_or(Path::new(""));
    beside.join("providers")
}

/// Returns the names of all that there are.
pub(super) fn names(folder: Option<&Path>) -> Vec<String> {
    known(folder).into_iter().map(|known| known.name).collect()
}

/// Returns all that there are, by name; one's own file goes before a built-in provider of its name.
fn known(folder: Option<&Path>) -> Vec<Known> {
    let own = folder.and_then(|folder| fs::read_dir(folder).ok());
    let files = own
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut known: Vec<Known> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some(Known {
                name,
                file: Some(path),
            })
        })
        .collect();
    for name in provider::names() {
        if !known.iter().any(|own| own.name == name) {
            known.push(Known {
                name: name.to_owned(),
                file: None,
            });
        }
    }
    known.sort_by(|a, b| a.name.cmp(&b.name));
    known
}

// === impl Known ===

impl Known {
    fn text(&self) -> Result<String, Error> {
        match &self.file {
            Some(path) => fs::read_to_string(path)
                .map_err(|e| Error::because(format!("cannot read {}", path.display()), e)),
            None => {
                let text = provider::builtin(&self.name);
                Ok(text.unwrap_or_default().to_owned())
            }
        }
    }

    /// Returns the comment in its first line, which says what it is for.
    fn about(&self) -> Option<String> {
        let text = self.text().ok()?;
        let about = text.lines().next()?.strip_prefix('#')?.trim();
        (!about.is_empty()).then(|| about.to_owned())
    }
}

fn text(known: &[Known], name: &str) -> Result<String, Error> {
    match known.iter().find(|known| known.name == name) {
        Some(known) => known.text(),
        None => Err(Error::asked(format!("there is no provider {name}"))
            .hint("`staysigned provider list` has those there are".to_owned())),
    }
}
