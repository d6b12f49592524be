//! The rules of a session: where its credential may go, how it is put on a request, what says that it is no
//! longer good, what is learnt from answers, how it is renewed. Pure: no I/O, no clock, no randomness.
//!
//! A [`Recipe`] is a session's definition as the program uses it: every default filled in, every text parsed.
//! Only `config` makes one.

pub mod capture;
pub mod glob;
pub mod inject;
pub mod matcher;
pub mod pointer;
pub mod rejected;
pub mod template;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method};

use self::{glob::Glob, pointer::Pointer, template::Template};
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
    pub user_agent: Option<HeaderValue>,
    pub presigned: Presigned,
    pub on_dead: OnDead,
    pub inject: Vec<Inject>,
    pub cookies: Cookies,
    /// Fields computed from others, in the order of their use.
    pub derive: Vec<(String, Template)>,
    pub rejected: Vec<Rejected>,
    pub refresh: Refresh,
    pub captures: Vec<Capture>,
    pub blocks: Vec<Target>,
    /// Plain values (`values`), in the same namespace as secrets and fields.
    pub values: BTreeMap<String, String>,
    /// Secrets as read from their sources at load.
    pub secrets: BTreeMap<String, Secret>,
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

/// How a session is renewed.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub kind: RefreshKind,
    /// How long before expiry the background refresh starts (at most half the lifetime).
    pub ahead: Duration,
    /// Also without a known expiry.
    pub every: Option<Duration>,
    /// No background refresh of what nobody used that long.
    pub idle: Option<Duration>,
    /// After a vain forced refresh.
    pub cooldown: Duration,
    pub timeout: Duration,
    /// How long the server takes the previous refresh token; `None`: always.
    pub grace: Option<Duration>,
    pub terminal: Vec<String>,
    pub verify: Option<Verify>,
}

#[derive(Clone, Debug)]
pub enum RefreshKind {
    None,
    Oauth2(Oauth2),
    Steps(Vec<Step>),
    Command(Vec<String>),
    Touch(Url),
}

#[derive(Clone, Debug)]
pub struct Oauth2 {
    pub token_url: Url,
    pub grant_type: GrantType,
    pub client_auth: ClientAuth,
    pub encoding: Encoding,
    /// More or other fields; an empty template leaves one out.
    pub params: Vec<(String, Template)>,
    pub headers: Vec<(HeaderName, Template)>,
    /// Field of the grant → pointers into the answer, the first that is there counts.
    pub answer: Vec<(String, Vec<Pointer>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    RefreshToken,
    ClientCredentials,
    JwtBearer,
    Password,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    Basic,
    Post,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Form,
    Json,
}

/// One request of an `http` refresh, what its answer must be, and what is taken from it.
#[derive(Clone, Debug)]
pub struct Step {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, Template)>,
    pub body: StepBody,
    pub expect: Expect,
    pub capture: Vec<(String, Source)>,
}

#[derive(Clone, Debug)]
pub enum StepBody {
    Empty,
    Form(Vec<(String, Template)>),
    /// A JSON value whose strings are templates.
    Json(serde_json::Value, Vec<(Pointer, Template)>),
}

/// What an answer must look like; empty: a status of 200 to 399.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    pub status: Option<Vec<u16>>,
    pub location: Option<Glob>,
    pub location_not: Option<Glob>,
}

#[derive(Clone, Debug)]
pub struct Verify {
    pub url: Url,
    pub ok: Expect,
}

/// What is learnt from what clients themselves do.
#[derive(Clone, Debug)]
pub struct Capture {
    pub target: Target,
    /// Field of the grant → where it stands in the answer.
    pub answer: Vec<(String, Source)>,
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
