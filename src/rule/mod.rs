//! The rules of a session: where its credential may go, how it is put on a request, what says that it is no
//! longer good, what is learnt from answers, how it is renewed. Pure: no I/O, no clock, no randomness.
//!
//! A [`Recipe`] is a session's definition as the program uses it: every default filled in, every text parsed.
//! Only `config` makes one.

pub mod body;
pub mod capture;
mod encoding;
pub mod glob;
pub mod inject;
pub mod jwt;
mod login;
pub mod mask;
pub mod matcher;
mod pace;
pub mod path;
pub mod pointer;
mod refresh;
pub mod rejected;
#[cfg(test)]
pub(crate) mod sample;
pub mod sign;
pub mod standin;
pub mod template;
pub mod totp;
pub mod user_agent;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use http::{HeaderName, HeaderValue, Method};

pub use self::body::Spot;
pub use self::login::{Login, Loopback, RedirectError, RedirectUri};
pub use self::pace::Pace;
pub use self::refresh::{
    ClientAuth, Encoding, Expect, GrantType, Heartbeat, Import, Oauth2, Refresh, RefreshKind, Step,
    StepBody, Unexpected, Verify,
};
pub use self::user_agent::UserAgent;
use self::{glob::Glob, pointer::Pointer, sign::Sign, template::Template};
use crate::{
    origin::{Host, HostName, Origin, Scheme},
    secret::Secret,
};

/// A session's definition: everything but what it holds.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub name: Arc<str>,
    pub provider: Option<String>,
    /// The clients that may use it; `None`: every client.
    pub clients: Option<Vec<String>>,
    pub bind: Vec<Bind>,
    pub concurrency: Concurrency,
    /// Whether every client has a grant of its own.
    pub per_client: bool,
    /// Whether the store may hold it; `false`: in memory only.
    pub persist: bool,
    /// At most so many requests within a time.
    pub pace: Option<Pace>,
    pub user_agent: Option<UserAgent>,
    pub presigned: Presigned,
    pub on_dead: OnDead,
    pub inject: Vec<Inject>,
    pub cookies: Cookies,
    /// Fields computed from others, in the order of their use.
    pub derive: Vec<(String, Template)>,
    /// How requests are signed, over the bytes as sent.
    pub sign: Option<Sign>,
    pub rejected: Vec<Rejected>,
    pub refresh: Refresh,
    /// How a person signs in by hand, if there is a way.
    pub login: Option<Login>,
    pub captures: Vec<Capture>,
    /// A file of what is held, kept up to date.
    pub export: Option<Export>,
    pub blocks: Vec<Target>,
    pub heartbeats: Vec<Heartbeat>,
    /// Plain values (`values`), in the same namespace as secrets and fields.
    pub values: BTreeMap<String, String>,
    /// Secrets as read from their sources at load.
    pub secrets: BTreeMap<String, Secret>,
    /// Those of `secrets` that only start the session: fields that the server renews. The store rules once it has
    /// them, until their source changes; all other secrets are used as they are and never stored.
    pub seeds: BTreeSet<String>,
}

/// One entry of `bind`: where the credential may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub target: Target,
    /// Tells apart two sessions on one host.
    pub when: Option<(HeaderName, HeaderValue)>,
}

/// A set of requests: by origin, path and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    pub host: HostPattern,
    pub port: u16,
    /// `None`: every path.
    pub path: Option<Glob>,
    /// `None`: every method.
    pub methods: Option<Vec<Method>>,
}

/// `host` or `*.suffix`, which is any depth below the suffix and not the suffix itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(Host),
    Below(HostName),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    #[default]
    Parallel,
    /// One request at a time until its response head.
    Serial,
}

/// What happens to a request whose query already carries a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presigned {
    #[default]
    Skip,
    Inject,
}

/// What happens to a request when the session holds nothing usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    #[default]
    Pass,
    Fail,
}

/// How one value is put on a request.
#[derive(Clone, Debug)]
pub struct Inject {
    pub place: Place,
    pub value: Template,
    pub mode: Mode,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Header(HeaderName),
    Query(String),
    Cookie(String),
    Body(Spot),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Replace,
    IfMissing,
    IfPresent,
    /// First without; the challenged resend is the one extra request.
    OnChallenge,
}

