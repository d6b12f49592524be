//! What a jar keeps, sends and lets go.

mod bounds;
mod properties;

use std::time::UNIX_EPOCH;

use super::*;
use crate::secret::Secret;

const NOW: u64 = 1_700_000_000;
const DAY: u64 = 24 * 60 * 60;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn origin(url: &str) -> Origin {
    url.parse().unwrap()
}

fn jar() -> Jar {
    Jar::new(Bounds::from(&Limits::default()))
}

fn small(cookies: usize, per_domain: usize) -> Jar {
    Jar::new(Bounds {
        cookies,
        per_domain,
        bytes: 100,
    })
}

fn set_at(jar: &mut Jar, url: &str, field: &str, now: u64) -> Outcome {
    jar.store(&origin(url), "/dir/page", field.as_bytes(), at(now))
}

fn set(jar: &mut Jar, url: &str, field: &str) -> Stored {
    let Outcome { stored, evicted } = set_at(jar, url, field, NOW);
    assert_eq!(evicted, []);
    stored
}

fn sent_at(jar: &Jar, url: &str, path: &str, now: u64) -> String {
    let field = jar.cookie_string(&origin(url), path, at(now));
    field.map_or(String::new(), |value| {
        assert!(value.is_sensitive());
        String::from_utf8(value.as_bytes().to_vec()).unwrap()
    })
}

fn sent(jar: &Jar, url: &str, path: &str) -> String {
    sent_at(jar, url, path, NOW)
}

fn key(domain: &str, name: &str, host_only: bool) -> Key {
    Key {
        domain: domain.to_owned(),
        path: "/dir".to_owned(),
        name: name.as_bytes().to_vec(),
        host_only,
    }
}

const HOST: &str = "https://www.example.com";

#[test]
fn refusals() {
    use Refused::*;
    for (url, field, expected) in [
        (HOST, "x=1; Domain=.evil.com", Domain),
        (HOST, "x=1; Domain=a.www.example.com", Domain),
        (HOST, "x=1; Domain=bücher.example", Domain),
        (HOST, "x=1; Domain=com", PublicSuffix),
        (HOST, "x=1; Domain=org", PublicSuffix),
        ("https://github.io", "x=1; Domain=io", PublicSuffix),
        ("https://city.kobe.jp", "x=1; Domain=kobe.jp", PublicSuffix),
        ("https://a.github.io", "x=1; Domain=github.io", PublicSuffix),
        ("https://127.0.0.1", "x=1; Domain=0.0.1", Domain),
        ("http://example.com", "x=1; Secure", Insecure),
        ("http://localhost", "x=1; Secure", Insecure),
        (HOST, "x=1; SameSite=None", SameSite),
        (HOST, "__Secure-x=1", Prefix),
        (HOST, "__host-x=1; Secure", Prefix),
        (HOST, "__Host-x=1; Secure; Path=/a", Prefix),
        (HOST, "__Host-x=1; Path=/", Prefix),
        (
            HOST,
            "__Host-x=1; Secure; Path=/; Domain=www.example.com",
            Prefix,
        ),
        (HOST, "__Http-x=1; Secure", Prefix),
        (HOST, "__Host-Http-x=1; Secure; Path=/", Prefix),
        (HOST, "=__Host-x=1", Prefix),
        (HOST, "__Secure-x", Prefix),
        (HOST, "x=1\r\nSet-Cookie: y=2", Malformed),
        (HOST, "", Malformed),
    ] {
        let mut jar = jar();
        assert_eq!(
            set(&mut jar, url, field),
            Stored::Refused(expected),
            "{field}"
        );
        assert!(jar.is_empty(), "{field}");
    }
}

#[test]
fn prefixes_that_are_kept() {
    for field in [
        "__Secure-x=1; Secure",
        "__Host-x=1; Secure; Path=/",
        "__Host-x=1; Secure; Path=/; Domain",
        "__Http-x=1; Secure; HttpOnly",
        "__Host-Http-x=1; Secure; HttpOnly; Path=/",
        "__Hostess=1",
    ] {
        let mut jar = jar();
        assert!(
            matches!(set(&mut jar, HOST, field), Stored::Changed(_)),
            "{field}"
        );
    }
}

#[test]
fn a_public_suffix_may_have_cookies_of_its_own() {
    for (suffix, below) in [
        ("https://github.io", "https://a.github.io"),
        ("https://localhost:1", "https://a.localhost:1"),
    ] {
        let domain = &suffix["https://".len()..].trim_end_matches(":1");
        let mut jar = jar();
        set(&mut jar, suffix, &format!("x=1; Domain={domain}"));
        assert_eq!(sent(&jar, suffix, "/dir"), "x=1");
        assert_eq!(sent(&jar, below, "/dir"), "");
    }
}

