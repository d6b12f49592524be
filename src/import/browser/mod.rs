//! Cookies of a browser of this machine, read while it runs.
//!
//! Only cookies for the asked hosts are taken, so that a session never holds what it cannot send. The browser's files
//! are copied to a private folder in memory, read, and gone again before a value is decrypted. A cookie that cannot
//! be read costs that cookie alone: it is counted, and the count says why.

mod chromium;
mod copy;
mod firefox;
mod keyring;
mod lz4;
mod places;
mod profile;
mod rows;
mod seal;
mod session_store;
#[cfg(test)]
mod tests;
mod user_agent;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

pub use self::{keyring::Keyring, places::Places};
use super::{
    Material, Options,
    collect::{Collector, Draft, Twice, wants},
};
use crate::{jar::SameSite, origin::Host, rule::HostPattern, secret::Secret};

/// A browser whose cookies can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    Firefox,
    Chrome,
    Chromium,
    Brave,
    Edge,
    Vivaldi,
    Opera,
}

/// Every browser, by the name that people write.
pub const ALL: [(&str, Browser); 7] = [
    ("firefox", Browser::Firefox),
    ("chrome", Browser::Chrome),
    ("chromium", Browser::Chromium),
    ("brave", Browser::Brave),
    ("edge", Browser::Edge),
    ("vivaldi", Browser::Vivaldi),
    ("opera", Browser::Opera),
];

/// What is read, and where.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub browser: Browser,
    /// The profile's name or folder; `None`: the one that the browser starts with.
    pub profile: Option<&'a str>,
    /// Firefox: the container's name or number, `none` as well as `None` for what is in none.
    pub container: Option<&'a str>,
    /// The hosts that the cookies are for; `Options::domain` goes before them.
    pub hosts: &'a [HostPattern],
    pub places: &'a Places,
    pub keyring: &'a Keyring,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is no profile of {browser} with cookies in {}", list(looked_in))]
    NoProfile {
        browser: Browser,
        looked_in: Vec<PathBuf>,
    },
    #[error("{browser} has no profile {name:?}; it has {}", known.join(", "))]
    UnknownProfile {
        browser: Browser,
        name: String,
        known: Vec<String>,
    },
    #[error("{browser} has no containers")]
    NoContainers { browser: Browser },
    #[error("the profile has no container {name:?}; it has {}", known.join(", "))]
    UnknownContainer { name: String, known: Vec<String> },
    #[error("{path} cannot be read: {why}")]
    File { path: PathBuf, why: String },
    #[error("{path} is larger than {} MiB", copy::LARGEST >> 20)]
    TooLarge { path: PathBuf },
    #[error("{path} is no file")]
    NoFile { path: PathBuf },
    #[error("{path} changes faster than it can be read")]
    Busy { path: PathBuf },
    #[error("{path} is damaged or cut off, or no database of cookies: {why}")]
    Damaged { path: PathBuf, why: String },
    #[error("{browser} has no cookie for {hosts} in {profile}{}", left_out(why))]
    Nothing {
        browser: Browser,
        hosts: String,
        profile: PathBuf,
        /// What was there and could not be taken, if anything was.
        why: Vec<String>,
        hint: Option<&'static str>,
    },
}

/// One cookie as a browser has it, its value in clear.
struct Row {
    name: Vec<u8>,
    value: Secret<Vec<u8>>,
    /// With a leading dot: for the hosts below as well.
    host: String,
    path: String,
    expires: Option<SystemTime>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
}

/// What was found in one profile.
#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    troubles: Troubles,
}

/// Why cookies were left out, each with how many, and what can be done about the first of them.
#[derive(Default)]
struct Troubles {
    counts: BTreeMap<String, usize>,
    lost: bool,
    hint: Option<&'static str>,
}

/// Reads a browser's cookies; blocks, and may wait for a person who unlocks a keyring.
pub fn read(ask: &Ask<'_>, options: &Options) -> Result<Material, super::Error> {
    let profile = profile::find(ask)?;
    let wanted = |host: &str| wants(ask.hosts, options.domain.as_ref(), host);
    let mut found = match ask.browser {
        Browser::Firefox => firefox::read(&profile, ask.container, ask.places, &wanted)?,
        browser => {
            if ask.container.is_some_and(|name| name != "none") {
                return Err(Error::NoContainers { browser }.into());
            }
            chromium::read(ask, &profile, options.password.as_ref(), &wanted)?
        }
    };
    let mut material = collect(ask, options, &profile.folder, &mut found)?;
    material.user_agent = user_agent::of(ask.browser, &profile, ask.places.is_mac());
    Ok(material)
}

