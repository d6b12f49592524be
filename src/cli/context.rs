//! Where a command runs: the environment, the current folder, the configuration that is meant.

use std::path::PathBuf;

use super::{
    error::Error,
    log::{self, Format},
    output::{self, Paint},
};
use crate::config::{self, Config, Loaded, Place, Told, Variables};

/// What every command starts from.
#[derive(Debug)]
pub(super) struct Context {
    /// `--config`.
    pub(super) config: Option<PathBuf>,
    pub(super) variables: Variables,
    pub(super) folder: PathBuf,
}

/// The configuration that a command works with; nothing was run for it and no secret read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) loaded: Loaded,
}

// === impl Context ===

impl Context {
    pub(super) fn new(config: Option<PathBuf>) -> Self {
        Self {
            config,
            variables: Variables::of_process(),
            // A folder that was removed has no configuration; whatever is named by a whole path is still found.
            folder: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// Looks for the configuration; what was passed over is said.
    pub(super) fn place(&self) -> Result<Place, Error> {
        let place = config::find(self.config.as_deref(), &self.variables, &self.folder)?;
        for note in &place.notes {
            output::note(format_args!("{} {note}", Paint::Dim("note:")));
        }
        Ok(place)
    }

    /// Reads and checks the configuration.
    pub(super) fn load(&self) -> Result<Found, Error> {
        let place = self.place()?;
        let loaded = config::load(&place, &self.variables)?;
        if !loaded.warnings.is_empty() {
            output::note(Told(&loaded.warnings));
        }
        Ok(Found { place, loaded })
    }

    /// Logs what a command that is no server has to say: warnings, unless more is asked for.
    pub(super) fn log_quietly(&self) -> Result<(), Error> {
        let level = self.variables.get("STAYSIGNED_LOG");
        let level = level.and_then(|level| level.to_str());
        let level = level.filter(|level| !level.is_empty());
        log::start(level.unwrap_or("warn"), Format::text())
    }
}

// === impl Found ===

impl Found {
    pub(super) fn config(&self) -> &Config {
        &self.loaded.config
    }
}
