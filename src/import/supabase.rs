//! A Supabase session as browsers keep it: the entry `sb-…-auth-token` of the local storage, or the cookies of that name,
//! cut into chunks where they are long.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{
    Error, Material, Options,
    json::{Top, top},
    once, tokens,
};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::Encoding)?;
    if text.trim().is_empty() {
        return Err(Error::Empty);
    }
    let pairs = if text.trim_start().starts_with(['{', '[']) {
        match top(text.as_bytes())? {
            Top::Object(entries) if tokens::are_in(&entries) => return of(&entries, options),
            Top::Object(entries) => of_object(&entries)?,
            // What older helpers keep: access token, refresh token, and tokens of others.
            Top::Array(items) if items.first().is_some_and(Value::is_string) => {
                return of(&listed(&items), options);
            }
            Top::Array(items) => items.iter().filter_map(cookie).collect(),
        }
    } else {
        of_text(text)
    };
    let value = assembled(&pairs)?;
    session(&value, options)
}

/// A dump of the local storage, a storage state, or cookies by name.
fn of_object(entries: &[(String, Value)]) -> Result<Vec<(String, String)>, Error> {
    once::keys(entries)?;
    let mut pairs = Vec::new();
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("cookies", Value::Array(cookies)) => pairs.extend(cookies.iter().filter_map(cookie)),
            ("origins", Value::Array(origins)) => {
                let storages = origins.iter().filter_map(|o| o["localStorage"].as_array());
                pairs.extend(storages.flatten().filter_map(cookie));
            }
            (_, Value::String(text)) => pairs.push((key.clone(), text.clone())),
            (_, Value::Object(_)) => pairs.push((key.clone(), value.to_string())),
            _ => {}
        }
    }
    Ok(pairs)
}

fn cookie(entry: &Value) -> Option<(String, String)> {
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    Some((text("name")?, text("value")?))
}

/// A `Cookie` field, or the lines of a cookies.txt.
fn of_text(text: &str) -> Vec<(String, String)> {
    let field = |line: &str| {
        let line = line
            .trim_start_matches("Cookie:")
            .trim_start_matches("cookie:");
        let pairs = line
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let pairs =
            pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        pairs.collect::<Vec<_>>()
    };
    let lines = text.lines().flat_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            [_, _, _, _, _, name, value] => vec![(name.to_owned(), value.to_owned())],
            _ => field(line),
        }
    });
    lines.collect()
}

/// Finds the one session among names and values, and puts its chunks together.
fn assembled(pairs: &[(String, String)]) -> Result<String, Error> {
    let mut names: Vec<&str> = pairs.iter().filter_map(|(name, _)| base(name)).collect();
    names.sort_unstable();
    names.dedup();
    let name = match names.as_slice() {
        [] => return Err(Error::Shape),
        [name] => *name,
        several => {
            return Err(Error::Entry {
                place: several.join(", "),
                problem: "the sessions of several projects; leave all but one out".to_owned(),
            });
        }
    };
    let value = |name: &str| {
        let mut all = pairs.iter().filter(|(known, _)| known == name);
        all.next_back().map(|(_, value)| value.as_str())
    };
    if let Some(whole) = value(name) {
        return Ok(whole.to_owned());
    }
    let mut text = String::new();
    let chunks = pairs.iter().filter(|(known, _)| base(known) == Some(name));
    for n in 0..chunks.count() {
        let chunk = format!("{name}.{n}");
        text.push_str(value(&chunk).ok_or_else(|| Error::Entry {
            place: chunk.clone(),
            problem: "this part of the cookie is missing; export all of them".to_owned(),
        })?);
    }
    Ok(text)
}

/// Returns `sb-…-auth-token` of that name, or of one with the number of a chunk behind it.
fn base(name: &str) -> Option<&str> {
    let base = match name.rsplit_once('.') {
        Some((base, number))
            if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() =>
        {
            base
        }
        _ => name,
    };
    (base.starts_with("sb-") && base.ends_with("-auth-token")).then_some(base)
}

fn session(value: &str, options: &Options) -> Result<Material, Error> {
    let damaged = |problem: &str| Error::Entry {
        place: "sb-…-auth-token".to_owned(),
        problem: problem.to_owned(),
    };
    let value = percent_decode_str(value)
        .decode_utf8()
        .map_err(|_| damaged("it is not UTF-8"))?;
    let text = match value.strip_prefix("base64-") {
        Some(encoded) => {
            let bytes = BASE64
                .decode(encoded.trim())
                .map_err(|_| damaged("it is not URL-safe base64, or cut off"))?;
            String::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8"))?
        }
        None => value.into_owned(),
    };
    match top(text.as_bytes()) {
        Ok(Top::Object(entries)) => of(&entries, options),
        Ok(Top::Array(items)) => of(&listed(&items), options),
        Err(_) => Err(damaged("it is no whole JSON")),
    }
}

fn listed(items: &[Value]) -> Vec<(String, Value)> {
    let names = ["access_token", "refresh_token"];
    let pairs = names.iter().zip(items);
    pairs
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// Tokens and expiry; what the session tells of its user is not wanted.
fn of(entries: &[(String, Value)], options: &Options) -> Result<Material, Error> {
    const WANTED: [&str; 4] = ["access_token", "refresh_token", "expires_at", "expires_in"];
    let entries: Vec<_> = entries
        .iter()
        .filter(|(key, _)| WANTED.contains(&key.as_str()))
        .cloned()
        .collect();
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if !has("refresh_token") {
        return Err(Error::Entry {
            place: "refresh_token".to_owned(),
            problem: "it is missing, and without it the session ends with its token".to_owned(),
        });
    }
    tokens::read(&entries, options.now)
}