/// How a session's jar and its clients' cookies go together.
#[derive(Clone, Debug, Default)]
pub struct Cookies {
    /// Whether the session keeps a jar at all.
    pub enabled: bool,
    pub required: Vec<String>,
    pub merge: Merge,
    pub set_cookie: SetCookie,
    /// When the session ends; `None`: the earliest required cookie that has an expiry, or a JWT's `exp`.
    pub expires: Option<Template>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// The jar wins name by name.
    #[default]
    Jar,
    /// Nothing but the jar.
    Only,
    /// The client wins.
    Client,
}

/// Whether clients see `Set-Cookie` of the jar's cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    #[default]
    Hide,
    Pass,
}

/// One rule that says that an answer means "no longer signed in"; all its keys must match.
#[derive(Clone, Debug, Default)]
pub struct Rejected {
    pub status: Option<Vec<u16>>,
    pub status_not: Option<Vec<u16>>,
    /// The request's path, without its query, as it was sent or once normalised.
    pub path: Option<Glob>,
    /// The request's methods; empty: GET and HEAD.
    pub methods: Vec<Method>,
    /// The path of the resolved `Location`.
    pub location: Option<Glob>,
    /// Media types, without parameters.
    pub content_type: Option<Vec<String>>,
    pub content_type_not: Option<Vec<String>>,
    pub json: Vec<(Pointer, serde_json::Value)>,
    pub body: Option<regex::bytes::Regex>,
    /// Whether the same answer after a refresh is believed from then on.
    pub confirm: bool,
    pub again: Again,
}

/// What the client gets when the answer after the refresh matches too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    #[default]
    Pass,
    Fail,
}

/// A URL that was resolved at load: never from what a session holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub origin: Origin,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// A file of the session's cookies for tools that cannot use a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The file's kind, as `export --to` has it.
    pub to: String,
    pub file: PathBuf,
}

/// What is learnt from what clients themselves do.
#[derive(Clone, Debug)]
pub struct Capture {
    pub target: Target,
    /// Field of the grant → where clients put their own value of it into the request.
    pub request: Vec<(String, Spot)>,
    /// Field of the grant → where it stands in the answer.
    pub answer: Vec<(String, Source)>,
    /// Whether clients see stand-ins of the same shape.
    pub mask: bool,
    /// Whether clients that refresh at once share one refresh.
    pub coalesce: bool,
}

/// Where a value stands in an answer.
#[derive(Clone, Debug)]
pub enum Source {
    Json(Pointer),
    Header(HeaderName),
    Cookie(String),
    /// The first group of the first match in the body.
    Regex(regex::bytes::Regex),
}

// === impl Recipe ===

impl Recipe {
    /// Returns a session that is bound nowhere, with every default of the configuration.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            provider: None,
            clients: None,
            bind: Vec::new(),
            concurrency: Concurrency::default(),
            per_client: false,
            persist: true,
            pace: None,
            user_agent: None,
            presigned: Presigned::default(),
            on_dead: OnDead::default(),
            inject: Vec::new(),
            cookies: Cookies::default(),
            derive: Vec::new(),
            sign: None,
            rejected: Vec::new(),
            refresh: Refresh::default(),
            login: None,
            captures: Vec::new(),
            export: None,
            blocks: Vec::new(),
            heartbeats: Vec::new(),
            values: BTreeMap::new(),
            secrets: BTreeMap::new(),
            seeds: BTreeSet::new(),
        }
    }

    /// Returns where the credential may go, as `status` prints it.
    pub fn bound_to(&self) -> Vec<String> {
        let targets = self.bind.iter().map(|bind| bind.target.to_string());
        targets.collect()
    }

    /// Tells whether this client may use the session.
    pub fn serves(&self, client: Option<&str>) -> bool {
        match &self.clients {
            None => true,
            Some(names) => names
                .iter()
                .any(|name| name == "*" || Some(name.as_str()) == client),
        }
    }
}

// === impl Target ===

impl fmt::Display for Target {
    /// Writes scheme, host, port and path; methods are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)?;
        match &self.path {
            Some(path) => path.fmt(f),
            None => f.write_str("/"),
        }
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Body(spot) => spot.fmt(f),
        }
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// Tells whether a host is this one, or is below it.
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Below(suffix) => host
                .name()
                .and_then(|name| name.strip_suffix(suffix.as_str()))
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}
