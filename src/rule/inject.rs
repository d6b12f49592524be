//! Puts a session's credential on a request: the only place from which one reaches the wire.
//!
//! Nothing is put anywhere without a [`Bound`], the matcher's proof that the request goes where the credential may
//! go. Fields keep their order: one is replaced where it stands, and when some must go the rest is built anew in one
//! pass (`HeaderMap::remove` moves the last field into the hole).
//!
//! All values are rendered and checked before the request is touched: after an error it is as it was.

mod body;
mod cookie;
mod held;
mod query;
#[cfg(test)]
mod tests;

use std::{mem, time::SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{COOKIE, HOST, USER_AGENT},
    request,
    uri::PathAndQuery,
};

pub use self::{
    body::{empty as empty_body, has_place as has_body_place, put as put_body},
    cookie::join as join_cookies,
};
use super::{
    Inject, Merge, Mode, Place, Presigned, Recipe,
    encoding::percent_encode,
    matcher::Bound,
    sign::{self, Sign, Signed},
    template::{self, Scope, Template},
};

/// An injection, rendered for one generation of a session.
#[derive(Clone, Debug)]
pub struct Ready {
    pub place: Place,
    pub mode: Mode,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// The same for every request of the generation, encoded for its place; marked sensitive.
    Fixed(HeaderValue),
    /// Its template asks for the time or for randomness.
    EachTime(Template),
}

/// Whether a request is sent for the first time, or again after it was challenged or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    First,
    Again,
}

/// What of the session is on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Its credential.
    Sent,
    /// Not all of its credential before it is challenged (`on_challenge`): an answer that says "not signed in" is
    /// that challenge and nothing to refresh for.
    Withheld,
    /// Nothing: the query carries a signature already.
    Presigned,
    /// Nothing: the client's own values stay (`if_missing`, `if_present`, `merge = "client"`), or there are none.
    Nothing,
}

/// What [`apply`] puts on a request.
pub struct Params<'a> {
    pub recipe: &'a Recipe,
    pub ready: &'a [Ready],
    /// What the jar has for this request (`Jar::cookie_string`).
    pub jar: Option<&'a HeaderValue>,
    pub attempt: Attempt,
    /// Tells whether a text stands in for a value of the session; `None`: it gives out none.
    pub standin: Option<&'a dyn Fn(&str) -> bool>,
    /// What takes the place of the client's own (`UserAgent::of`).
    pub user_agent: Option<HeaderValue>,
    /// Renders a template that has another value each time; asked for no other.
    pub render: &'a dyn Fn(&Template) -> Result<String, template::Error>,
}

/// Why a value cannot be put on a request. Names its place, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the value for {place} cannot be made")]
    Template {
        place: String,
        #[source]
        source: template::Error,
    },
    #[error("the value for {0} has a character that cannot stand there")]
    Character(String),
    #[error("the request's target would be too long")]
    TooLong,
    #[error("what signs the request cannot be made")]
    Unsigned,
}

/// Renders a session's injections for one generation.
pub fn prepare(recipe: &Recipe, scope: &Scope<'_>) -> Result<Vec<Ready>, Error> {
    let ready = recipe.inject.iter().map(|inject| {
        let Inject { place, value, mode } = inject;
        let value = if value.is_dynamic_with(&recipe.derive) {
            Value::EachTime(value.clone())
        } else {
            Value::Fixed(place.encode(value.render(scope))?)
        };
        Ok(Ready {
            place: place.clone(),
            mode: *mode,
            value,
        })
    });
    ready.collect()
}

