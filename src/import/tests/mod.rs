//! Every dialect of every format, and every way in which a file can be wrong.

mod audible;
mod broken;
mod cookies_txt;
mod curl;
mod fernet;
mod har;
mod header;
mod json;
mod others;
mod supabase;

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;

const NOW: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn options(domain: &str) -> Options {
    Options {
        domain: (!domain.is_empty()).then(|| super::domain(domain).unwrap()),
        scheme: Scheme::Https,
        bounds: Bounds::from(&Limits::default()),
        now: at(NOW),
        password: None,
        key: None,
        hosts: Vec::new(),
        values: BTreeMap::new(),
    }
}

/// A cookie in one line: `name=value domain path`, then its flags and seconds left.
fn line(cookie: &Cookie) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = format!(
        "{}={} {}{} {}",
        text(&cookie.name),
        text(cookie.value.expose()),
        if cookie.host_only { "" } else { "." },
        cookie.domain,
        cookie.path
    );
    for (flag, name) in [(cookie.secure, "secure"), (cookie.http_only, "http-only")] {
        if flag {
            line = format!("{line} {name}");
        }
    }
    if let Some(same_site) = cookie.same_site {
        line = format!("{line} {}", same_site.as_str());
    }
    if let Some(expires) = cookie.expires {
        let left = expires.duration_since(at(NOW)).unwrap();
        line = format!("{line} {}", left.as_secs());
    }
    line
}

fn lines(material: &Material) -> Vec<String> {
    material.cookies.iter().map(line).collect()
}

fn fields(material: &Material) -> Vec<(&str, &str)> {
    let fields = material.fields.iter();
    fields
        .map(|(name, value)| (&**name, value.expose().as_str()))
        .collect()
}

/// What is wrong, as a person reads it.
fn refused(kind: Kind, text: &str, domain: &str) -> String {
    match read(kind, text.as_bytes(), &options(domain)) {
        Ok(material) => panic!("{text:?} was read: {material:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn kinds_and_domains() {
    assert_eq!("storage-state".parse(), Ok(Kind::StorageState));
    let error = "netscape".parse::<Kind>().unwrap_err();
    assert_eq!(error.to_string(), "there is no import from `netscape`");
    assert!(error.hint().unwrap().contains("cookies-txt"));
    assert_eq!(domain(".Example.com").unwrap().to_string(), "example.com");
    assert!(domain("https://example.com").is_err());
}

#[test]
fn utf_16_is_named() {
    for kind in [Kind::CookiesTxt, Kind::Json, Kind::Header] {
        let error = read(kind, b"\xff\xfea\0", &options("")).unwrap_err();
        assert_eq!(
            (error.clone(), error.hint()),
            (Error::Encoding, Some("save it as UTF-8"))
        );
    }
}

#[test]
fn cookies_that_go_nowhere_are_told() {
    let file = |hosts: &[&str]| {
        let lines = hosts.iter().enumerate();
        lines
            .map(|(n, host)| format!("{host}\tTRUE\t/\tTRUE\t0\tn{n}\tv\n"))
            .collect::<String>()
    };
    let bound = |domain| Options {
        hosts: vec![HostPattern::Exact("app.a.example".parse().unwrap())],
        ..options(domain)
    };
    let take = |hosts: &[&str], domain| {
        let text = file(hosts);
        read(Kind::CookiesTxt, text.as_bytes(), &bound(domain))
    };
    let both = take(&[".a.example", ".b.example"], "").unwrap();
    assert_eq!(both.cookies.len(), 2);
    assert_eq!(
        both.warnings,
        ["of 2 cookies, 1 are for hosts that the session is not bound to"]
    );
    let error = take(&[".b.example"], "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "every cookie in it is over or for another host: 1 cookie for hosts that the session is not bound to"
    );
    // Who names a host is told, and believed.
    let named = take(&[".b.example"], "b.example").unwrap();
    assert_eq!(named.cookies.len(), 1);
    assert_eq!(
        named.warnings,
        ["the session is not bound to that host: nothing of this is sent with its requests"]
    );
}

#[test]
fn more_than_a_jar_holds_is_refused() {
    let mut options = options("");
    options.bounds.per_domain = 2;
    let text = |hosts: [&str; 4]| {
        let lines = hosts.iter().enumerate();
        lines
            .map(|(n, host)| format!("{host}\tFALSE\t/\tTRUE\t0\tn{n}\tv\n"))
            .collect::<String>()
    };
    let error = read(
        Kind::CookiesTxt,
        text(["a.example"; 4]).as_bytes(),
        &options,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has 4 cookies of a.example, more than limits.cookies_per_domain (2)"
    );
    options.bounds.cookies = 3;
    let text = text(["a.example", "b.example", "c.example", "d.example"]);
    let error = read(Kind::CookiesTxt, text.as_bytes(), &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has 4 cookies, more than limits.cookies (3)"
    );
}

proptest! {
    #[test]
    fn nothing_breaks_an_import(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        text in r##"([\[\]{}:,="\t\n;# ]|name|value|domain|example\.com|TRUE|cookies|expires|access_token|Cookie: |Set-Cookie: |curl |-b |-H |'|\^|\\|log|entries|request|[0-9]{1,20}){0,40}"##,
        domain in prop_oneof![Just(""), Just("example.com"), Just("127.0.0.1")],
    ) {
        for kind in [Kind::CookiesTxt, Kind::Json, Kind::StorageState, Kind::Header, Kind::Curl, Kind::Har] {
            for text in [&bytes, text.as_bytes()] {
                let Ok(material) = read(kind, text, &options(domain)) else {
                    continue;
                };
                for cookie in &material.cookies {
                    prop_assert_eq!(cookie.check(4096), Ok(()));
                    prop_assert!(!cookie.is_expired(at(NOW)));
                }
            }
        }
    }
}
