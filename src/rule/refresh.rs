//! How a session is renewed, as configured.

use std::time::Duration;

use http::{HeaderName, Method};

use super::{Source, Url, glob::Glob, pointer::Pointer, template::Template};

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

// === impl Refresh ===

impl Default for Refresh {
    fn default() -> Self {
        Self {
            kind: RefreshKind::None,
            ahead: Duration::from_secs(300),
            every: None,
            idle: None,
            cooldown: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            grace: Some(Duration::from_secs(10)),
            terminal: vec!["invalid_grant".to_owned()],
            verify: None,
        }
    }
}
