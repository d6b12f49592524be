//! The auth file of the `audible` library: its JSON, plain, or encrypted as JSON or as bytes.

use std::{num::NonZeroU32, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Error, Material, Options, cipher,
    collect::{self, Collector, Draft, Twice},
    json::{Top, kind_of, top},
    once, tokens,
};
use crate::{provider::MARKETS, rule::sign::adp_key, secret::Secret};

/// Known, and of no use to a session.
const IDLE: [&str; 6] = [
    "store_authentication_cookie",
    "device_info",
    "customer_info",
    "activation_bytes",
    "with_username",
    "locale_code",
];

/// Rounds of the key derivation if the file does not say.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

type Entries = Vec<(String, Value)>;

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let start = text.trim_ascii_start().first();
    let is_json = matches!(start, Some(b'{' | b'['));
    let entries = match is_json.then(|| top(text)) {
        Some(Ok(Top::Object(entries))) => entries,
        Some(Ok(Top::Array(_))) => return Err(Error::Shape),
        Some(Err(error)) => return Err(error),
        // Encrypted bytes are no text.
        None if std::str::from_utf8(text).is_ok() => {
            return Err(if text.trim_ascii().is_empty() {
                Error::Empty
            } else {
                Error::Shape
            });
        }
        None => return plain(&decrypted(&Sealed::of_bytes(text)?, options)?, options),
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if has("ciphertext") {
        return plain(&decrypted(&Sealed::of_json(&entries)?, options)?, options);
    }
    if !has("adp_token") && !has("device_private_key") && !has("access_token") {
        return Err(Error::Shape);
    }
    plain(&entries, options)
}

/// An encrypted file's parts.
struct Sealed {
    salt: Vec<u8>,
    iv: Vec<u8>,
    text: Vec<u8>,
}

impl Sealed {
    fn of_bytes(text: &[u8]) -> Result<Self, Error> {
        // Salt, IV, and one block at least.
        if text.len() < 48 || !text.len().is_multiple_of(16) {
            let place = "the encrypted file".to_owned();
            let problem = "it is cut off, or no auth file of the audible library".to_owned();
            return Err(Error::Entry { place, problem });
        }
        Ok(Self {
            salt: text[..16].to_vec(),
            iv: text[16..32].to_vec(),
            text: text[32..].to_vec(),
        })
    }

    fn of_json(entries: &Entries) -> Result<Self, Error> {
        once::keys(entries)?;
        let part = |name: &str, length: Option<usize>| {
            let failed = |problem: &str| Error::Entry {
                place: format!("key {name:?}"),
                problem: problem.to_owned(),
            };
            let (_, value) = entries
                .iter()
                .find(|(key, _)| key == name)
                .ok_or_else(|| failed("it is missing"))?;
            let text = value.as_str().ok_or_else(|| failed("it is not a text"))?;
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| failed("it is not base64"))?;
            match length {
                Some(length) if bytes.len() != length => Err(failed("it has another length")),
                None if bytes.is_empty() || !bytes.len().is_multiple_of(16) => {
                    Err(failed("it is cut off"))
                }
                _ => Ok(bytes),
            }
        };
        Ok(Self {
            salt: part("salt", Some(16))?,
            iv: part("iv", Some(16))?,
            text: part("ciphertext", None)?,
        })
    }

    /// Returns salt and rounds: the block is `$`, the rounds, `$` and 12 bytes of salt; or 16 bytes of salt.
    fn derivation(&self) -> Result<(&[u8], NonZeroU32), Error> {
        let salt = self.salt.as_slice();
        if salt[0] != b'$' || salt[3] != b'$' {
            return Ok((salt, ROUNDS));
        }
        let rounds = u16::from_be_bytes([salt[1], salt[2]]);
        let rounds = NonZeroU32::new(rounds.into()).ok_or_else(|| Error::Entry {
            place: "salt".to_owned(),
            problem: "its key derivation has no rounds".to_owned(),
        })?;
        Ok((&salt[4..], rounds))
    }
}

fn decrypted(sealed: &Sealed, options: &Options) -> Result<Entries, Error> {
    let password = options.password.as_ref().ok_or(Error::NeedsPassword)?;
    let (salt, rounds) = sealed.derivation()?;
    let key = cipher::key_of(password.expose(), salt, rounds);
    let text: Zeroizing<Vec<u8>> =
        cipher::open(&*key, &sealed.iv, &sealed.text).ok_or(Error::Password)?;
    // There is no other proof of the password than that this is JSON.
    match top(&text) {
        Ok(Top::Object(entries)) => Ok(entries),
        _ => Err(Error::Password),
    }
}

