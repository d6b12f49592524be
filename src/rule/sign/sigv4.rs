//! `sigv4`: AWS Signature Version 4, in the `Authorization` field. Signed are the host, the type of the body and every
//! `x-amz-*` field; the body's hash is always sent.

use std::{collections::BTreeMap, fmt::Write as _, time::SystemTime};

use aws_lc_rs::{digest, hmac};
use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use time::OffsetDateTime;

use super::{Error, Signed};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
static TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

pub(super) static FIELDS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-security-token"),
];

/// What is left as it is in paths and queries (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whose signature it is, and for what.
pub(super) struct With<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) key_id: &'a str,
    pub(super) secret: &'a str,
    /// Of credentials that end.
    pub(super) token: Option<&'a str>,
}

pub(super) fn sign(
    signed: Signed<'_>,
    with: &With<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let (day, time) = date(signed.now);
    let body = hex(digest::digest(&digest::SHA256, signed.body).as_ref());
    let mut fields = vec![(DATE.clone(), plain(&time)?), (HASH.clone(), plain(&body)?)];
    if let Some(token) = with.token {
        let mut token = plain(token)?;
        token.set_sensitive(true);
        fields.push((TOKEN.clone(), token));
    }
    let (names, lines) = canonical_fields(signed, &fields)?;
    let (path, query) = signed.target.split_once('?').unwrap_or((signed.target, ""));
    let request = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{body}",
        signed.method,
        canonical_path(path, with.service),
        canonical_query(query),
    );
    let scope = format!("{day}/{}/{}/aws4_request", with.region, with.service);
    let request = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{request}");
    let mut key = format!("AWS4{}", with.secret).into_bytes();
    for part in [&day, with.region, with.service, "aws4_request", &text] {
        key = mac(&key, part);
    }
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        with.key_id,
        hex(&key)
    );
    let mut authorization = plain(&authorization)?;
    authorization.set_sensitive(true);
    fields.push((AUTHORIZATION, authorization));
    Ok(fields)
}

/// Returns the names of what is signed, and their lines.
fn canonical_fields(
    signed: Signed<'_>,
    ours: &[(HeaderName, HeaderValue)],
) -> Result<(String, String), Error> {
    let mut fields: BTreeMap<&str, Vec<&HeaderValue>> = BTreeMap::new();
    for (name, value) in signed.headers {
        let wanted = *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-");
        if wanted && !FIELDS.contains(name) {
            fields.entry(name.as_str()).or_default().push(value);
        }
    }
    for (name, value) in ours {
        fields.entry(name.as_str()).or_default().push(value);
    }
    let host = plain(signed.host)?;
    fields.insert("host", vec![&host]);
    let mut lines = String::new();
    for (name, values) in &fields {
        let values = values.iter().map(|value| {
            let text = value.to_str().map_err(|_| Error::Field)?;
            Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        });
        let values: Vec<String> = values.collect::<Result<_, Error>>()?;
        lines += &format!("{name}:{}\n", values.join(","));
    }
    let names: Vec<&str> = fields.into_keys().collect();
    Ok((names.join(";"), lines))
}

/// Writes a path as the service reads it: S3 as it is, all others without dot segments and encoded once more.
fn canonical_path(path: &str, service: &str) -> String {
    let encoded = |text: &str| -> String {
        let parts = text.split('/');
        let parts = parts.map(|part| utf8_percent_encode(part, UNRESERVED).to_string());
        parts.collect::<Vec<_>>().join("/")
    };
    if service.starts_with("s3") {
        let parts = path.split('/').map(|part| once(part, false));
        return parts.collect::<Vec<_>>().join("/");
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    encoded(&format!("/{}{end}", kept.join("/")))
}

fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (once(name, true), once(value, true)))
        .collect();
    pairs.sort();
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

/// Encodes all that is not unreserved, once, however it was encoded; a plus is a space in queries.
fn once(text: &str, query: bool) -> String {
    let text = match query {
        true => text.replace('+', " "),
        false => text.to_owned(),
    };
    let bytes: Vec<u8> = percent_decode_str(&text).collect();
    let mut encoded = String::new();
    for byte in bytes {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => write!(encoded, "%{byte:02X}").expect("a string can be written"),
        }
    }
    encoded
}

/// Returns the day and the time, as the signature has them.
fn date(now: SystemTime) -> (String, String) {
    let now = OffsetDateTime::from(now);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let day = format!("{year:04}{:02}{day:02}", u8::from(month));
    let time = format!("{day}T{hour:02}{minute:02}{second:02}Z");
    (day, time)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string can be written");
        hex
    })
}

fn plain(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::Field)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, Method};
    use serde_json::Value;

    use super::*;

    /// What botocore signs: tests/python/sigv4.py writes it.
    const VECTORS: &str = include_str!("../../../tests/data/vectors/sigv4.json");

    #[test]
    fn as_botocore_signs() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        assert!(vectors.len() >= 12);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let mut headers = HeaderMap::new();
            for pair in vector["headers"].as_array().unwrap() {
                let name: HeaderName = pair[0].as_str().unwrap().parse().unwrap();
                headers.append(name, pair[1].as_str().unwrap().parse().unwrap());
            }
            let method: Method = text("method").parse().unwrap();
            let signed = Signed {
                method: &method,
                target: text("target"),
                host: text("host"),
                headers: &headers,
                body: text("body").as_bytes(),
                now: SystemTime::UNIX_EPOCH + Duration::from_secs(vector["now"].as_u64().unwrap()),
            };
            let with = With {
                region: text("region"),
                service: text("service"),
                key_id: text("key_id"),
                secret: text("secret"),
                token: vector["token"].as_str(),
            };
            let fields = sign(signed, &with).unwrap();
            let (_, got) = fields.last().unwrap();
            assert_eq!(got.to_str().unwrap(), text("authorization"), "{vector}");
            assert!(got.is_sensitive());
        }
    }

    #[test]
    fn what_no_field_can_carry_is_an_error() {
        let headers = HeaderMap::new();
        let signed = Signed {
            method: &Method::GET,
            target: "/",
            host: "h.example",
            headers: &headers,
            body: b"",
            now: SystemTime::UNIX_EPOCH,
        };
        let with = With {
            region: "r",
            service: "s",
            key_id: "a\nb",
            secret: "s",
            token: None,
        };
        assert_eq!(sign(signed, &with).unwrap_err(), Error::Field);
    }
}
