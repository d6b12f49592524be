//! Tokens that a program keeps encrypted with Fernet: a record `{"access_token": "gAAAA…", …}`, or one token alone.

use aws_lc_rs::hmac;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Error, Material, Options, cipher,
    json::{Top, top},
    tokens,
};

/// URL-safe, with or without padding: what was cut off with it is held by the signature.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Version, time, IV and signature, without the text.
const LEAST: usize = 1 + 8 + 16 + 16 + 32;

/// One key: 16 bytes that sign, 16 that encrypt.
type Key = Zeroizing<Vec<u8>>;

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let keys = keys(options)?;
    let text = std::str::from_utf8(text)
        .map_err(|_| Error::Encoding)?
        .trim();
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if !text.starts_with(['{', '[']) {
        return read_one(text, &keys, options);
    }
    let Top::Object(entries) = top(text.as_bytes())? else {
        return Err(Error::Shape);
    };
    let mut opened = Vec::new();
    let mut empty = Vec::new();
    for (key, value) in entries {
        let sealed = value.as_str().filter(|text| text.starts_with("gAAAA"));
        let is_token = ["access_token", "refresh_token", "id_token", "token"];
        match sealed {
            Some(sealed) => {
                let plain = open(sealed, &keys, &format!("key {key:?}"))?;
                // "There is none", written as what is encrypted all the same.
                if plain.is_empty() {
                    empty.push(key);
                } else {
                    opened.push((key, Value::String(plain.to_string())));
                }
            }
            None if is_token.contains(&key.as_str()) && value.as_str() == Some("") => {
                empty.push(key);
            }
            None if is_token.contains(&key.as_str()) && !value.is_null() => {
                return Err(Error::Entry {
                    place: format!("key {key:?}"),
                    problem: "it is no Fernet token: those begin with gAAAA".to_owned(),
                });
            }
            None => opened.push((key, value)),
        }
    }
    let mut material = tokens::read(&opened, options.now)?;
    let warnings = empty.into_iter().map(|key| format!("{key:?} is empty"));
    material.warnings.extend(warnings);
    Ok(material)
}

fn read_one(text: &str, keys: &[Key], options: &Options) -> Result<Material, Error> {
    let plain = open(text, keys, "the token")?;
    if plain.trim_start().starts_with('{') {
        let Top::Object(entries) = top(plain.as_bytes())? else {
            return Err(Error::Shape);
        };
        return tokens::read(&entries, options.now);
    }
    if plain.is_empty() {
        return Err(Error::Empty);
    }
    let entry = ("access_token".to_owned(), Value::String(plain.to_string()));
    let mut material = tokens::read(&[entry], options.now)?;
    let warning = "it was taken for an access token; a refresh token goes in as {\"refresh_token\": \"gAAAA…\"}";
    material.warnings.push(warning.to_owned());
    Ok(material)
}

/// Reads `--key`: one, or several with commas or spaces between, the newest first (MultiFernet).
fn keys(options: &Options) -> Result<Vec<Key>, Error> {
    let text = options.key.as_ref().ok_or(Error::NeedsKey)?;
    let words = text.expose().split([',', ' ', '\t']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let read = words.iter().enumerate().map(|(n, word)| {
        let bytes = BASE64.decode(word).ok().map(Zeroizing::new);
        let key = bytes.filter(|bytes| bytes.len() == 32);
        key.ok_or_else(|| Error::Entry {
            place: format!("key {} of {}", n + 1, words.len()),
            problem: "a Fernet key is 32 bytes as URL-safe base64, 44 characters".to_owned(),
        })
    });
    let keys: Vec<Key> = read.collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(Error::NeedsKey);
    }
    Ok(keys)
}

/// Opens a token with the first key that fits; says else what is wrong.
fn open(token: &str, keys: &[Key], place: &str) -> Result<Zeroizing<String>, Error> {
    let failed = |problem: &str| Error::Entry {
        place: place.to_owned(),
        problem: problem.to_owned(),
    };
    let bytes = BASE64
        .decode(token.trim())
        .map_err(|_| failed("it is not URL-safe base64"))?;
    if bytes.first() != Some(&0x80) {
        return Err(failed("it is no Fernet token of the one version there is"));
    }
    if bytes.len() < LEAST {
        return Err(failed("it is cut off"));
    }
    let (signed, signature) = bytes.split_at(bytes.len() - 32);
    let key = keys.iter().find(|key| {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key[..16]);
        hmac::verify(&signing, signed, signature).is_ok()
    });
    let key = key.ok_or_else(|| Error::Key {
        place: place.to_owned(),
    })?;
    let plain = cipher::open(&key[16..], &signed[9..25], &signed[25..])
        .ok_or_else(|| failed("its text has no valid padding"))?;
    let plain = std::str::from_utf8(&plain).map_err(|_| failed("its text is not UTF-8"))?;
    Ok(Zeroizing::new(plain.to_owned()))
}
