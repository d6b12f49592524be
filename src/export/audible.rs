//! A stand-in for the auth file of the `audible` library: every version loads it, and it opens nothing.
//!
//! A session gives out stand-ins of its own: with these in it, a tool may also renew its token by itself.
//!
//! The library checks the shape of each value, so these have it, and a private key that nobody knows of. It refuses keys
//! that it does not know: nothing in the file says what it is.

use std::{collections::BTreeMap, time::SystemTime};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{Error, Written, seconds};
use crate::{provider::MARKETS, secret::Secret};

/// Ten years: a library that finds its token at an end asks for another.
const LONG: u64 = 10 * 365 * 86_400;

/// Makes a file for the marketplace of a session, by its plain values.
///
/// `make` makes the session's own stand-in for a field's value; without it the tokens are just letters.
pub fn standin(
    values: &BTreeMap<String, String>,
    make: Option<&dyn Fn(&str, &str) -> String>,
    now: SystemTime,
) -> Result<Written, Error> {
    let tld = values.get("tld").map_or("com", String::as_str);
    let code = MARKETS.iter().find(|(_, known)| *known == tld);
    let (code, _) = code.ok_or(Error::Empty)?;
    let old_account = values.get("accounts").is_some_and(|kind| kind == "audible");
    let part = || letters(32);
    let token = |field: &str, kind: &str| {
        let token = format!("{kind}|{}", letters(64));
        make.map_or_else(|| token.clone(), |make| make(field, &token))
    };
    let adp = format!(
        "{{enc:{}}}{{key:{}}}{{iv:{}}}{{name:{}}}{{serial:Mg==}}",
        part(),
        part(),
        part(),
        STANDARD.encode("ADPTokenEncryptionKey"),
    );
    let file = json!({
        "website_cookies": null,
        "adp_token": adp,
        "access_token": token("access_token", "Atna"),
        "refresh_token": token("refresh_token", "Atnr"),
        "device_private_key": private_key().ok_or(Error::Empty)?,
        "store_authentication_cookie": { "cookie": letters(32) },
        "device_info": {
            "device_name": "staysigned",
            "device_serial_number": "00000000000000000000000000000000",
            "device_type": "A2CZJZGLK2JJVM",
        },
        "customer_info": {
            "account_pool": "Amazon",
            "user_id": "amzn1.account.STAYSIGNED",
            "home_region": "NA",
            "name": "staysigned",
            "given_name": "staysigned",
        },
        "expires": seconds(now) + LONG,
        "locale_code": code,
        "with_username": old_account,
        "activation_bytes": null,
    });
    let mut text = serde_json::to_vec_pretty(&file).expect("a JSON value can be written");
    text.push(b'\n');
    Ok(Written {
        text: Secret::new(text),
        warnings: Vec::new(),
    })
}

fn letters(count: usize) -> String {
    let mut bytes = vec![0; count];
    // Without randomness it stands in all the same.
    let _ = rand::fill(&mut bytes);
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |b: &u8| char::from(LETTERS[usize::from(b % 32)]);
    bytes.iter().map(letter).collect()
}

/// Returns a new key as PEM in the form that all versions of the library take (PKCS#1).
fn private_key() -> Option<String> {
    let key = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).ok()?;
    let pkcs8 = pkcs8.as_ref();
    // PKCS#8 holds it as an OCTET STRING behind the algorithm's NULL (RFC 5958 §2, RFC 8017 §A.1).
    let mark = [0x05, 0x00, 0x04, 0x82];
    let at = pkcs8.windows(4).position(|window| window == mark)?;
    let encoded = STANDARD.encode(pkcs8.get(at + 6..)?);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    let body = lines.join("\n");
    Some(format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::sign::adp_key;

    /// 2.7.2: the shapes that the library checks.
    #[test]
    fn a_standin_has_the_shape_of_the_real_one() {
        let values = BTreeMap::from([("tld".to_owned(), "co.uk".to_owned())]);
        let written = standin(&values, None, SystemTime::now()).unwrap();
        let file: serde_json::Value = serde_json::from_slice(written.text.expose()).unwrap();
        let text = |name: &str| file[name].as_str().unwrap().to_owned();
        assert!(text("access_token").starts_with("Atna|"));
        assert!(text("refresh_token").starts_with("Atnr|"));
        assert!(text("adp_token").starts_with("{enc:"));
        assert!(text("adp_token").ends_with("}{serial:Mg==}"));
        assert!(text("device_private_key").ends_with("-----END RSA PRIVATE KEY-----\n"));
        assert!(adp_key(&text("device_private_key")).is_some());
        assert_eq!(text("locale_code"), "uk");
        let unknown = BTreeMap::from([("tld".to_owned(), "example".to_owned())]);
        assert_eq!(
            standin(&unknown, None, SystemTime::now()).unwrap_err(),
            Error::Empty
        );
    }
}
