//! Where the configuration lies, and whether the one in the current folder may be believed.
//!
//! A program that is started in a folder somebody else filled must not do what that folder says: `./config.toml`
//! counts only if it is the user's own, and then it may name no program.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Variables,
    diagnose::{Diagnostic, Diagnostics},
    tree::{self, Value},
};

/// More than this is no configuration.
const LARGEST: u64 = 16 << 20;

/// The configuration file, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub found: Found,
    /// Files that were passed over, and why.
    pub notes: Vec<String>,
}

/// How a configuration file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// `--config`.
    Option,
    /// `$STAYSIGNED_CONFIG`.
    Variable,
    /// `./config.toml`: it may name no program.
    Folder,
    /// `$XDG_CONFIG_HOME/staysigned/config.toml`.
    Home,
}

/// Looks for the configuration in the documented order.
pub fn find(
    option: Option<&Path>,
    variables: &Variables,
    folder: &Path,
) -> Result<Place, Diagnostics> {
    let place = |path: PathBuf, found, notes| Place { path, found, notes };
    if let Some(path) = option {
        return Ok(place(path.to_owned(), Found::Option, Vec::new()));
    }
    if let Some(path) = variables.path("STAYSIGNED_CONFIG") {
        return Ok(place(path, Found::Variable, Vec::new()));
    }
    let mut notes = Vec::new();
    match passed_over(&folder.join("config.toml")) {
        Ok(None) => return Ok(place("config.toml".into(), Found::Folder, notes)),
        Ok(Some(reason)) => notes.push(format!("./config.toml is passed over: {reason}")),
        Err(_) => {}
    }
    let home = variables
        .path("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(variables.path("HOME")?.join(".config")));
    if let Some(home) = home {
        let path = home.join("staysigned").join("config.toml");
        if path.exists() {
            return Ok(place(path, Found::Home, notes));
        }
    }
    let mut message = "no configuration was found".to_owned();
    for note in notes {
        message = format!("{message}; {note}");
    }
    let hint = "write one with `staysigned init`, or name one with --config FILE";
    Err(Diagnostic::without_place("", message, hint.to_owned()).into())
}

/// Whose a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was named.
    Anybodys,
    /// It was found.
    Own,
}

/// Reads a file that says what the program does. What is looked at is what is read: the file once it is open.
pub(super) fn read(path: &Path, trust: Trust) -> Result<String, Diagnostics> {
    let fail = |message: String, hint: &str| {
        let message = format!("{}: {message}", path.display());
        Err(Diagnostic::without_place("", message, hint.to_owned()).into())
    };
    let mut bytes = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let hint = "write one with `staysigned init`, or name another with --config FILE";
            return fail(format!("cannot be read: {error}"), hint);
        }
    };
    if trust == Trust::Own
        && let Ok(Some(reason)) = not_own(path, &file)
    {
        let hint = "if the file is yours, name the configuration: --config config.toml";
        return fail(format!("does not count: {reason}"), hint);
    }
    if let Err(error) = file.take(LARGEST + 1).read_to_end(&mut bytes) {
        return fail(format!("cannot be read: {error}"), "name a TOML file");
    }
    if bytes.len() as u64 > LARGEST {
        return fail("is larger than 16 MiB".to_owned(), "name a TOML file");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            fail(
                format!("line {line} is not UTF-8"),
                "save the file as UTF-8",
            )
        }
    }
}

/// Says why `./config.toml` does not count; an error if there is none.
fn passed_over(path: &Path) -> std::io::Result<Option<&'static str>> {
    let file = File::open(path)?;
    if let Some(reason) = not_own(path, &file)? {
        return Ok(Some(reason));
    }
    let mut text = String::new();
    let read = file.take(LARGEST).read_to_string(&mut text);
    if read.is_err() {
        return Ok(Some("it is not text"));
    }
    let (root, _) = tree::parse(&text, 0);
    let ours = match &root.value {
        Value::Table(table) => ["proxy", "session"].iter().any(|key| {
            table
                .get(key)
                .is_some_and(|entry| matches!(entry.node.value, Value::Table(_)))
        }),
        _ => false,
    };
    Ok((!ours).then_some("it has neither [proxy] nor [session.NAME]"))
}

/// Says why a file, or the link that led to it, cannot be taken for the user's own.
fn not_own(path: &Path, file: &File) -> std::io::Result<Option<&'static str>> {
    let link = path.symlink_metadata()?;
    let meta = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if !meta.is_file() {
        return Ok(Some("it is no file"));
    }
    if meta.uid() != own || link.uid() != own {
        return Ok(Some("it belongs to somebody else"));
    }
    // Many systems give each user a group of their own, of the same number, and a umask that lets it write.
    let private_group = meta.gid() == meta.uid();
    if meta.mode() & 0o002 != 0 || (meta.mode() & 0o020 != 0 && !private_group) {
        return Ok(Some("others may write to it"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
