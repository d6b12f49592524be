//! 3.4.14: sessions as supabase-js keeps them, in local storage and in cookies, whole and in chunks.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

const SESSION: &str = "{\"access_token\":\"at\",\"refresh_token\":\"rt\",\"expires_in\":3600,\"expires_at\":1800000000,\"token_type\":\"bearer\",\"user\":{\"id\":\"u\"}}";
const NAME: &str = "sb-abcd-auth-token";

fn read(text: &str) -> Result<Material, Error> {
    super::read(Kind::Supabase, text.as_bytes(), &options(""))
}

#[test]
fn wherever_it_stands_it_is_the_same_session() {
    let encoded = format!("base64-{}", URL_SAFE_NO_PAD.encode(SESSION));
    let (first, second) = encoded.split_at(60);
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let escaped = |text: &str| text.replace('"', "%22").replace(',', "%2C");
    let percent = escaped(SESSION);
    // Chunks are cut before they are encoded.
    let (head, tail) = SESSION.split_at(61);
    let parts = [head, tail].map(escaped);
    for text in [
        SESSION.to_owned(),
        format!("\u{feff}{}", SESSION.replace(',', ",\r\n")),
        format!("{{\"{NAME}\": {}, \"other\": \"1\"}}", json(SESSION)),
        format!("{{\"{NAME}\": {SESSION}}}"),
        format!("{NAME}={percent}"),
        format!("Cookie: a=b; {NAME}={encoded}; c=d"),
        format!("{NAME}.1={second}; {NAME}.0={first}"),
        format!("Cookie: {NAME}.0={}; {NAME}.1={}", parts[0], parts[1]),
        format!(
            "[{{\"name\":\"{NAME}.1\",\"value\":{}}},{{\"name\":\"{NAME}.0\",\"value\":{}}}]",
            json(tail),
            json(head)
        ),
        format!(
            "[{{\"name\":\"{NAME}.0\",\"value\":\"{first}\"}},{{\"name\":\"{NAME}.1\",\"value\":\"{second}\"}}]"
        ),
        format!(
            "{{\"cookies\":[],\"origins\":[{{\"origin\":\"https://x\",\"localStorage\":[{{\"name\":\"{NAME}\",\"value\":{}}}]}}]}}",
            json(SESSION)
        ),
        format!(
            "app.example\tFALSE\t/\tTRUE\t0\t{NAME}.0\t{first}\napp.example\tFALSE\t/\tTRUE\t0\t{NAME}.1\t{second}\n"
        ),
    ] {
        let material = read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let fields: Vec<_> = material
            .fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.expose().as_str()))
            .collect();
        assert_eq!(
            fields,
            [("access_token", "at"), ("refresh_token", "rt")],
            "{text}"
        );
        assert_eq!(material.expires_at, Some(at(1_800_000_000)), "{text}");
    }
    let old = read("[\"at\",\"rt\",null,null]").unwrap();
    assert_eq!(old.fields.len(), 2);
}

#[test]
fn what_is_wrong_is_one_clear_error() {
    let encoded = format!("base64-{}", URL_SAFE_NO_PAD.encode(SESSION));
    let (first, rest) = encoded.split_at(40);
    let (second, third) = rest.split_at(40);
    for (text, expected) in [
        (String::new(), "no cookie and no token"),
        ("a=b; c=d".to_owned(), "not in the shape"),
        (
            format!("{NAME}.0={first}; {NAME}.2={third}"),
            ".1: this part of the cookie is missing",
        ),
        (format!("{NAME}.1={second}"), ".0: this part"),
        (format!("{NAME}.0={first}; {NAME}.1={second}"), "cut off"),
        (format!("{NAME}=base64-%%%"), "base64"),
        (format!("{NAME}=nonsense"), "no whole JSON"),
        (
            format!("{NAME}={SESSION}; sb-efgh-auth-token={SESSION}"),
            "several projects",
        ),
        (
            "{\"access_token\":\"at\"}".to_owned(),
            "refresh_token: it is missing",
        ),
        (
            "{\"access_token\":7,\"refresh_token\":\"rt\"}".to_owned(),
            "a number, not a text",
        ),
        (SESSION[..30].to_owned(), "too early"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
