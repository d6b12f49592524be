//! Every format as its readers want it, and there and back again.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::{
    import,
    jar::{Bounds, Jar},
    limits::Limits,
    origin::Scheme,
};

const NOW: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn jar(fields: &[&[u8]]) -> Jar {
    let mut jar = Jar::new(Bounds::from(&Limits::default()));
    let origin = "https://www.example.com".parse().unwrap();
    for field in fields {
        let _ = jar.store(&origin, "/dir/page", field, at(NOW));
    }
    assert_eq!(jar.len(), fields.len());
    jar
}

fn sample() -> Jar {
    jar(&[
        b"sid=a.b==; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=60",
        b"theme=\"dark mode\"; SameSite=Strict",
        b"empty=; Secure; SameSite=Lax",
        b"nameless; Path=/",
        b"__Host-x=1; Secure; Path=/; Max-Age=61",
    ])
}

fn export(kind: Kind, jar: &Jar) -> String {
    let cookies: Vec<_> = jar.iter(at(NOW)).collect();
    let written = write(kind, &cookies, &Grant::default()).unwrap();
    assert_eq!(written.warnings, Vec::<String>::new());
    assert_eq!(format!("{:?}", written.text), "[redacted]");
    String::from_utf8(written.text.expose().clone()).unwrap()
}

fn grant(fields: &[(&str, &str)]) -> Grant {
    let fields = fields.iter();
    Grant {
        fields: fields
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect(),
        expires_at: Some(at(NOW + 60)),
        obtained_at: None,
    }
}

#[test]
fn cookies_txt() {
    assert_eq!(
        export(Kind::CookiesTxt, &sample()),
        "# Netscape HTTP Cookie File\n\
         .example.com\tTRUE\t/\tTRUE\t1700000060\tsid\ta.b==\n\
         #HttpOnly_.example.com\tTRUE\t/\tTRUE\t1700000060\tsid\ta.b==\n\
         www.example.com\tFALSE\t/dir\tFALSE\t2147483647\ttheme\t\"dark mode\"\n\
         www.example.com\tFALSE\t/dir\tTRUE\t2147483647\tempty\t\n\
         www.example.com\tFALSE\t/\tFALSE\t2147483647\t\tnameless\n\
         www.example.com\tFALSE\t/\tTRUE\t1700000061\t__Host-x\t1\n"
    );
}

#[test]
fn json() {
    let jar = jar(&[
        b"sid=v; Domain=example.com; HttpOnly; Secure; Max-Age=60",
        b"s=v",
    ]);
    let text = export(Kind::Json, &jar);
    let expected = serde_json::json!([
        {
            "domain": ".example.com", "hostOnly": false, "httpOnly": true, "name": "sid", "path": "/dir",
            "sameSite": "unspecified", "secure": true, "session": false, "storeId": null, "value": "v",
            "expirationDate": 1_700_000_060_u64,
        },
        {
            "domain": "www.example.com", "hostOnly": true, "httpOnly": false, "name": "s", "path": "/dir",
            "sameSite": "unspecified", "secure": false, "session": true, "storeId": null, "value": "v",
        },
    ]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        expected
    );
}

#[test]
fn cookies_json() {
    let jar = jar(&[
        b"sid=old; Path=/a",
        b"__Host-x=a.b==; Secure; Path=/",
        b"nameless",
        b"quoted=\"dark mode\"",
        b"n=\xff",
    ]);
    let mut cookies: Vec<_> = jar.iter(at(NOW)).collect();
    let newer = Cookie {
        created: at(NOW + 1),
        value: Secret::new(b"new".to_vec()),
        domain: "example.com".to_owned(),
        ..(*cookies.iter().find(|c| c.name == b"sid").unwrap()).clone()
    };
    cookies.insert(0, &newer);
    let written = write(Kind::CookiesJson, &cookies, &Grant::default()).unwrap();
    assert_eq!(
        String::from_utf8_lossy(written.text.expose()),
        "{\n  \"__Host-x\": \"a.b==\",\n  \"quoted\": \"\\\"dark mode\\\"\",\n  \"sid\": \"new\"\n}\n"
    );
    let mut warnings = written.warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "cookie \"\" of www.example.com was left out: it has no name; json has it",
            "cookie \"n\" of www.example.com was left out: it is no UTF-8 text; cookies-txt has it",
            "cookie \"sid\" of www.example.com was left out: there is a later one of its name; json has both",
        ]
    );
}