fn collect(
    ask: &Ask<'_>,
    options: &Options,
    profile: &Path,
    found: &mut Found,
) -> Result<Material, super::Error> {
    let Found { rows, troubles } = found;
    // Where a browser keeps a cookie twice, the later one read counts.
    let is_over = |row: &Row| row.expires.is_some_and(|end| end <= options.now);
    let mut last = HashMap::new();
    for (n, row) in rows.iter().enumerate().filter(|(_, row)| !is_over(row)) {
        last.insert((&row.name, &row.host, &row.path), n);
    }
    let unfiltered = Options {
        domain: None,
        ..options.clone()
    };
    let mut collector = Collector::new(&unfiltered);
    for (n, row) in rows.iter().enumerate() {
        if is_over(row) {
            troubles.add("is over", None);
            continue;
        }
        if last[&(&row.name, &row.host, &row.path)] != n {
            continue;
        }
        let draft = Draft {
            name: &row.name,
            value: row.value.expose(),
            domain: Some(&row.host),
            path: Some(&row.path),
            host_only: !row.host.starts_with('.'),
            secure: Some(row.secure),
            http_only: row.http_only,
            same_site: row.same_site,
            expires: row.expires,
            partitioned: false,
            assumed: false,
        };
        if let Err(problem) = collector.add(draft, Twice::LastWins) {
            troubles.add(&format!("cannot be kept ({problem})"), None);
        }
    }
    let why = troubles.lines();
    match collector.finish() {
        Ok(mut material) => {
            material.warnings.extend(why);
            Ok(material)
        }
        Err(super::Error::Empty | super::Error::NothingLeft(_)) => Err(Error::Nothing {
            browser: ask.browser,
            hosts: shown(ask.hosts, options.domain.as_ref()),
            profile: profile.to_owned(),
            why,
            hint: troubles.hint,
        }
        .into()),
        Err(error) => Err(error),
    }
}

fn shown(hosts: &[HostPattern], only: Option<&Host>) -> String {
    if let Some(only) = only {
        return only.to_string();
    }
    let mut hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    hosts.dedup();
    hosts.join(", ")
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match paths.is_empty() {
        true => "any place that is known".to_owned(),
        false => paths.join(", "),
    }
}

fn left_out(why: &[String]) -> String {
    match why.is_empty() {
        true => String::new(),
        false => format!(" that can be used: {}", why.join("; ")),
    }
}

// === impl Browser ===

impl FromStr for Browser {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let found = ALL.iter().find(|(name, _)| *name == s);
        found.map(|(_, browser)| *browser).ok_or(())
    }
}

impl fmt::Display for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firefox => "Firefox",
            Self::Chrome => "Chrome",
            Self::Chromium => "Chromium",
            Self::Brave => "Brave",
            Self::Edge => "Edge",
            Self::Vivaldi => "Vivaldi",
            Self::Opera => "Opera",
        })
    }
}

// === impl Error ===

impl Error {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoProfile { .. } => {
                "start the browser once, or name the folder of its profile (--profile PATH, `profile` in [refresh])"
            }
            Self::UnknownProfile { .. } => "name one of them, or the profile's folder: --profile PATH",
            Self::NoContainers { .. } => "leave --container out",
            Self::UnknownContainer { .. } => "name one of them, or leave --container out",
            Self::File { .. } => "run it as the user whose browser it is",
            Self::TooLarge { .. } | Self::NoFile { .. } => {
                "name the folder of a browser's profile: --profile PATH"
            }
            Self::Busy { .. } => "try again, or close the browser",
            Self::Damaged { .. } => {
                "start the browser once, or export its cookies with an extension: --from json or cookies-txt"
            }
            Self::Nothing { hint, .. } => hint.unwrap_or(
                "sign in with that browser, wait half a minute (it writes late), or name another --profile or --domain",
            ),
        }
    }
}

// === impl Row ===

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

// === impl Troubles ===

impl Troubles {
    fn add(&mut self, why: &str, hint: Option<&'static str>) {
        *self.counts.entry(why.to_owned()).or_default() += 1;
        self.hint = self.hint.or(hint);
    }

    /// Notes that there may be cookies that nobody can count.
    fn lose(&mut self) {
        self.lost = true;
    }

    fn lines(&self) -> Vec<String> {
        let line = |(why, count): (&String, &usize)| match count {
            1 => format!("1 cookie {why}"),
            n => format!("{n} cookies: each {why}"),
        };
        let lost = self.lost.then(|| {
            "the browser's database is damaged, and some cookies could not be read".to_owned()
        });
        self.counts.iter().map(line).chain(lost).collect()
    }
}