#[test]
fn where_a_cookie_goes() {
    let mut jar = jar();
    set(&mut jar, HOST, "host=1; Path=/");
    set(&mut jar, HOST, "domain=1; Domain=example.com; Path=/");
    set(
        &mut jar,
        HOST,
        "secure=1; Domain=example.com; Secure; Path=/",
    );
    set(&mut jar, HOST, "deep=1");
    for (url, path, expected) in [
        (HOST, "/", "host=1; domain=1; secure=1"),
        (HOST, "/dir?x=/y", "deep=1; host=1; domain=1; secure=1"),
        (HOST, "/directory", "host=1; domain=1; secure=1"),
        (
            "https://www.example.com:8443",
            "/",
            "host=1; domain=1; secure=1",
        ),
        ("http://www.example.com", "/", "host=1; domain=1"),
        ("https://example.com", "/", "domain=1; secure=1"),
        ("https://a.www.example.com", "/", "domain=1; secure=1"),
        ("https://badexample.com", "/", ""),
        ("https://com", "/", ""),
    ] {
        assert_eq!(sent(&jar, url, path), expected, "{url} {path}");
    }
    assert_eq!(jar.cookies_for(&origin(HOST), "/", at(NOW)).len(), 3);
}

#[test]
fn addresses_are_hosts() {
    for url in ["https://127.0.0.1", "https://[::1]:8443"] {
        let mut jar = jar();
        set(&mut jar, url, "x=1; Path=/");
        assert_eq!(sent(&jar, url, "/"), "x=1");
    }
}

#[test]
fn what_is_new_and_what_is_not() {
    let mut jar = jar();
    let expected = key("www.example.com", "x", true);
    let changed = Stored::Changed(expected.clone());
    let touched = Stored::Touched(expected.clone());
    for (now, field, stored) in [
        (NOW, "x=1; Max-Age=60", &changed),
        (NOW, "x=1; Max-Age=60.9", &Stored::Same),
        (NOW + 1, "x=1; Max-Age=60", &touched),
        (NOW + 1, "x=1; Max-Age=60; HttpOnly", &touched),
        (NOW + 1, "x=2; Max-Age=60; HttpOnly", &changed),
        (NOW + 1, "x=2", &touched),
        (NOW + 1, "x=2", &Stored::Same),
        (NOW + 1, "x=2; Max-Age=0", &Stored::Removed(expected)),
        (NOW + 1, "x=2; Max-Age=-1", &Stored::Same),
    ] {
        let outcome = set_at(&mut jar, HOST, field, now);
        assert_eq!(
            (&outcome.stored, outcome.evicted.len()),
            (stored, 0),
            "{field}"
        );
    }
    assert!(jar.is_empty());
}

#[test]
fn a_cookie_set_anew_keeps_its_place() {
    let mut jar = jar();
    for field in ["a=1", "b=1", "a=2"] {
        set(&mut jar, HOST, field);
    }
    assert_eq!(sent(&jar, HOST, "/dir"), "a=2; b=1");
    // One that was over is a new cookie.
    let _ = set_at(&mut jar, HOST, "a=3; Max-Age=5", NOW);
    let _ = set_at(&mut jar, HOST, "a=4", NOW + 5);
    assert_eq!(sent_at(&jar, HOST, "/dir", NOW + 5), "b=1; a=4");
    assert_eq!(jar.len(), 2);
}

#[test]
fn host_only_is_part_of_the_identity() {
    let mut jar = jar();
    set(&mut jar, HOST, "x=1");
    set(&mut jar, HOST, "x=2; Domain=www.example.com");
    assert_eq!(sent(&jar, HOST, "/dir"), "x=1; x=2");
    set(&mut jar, HOST, "x=; Max-Age=0");
    assert_eq!(sent(&jar, HOST, "/dir"), "x=2");
    assert_eq!(
        jar.remove(&key("www.example.com", "x", false))
            .unwrap()
            .value,
        Secret::new(b"2".to_vec())
    );
    assert!(jar.is_empty());
}

