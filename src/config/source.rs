//! Where a secret is read from: `env:NAME`, `file:PATH`, `cmd:COMMAND`, `keyring:NAME`.
//!
//! What is read never reaches a message. One line end at the end of a file's or a command's text is taken off, as a
//! shell does; a line end inside, or a NUL, is refused: no field of HTTP can carry it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    read::{At, Read},
    tree::{Span, Value},
};
use crate::secret::Secret;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// No secret is larger; a private key in PEM has a few thousand bytes.
const LARGEST: u64 = 64 * 1024;

/// A place to read a secret from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    Env(String),
    File(PathBuf),
    /// A line for `sh -c`, run in the folder of the configuration.
    Command {
        line: String,
        folder: PathBuf,
    },
    /// The value of the attribute `staysigned` in the desktop's keyring.
    Keyring(String),
}

/// The environment as it was when the program started.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<OsString, OsString>);

/// A secret that is still to be read, and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) slot: Slot,
    pub(super) source: Source,
    pub(super) span: Span,
    pub(super) path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The password of the client with this index.
    Password(usize),
    /// The key of the store.
    StoreKey,
    /// A secret of the recipe with this index.
    Secret { recipe: usize, name: String },
}

/// Why a source has no secret; never says what was read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the variable {0} is not set")]
    Unset(String),
    #[error("the variable {0} is not UTF-8")]
    NotText(String),
    #[error("{path} cannot be read: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("the command cannot be run: {0}")]
    Start(std::io::Error),
    #[error("the command failed ({0})")]
    Failed(String),
    #[error("the command took longer than {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("there is no `secret-tool` to ask the keyring with")]
    NoKeyring,
    #[error("the keyring has nothing under this name")]
    NotInKeyring,
    #[error("it is empty")]
    Empty,
    #[error("it is larger than 64 KiB")]
    TooLarge,
    #[error("it is not UTF-8")]
    Bytes,
    #[error("it has a line end or a NUL inside")]
    Lines,
}

// === impl Variables ===

impl Variables {
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.0.get(std::ffi::OsStr::new(name))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }

    /// Returns a variable that is set and not empty.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.get(name)?;
        (!value.is_empty()).then(|| value.into())
    }

    /// Returns a program to be run with this environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.0);
        command
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str().filter(|text| !text.is_empty())
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pair = |(key, value): (K, V)| (key.into(), value.into());
        Self(pairs.into_iter().map(pair).collect())
    }
}

// === impl Source ===

impl Source {
    /// Reads the secret; blocks, for a command up to half a minute.
    pub fn read(&self, variables: &Variables) -> Result<Secret, Error> {
        let bytes = match self {
            Self::Env(name) => {
                let value = variables
                    .get(name)
                    .ok_or_else(|| Error::Unset(name.clone()))?;
                let text = value.to_str().ok_or_else(|| Error::NotText(name.clone()))?;
                return one_line(text.to_owned().into_bytes());
            }
            Self::File(path) => file(path)?,
            Self::Command { line, folder } => {
                let mut command = variables.command("sh");
                command.arg("-c").arg(line).current_dir(folder);
                run(command, PATIENCE).map_err(|error| match error {
                    Run::Start(error) => Error::Start(error),
                    Run::Failed(status) => Error::Failed(status),
                    Run::TooSlow => Error::TooSlow,
                })?
            }
            Self::Keyring(name) => {
                let mut command = variables.command("secret-tool");
                command.args(["lookup", "staysigned", name]);
                run(command, PATIENCE).map_err(|error| match error {
                    Run::Start(_) => Error::NoKeyring,
                    Run::Failed(_) => Error::NotInKeyring,
                    Run::TooSlow => Error::TooSlow,
                })?
            }
        };
        one_line(bytes)
    }