/// Puts a session's credential on a request that goes where it may go.
pub fn apply(parts: &mut request::Parts, _: &Bound, params: Params<'_>) -> Result<Applied, Error> {
    let Params {
        recipe,
        ready,
        jar,
        attempt,
        standin,
        user_agent,
        render,
    } = params;
    if is_left_alone(recipe, &parts.uri) {
        return Ok(Applied::Presigned);
    }

    // A stand-in of the client's asks for the credential in its place, whatever the mode.
    let exchanged;
    let ready = match standin {
        Some(standin) => {
            exchanged = held::exchanged(parts, ready, standin);
            exchanged.as_deref().unwrap_or(ready)
        }
        None => ready,
    };
    let fresh = fresh(ready, render)?;
    let value = |at: usize| match &ready[at].value {
        Value::Fixed(value) => value,
        Value::EachTime(_) => &fresh[at],
    };
    let (mut sent, mut withheld) = (false, false);
    let mut target: Option<String> = None;
    let mut crumbs = Vec::new();
    for (at, Ready { place, mode, .. }) in ready.iter().enumerate() {
        let Some(mode) = turn(*mode, attempt) else {
            withheld = true;
            continue;
        };
        match place {
            Place::Header(_) => {}
            Place::Query(name) => {
                let so_far = target
                    .as_deref()
                    .unwrap_or_else(|| path_and_query(&parts.uri));
                if let Some(with) = query::put(so_far, name, value(at).as_bytes(), mode) {
                    target = Some(with);
                    sent = true;
                }
            }
            Place::Cookie(name) => crumbs.push(cookie::Put {
                name: name.as_bytes(),
                crumb: value(at).as_bytes(),
                mode,
            }),
            // Comes when the head is done.
            Place::Body(_) => {}
        }
    }
    if let Some(target) = target {
        parts.uri = with_target(&parts.uri, target)?;
    }
    for (at, Ready { place, mode, .. }) in ready.iter().enumerate() {
        let (Place::Header(name), Some(mode)) = (place, turn(*mode, attempt)) else {
            continue;
        };
        let wanted = match mode {
            Mode::Replace | Mode::OnChallenge => true,
            Mode::IfMissing => !parts.headers.contains_key(name),
            Mode::IfPresent => parts.headers.contains_key(name),
        };
        if wanted {
            parts.headers.insert(name, value(at).clone());
            sent = true;
        }
    }
    sent |= cookie::merge(&mut parts.headers, jar, recipe.cookies.merge, &crumbs);
    if let Some(user_agent) = user_agent {
        parts.headers.insert(USER_AGENT, user_agent);
    }
    Ok(match (withheld, sent) {
        (true, _) => Applied::Withheld,
        (false, true) => Applied::Sent,
        (false, false) => Applied::Nothing,
    })
}

/// Returns how a value is put now; `None`: not before the request is challenged.
fn turn(mode: Mode, attempt: Attempt) -> Option<Mode> {
    match (mode, attempt) {
        (Mode::OnChallenge, Attempt::First) => None,
        (Mode::OnChallenge, Attempt::Again) => Some(Mode::Replace),
        (mode, _) => Some(mode),
    }
}

/// Signs a request that goes where the credential may go, over its bytes as they will be sent: after [`apply`].
pub fn seal(
    parts: &mut request::Parts,
    _: &Bound,
    sign: &Sign,
    authority: &str,
    body: &[u8],
    now: SystemTime,
    render: &dyn Fn(&Template) -> Result<String, template::Error>,
) -> Result<(), sign::Error> {
    let signed = Signed {
        method: &parts.method,
        target: path_and_query(&parts.uri),
        host: authority,
        headers: &parts.headers,
        body,
        now,
    };
    let fields = sign.sign(signed, render)?;
    // What is signed is what is sent, whatever way the client has spelt it.
    if let Sign::SigV4(_) = sign
        && let Ok(host) = HeaderValue::from_str(authority)
        && let Some(sent) = parts.headers.get_mut(HOST)
    {
        *sent = host;
    }
    for (name, value) in fields {
        parts.headers.insert(name, value);
    }
    Ok(())
}

/// Takes from a request what stands in for a session's credential, when there is none to put in its place.
///
/// That is what the client sent under a name that the session replaces, and all of its cookies with
/// `merge = "only"`. What the session leaves to the client otherwise (`if_missing`, `if_present`, `on_challenge`, other
/// cookies) stays: it may be the client's own, and good; unless it holds a stand-in. A presigned request stays whole,
/// and so does a body: a stand-in opens nothing.
pub fn strip(
    parts: &mut request::Parts,
    recipe: &Recipe,
    standin: Option<&dyn Fn(&str) -> bool>,
) -> Result<(), Error> {
    if is_left_alone(recipe, &parts.uri) {
        return Ok(());
    }
    let is_replaced = |inject: &&Inject| {
        inject.mode == Mode::Replace
            || standin.is_some_and(|standin| held::holds(parts, &inject.place, standin))
    };
    let replaced: Vec<&Inject> = recipe.inject.iter().filter(is_replaced).collect();
    let mut names: Vec<&HeaderName> = recipe.sign.iter().flat_map(Sign::fields).collect();
    if recipe.cookies.enabled && recipe.cookies.merge == Merge::Only {
        names.push(&COOKIE);
    }
    take_off(parts, &replaced, names)
}