fn plain(entries: &Entries, options: &Options) -> Result<Material, Error> {
    let mut material = Material::default();
    let mut left_out = Vec::new();
    let mut cookies = None;
    let (mut market, mut by_username) = (None, false);
    for (n, (key, value)) in entries.iter().enumerate() {
        let failed = |problem: String| Error::Entry {
            place: format!("key {key:?}"),
            problem,
        };
        if entries[..n].iter().any(|(other, _)| other == key) {
            return Err(failed("it is there twice".to_owned()));
        }
        match key.as_str() {
            "adp_token" | "access_token" | "refresh_token" => {
                if let Some(token) = tokens::token(value).map_err(failed)? {
                    material.fields.push((key.clone(), token));
                }
            }
            "device_private_key" => {
                let text = value
                    .as_str()
                    .ok_or_else(|| failed(format!("{}, not a text", kind_of(value))))?;
                let key_text = one_line(text).ok_or_else(|| {
                    failed("it is no RSA private key of 2048 bits or more".to_owned())
                })?;
                material.fields.push((key.clone(), key_text));
            }
            "expires" => {
                let seconds = value.as_f64();
                let seconds = seconds.or_else(|| value.as_str()?.trim().parse().ok());
                let seconds = seconds.filter(|seconds| seconds.is_finite());
                let seconds = seconds.ok_or_else(|| failed("it is no time".to_owned()))?;
                material.expires_at =
                    Some(collect::expiry(seconds).unwrap_or(SystemTime::UNIX_EPOCH));
            }
            // The key's name before 0.2.
            "website_cookies" | "login_cookies" => match value {
                Value::Null => {}
                Value::Object(all) => cookies = Some((key.as_str(), all)),
                other => return Err(failed(format!("{}, not an object", kind_of(other)))),
            },
            _ if IDLE.contains(&key.as_str()) => match (key.as_str(), value) {
                ("locale_code", Value::String(code)) => {
                    let found = MARKETS.iter().find(|(known, _)| known == code);
                    let (_, tld) =
                        found.ok_or_else(|| failed("no marketplace has this code".to_owned()))?;
                    market = Some(*tld);
                }
                ("with_username", Value::Bool(yes)) => by_username = *yes,
                _ => {}
            },
            _ => left_out.push(format!("{key:?}")),
        }
    }
    for needed in ["adp_token", "device_private_key"] {
        if !material.fields.iter().any(|(name, _)| name == needed) {
            return Err(Error::Entry {
                place: format!("key {needed:?}"),
                problem: "it is missing, and without it nothing can be signed".to_owned(),
            });
        }
    }
    agree(market, by_username, options)?;
    if let Some((key, all)) = cookies.filter(|(_, all)| !all.is_empty()) {
        let tld = market.or(options.value("tld")).unwrap_or("com");
        let website = website(key, all, tld, by_username, options)?;
        material.cookies = website.cookies;
        material.warnings = website.warnings;
    }
    if !left_out.is_empty() {
        let keys = left_out.join(", ");
        material.warnings.push(format!("left out: {keys}"));
    }
    Ok(material)
}

/// Sees to it that the file is for the marketplace and the kind of account that the session is for.
fn agree(market: Option<&str>, by_username: bool, options: &Options) -> Result<(), Error> {
    let accounts = if by_username { "audible" } else { "amazon" };
    for (name, place, file) in [
        ("tld", "locale_code", market),
        ("accounts", "with_username", Some(accounts)),
    ] {
        if let (Some(file), Some(session)) = (file, options.value(name))
            && file != session
        {
            return Err(Error::OtherSession {
                place,
                problem: format!(
                    "the file is for {name} = \"{file}\" and the session for \"{session}\"; write values = {{ {name} = \"{file}\" }}"
                ),
            });
        }
    }
    Ok(())
}

/// The library keeps the cookies of its website without a domain, and sends them to whatever it asks.
fn website(
    key: &str,
    all: &serde_json::Map<String, Value>,
    tld: &str,
    by_username: bool,
    options: &Options,
) -> Result<Material, Error> {
    let mut collector = Collector::new(options);
    let domains = [format!(".audible.{tld}"), format!(".amazon.{tld}")];
    let domains = if by_username { &domains[..1] } else { &domains };
    for (name, value) in all {
        let failed = |problem: String| Error::Entry {
            place: format!("{key}[{name:?}]"),
            problem,
        };
        let value = value
            .as_str()
            .ok_or_else(|| failed(format!("{}, not a text", kind_of(value))))?;
        for domain in domains {
            let draft = Draft {
                name: name.as_bytes(),
                value: value.trim_matches('"').as_bytes(),
                domain: Some(domain),
                secure: Some(true),
                ..Draft::default()
            };
            collector.add(draft, Twice::LastWins).map_err(failed)?;
        }
    }
    collector.finish()
}

/// Returns a private key as its base64 alone: no field of a session has lines.
fn one_line(pem: &str) -> Option<Secret> {
    adp_key(pem)?;
    let lines = pem.lines().filter(|line| !line.contains("-----"));
    Some(Secret::new(lines.map(str::trim).collect::<String>()))
}
