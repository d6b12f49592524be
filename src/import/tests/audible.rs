//! 2.7.1: auth files of the `audible` library, and every way in which one can be wrong.

use super::*;

const PLAIN: &[u8] = include_bytes!("../../../tests/data/vectors/auth_plain.json");
const JSON: &[u8] = include_bytes!("../../../tests/data/vectors/auth_json.enc.json");
const BYTES: &[u8] = include_bytes!("../../../tests/data/vectors/auth_bytes.enc");

fn with(password: &str) -> Options {
    Options {
        password: (!password.is_empty()).then(|| password.into()),
        // The vectors' token has ended long since.
        ..options("")
    }
}

fn read(text: &[u8], password: &str) -> Result<Material, Error> {
    super::read(Kind::Audible, text, &with(password))
}

/// The plain file with one thing changed.
fn changed(change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) -> Vec<u8> {
    let mut file: serde_json::Value = serde_json::from_slice(PLAIN).unwrap();
    change(file.as_object_mut().unwrap());
    serde_json::to_vec(&file).unwrap()
}

#[test]
fn all_three_forms_are_the_same() {
    let plain = read(PLAIN, "").unwrap();
    let names: Vec<_> = plain.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "adp_token",
            "access_token",
            "refresh_token",
            "device_private_key"
        ]
    );
    assert!(
        plain
            .fields
            .iter()
            .all(|(_, value)| !value.expose().contains('\n'))
    );
    assert!(plain.expires_at.is_some());
    let lines: Vec<_> = plain.cookies.iter().map(line).collect();
    assert!(
        lines.contains(&"x-main=xmain .amazon.com / secure".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"x-main=xmain .audible.com / secure".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 10);
    for sealed in [JSON, BYTES] {
        let opened = read(sealed, "correct horse").unwrap();
        assert_eq!(opened.fields, plain.fields);
        assert_eq!(opened.cookies.len(), 10);
    }
    let marked = [b"\xef\xbb\xbf", PLAIN].concat();
    assert_eq!(read(&marked, "").unwrap(), plain);
    let text = String::from_utf8(PLAIN.to_vec()).unwrap();
    assert_eq!(
        read(text.replace('\n', "\r\n").as_bytes(), "").unwrap(),
        plain
    );
}

#[test]
fn older_and_other_files_work() {
    let legacy = changed(|file| {
        let cookies = file.remove("website_cookies").unwrap();
        file.insert("login_cookies".to_owned(), cookies);
    });
    assert_eq!(read(&legacy, "").unwrap().cookies.len(), 10);
    let more = changed(|file| {
        file.insert("novelty".to_owned(), 1.into());
        file.insert("expires".to_owned(), "1800000000.5".into());
        file["website_cookies"] = serde_json::json!({ "a": "\"quoted\"" });
        file.insert("with_username".to_owned(), true.into());
    });
    let material = read(&more, "").unwrap();
    assert_eq!(material.warnings, ["left out: \"novelty\""]);
    assert_eq!(material.expires_at, Some(at(1_800_000_000)));
    let lines: Vec<_> = material.cookies.iter().map(line).collect();
    assert_eq!(lines, ["a=quoted .audible.com / secure"]);
    let none = changed(|file| file["website_cookies"] = serde_json::Value::Null);
    assert!(read(&none, "").unwrap().cookies.is_empty());
    // Rounds that are not the default, and salts without marks.
    for rounds in [1_u16, 65_535] {
        let [high, low] = rounds.to_be_bytes();
        let mut salt = vec![b'$', high, low, b'$'];
        salt.extend([7; 12]);
        assert_eq!(
            read(&sealed(&salt, u32::from(rounds)), "pw")
                .unwrap()
                .fields
                .len(),
            4
        );
    }
    assert_eq!(read(&sealed(&[9; 16], 1000), "pw").unwrap().fields.len(), 4);
}

