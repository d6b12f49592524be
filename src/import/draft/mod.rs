//! A provider drafted from a recording of traffic: where its credentials go, how they are put on, what rotates, where
//! tokens come from, what says "signed out". Names and places are taken, never a value.

mod cookies;
mod hosts;
mod secrets;
mod tokens;
mod write;

use super::{
    Error,
    recording::{self, Exchange},
};

/// A draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The provider's file.
    pub toml: String,
    /// A name for it.
    pub name: String,
    /// What a person should look at.
    pub notes: Vec<String>,
}

/// What was found.
struct Findings {
    binds: Vec<hosts::Bind>,
    cookies: Vec<cookies::Cookie>,
    /// Fields that carry a token or a cookie's value.
    injects: Vec<tokens::Inject>,
    endpoint: Option<tokens::Endpoint>,
    /// Status and path of redirects to a login.
    logins: Vec<(u16, String)>,
    /// Host and path of requests that sign out.
    logouts: Vec<(String, String)>,
    /// The URL of a GET whose answer sets the session's cookie anew.
    touch: Option<String>,
}

/// Drafts a provider from a recording.
pub fn draft(text: &[u8]) -> Result<Draft, Error> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let exchanges = recording::read(text)?;
    let site = hosts::site(&exchanges).ok_or(Error::Empty)?;
    let told = |exchange: &Exchange| {
        exchange.cookies().next().is_some()
            || exchange.set_cookies().next().is_some()
            || exchange.field("authorization").is_some()
    };
    let endpoint = tokens::endpoint(&exchanges);
    if !exchanges.iter().any(told) && endpoint.is_none() {
        return Err(Error::Sanitized);
    }
    let secrets = secrets::of(&exchanges);
    let injects = tokens::injects(&exchanges, &site, endpoint.as_ref());
    let cookies = cookies::of(&exchanges, &site, &injects);
    let binds = hosts::binds(&exchanges, &site, &injects, !cookies.is_empty(), &secrets);
    if binds.is_empty() {
        return Err(Error::Empty);
    }
    let bound = |exchange: &Exchange| binds.iter().any(|bind| bind.takes(&exchange.origin));
    let clean = |path: &str| secrets.clean(path);
    let findings = Findings {
        logins: hosts::logins(&exchanges, &bound, &clean),
        logouts: hosts::logouts(&exchanges, &site, &clean),
        touch: cookies::touch(&exchanges, &cookies, &bound, &clean),
        binds,
        cookies,
        injects,
        endpoint,
    };
    let is_over = cookies::is_over(&exchanges, &findings.cookies);
    let (toml, mut notes) = write::write(&findings, &site, exchanges.len(), &secrets);
    if findings.endpoint.is_none() && exchanges.iter().any(|exchange| exchange.lacks_json) {
        notes.push(
            "it has no bodies of answers, or has them in other files: without them no token endpoint is seen"
                .to_owned(),
        );
    }
    if is_over {
        notes.push(
            "it ends with a sign-out: what it holds of the session opens nothing; import another one that does not"
                .to_owned(),
        );
    }
    Ok(Draft {
        toml,
        name: hosts::name(&site),
        notes,
    })
}
