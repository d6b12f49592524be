//! Why a command failed, told to the person who typed it: what happened with all its causes, and what to do.

use std::{error::Error as StdError, io};

use super::output::{self, Paint};
use crate::{ca, config::Diagnostics, server, store};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not one.
    #[error(transparent)]
    Usage(clap::Error),
    /// The configuration is wrong; every fault is rendered with its place and a hint.
    #[error(transparent)]
    Config(#[from] Diagnostics),
    /// What was asked for does not go together with the configuration, or with itself.
    #[error("{message}")]
    Asked {
        message: String,
        hint: Option<String>,
    },
    /// It was tried, and failed.
    #[error("{message}")]
    Failed {
        message: String,
        hint: Option<String>,
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    #[error("cannot write the answer")]
    Write(#[source] io::Error),
    /// What is left to do was said already.
    #[error("not everything was done")]
    InPart,
    /// `run` failed before its command ran, or could not run it.
    #[error("{source}")]
    Run { code: u8, source: Box<Self> },
}

// === impl Error ===

impl Error {
    /// A failure with its cause.
    pub fn because(
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
            source: Some(Box::new(source)),
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    pub fn asked(message: impl Into<String>) -> Self {
        Self::Asked {
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what can be done about it.
    pub fn hint(self, text: impl Into<Option<String>>) -> Self {
        match self {
            Self::Asked { message, .. } => Self::Asked {
                message,
                hint: text.into(),
            },
            Self::Failed {
                message, source, ..
            } => Self::Failed {
                message,
                hint: text.into(),
                source,
            },
            other => other,
        }
    }

    /// Returns the exit code: 1 for what failed, 2 for a wrong command line or configuration.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Asked { .. } => 2,
            Self::Failed { .. } | Self::InPart => 1,
            // Who reads no further has what was wanted (`| head`).
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Write(_) => 1,
            Self::Run { code, .. } => *code,
        }
    }

    /// Writes it to standard error.
    pub fn tell(&self) {
        match self {
            // It knows how to print itself, with colours; that standard error is gone can be told nobody.
            Self::Usage(error) => drop(error.print()),
            Self::Run { source, .. } => source.tell(),
            Self::InPart => {}
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Config(diagnostics) => {
                output::note(format_args!("{diagnostics}"));
                let count = diagnostics.0.len();
                if count > 1 {
                    output::note(format_args!("\n{count} errors in the configuration"));
                }
            }
            Self::Asked { hint, .. } | Self::Failed { hint, .. } => {
                output::note(format_args!("{} {}", Paint::Error("error:"), chain(self)));
                if let Some(hint) = hint {
                    output::note(format_args!("{} {hint}", Paint::Hint("hint:")));
                }
            }
            Self::Write(_) => {
                output::note(format_args!("{} {}", Paint::Error("error:"), chain(self)));
            }
        }
    }
}

/// Returns an error with all its causes in one line. A cause whose text its effect repeats is left out.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl From<server::Error> for Error {
    fn from(error: server::Error) -> Self {
        if let server::Error::Config(diagnostics) = error {
            return Self::Config(diagnostics);
        }
        let hint = error.hint();
        Self::because("the proxy does not start", error).hint(hint)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self::because("the store does not do it", error).hint(hint)
    }
}

impl From<ca::Error> for Error {
    fn from(error: ca::Error) -> Self {
        let hint = error.hint();
        Self::because("the CA cannot be used", error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_in_one_line() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::because("cannot ask the proxy", Error::Write(refused));
        assert_eq!(
            chain(&error),
            "cannot ask the proxy: cannot write the answer: connection refused"
        );
        let same = Error::because("twice", Error::failed("twice"));
        assert_eq!(chain(&same), "twice");
    }

    #[test]
    fn codes() {
        let run = |source: Error| Error::Run {
            code: 125,
            source: Box::new(source),
        };
        let pipe = Error::Write(io::ErrorKind::BrokenPipe.into());
        for (error, code) in [
            (Error::asked("a"), 2),
            (Error::failed("a"), 1),
            (pipe, 0),
            (Error::Write(io::ErrorKind::StorageFull.into()), 1),
            (run(Error::asked("a")), 125),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
