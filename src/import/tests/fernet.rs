//! 5.4.10: tokens encrypted with Fernet, and every way in which one can be wrong.

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// `Atza|hello`, of the format's own code.
const TOKEN: &str = "gAAAAABpVzWlZGVmZ2hpamtsbW5vcHFyc1ZS8DA6RFKnpmqtvpabGXQY8Ii_Hqt8c0kQgenSVtKJNvp7oIz53ZnDTIfqFoJz9w==";

fn read(text: &str, key: &str) -> Result<Material, Error> {
    let options = Options {
        key: (!key.is_empty()).then(|| key.into()),
        ..options("")
    };
    super::read(Kind::Fernet, text.as_bytes(), &options)
}

fn field(material: &Material, name: &str) -> String {
    let found = material.fields.iter().find(|(known, _)| known == name);
    found.map_or(String::new(), |(_, value)| value.expose().clone())
}

#[test]
fn tokens_open_with_one_of_several_keys() {
    for key in [
        KEY.to_owned(),
        format!("{OTHER},{KEY}"),
        format!("{KEY} {OTHER}"),
    ] {
        let alone = read(TOKEN, &key).unwrap();
        assert_eq!(field(&alone, "access_token"), "Atza|hello");
        let record = format!(
            "{{\"access_token\": \"{TOKEN}\", \"refresh_token\": \"{TOKEN}\", \"token_type\": \"bearer\", \"expires_at\": \"2027-01-01T00:00:00\"}}"
        );
        let record = read(&record, &key).unwrap();
        assert_eq!(field(&record, "refresh_token"), "Atza|hello");
        assert!(record.expires_at.is_some());
    }
    // Without its padding it is as good: the signature holds it.
    assert!(read(TOKEN.trim_end_matches('='), KEY).is_ok());
    let none = format!("{{\"access_token\": \"{TOKEN}\", \"refresh_token\": \"\"}}");
    let none = read(&none, KEY).unwrap();
    assert_eq!(none.warnings, ["\"refresh_token\" is empty"]);
    assert_eq!(none.fields.len(), 1);
}

#[test]
fn what_is_wrong_is_one_clear_error() {
    let mut flipped = TOKEN.to_owned();
    flipped.replace_range(40..41, "Z");
    let version = TOKEN.replacen("gAAAAA", "hAAAAA", 1);
    let record = format!("{{\"refresh_token\": \"{flipped}\"}}");
    for (text, key, expected) in [
        (TOKEN, "", "--key"),
        (TOKEN, OTHER, "no key fits"),
        (
            TOKEN,
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
            "32 bytes",
        ),
        (TOKEN, "no key!", "32 bytes"),
        (&flipped, KEY, "no key fits"),
        (&version, KEY, "no Fernet token"),
        (&TOKEN[..40], KEY, "cut off"),
        (&TOKEN[..41], KEY, "base64"),
        ("", KEY, "no cookie and no token"),
        (&record, KEY, "key \"refresh_token\": no key fits"),
        (
            "{\"refresh_token\": \"Atzr|plain\"}",
            KEY,
            "no Fernet token",
        ),
        ("{\"refresh_token\":", KEY, "too early"),
    ] {
        let error = read(text, key).unwrap_err();
        let shown = format!("{error} | {}", error.hint().unwrap_or_default());
        assert!(shown.contains(expected), "{text}: {shown}");
        assert!(!shown.contains("hello") && !shown.contains(KEY), "{shown}");
    }
}
