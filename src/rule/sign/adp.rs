//! `adp`: RSASSA-PKCS1-v1_5 with SHA-256 over method, path with query, date, body and token, a line each.

use std::time::SystemTime;

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::{Error, Signed};

pub(super) static FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("x-adp-token"),
    HeaderName::from_static("x-adp-alg"),
    HeaderName::from_static("x-adp-signature"),
];

pub(super) fn sign(
    signed: Signed<'_>,
    token: &str,
    key_text: &str,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let key = key(key_text).ok_or(Error::Key)?;
    let date = date(signed.now);
    let signature = signature(&key, signed, &date, token)?;
    let signature = format!("{signature}:{date}");
    let [token_field, algorithm, signature_field] = FIELDS.clone();
    let value = |text: &str| -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_str(text).map_err(|_| Error::Token)?;
        value.set_sensitive(true);
        Ok(value)
    };
    Ok(vec![
        (token_field, value(token)?),
        (algorithm, HeaderValue::from_static("SHA256withRSA:1.0")),
        (signature_field, value(&signature)?),
    ])
}

/// Returns base64 of the signature, which is the same each time.
fn signature(key: &KeyPair, signed: Signed<'_>, date: &str, token: &str) -> Result<String, Error> {
    let Signed {
        method,
        target,
        body,
        ..
    } = signed;
    let head = format!("{method}\n{target}\n{date}\n");
    let text = [head.as_bytes(), body, b"\n", token.as_bytes()].concat();
    // It takes a buffer of exactly the modulus's length.
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        &text,
        &mut signature,
    )
    .map_err(|_| Error::Key)?;
    Ok(STANDARD.encode(signature))
}

/// Writes a time as devices do, in UTC, with microseconds.
fn date(now: SystemTime) -> String {
    let now = OffsetDateTime::from(now);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second, micros) = now.to_hms_micro();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads a private key: PEM, or its base64 alone on one line; PKCS#1 or PKCS#8.
pub fn key(text: &str) -> Option<KeyPair> {
    let body: String = text
        .lines()
        .filter(|line| !line.contains("-----"))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    let der = STANDARD.decode(body).ok()?;
    KeyPair::from_der(&der)
        .or_else(|_| KeyPair::from_pkcs8(&der))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use http::Method;
    use serde_json::Value;

    use super::*;

    const VECTOR: &str = include_str!("../../../tests/data/vectors/adp_signature.json");

    fn signed<'a>(method: &'a Method, target: &'a str, body: &'a [u8]) -> Signed<'a> {
        static NONE: std::sync::LazyLock<http::HeaderMap> =
            std::sync::LazyLock::new(Default::default);
        Signed {
            method,
            target,
            host: "api.example",
            headers: &NONE,
            body,
            now: SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_323_045_678_901),
        }
    }

    /// 2.7.3, 2.7.4: the signature verifies over exactly these bytes, whatever stands in path and body.
    #[test]
    fn the_signature_is_over_the_bytes_as_sent() {
        let vector: Value = serde_json::from_str(VECTOR).unwrap();
        let pem = vector["private_key_pem"].as_str().unwrap();
        let public = key(pem).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.public_key());
        for (target, body) in [
            ("/1.0/library?num_results=5&response_groups=a,b", &b""[..]),
            ("/1.0/%20a+b//c?", b"{\"a\":\"\xc3\xa4\"}"),
            ("/?", b"\x00\xff\n\n"),
        ] {
            let fields = sign(signed(&Method::POST, target, body), "{enc:x}", pem).unwrap();
            let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["x-adp-token", "x-adp-alg", "x-adp-signature"]);
            let (signature, date) = fields[2].1.to_str().unwrap().split_once(':').unwrap();
            assert_eq!(date, "2026-01-02T03:04:05.678901Z");
            let mut text = format!("POST\n{target}\n{date}\n").into_bytes();
            text.extend([body, b"\n{enc:x}"].concat());
            let signature = STANDARD.decode(signature).unwrap();
            public.verify(&text, &signature).unwrap();
        }
    }

    /// What the library itself signs.
    #[test]
    fn the_librarys_own_signature() {
        let vector: Value = serde_json::from_str(VECTOR).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap();
        let expected = vector["headers"]["x-adp-signature"].as_str().unwrap();
        let (expected, date) = expected.split_once(':').unwrap();
        let method: Method = text("method").parse().unwrap();
        let signed = signed(&method, text("path"), text("body").as_bytes());
        let key = key(text("private_key_pem")).unwrap();
        let got = signature(&key, signed, date, text("adp_token")).unwrap();
        assert_eq!(got, expected);
    }

    #[test]
    fn keys_in_all_their_forms() {
        let vector: Value = serde_json::from_str(VECTOR).unwrap();
        let pem = vector["private_key_pem"].as_str().unwrap();
        let one_line = pem
            .lines()
            .filter(|l| !l.contains("-----"))
            .collect::<String>();
        for text in [pem, &pem.replace('\n', "\r\n"), &one_line] {
            assert!(key(text).is_some());
        }
        for text in [
            "",
            "-----BEGIN RSA PRIVATE KEY-----",
            "AAAA",
            "no base64!",
            &one_line[8..],
        ] {
            assert!(key(text).is_none(), "{text}");
        }
        let error = sign(signed(&Method::GET, "/", b""), "a\nb", pem).unwrap_err();
        assert_eq!(error, Error::Token);
    }
}
