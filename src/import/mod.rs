//! What a session can be started from: cookies and tokens in the formats in which people have them.
//!
//! Text in, material out, and nothing is stored; files are read for [`browser`] alone. An import is whole or nothing: what cannot be
//! read is one error that says where it is and what to do. What can be read but not kept (cookies that are over,
//! or of other hosts than `--domain`) is left out and counted in a warning. No value is ever part of a message.
//!
//! The domain of a cookie is trusted as written, but never a public suffix.

mod audible;
pub mod browser;
mod cipher;
mod collect;
mod cookies_txt;
mod curl;
pub mod draft;
mod fernet;
mod har;
mod header;
mod json;
mod once;
mod recording;
mod sniff;
mod supabase;
#[cfg(test)]
mod tests;
mod tokens;

use std::{collections::BTreeMap, fmt, str::FromStr, time::SystemTime};

pub use self::{browser::Browser, sniff::Found};
use crate::{
    jar::{Bounds, Cookie},
    origin::{self, Host, Scheme},
    rule::HostPattern,
    secret::Secret,
};

/// The formats (`--from`) that are read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Netscape's `cookies.txt`, in the dialects of curl, wget, Python, yt-dlp and browser extensions.
    CookiesTxt,
    /// Cookies as the extensions Cookie-Editor and EditThisCookie, Puppeteer and Playwright write them, cookies as
    /// `{"name": "value"}`, or tokens as a token endpoint answers.
    Json,
    /// Playwright's `storageState`; its local storage is left out.
    StorageState,
    /// The auth file of the `audible` library, plain or encrypted.
    Audible,
    /// A Supabase session: local storage, or cookies in chunks.
    Supabase,
    /// Tokens encrypted with Fernet.
    Fernet,
    /// `Cookie`, `Set-Cookie` and `Authorization` fields of a request, or the value of the first alone.
    Header,
    /// A curl command line, as browsers' tools copy requests.
    Curl,
    /// A recording of traffic.
    Har,
}

/// Every format, by the name that people write.
pub const KINDS: [(&str, Kind); 9] = [
    ("cookies-txt", Kind::CookiesTxt),
    ("json", Kind::Json),
    ("storage-state", Kind::StorageState),
    ("header", Kind::Header),
    ("curl", Kind::Curl),
    ("har", Kind::Har),
    ("audible", Kind::Audible),
    ("supabase", Kind::Supabase),
    ("fernet", Kind::Fernet),
];

/// Where an import comes from (`--from`, `refresh.from`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Text(Kind),
    Browser(Browser),
}

