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
mod recording;
mod supabase;
#[cfg(test)]
mod tests;
mod tokens;

use std::{collections::BTreeMap, fmt, str::FromStr, time::SystemTime};

pub use self::browser::Browser;
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
    #[error("it is {0}")]
    OtherKind(Found),
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

/// What a text is instead of what it was said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Json,
    CookiesTxt,
    Something,
}

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
            Self::OtherKind(Found::Json) => "use --from json",
            Self::OtherKind(Found::CookiesTxt) => "use --from cookies-txt",
            Self::OtherKind(Found::Something) => {
                "json is an array of cookies, an object with \"cookies\", {\"name\": \"value\"} or a token answer; header is `Cookie: a=b; c=d`, `a=b; c=d` or `Authorization: Bearer …`"
            }
            Self::TooMany { .. } => "add --domain HOST to take the cookies for that host alone",
            Self::Browser(error) => error.hint(),
            Self::Entry { .. } => return None,
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

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::CookiesTxt => "a cookies.txt",
            Self::Something => "not in the shape that was expected",
        })
    }
}
