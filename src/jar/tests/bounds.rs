//! What a jar lets go, and what it is after a restart.

use super::*;

#[test]
fn a_full_domain_lets_its_least_used_go() {
    let mut jar = small(100, 2).keeping(["sid"]);
    let url = "http://example.com";
    set(&mut jar, url, "sid=1");
    set(&mut jar, url, "used=1; Path=/used");
    let evicted = |jar: &mut Jar, field: &str, now: u64| {
        let evicted = set_at(jar, url, field, now).evicted;
        evicted.into_iter().map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(sent_at(&jar, url, "/used", NOW + 1), "used=1");
    assert_eq!(evicted(&mut jar, "a=1", NOW + 2), [b"used"]);
    assert_eq!(evicted(&mut jar, "b=1", NOW + 3), [b"a"]);
    assert_eq!(sent_at(&jar, url, "/dir", NOW + 3), "sid=1; b=1");
    // Elsewhere nothing had to go.
    set(&mut jar, "http://example.org", "c=1");
    assert_eq!(jar.len(), 3);
}

#[test]
fn secure_cookies_are_evicted_after_others() {
    let mut jar = small(100, 2);
    for field in ["a=1; Secure", "b=1; Secure"] {
        set(&mut jar, HOST, field);
    }
    assert_eq!(set(&mut jar, HOST, "c=1"), Stored::Refused(Refused::Full));
    assert_eq!(sent(&jar, HOST, "/dir"), "a=1; b=1");
}

#[test]
fn what_is_over_goes_before_anything_else() {
    let mut jar = small(100, 2);
    set(&mut jar, HOST, "a=1; Max-Age=5");
    set(&mut jar, HOST, "b=1");
    let outcome = set_at(&mut jar, HOST, "c=1", NOW + 5);
    assert_eq!(outcome.evicted, [key("www.example.com", "a", true)]);
    assert_eq!(jar.len(), 2);
}

#[test]
fn a_site_that_floods_loses_its_own() {
    let mut jar = small(4, 3);
    set(&mut jar, "https://quiet.example", "x=1");
    for n in 0..20 {
        let _ = set_at(&mut jar, HOST, &format!("n{n}=1"), NOW + n);
        let _ = set_at(
            &mut jar,
            "https://other.example",
            &format!("n{n}=1"),
            NOW + n,
        );
    }
    assert_eq!(jar.len(), 4);
    assert_eq!(sent(&jar, "https://quiet.example", "/dir"), "x=1");
}

#[test]
fn a_jar_restored_sends_the_same() {
    let mut jar = jar();
    for field in [
        "b=1",
        "a=1",
        "c=1; Path=/",
        "d=1; Domain=example.com",
        "e=1; Max-Age=9",
    ] {
        set(&mut jar, HOST, field);
    }
    let rows: Vec<_> = jar.iter(at(NOW)).cloned().collect();
    let again = Jar::restore(Bounds::from(&Limits::default()), rows.clone());
    assert_eq!(sent(&again, HOST, "/dir"), sent(&jar, HOST, "/dir"));
    assert_eq!((again.len(), again.iter(at(NOW + 9)).count()), (5, 4));
    let mut inserted = self::jar();
    for cookie in rows {
        let key = cookie.key();
        let outcome = inserted.insert(cookie, at(NOW));
        assert_eq!(outcome.stored, Stored::Changed(key));
    }
    assert_eq!(sent(&inserted, HOST, "/dir"), sent(&jar, HOST, "/dir"));
    assert_eq!(
        inserted.expire(at(NOW + 9)),
        [key("www.example.com", "e", true)]
    );
    assert_eq!(inserted.len(), 4);
}