/// Encrypts the plain file as the library does.
fn sealed(salt: &[u8], rounds: u32) -> Vec<u8> {
    use aws_lc_rs::{
        cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
        iv::FixedLength,
    };
    let derived = if salt[0] == b'$' { &salt[4..] } else { salt };
    let key = cipher::key_of("pw", derived, std::num::NonZeroU32::new(rounds).unwrap());
    let key = UnboundCipherKey::new(&AES_256, &*key).unwrap();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let mut text = PLAIN.to_vec();
    let iv = EncryptionContext::Iv128(FixedLength::from([5; 16]));
    key.less_safe_encrypt(&mut text, iv).unwrap();
    [salt, &[5; 16], &text].concat()
}

#[test]
fn what_is_wrong_is_one_clear_error() {
    let says = |text: &[u8], password: &str, expected: &str| {
        let error = read(text, password).unwrap_err();
        let shown = format!("{error} | {}", error.hint().unwrap_or_default());
        assert!(shown.contains(expected), "{shown}");
        for secret in ["Atna|", "Atnr|", "MIIE", "xmain"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    };
    for sealed in [JSON, BYTES] {
        says(sealed, "", "--password");
        says(sealed, "wrong horse", "the password is wrong");
    }
    says(
        &BYTES[..BYTES.len() - 16],
        "correct horse",
        "the password is wrong, or the file is damaged",
    );
    says(&BYTES[..BYTES.len() - 5], "correct horse", "cut off");
    says(&BYTES[..20], "correct horse", "cut off");
    let mut flipped = BYTES.to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    says(&flipped, "correct horse", "damaged");
    let no_rounds = [b"$\0\0$", &BYTES[4..]].concat();
    says(&no_rounds, "correct horse", "no rounds");
    let parts: serde_json::Value = serde_json::from_slice(JSON).unwrap();
    let part = |name: &str, value: serde_json::Value| {
        let mut parts = parts.clone();
        match value.is_null() {
            true => parts.as_object_mut().unwrap().remove(name),
            false => parts
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value),
        };
        serde_json::to_vec(&parts).unwrap()
    };
    says(
        &part("iv", serde_json::Value::Null),
        "correct horse",
        "key \"iv\": it is missing",
    );
    says(
        &part("salt", "AAAA".into()),
        "correct horse",
        "key \"salt\": it has another length",
    );
    says(
        &part("ciphertext", "AAAA".into()),
        "correct horse",
        "cut off",
    );
    says(
        &part("iv", "no base64".into()),
        "correct horse",
        "not base64",
    );

    says(&PLAIN[..PLAIN.len() / 2], "", "ends too early");
    says(b"{\"a\": 1}", "", "JSON");
    says(b"[]", "", "JSON");
    let wrong = [
        (
            "device_private_key",
            serde_json::json!("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"),
            "no RSA private key",
        ),
        (
            "device_private_key",
            serde_json::json!(7),
            "a number, not a text",
        ),
        (
            "adp_token",
            serde_json::Value::Null,
            "nothing can be signed",
        ),
        (
            "access_token",
            serde_json::json!("a\nb"),
            "control character",
        ),
        ("expires", serde_json::json!("soon"), "no time"),
        (
            "website_cookies",
            serde_json::json!([]),
            "an array, not an object",
        ),
        (
            "website_cookies",
            serde_json::json!({ "a": 1 }),
            "a number, not a text",
        ),
        ("locale_code", serde_json::json!("xx"), "no marketplace"),
    ];
    for (key, value, expected) in wrong {
        let text = changed(|file| file[key] = value.clone());
        says(&text, "", expected);
        says(&text, "", key);
    }
    let twice = String::from_utf8(PLAIN.to_vec()).unwrap();
    let twice = twice.replacen('{', "{\"adp_token\": \"x\",", 1);
    says(twice.as_bytes(), "", "twice");
}

#[test]
fn a_file_for_another_marketplace_is_refused() {
    let mut options = with("");
    options.values.insert("tld".to_owned(), "de".to_owned());
    let error = super::read(Kind::Audible, PLAIN, &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("values = { tld = \"com\" }"), "{error}");
    options.values.insert("tld".to_owned(), "com".to_owned());
    options
        .values
        .insert("accounts".to_owned(), "amazon".to_owned());
    super::read(Kind::Audible, PLAIN, &options).unwrap();
}
