//! How a session is renewed, as configured.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::LOCATION};

use crate::origin::Host;

use super::{Source, Url, glob::Glob, path, pointer::Pointer, template::Template};

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
    Import(Import),
}

/// What a person has elsewhere, read again.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The browser or the file's kind, as `import --from` has it.
    pub from: String,
    pub profile: Option<String>,
    pub container: Option<String>,
    pub file: Option<PathBuf>,
    pub domain: Option<Host>,
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

/// A request that shows now and then whether the credential is still good, and keeps it so.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub url: Url,
    pub every: Duration,
    pub ok: Expect,
}

/// Why an answer is not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    #[error("the answer's status is {0}")]
    Status(u16),
    #[error("the answer leads elsewhere than expected")]
    Location,
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

// === impl Expect ===

impl Expect {
    /// Tells whether an answer to a request for `path` is as expected. `location_not` holds without a `Location`,
    /// `location` does not.
    pub fn met(
        &self,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), Unexpected> {
        let Self {
            status: wanted,
            location,
            location_not,
        } = self;
        let code = status.as_u16();
        let expected = match wanted {
            Some(wanted) => wanted.contains(&code),
            None => (200..400).contains(&code),
        };
        if !expected {
            return Err(Unexpected::Status(code));
        }
        let target = headers.get(LOCATION).map(HeaderValue::as_bytes);
        let target = target.map(String::from_utf8_lossy);
        let target = target.as_ref().map(|target| path::resolve(path, target));
        let leads_to = |glob: &Glob| target.as_ref().is_some_and(|target| glob.matches(target));
        if location.as_ref().is_some_and(|glob| !leads_to(glob))
            || location_not.as_ref().is_some_and(leads_to)
        {
            return Err(Unexpected::Location);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_must_look_like() {
        use Unexpected::*;
        let expect = |status: Option<&[u16]>, location: Option<&str>, not: Option<&str>| Expect {
            status: status.map(<[u16]>::to_vec),
            location: location.map(Glob::new),
            location_not: not.map(Glob::new),
        };
        let any = expect(None, None, None);
        let home = expect(Some(&[302]), Some("/home*"), None);
        let away = expect(Some(&[302]), None, Some("*/login*"));
        let cases = [
            (&any, 200, None, Ok(())),
            (&any, 399, Some("/x"), Ok(())),
            (&any, 400, None, Err(Status(400))),
            (&home, 302, Some("https://h.example/home?x"), Ok(())),
            (&home, 302, Some("/login"), Err(Location)),
            (&home, 302, None, Err(Location)),
            (&home, 200, Some("/home"), Err(Status(200))),
            (&away, 302, Some("/home"), Ok(())),
            (&away, 302, None, Ok(())),
            (&away, 302, Some("login?again"), Err(Location)),
        ];
        for (expect, status, location, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(LOCATION, location.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let got = expect.met("/auth/form", status, &headers);
            assert_eq!(got, expected, "{expect:?} {status} {location:?}");
        }
    }
}
