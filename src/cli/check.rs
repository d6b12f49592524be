//! `check`: validates the configuration, running no program; with a URL it says which session a request to it
//! meets, by which rule, and what would be sent, by name.

mod lookup;
#[cfg(test)]
mod tests;

use std::{fmt, io};

use http::Method;
use serde::Serialize;

use crate::config::{self, Config, Diagnostic, Diagnostics, Place, Programs, Told, Variables};

pub use self::lookup::{Answer, Decision, look_up};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    pub place: &'a Place,
    pub variables: &'a Variables,
    /// A request to look up.
    pub ask: Option<Ask>,
    pub json: bool,
}

/// A request that somebody might make.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub client: Option<String>,
    pub url: String,
}

/// How it ended, if the answer could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Right,
    /// The configuration, the URL or the client is wrong: exit code 2.
    Wrong,
}

/// What is to be said about a configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub file: String,
    pub valid: bool,
    pub sessions: Vec<Session>,
    pub clients: Vec<String>,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Answer>,
}

/// A session, in a line.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    pub name: String,
    pub provider: Option<String>,
    pub bound_to: Vec<String>,
}

/// Carries the command out. `held` tells whether the store has a field of a session: then its source may be missing.
pub fn run(
    params: &Params<'_>,
    held: impl Fn(&str, &str) -> bool,
    out: &mut dyn io::Write,
) -> io::Result<Ended> {
    let Params {
        place,
        variables,
        ask,
        json,
    } = params;
    let resolved = config::load(place, variables)
        .and_then(|loaded| loaded.resolve_sources(variables, Programs::Leave, held));
    let mut report = Report {
        file: place.path.display().to_string(),
        ..Report::default()
    };
    match resolved {
        Ok((config, warnings)) => {
            report.describe(&config, warnings);
            if let Some(ask) = ask {
                match look_up(&config, ask) {
                    Ok(answer) => report.request = Some(answer),
                    Err(Diagnostics(errors)) => report.errors = errors,
                }
            }
        }
        Err(Diagnostics(errors)) => report.errors = errors,
    }
    if *json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.errors.is_empty() {
        Ended::Right
    } else {
        Ended::Wrong
    })
}

// === impl Report ===

impl Report {
    fn describe(&mut self, config: &Config, warnings: Vec<Diagnostic>) {
        self.valid = true;
        self.warnings = warnings;
        let clients = config.clients.iter().map(|client| client.name.to_string());
        self.clients = clients.collect();
        let sessions = config.recipes.iter().map(|recipe| Session {
            name: recipe.name.to_string(),
            provider: recipe.provider.clone(),
            bound_to: recipe.bound_to(),
        });
        self.sessions = sessions.collect();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for list in [&self.errors, &self.warnings] {
            if !list.is_empty() {
                writeln!(f, "{}\n", Told(list))?;
            }
        }
        if !self.valid {
            let what = count(self.errors.len(), "fault");
            return writeln!(f, "{}: {what}; nothing was started", self.file);
        }
        let sessions = count(self.sessions.len(), "session");
        let clients = match self.clients.len() {
            0 => String::new(),
            n => format!(", {}", count(n, "client")),
        };
        writeln!(f, "{} is right: {sessions}{clients}", self.file)?;
        if let Some(answer) = &self.request {
            return write!(f, "\n{answer}");
        }
        for session in &self.sessions {
            let Session {
                name,
                provider,
                bound_to,
            } = session;
            let provider = provider.as_ref().map(|name| format!(" ({name})"));
            let provider = provider.unwrap_or_default();
            writeln!(f, "  {name}{provider}: {}", bound_to.join(", "))?;
        }
        Ok(())
    }
}

fn count(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
