//! Fields of a request as people copy them: `Cookie: a=b; c=d`, `a=b; c=d` alone, `Authorization: Bearer …`,
//! `Bearer …` alone; and `Set-Cookie` lines out of a log.
//!
//! Other fields and a request line are left out with a warning, so that a whole request head can be pasted.

use super::{
    Error, Material, Options,
    collect::{Collector, Draft, Twice, shown},
    tokens,
};
use crate::{
    jar::{Jar, Stored},
    origin::{Origin, Scheme},
    secret::Secret,
};

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let mut collector = Collector::new(options);
    if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[' | b'<')) {
        return Err(Error::Shape);
    }
    let (mut token, mut user_agent) = (None, None);
    let (mut cookies, mut left_out) = (false, Vec::new());
    for (n, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        let failed = |problem: String| Error::Entry {
            place: format!("line {}", n + 1),
            problem,
        };
        match Line::of(line) {
            Line::Blank => {}
            Line::Cookies(pairs) => {
                cookies = true;
                needs_domain(options)?;
                add_pairs(&mut collector, pairs, false).map_err(failed)?;
            }
            Line::SetCookie(field) => {
                cookies = true;
                needs_domain(options)?;
                add_field(&mut collector, field, options).map_err(failed)?;
            }
            Line::Bearer(bearer) => token = Some(secret(bearer).map_err(failed)?),
            Line::UserAgent(value) => {
                user_agent = Some(String::from_utf8_lossy(value).into_owned());
            }
            Line::Other(name) => left_out.push(name),
            Line::OtherScheme => {
                let problem = "its scheme is not Bearer; take user and password as `secrets`";
                return Err(failed(problem.to_owned()));
            }
        }
    }
    let mut material = if cookies {
        collector.finish()?
    } else {
        Material::default()
    };
    if !cookies && token.is_none() {
        return Err(match left_out.is_empty() {
            true => Error::Empty,
            false => Error::Shape,
        });
    }
    material
        .fields
        .extend(token.map(|token| ("access_token".to_owned(), token)));
    material.user_agent = user_agent;
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        material.warnings.push(format!("left out: {names}"));
    }
    Ok(material)
}

/// What a line is.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Blank,
    Cookies(&'a [u8]),
    SetCookie(&'a [u8]),
    Bearer(&'a [u8]),
    OtherScheme,
    UserAgent(&'a [u8]),
    /// Another field, by its name; or a request line.
    Other(String),
}

// === impl Line ===

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        if line.is_empty() {
            return Self::Blank;
        }
        let Some((name, value)) = field(line) else {
            return match bearer(line) {
                Some(token) => Self::Bearer(token),
                None if line.ends_with(b" HTTP/1.1") || line.starts_with(b"HTTP/") => {
                    Self::Other("the first line".to_owned())
                }
                None => Self::Cookies(line),
            };
        };
        match name.to_ascii_lowercase().as_str() {
            "cookie" => Self::Cookies(value),
            "set-cookie" => Self::SetCookie(value),
            "authorization" => bearer(value.trim_ascii()).map_or(Self::OtherScheme, Self::Bearer),
            "user-agent" => Self::UserAgent(value.trim_ascii()),
            _ if value.starts_with(b" ") => Self::Other(name.to_owned()),
            // `a:b=c` is a cookie.
            _ => Self::Cookies(line),
        }
    }
}

/// Splits a field line after its colon.
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = &line[..colon];
    let is_token = !name.is_empty()
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
    let name = std::str::from_utf8(name).ok().filter(|_| is_token)?;
    Some((name, &line[colon + 1..]))
}

/// Returns the token of an `Authorization` field of this scheme.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| token.trim_ascii())
}

/// Checks a token.
pub(super) fn secret(token: &[u8]) -> Result<Secret, String> {
    let text = std::str::from_utf8(token).map_err(|_| Error::Encoding.to_string())?;
    let token = tokens::token(&serde_json::Value::String(text.to_owned()))?;
    token.ok_or_else(|| Error::Empty.to_string())
}

fn needs_domain(options: &Options) -> Result<(), Error> {
    match options.domain {
        Some(_) => Ok(()),
        None => Err(Error::NeedsDomain),
    }
}

/// Adds the cookies of a `Cookie` field, for the host alone or for those below it as well.
pub(super) fn add_pairs(
    collector: &mut Collector<'_>,
    pairs: &[u8],
    host_only: bool,
) -> Result<(), String> {
    let mut pairs = pairs.split(|b| *b == b';');
    pairs.try_for_each(|pair| add_pair(collector, pair, host_only))
}

fn add_pair(collector: &mut Collector<'_>, pair: &[u8], host_only: bool) -> Result<(), String> {
    let pair = pair.trim_ascii();
    if pair.is_empty() {
        return Ok(());
    }
    let equals = pair.iter().position(|b| *b == b'=');
    let (name, value) = match equals {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (&b""[..], pair),
    };
    let draft = Draft {
        name: name.trim_ascii(),
        value: value.trim_ascii(),
        host_only,
        ..Draft::default()
    };
    let place = |problem| format!("cookie {}: {problem}", shown(name));
    collector.add(draft, Twice::FirstWins).map_err(place)
}

/// Reads a `Set-Cookie` field as one from the host of `--domain`.
fn add_field(collector: &mut Collector<'_>, field: &[u8], options: &Options) -> Result<(), String> {
    let Options {
        domain,
        scheme,
        bounds,
        now,
        ..
    } = options;
    let host = domain
        .clone()
        .ok_or_else(|| Error::NeedsDomain.to_string())?;
    let origin = Origin {
        scheme: *scheme,
        host,
        port: Scheme::default_port(*scheme),
    };
    let mut jar = Jar::new(*bounds);
    if let Stored::Refused(why) = jar.store(&origin, "/", field, *now).stored {
        return Err(why.to_string());
    }
    for cookie in jar.iter(*now) {
        let draft = Draft {
            name: &cookie.name,
            value: cookie.value.expose(),
            domain: Some(&cookie.domain),
            path: Some(&cookie.path),
            host_only: cookie.host_only,
            secure: Some(cookie.secure),
            http_only: cookie.http_only,
            same_site: cookie.same_site,
            expires: cookie.expires,
            partitioned: false,
            assumed: false,
        };
        collector.add(draft, Twice::LastWins)?;
    }
    Ok(())
}