    /// Tells whether reading it runs a program.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Keyring(_))
    }

    /// Returns the source as a message names it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            other => format!("{other:?}"),
        }
    }

    /// Reads a source as it is written; says else what is wrong with it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let source = match scheme {
            "env" => Self::Env(rest.to_owned()),
            "file" => Self::File(folder.join(rest)),
            "cmd" => Self::Command {
                line: rest.to_owned(),
                folder: folder.to_owned(),
            },
            "keyring" => Self::Keyring(rest.to_owned()),
            _ => return Err("a secret does not stand here itself".to_owned()),
        };
        let named = match scheme {
            "env" => !rest.is_empty() && !rest.contains(['=', '\0', ' ']),
            _ => !rest.trim().is_empty() && !rest.contains('\0'),
        };
        match named {
            true => Ok(source),
            false => Err(format!("`{scheme}:` names nothing")),
        }
    }

    /// Returns what to do about an error.
    pub fn hint(&self, error: &Error) -> String {
        match (self, error) {
            (_, Error::Lines) => "write it on one line, without a line end inside".to_owned(),
            (Self::Env(name), Error::Unset(_)) => {
                format!("set it for this process: export {name}=…")
            }
            (Self::Env(name), _) => format!("look at the value of {name}"),
            (Self::File(_), Error::File { .. }) => {
                "relative paths are relative to the configuration file".to_owned()
            }
            (Self::File(_), _) => "look at the file".to_owned(),
            (Self::Command { .. }, _) => "run the command by hand to see what it says".to_owned(),
            (Self::Keyring(_), Error::NoKeyring) => {
                "install libsecret's `secret-tool`, or use file: or cmd: instead".to_owned()
            }
            (Self::Keyring(name), _) => {
                format!("store it: secret-tool store --label staysigned staysigned {name}")
            }
        }
    }

    /// Tells whether people other than its owner may read the file.
    pub fn is_open_to_others(&self) -> bool {
        match self {
            Self::File(path) => std::fs::metadata(path)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o004 != 0),
            _ => false,
        }
    }
}

impl fmt::Debug for Source {
    /// Leaves a command line out: people put secrets into them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command { .. } => f.write_str("cmd:…"),
            Self::Keyring(name) => write!(f, "keyring:{name}"),
        }
    }
}

impl Read for Source {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str = "put the secret into a file only you can read and write \"file:PATH\"; or \"env:NAME\", \"cmd:COMMAND\", \"keyring:NAME\"";
        let Value::Text(text) = &at.node.value else {
            return at.mismatch("a source", HINT);
        };
        let source = match Self::parse(text, &at.faults.folder.borrow()) {
            Ok(source) => source,
            Err(message) if text.contains(':') && message.contains("names nothing") => {
                at.fault(message, HINT);
                return None;
            }
            Err(_) => {
                at.fault("a secret does not stand in the configuration itself", HINT);
                return None;
            }
        };
        if matches!(source, Self::Command { .. }) && !at.faults.programs.get() {
            at.fault(
                "a configuration found in the current folder may name no command",
                "if the file is yours, name it: --config config.toml, or $STAYSIGNED_CONFIG",
            );
            return None;
        }
        Some(source)
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |error| Error::File {
        path: path.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(fail)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(bytes)
}

fn one_line(mut bytes: Vec<u8>) -> Result<Secret, Error> {
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(Error::Lines);
    }
    String::from_utf8(bytes)
        .map(Secret::new)
        .map_err(|_| Error::Bytes)
}

enum Run {
    Start(std::io::Error),
    Failed(String),
    TooSlow,
}

/// Runs a program without input and returns what it wrote to its standard output. It stays in our process group, so
/// that it can ask for a passphrase on the terminal; what it writes elsewhere is dropped, for it may name the secret.
fn run(mut command: Command, patience: Duration) -> Result<Vec<u8>, Run> {
    let deadline = Instant::now() + patience;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Run::Start)?;
    let stdout = child.stdout.take().expect("stdout was piped");
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(LARGEST + 1).read_to_end(&mut bytes);
        let _ = done.send(read.map(|_| bytes));
    });
    let output = result.recv_timeout(patience);
    loop {
        match child.try_wait().map_err(Run::Start)? {
            Some(status) if !status.success() => return Err(Run::Failed(status.to_string())),
            Some(_) => break,
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Run::TooSlow);
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    match output {
        Ok(bytes) => bytes.map_err(Run::Start),
        Err(_) => Err(Run::TooSlow),
    }
}

#[cfg(test)]
mod tests;