#[test]
fn expiries() {
    let limit = Some(NOW + 400 * DAY);
    for (attributes, expected) in [
        ("Max-Age=899.5", Some(NOW + 899)),
        ("Max-Age=1e3", None),
        ("Max-Age=.5", None),
        ("Max-Age=", None),
        (
            "Max-Age=1e3; Expires=Wed, 15 Nov 2023 00:00:00 GMT",
            Some(1_700_006_400),
        ),
        ("Expires=Wed, 15 Nov 2023 00:00:00 GMT", Some(1_700_006_400)),
        (
            "Max-Age=60; Expires=Wed, 15 Nov 2023 00:00:00 GMT",
            Some(NOW + 60),
        ),
        (
            "Expires=Wed, 15 Nov 2023 00:00:00 GMT; Max-Age=60",
            Some(NOW + 60),
        ),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", limit),
        ("Max-Age=99999999999999999999", limit),
        ("Expires=tomorrow", None),
    ] {
        let mut jar = jar();
        set(&mut jar, HOST, &format!("x=1; {attributes}"));
        let expires = jar.named("x", at(NOW)).unwrap().expires;
        assert_eq!(expires, expected.map(at), "{attributes}");
    }
}

#[test]
fn values_are_bytes() {
    let mut jar = jar();
    for field in [
        &b"a=\xff\xfe"[..],
        b"b=\"q; x\"",
        b"c=a.b.c==",
        b"d=",
        b"nameless",
    ] {
        let outcome = jar.store(&origin(HOST), "/", field, at(NOW));
        assert!(matches!(outcome.stored, Stored::Changed(_)));
    }
    let field = jar.cookie_string(&origin(HOST), "/", at(NOW)).unwrap();
    assert_eq!(
        field.as_bytes(),
        b"a=\xff\xfe; b=\"q; c=a.b.c==; d=; nameless"
    );
}

#[test]
fn secure_cookies_are_left_alone() {
    let mut jar = jar();
    set(&mut jar, HOST, "x=1; Secure; Path=/a");
    for (url, field, refused) in [
        ("http://www.example.com", "x=2; Path=/a", true),
        ("http://www.example.com", "x=2; Path=/a/b", true),
        ("http://www.example.com", "x=; Path=/a; Max-Age=0", true),
        (
            "http://www.example.com",
            "x=2; Domain=example.com; Path=/a",
            true,
        ),
        ("http://b.www.example.com", "x=2; Path=/a", true),
        ("http://www.example.com", "x=2; Path=/", false),
        ("http://www.example.com", "y=2; Path=/a", false),
        ("http://example.org", "x=2; Path=/a", false),
        (HOST, "x=2; Path=/a", false),
    ] {
        let mut jar = jar.clone();
        let stored = set(&mut jar, url, field);
        let expected = Stored::Refused(Refused::LeaveSecureAlone);
        assert_eq!(stored == expected, refused, "{url} {field}");
    }
    let later = jar.store(
        &origin("http://www.example.com"),
        "/",
        b"x=2; Path=/a",
        at(NOW + 401 * DAY),
    );
    assert_eq!(later.stored, Stored::Refused(Refused::LeaveSecureAlone));
}

#[test]
fn snapshots_do_not_change() {
    let mut jar = jar();
    set(&mut jar, HOST, "a=1");
    let before = jar.clone();
    set(&mut jar, HOST, "a=2");
    set(&mut jar, HOST, "b=1");
    assert_eq!(sent(&before, HOST, "/dir"), "a=1");
    assert_eq!(sent(&jar, HOST, "/dir"), "a=2; b=1");
}

#[test]
fn what_may_not_be_stored_is_not_put_in() {
    let mut good = jar();
    set(&mut good, HOST, "x=1");
    let good = good.named("x", at(NOW)).unwrap().clone();
    let with = |change: fn(&mut Cookie)| {
        let mut cookie = good.clone();
        change(&mut cookie);
        cookie
    };
    for (cookie, expected) in [
        (
            with(|c| c.value = Secret::new(b"a; b=c".to_vec())),
            Refused::Malformed,
        ),
        (
            with(|c| c.value = Secret::new(b"a\nb".to_vec())),
            Refused::Malformed,
        ),
        (with(|c| c.name = b"a=b".to_vec()), Refused::Malformed),
        (with(|c| c.path = "x".to_owned()), Refused::Malformed),
        (with(|c| c.name = vec![b'a'; 5000]), Refused::TooLarge),
        (
            with(|c| c.domain = ".example.com".to_owned()),
            Refused::Domain,
        ),
        (
            with(|c| c.domain = "Example.com".to_owned()),
            Refused::Domain,
        ),
        (
            with(|c| {
                c.domain = "co.uk".to_owned();
                c.host_only = false;
            }),
            Refused::PublicSuffix,
        ),
        (with(|c| c.name = b"__Host-x".to_vec()), Refused::Prefix),
    ] {
        let stored = jar().insert(cookie, at(NOW)).stored;
        assert_eq!(stored, Stored::Refused(expected));
    }
}