/// Takes a session's stand-ins from a request that goes where its credential may not go; all else stays.
pub fn clear(
    parts: &mut request::Parts,
    recipe: &Recipe,
    standin: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    let holds = |inject: &&Inject| held::holds(parts, &inject.place, standin);
    let held: Vec<&Inject> = recipe.inject.iter().filter(holds).collect();
    take_off(parts, &held, Vec::new())
}

fn take_off<'r>(
    parts: &mut request::Parts,
    injects: &[&'r Inject],
    mut names: Vec<&'r HeaderName>,
) -> Result<(), Error> {
    let mut target: Option<String> = None;
    let mut cookies: Vec<&[u8]> = Vec::new();
    for inject in injects {
        match &inject.place {
            Place::Header(name) => names.push(name),
            Place::Query(name) => {
                let so_far = target
                    .as_deref()
                    .unwrap_or_else(|| path_and_query(&parts.uri));
                target = query::take(so_far, name).or(target);
            }
            Place::Cookie(name) => cookies.push(name.as_bytes()),
            Place::Body(_) => {}
        }
    }
    if let Some(target) = target {
        parts.uri = with_target(&parts.uri, target)?;
    }
    if !cookies.is_empty() && !names.contains(&&COOKIE) {
        cookie::take(&mut parts.headers, &cookies);
    }
    without(&mut parts.headers, &names);
    Ok(())
}

/// Tells whether a session leaves a request as it came, for the signature that its query carries already.
pub fn is_left_alone(recipe: &Recipe, uri: &Uri) -> bool {
    recipe.presigned == Presigned::Skip && is_presigned(uri)
}

/// Tells whether a request's query carries a signature that another credential would break.
pub fn is_presigned(uri: &Uri) -> bool {
    uri.query().is_some_and(query::is_signed)
}

/// Removes fields and keeps the order of all others.
fn without(headers: &mut HeaderMap, names: &[&HeaderName]) {
    if !names.iter().any(|name| headers.contains_key(*name)) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let mut last: Option<HeaderName> = None;
    for (name, value) in mem::take(headers) {
        // A field's further values come without its name.
        last = name.or(last);
        let name = last.as_ref().expect("the first value has its name");
        if !names.contains(&name) {
            kept.append(name, value);
        }
    }
    *headers = kept;
}

/// Renders the values that are others each time; empty if there is none, else one for each injection.
fn fresh(
    ready: &[Ready],
    render: &dyn Fn(&Template) -> Result<String, template::Error>,
) -> Result<Vec<HeaderValue>, Error> {
    if ready.iter().all(|r| matches!(r.value, Value::Fixed(_))) {
        return Ok(Vec::new());
    }
    let values = ready.iter().map(|Ready { place, value, .. }| match value {
        Value::Fixed(value) => Ok(value.clone()),
        Value::EachTime(template) => place.encode(render(template)),
    });
    values.collect()
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

fn with_target(uri: &Uri, target: String) -> Result<Uri, Error> {
    let mut parts = uri.clone().into_parts();
    let target = PathAndQuery::from_maybe_shared(target).map_err(|_| Error::TooLong)?;
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| Error::TooLong)
}

// === impl Place ===

impl Place {
    /// Returns a value as it stands in its place: a field's value, `name=value` of a query (percent-encoded), or
    /// `name=value` of a cookie.
    fn encode(&self, rendered: Result<String, template::Error>) -> Result<HeaderValue, Error> {
        let text = rendered.map_err(|source| Error::Template {
            place: self.to_string(),
            source,
        })?;
        let text = match self {
            Self::Header(_) => text,
            Self::Query(name) => format!(
                "{}={}",
                percent_encode(name.as_bytes()),
                percent_encode(text.as_bytes())
            ),
            Self::Cookie(_) if text.contains(';') => {
                return Err(Error::Character(self.to_string()));
            }
            Self::Cookie(name) => format!("{name}={text}"),
            Self::Body(spot) => spot.encode(&text),
        };
        // Refuses CR, LF, NUL and every other control but the tab.
        let mut value =
            HeaderValue::from_maybe_shared(text).map_err(|_| Error::Character(self.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
