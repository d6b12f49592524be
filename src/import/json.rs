//! Cookies in JSON: arrays of browser extensions and drivers, Playwright's storage state, and `{"name": "value"}`.
//!
//! The shapes differ in a few keys that do not collide, so one reader takes all of them. Which shape a text has is
//! decided by its outermost value alone.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category};

use super::{
    Error, Material, Options,
    collect::{Collector, Draft, Twice, expiry},
    once::{self, Once, TWICE},
    tokens,
};
use crate::{
    jar::SameSite,
    origin::{Host, Origin, Scheme},
};

/// The outermost value. Of an object all entries, so that a key that is there twice can be named: its reader would
/// silently take one of the two.
#[derive(Debug)]
pub(super) enum Top {
    Object(Vec<(String, Value)>),
    Array(Vec<Value>),
}

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    match top(text)? {
        Top::Array(entries) => read_array(&entries, options),
        Top::Object(entries) => match cookies_of(&entries) {
            Some(cookies) => read_state(&entries, cookies, options),
            // With --domain they are cookies, whatever they are called.
            None if options.domain.is_none() && tokens::are_in(&entries) => {
                tokens::read(&entries, options.now)
            }
            None => read_flat(&entries, options),
        },
    }
}

pub(super) fn read_storage_state(text: &[u8], options: &Options) -> Result<Material, Error> {
    let Top::Object(entries) = top(text)? else {
        return Err(Error::Shape);
    };
    match cookies_of(&entries) {
        Some(cookies) => read_state(&entries, cookies, options),
        None => Err(Error::Shape),
    }
}

pub(super) fn top(text: &[u8]) -> Result<Top, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::Encoding)?;
    if !text.trim_start().starts_with(['{', '[']) {
        return Err(match text.trim().is_empty() {
            true => Error::Empty,
            false => Error::Shape,
        });
    }
    serde_json::from_str(text).map_err(|error| Error::Syntax {
        line: error.line(),
        column: error.column(),
        // The parser's own words quote nothing of the text.
        problem: match (error.classify(), error.to_string().split_once(TWICE)) {
            (Category::Eof, _) => "it ends too early".to_owned(),
            (Category::Data, Some((key, _))) => format!("{key}{TWICE}"),
            _ => "it is not well-formed there".to_owned(),
        },
    })
}

fn cookies_of(entries: &[(String, Value)]) -> Option<&[Value]> {
    let (_, cookies) = entries.iter().find(|(key, _)| key == "cookies")?;
    cookies.as_array().map(Vec::as_slice)
}

fn read_array(entries: &[Value], options: &Options) -> Result<Material, Error> {
    let mut collector = Collector::new(options);
    add_all(&mut collector, "", entries, options)?;
    collector.finish()
}

fn read_state(
    entries: &[(String, Value)],
    cookies: &[Value],
    options: &Options,
) -> Result<Material, Error> {
    once::keys(entries)?;
    let mut collector = Collector::new(options);
    add_all(&mut collector, "cookies", cookies, options)?;
    let origins = entries.iter().find(|(key, _)| key == "origins");
    let origins = origins.and_then(|(_, origins)| origins.as_array());
    if let Some(origins) = origins.filter(|origins| !origins.is_empty()) {
        let names: Vec<_> = origins
            .iter()
            .filter_map(|o| o["origin"].as_str())
            .collect();
        collector.warn(format!(
            "the local storage of {} was left out: only cookies are taken from it",
            names.join(", ")
        ));
    }
    collector.finish()
}

fn read_flat(entries: &[(String, Value)], options: &Options) -> Result<Material, Error> {
    let mut collector = Collector::new(options);
    for (n, (key, value)) in entries.iter().enumerate() {
        let failed = |problem: String| Error::Entry {
            place: format!("key {key:?}"),
            problem,
        };
        let Some(text) = value.as_str() else {
            return Err(failed(format!("{}, not a text", kind_of(value))));
        };
        if entries[..n].iter().any(|(other, _)| other == key) {
            return Err(failed("it is there twice".to_owned()));
        }
        if options.domain.is_none() {
            continue;
        }
        let draft = Draft {
            name: key.as_bytes(),
            value: text.as_bytes(),
            ..Draft::default()
        };
        collector.add(draft, Twice::LastWins).map_err(failed)?;
    }
    if options.domain.is_none() && !entries.is_empty() {
        return Err(Error::NeedsDomain);
    }
    collector.finish()
}

