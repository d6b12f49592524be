//! Makes a machine trust the CA, and undoes it: the system's store, and the stores of Firefox and Chromium.
//!
//! Nothing is done silently and nothing needs a shell: every place tried is a [`Step`] with its outcome, and where
//! the rights are missing it carries the exact command. Doing it twice changes nothing.

mod nss;
mod system;
#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Error, certificate::Certificate, file};

/// A CA certificate to be trusted, or no longer.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub path: PathBuf,
    /// Its common name.
    pub name: String,
    pub der: CertificateDer<'static>,
    pem: Vec<u8>,
}

/// The machine whose stores are meant: its root folder, its user's home, and where its commands lie.
#[derive(Clone, Debug)]
pub struct Machine {
    pub root: PathBuf,
    pub home: Option<PathBuf>,
    pub path: OsString,
}

/// What was tried at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub place: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was so before.
    Already,
    /// The rights are missing; the command has to be run by hand.
    NeedsRoot(String),
    Failed(String),
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

// === impl Anchor ===

impl Anchor {
    /// Reads a certificate; the first of its file counts.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::of(file::read(path)?, path)
    }

    /// Reads all certificates of a file that are well-formed; none if it is not there.
    pub fn all(path: &Path) -> Vec<Self> {
        const END: &str = "-----END CERTIFICATE-----";
        let text = fs::read_to_string(path).unwrap_or_default();
        let parts = text.split_inclusive(END).filter(|part| part.ends_with(END));
        let parts = parts.map(|part| format!("{}\n", part.trim_start()).into_bytes());
        parts.filter_map(|pem| Self::of(pem, path).ok()).collect()
    }

    fn of(pem: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let unfit = || Error::Unfit {
            path: path.to_owned(),
            reason: "holds no certificate",
        };
        let der = CertificateDer::from_pem_slice(&pem).map_err(|_| unfit())?;
        let read = Certificate::parse(der.clone()).ok_or_else(unfit)?;
        let path = path
            .canonicalize()
            .map_err(|source| Error::io("find", path, source))?;
        Ok(Self {
            path,
            name: read.common_name.unwrap_or_else(|| "staysigned CA".into()),
            der,
            pem,
        })
    }

    /// Returns the SHA-256 of the certificate, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Returns a file name that no other CA has, without its extension.
    fn file_stem(&self) -> String {
        format!("staysigned-{}", &self.fingerprint()[..16])
    }
}

// === impl Machine ===

impl Machine {
    /// The machine this process runs on, for the user who runs it.
    pub fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            home: env::var_os("HOME").map(PathBuf::from),
            path: env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// Makes every store at hand trust the CA.
    pub fn install(&self, anchor: &Anchor) -> Vec<Step> {
        self.all(anchor, Way::In)
    }

    /// Takes the CA out of every store at hand.
    pub fn uninstall(&self, anchor: &Anchor) -> Vec<Step> {
        self.all(anchor, Way::Out)
    }

    fn all(&self, anchor: &Anchor, way: Way) -> Vec<Step> {
        let mut steps = vec![system::apply(self, anchor, way)];
        steps.extend(nss::apply(self, anchor, way));
        steps
    }

    /// Finds a command, also where a user's `PATH` seldom looks.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let more = ["usr/sbin", "sbin"].map(|folder| self.root.join(folder));
        env::split_paths(&self.path)
            .chain(more)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, outcome } = self;
        match outcome {
            Outcome::Done => write!(f, "{place}: done"),
            Outcome::Already => write!(f, "{place}: nothing to do"),
            Outcome::NeedsRoot(command) => write!(f, "{place}: needs root; run\n    {command}"),
            Outcome::Failed(reason) => write!(f, "{place}: failed: {reason}"),
        }
    }
}

/// Runs a command to its end; the error is what it last said.
fn run(program: &Path, args: &[&str], input: &[u8]) -> Result<(), String> {
    said(program, args, input).map(drop)
}

/// Runs a command to its end, and returns what it wrote.
fn said(program: &Path, args: &[&str], input: &[u8]) -> Result<String, String> {
    let fail = |error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input is no failure.
        stdin.write_all(input).ok();
    }
    let output = child.wait_with_output().map_err(fail)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| fail_text(program, &output), str::to_owned))
}

fn fail_text(program: &Path, output: &std::process::Output) -> String {
    format!("{} ended with {}", program.display(), output.status)
}

/// Tells whether the file has this content.
fn has(path: &Path, content: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == content)
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+=:,@".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