/// What an import needs to know beside the text.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--domain`: where cookies belong whose format does not say (they go to its subdomains as well); of formats
    /// that say it, only the cookies for this host are taken.
    pub domain: Option<Host>,
    /// The scheme of the session's origins: cookies whose format does not say are Secure unless it is `http`.
    pub scheme: Scheme,
    pub bounds: Bounds,
    pub now: SystemTime,
    /// What an encrypted file is opened with.
    pub password: Option<Secret>,
    /// The key, or several, of `fernet`.
    pub key: Option<Secret>,
    /// The hosts that the session is bound to: of a recording of many, only what is for these is taken.
    pub hosts: Vec<HostPattern>,
    /// The session's plain values: what it is for, and what a file may be for instead.
    pub values: BTreeMap<String, String>,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Material {
    pub cookies: Vec<Cookie>,
    /// `access_token`, `refresh_token`, `id_token`; of `audible` also what signs.
    pub fields: Vec<(String, Secret)>,
    /// With which `User-Agent` it was got, if that is told.
    pub user_agent: Option<String>,
    /// When the access token ends.
    pub expires_at: Option<SystemTime>,
    /// What a person should know about what was left out or guessed.
    pub warnings: Vec<String>,
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is no import from `{0}`")]
    Kind(String),
    #[error("it is no UTF-8 text")]
    Encoding,
    #[error("it holds no cookie and no token")]
    Empty,
    #[error("every cookie in it is over or for another host: {0}")]
    NothingLeft(String),
    #[error("{0}")]
    Lines(Lines),
    #[error("it is no whole JSON: line {line}, column {column}: {problem}")]
    Syntax {
        line: usize,
        column: usize,
        problem: String,
    },
    #[error("{place}: {problem}")]
    Entry { place: String, problem: String },
    #[error("{place}: no key fits, or it was changed; nothing was deleted")]
    Key { place: String },
    #[error("key {place:?}: {problem}")]
    OtherSession {
        place: &'static str,
        problem: String,
    },
    #[error("it is encrypted")]
    NeedsPassword,
    #[error("the password is wrong, or the file is damaged")]
    Password,
    #[error("nothing was said to open it with")]
    NeedsKey,
    #[error("no message in it has cookies or a token: what it was recorded with has left them out")]
    Sanitized,
    #[error("it does not say where its cookies belong")]
    NeedsDomain,
    #[error(transparent)]
    Browser(#[from] browser::Error),
    /// Within this module alone: [`OtherKind`](Self::OtherKind) says then what it is.
    #[error("it is not in the shape that was expected")]
    Shape,
    #[error("it is {found}")]
    OtherKind { wanted: Kind, found: Found },
    #[error("it has {count} cookies{of}, more than limits.{limit} ({most})")]
    TooMany {
        count: usize,
        of: String,
        limit: &'static str,
        most: usize,
    },
}

/// Lines that cannot be read, each with its number and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(pub Vec<(usize, String)>);

/// Reads `text` as `kind`.
pub fn read(kind: Kind, text: &[u8], options: &Options) -> Result<Material, Error> {
    // Windows programs begin UTF-8 with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // One may be encrypted bytes.
    let wide = [&b"\xff\xfe"[..], b"\xfe\xff"];
    if kind != Kind::Audible && wide.iter().any(|mark| text.starts_with(mark)) {
        return Err(Error::Encoding);
    }
    match kind {
        Kind::CookiesTxt => cookies_txt::read(text, options),
        Kind::Json => json::read(text, options),
        Kind::StorageState => json::read_storage_state(text, options),
        Kind::Header => header::read(text, options),
        Kind::Curl => curl::read(text, options),
        Kind::Har => har::read(text, options),
        Kind::Audible => audible::read(text, options),
        Kind::Supabase => supabase::read(text, options),
        Kind::Fernet => fernet::read(text, options),
    }
    .map_err(|error| named(error, kind, text))
}

/// Says what a text is that is not what it was said to be.
fn named(error: Error, wanted: Kind, text: &[u8]) -> Error {
    let found = match sniff::sniff(text) {
        Found::Kind(found) if found == wanted => Found::Something,
        // It may stand in any of these, and does not.
        Found::Kind(
            Kind::Json | Kind::StorageState | Kind::CookiesTxt | Kind::Header | Kind::Supabase,
        ) if wanted == Kind::Supabase => Found::Something,
        found => found,
    };
    let known = !matches!(found, Found::Something | Found::Bytes);
    match error {
        Error::Shape => Error::OtherKind { wanted, found },
        Error::Encoding | Error::Lines(_) if known => Error::OtherKind { wanted, found },
        other => other,
    }
}

/// Reads the value of `--domain`, with or without a leading dot.
pub fn domain(text: &str) -> Result<Host, origin::Error> {
    text.strip_prefix('.').unwrap_or(text).parse()
}

// === impl Options ===

impl Options {
    /// Returns one of the session's plain values.
    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

// === impl Kind ===

impl Kind {
    /// The most bytes that a text of this kind may have.
    pub const fn largest(self) -> u64 {
        match self {
            // It has what was downloaded, too.
            Self::Har => 64 << 20,
            _ => 16 << 20,
        }
    }

    /// What it looks like.
    const fn shape(self) -> &'static str {
        match self {
            Self::CookiesTxt => {
                "cookies-txt has lines of seven fields with a tab between: domain, TRUE or FALSE (subdomains), path, TRUE or FALSE (secure), expiry, name, value"
            }
            Self::Json => {
                "json is an array of cookies, an object with \"cookies\", {\"name\": \"value\"} or a token answer"
            }
            Self::StorageState => {
                "storage-state is an object with \"cookies\", as Playwright writes it"
            }
            Self::Audible => {
                "name a file that the audible library or audible-cli has written, plain or encrypted"
            }
            Self::Supabase => {
                "copy the entry sb-…-auth-token of the browser's local storage, or the cookies of that name"
            }
            Self::Fernet => {
                "fernet is a token that begins with gAAAA, or an object with such tokens"
            }
            Self::Header => "header is `Cookie: a=b; c=d`, `a=b; c=d` or `Authorization: Bearer …`",
            Self::Curl => "curl is a command line: in the browser's network tools, Copy as cURL",
            Self::Har => {
                "har is an object with log.entries: in the browser's network tools, Save all as HAR"
            }
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let found = KINDS.iter().find(|(name, _)| *name == s);
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| Error::Kind(s.to_owned()))
    }
}

// === impl From ===

impl FromStr for From {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        match s.parse() {
            Ok(browser) => Ok(Self::Browser(browser)),
            Err(()) => s.parse().map(Self::Text),
        }
    }
}

// === impl Error ===

impl Error {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kind(_) => {
                "there are firefox, chrome, chromium, brave, edge, vivaldi, opera, cookies-txt, json, storage-state, header, curl, har, audible, supabase and fernet"
            }
            Self::Encoding => "save it as UTF-8",
            Self::Empty => "export it again while you are signed in",
            Self::NothingLeft(_) => "sign in again and export then, or name another --domain",
            Self::Lines(_) => {
                "a line has seven fields with a tab between: domain, TRUE or FALSE (subdomains), path, TRUE or FALSE (secure), expiry, name, value"
            }
            Self::Syntax { .. } => "the file may be cut off: export it again",
            Self::NeedsPassword => {
                "add --password env:NAME, file:PATH, cmd:COMMAND or keyring:NAME"
            }
            Self::Password => "try it with the tool that wrote the file",
            Self::NeedsKey => "add --key env:NAME or file:PATH; several keys with commas between",
            Self::Sanitized => {
                "Chrome: allow \"generate HAR with sensitive data\" in the settings of its developer tools, and export that; Firefox leaves nothing out"
            }
            Self::NeedsDomain => "add --domain HOST, the host that the cookies are for",
            Self::Shape => "is it the right file?",
            Self::OtherKind { wanted, found } => found.hint().unwrap_or(wanted.shape()),
            Self::TooMany { .. } => "add --domain HOST to take the cookies for that host alone",
            Self::Browser(error) => error.hint(),
            Self::Entry { .. } => "mend it there, or export it again",
            Self::Key { .. } => {
                "--key names the key that it was encrypted with, or several with commas between"
            }
            Self::OtherSession { .. } => return None,
        })
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to see what is wrong; a file of another kind would fill the screen.
        const SHOWN: usize = 8;
        for (n, (line, problem)) in self.0.iter().take(SHOWN).enumerate() {
            let end = if n == 0 { "" } else { "; " };
            write!(f, "{end}line {line}: {problem}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more lines"),
        }
    }
}