fn add_all(
    collector: &mut Collector<'_>,
    of: &str,
    entries: &[Value],
    options: &Options,
) -> Result<(), Error> {
    for (n, entry) in entries.iter().enumerate() {
        let failed = |problem: String| {
            let name = entry.get("name").and_then(Value::as_str);
            let name = name.map_or(String::new(), |name| format!(" ({name:?})"));
            Error::Entry {
                place: format!("{of}[{n}]{name}"),
                problem,
            }
        };
        let Some(object) = entry.as_object() else {
            return Err(failed(format!("{}, not an object", kind_of(entry))));
        };
        let url = url(object).map_err(failed)?;
        let draft = draft(object, url.as_ref()).map_err(failed)?;
        if draft.domain.is_none() && options.domain.is_none() {
            return Err(Error::NeedsDomain);
        }
        collector.add(draft, Twice::LastWins).map_err(failed)?;
    }
    Ok(())
}

/// The host of `url`, and whether it is https: Puppeteer's way to say where a cookie belongs.
fn url(entry: &Map<String, Value>) -> Result<Option<(String, bool)>, String> {
    let Some(url) = text(entry, "url")? else {
        return Ok(None);
    };
    let origin: Origin = url.parse().map_err(|error| format!("its url: {error}"))?;
    let host: Host = origin.host;
    Ok(Some((host.to_string(), origin.scheme == Scheme::Https)))
}

fn draft<'a>(
    entry: &'a Map<String, Value>,
    url: Option<&'a (String, bool)>,
) -> Result<Draft<'a>, String> {
    let missing = |key: &str| format!("it has no {key}");
    let domain = text(entry, "domain")?;
    let domain = domain.or_else(|| text(entry, "host").ok().flatten());
    // Without hostOnly, the leading dot tells (Puppeteer, Playwright, Selenium).
    let dotted = domain.is_some_and(|domain| domain.starts_with('.'));
    let host_only = domain.is_some() && !dotted || domain.is_none() && url.is_some();
    let secure = boolean(entry, "secure")?;
    Ok(Draft {
        name: text(entry, "name")?
            .ok_or_else(|| missing("name"))?
            .as_bytes(),
        value: text(entry, "value")?
            .ok_or_else(|| missing("value"))?
            .as_bytes(),
        domain: domain.or(url.map(|(host, _)| host.as_str())),
        path: text(entry, "path")?.filter(|path| !path.is_empty()),
        host_only: boolean(entry, "hostOnly")?.unwrap_or(host_only),
        secure: secure.or(url.map(|(_, https)| *https)),
        http_only: boolean(entry, "httpOnly")?.unwrap_or(false),
        same_site: text(entry, "sameSite")?.and_then(same_site),
        expires: end(entry)?,
        partitioned: is_partitioned(entry),
        assumed: false,
    })
}

fn same_site(text: &str) -> Option<SameSite> {
    match text {
        "no_restriction" => Some(SameSite::None),
        other => SameSite::parse(other.as_bytes()),
    }
}

/// `expirationDate` (extensions), `expires` (Puppeteer, Playwright; -1 is a session cookie) or `expiry` (Selenium).
fn end(entry: &Map<String, Value>) -> Result<Option<std::time::SystemTime>, String> {
    if boolean(entry, "session")? == Some(true) {
        return Ok(None);
    }
    for key in ["expirationDate", "expires", "expiry"] {
        let number = match entry.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let number = number.filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("{key} is no number of seconds"))?;
        return Ok(expiry(number));
    }
    Ok(None)
}

fn is_partitioned(entry: &Map<String, Value>) -> bool {
    match entry.get("partitionKey") {
        None | Some(Value::Null) => false,
        Some(Value::String(key)) => !key.is_empty(),
        Some(Value::Object(key)) => !key.is_empty(),
        Some(_) => true,
    }
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{key} is {}, not a text", kind_of(other))),
    }
}

fn boolean(entry: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(yes)) => Ok(Some(*yes)),
        Some(other) => Err(format!("{key} is {}, not true or false", kind_of(other))),
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

// === impl Top ===

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text was seen to begin with one of the two.
        deserializer.deserialize_any(Outermost)
    }
}

struct Outermost;

impl<'de> Visitor<'de> for Outermost {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut entries = Vec::new();
        // Its own keys are looked at by who knows what they mean.
        while let Some((key, Once(value))) = map.next_entry()? {
            entries.push((key, value));
        }
        Ok(Top::Object(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Top, A::Error> {
        let mut entries = Vec::new();
        while let Some(Once(entry)) = seq.next_element()? {
            entries.push(entry);
        }
        Ok(Top::Array(entries))
    }
}