#[test]
fn storage_state() {
    let jar = jar(&[
        b"sid=v; Domain=example.com; HttpOnly; Secure; Max-Age=60",
        b"s=v",
    ]);
    let text = export(Kind::StorageState, &jar);
    let expected = serde_json::json!({
        "cookies": [
            {
                "name": "sid", "value": "v", "domain": ".example.com", "path": "/dir",
                "expires": 1_700_000_060_u64, "httpOnly": true, "secure": true, "sameSite": "Lax",
            },
            {
                "name": "s", "value": "v", "domain": "www.example.com", "path": "/dir",
                "expires": -1, "httpOnly": false, "secure": false, "sameSite": "Lax",
            },
        ],
        "origins": [],
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        expected
    );
}

#[test]
fn header_and_tokens() {
    let jar = jar(&[b"a=1", b"nameless"]);
    let cookies: Vec<_> = jar.iter(at(NOW)).collect();
    let tokens = grant(&[("access_token", "t"), ("refresh_token", "r"), ("csrf", "c")]);
    let text = |kind, cookies: &[&Cookie], grant| {
        let written = write(kind, cookies, grant).unwrap();
        String::from_utf8(written.text.expose().clone()).unwrap()
    };
    let none = Grant::default();
    assert_eq!(
        text(Kind::Header, &cookies, &tokens),
        "Cookie: a=1; nameless\nAuthorization: Bearer t\n"
    );
    assert_eq!(
        text(Kind::Header, &cookies, &none),
        "Cookie: a=1; nameless\n"
    );
    assert_eq!(
        text(Kind::Header, &[], &tokens),
        "Authorization: Bearer t\n"
    );
    assert_eq!(
        text(Kind::Json, &[], &tokens),
        "{\n  \"access_token\": \"t\",\n  \"refresh_token\": \"r\",\n  \"expires_at\": 1700000060\n}\n"
    );
    for kind in [Kind::CookiesTxt, Kind::CookiesJson, Kind::StorageState] {
        assert_eq!(write(kind, &[], &tokens).unwrap_err(), Error::Empty);
    }
    for kind in [Kind::Header, Kind::Json] {
        assert_eq!(write(kind, &[], &none).unwrap_err(), Error::Empty);
    }
}

#[test]
fn what_a_format_cannot_hold_is_told() {
    let jar = jar(&[b"a\tb=secret", b"n=\xff", b"x=1"]);
    let cookies: Vec<_> = jar.iter(at(NOW)).collect();
    for (kind, expected) in [
        (
            Kind::CookiesTxt,
            "cookie \"a\\tb\" of www.example.com was left out: it has a tab",
        ),
        (
            Kind::Json,
            "cookie \"n\" of www.example.com was left out: it is no UTF-8 text; cookies-txt has it",
        ),
        (
            Kind::StorageState,
            "cookie \"n\" of www.example.com was left out: it is no UTF-8 text; cookies-txt has it",
        ),
    ] {
        let written = write(kind, &cookies, &Grant::default()).unwrap();
        assert_eq!(written.warnings, [expected]);
    }
}

#[test]
fn there_and_back_again() {
    let sample = sample();
    for (kind, back, same_site) in [
        (Kind::CookiesTxt, import::Kind::CookiesTxt, false),
        (Kind::Json, import::Kind::Json, true),
        (Kind::StorageState, import::Kind::StorageState, false),
    ] {
        let options = import::Options {
            hosts: Vec::new(),
            domain: None,
            scheme: Scheme::Https,
            bounds: Bounds::from(&Limits::default()),
            now: at(NOW),
            password: None,
            key: None,
            values: std::collections::BTreeMap::new(),
        };
        let text = export(kind, &sample);
        let material = import::read(back, text.as_bytes(), &options).unwrap();
        assert_eq!(material.warnings, Vec::<String>::new());
        let alike = |cookie: &Cookie| Cookie {
            created: at(0),
            same_site: cookie.same_site.filter(|_| same_site),
            ..cookie.clone()
        };
        let expected: Vec<_> = sample.iter(at(NOW)).map(alike).collect();
        let got: Vec<_> = material.cookies.iter().map(alike).collect();
        assert_eq!(got, expected, "{kind:?}");
    }
    let tokens = grant(&[("access_token", "t"), ("refresh_token", "r")]);
    let text = write(Kind::Json, &[], &tokens).unwrap().text;
    let options = import::Options {
        hosts: Vec::new(),
        domain: None,
        scheme: Scheme::Https,
        bounds: Bounds::from(&Limits::default()),
        now: at(NOW),
        password: None,
        key: None,
        values: std::collections::BTreeMap::new(),
    };
    let material = import::read(import::Kind::Json, text.expose(), &options).unwrap();
    assert_eq!(
        (material.fields.len(), material.expires_at),
        (2, Some(at(NOW + 60)))
    );
}
