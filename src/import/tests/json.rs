//! Cookies and tokens in JSON.

use super::*;

fn good(text: &str, domain: &str) -> Material {
    read(Kind::Json, text.as_bytes(), &options(domain)).unwrap()
}

#[test]
fn shapes() {
    for (what, domain, text, expected) in [
        (
            "Cookie-Editor",
            "",
            r#"[{"domain": ".example.com", "expirationDate": 1700000060.5, "hostOnly": false, "httpOnly": true, "name": "sid", "path": "/a", "sameSite": "no_restriction", "secure": true, "session": false, "storeId": null, "value": "v"}]"#,
            "sid=v .example.com /a secure http-only None 60",
        ),
        (
            "EditThisCookie",
            "",
            r#"[{"domain": "www.example.com", "hostOnly": true, "httpOnly": false, "name": "sid", "path": "/", "sameSite": "unspecified", "secure": false, "session": true, "storeId": "0", "value": "v", "id": 1}]"#,
            "sid=v www.example.com /",
        ),
        (
            "Firefox",
            "",
            r#"[{"name":"sid","value":"v","domain":"example.com","hostOnly":true,"path":"/","secure":true,"httpOnly":true,"sameSite":"lax","session":true,"firstPartyDomain":"","partitionKey":null,"storeId":"firefox-default"}]"#,
            "sid=v example.com / secure http-only Lax",
        ),
        (
            "Puppeteer",
            "",
            r#"[{"name":"sid","value":"v","domain":".example.com","path":"/","expires":1700000060.123,"size":4,"httpOnly":false,"secure":true,"session":false,"sameSite":"Strict"}]"#,
            "sid=v .example.com / secure Strict 60",
        ),
        (
            "Puppeteer with a URL",
            "",
            r#"[{"name":"sid","value":"v","url":"https://www.example.com/x"}]"#,
            "sid=v www.example.com / secure",
        ),
        (
            "Playwright",
            "",
            r#"{"cookies":[{"name":"sid","value":"v","domain":"example.com","path":"/","expires":-1,"httpOnly":true,"secure":true,"sameSite":"Lax"}],"origins":[]}"#,
            "sid=v example.com / secure http-only Lax",
        ),
        (
            "Selenium",
            "",
            r#"[{"domain":"example.com","expiry":1700000060,"httpOnly":false,"name":"sid","path":"/","sameSite":"None","secure":true,"value":"v"}]"#,
            "sid=v example.com / secure None 60",
        ),
        (
            "expiry as a text",
            "",
            r#"[{"domain":"example.com","expires":"1700000060","name":"sid","secure":true,"value":"v"}]"#,
            "sid=v example.com / secure 60",
        ),
        (
            "no domain",
            "example.com",
            r#"[{"name":"sid","value":"v"}]"#,
            "sid=v .example.com / secure",
        ),
        (
            "flat",
            ".example.com",
            "\u{feff}{\"sid\": \"a.b==\"}\n",
            "sid=a.b== .example.com / secure",
        ),
        (
            "flat, on this machine",
            "localhost",
            r#"{"sid": "v"}"#,
            "sid=v localhost / secure",
        ),
        (
            "a cookie called as a token",
            "example.com",
            r#"{"access_token": "v"}"#,
            "access_token=v .example.com / secure",
        ),
    ] {
        let material = good(text, domain);
        assert_eq!(
            (lines(&material), material.warnings.len()),
            (vec![expected.to_owned()], 0),
            "{what}"
        );
    }
}

#[test]
fn the_scheme_decides_where_the_format_does_not() {
    let mut options = options("example.com");
    options.scheme = Scheme::Http;
    let material = read(Kind::Json, br#"{"sid": "v"}"#, &options).unwrap();
    assert_eq!(lines(&material), ["sid=v .example.com /"]);
}

#[test]
fn local_storage_is_left_out_and_told() {
    let text = r#"{"cookies":[{"name":"sid","value":"v","domain":"example.com","path":"/","expires":-1,"httpOnly":true,"secure":true,"sameSite":"Lax"}],
        "origins":[{"origin":"https://app.example.com","localStorage":[{"name":"t","value":"secret"}]}]}"#;
    let material = read(Kind::StorageState, text.as_bytes(), &options("")).unwrap();
    assert_eq!(
        material.warnings,
        [
            "the local storage of https://app.example.com was left out: only cookies are taken from it"
        ]
    );
}

#[test]
fn ordinary_cookies_are_taken_before_partitioned_ones() {
    let cookie = |value: &str, key: &str| {
        format!(r#"{{"name":"sid","value":"{value}","domain":"example.com","partitionKey":{key}}}"#)
    };
    let site = r#"{"topLevelSite":"https://other.example"}"#;
    for (first, second) in [
        (cookie("v", "null"), cookie("p", site)),
        (cookie("p", site), cookie("v", "null")),
    ] {
        let material = good(&format!("[{first},{second}]"), "");
        assert_eq!(lines(&material), ["sid=v example.com / secure"]);
        assert_eq!(material.warnings.len(), 1);
    }
}

#[test]
fn token_answers() {
    let in_an_hour = Some(at(NOW + 3600));
    for (text, expected, end, warnings) in [
        (
            r#"{"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "scope": "x", "expires_in": 3600}"#,
            &[("access_token", "a"), ("refresh_token", "r")][..],
            in_an_hour,
            1,
        ),
        (
            r#"{"access_token": "a", "expires_in": "3600"}"#,
            &[("access_token", "a")],
            in_an_hour,
            1,
        ),
        (
            r#"{"access_token": "a", "expires_in": -5}"#,
            &[("access_token", "a")],
            Some(at(NOW)),
            1,
        ),
        (
            r#"{"access_token": "a", "expires_in": 1e300}"#,
            &[("access_token", "a")],
            Some(at(NOW + 100 * 365 * 86_400)),
            1,
        ),
        (
            r#"{"access_token": "a", "expires_in": 5, "expires_at": 1700003600.9}"#,
            &[("access_token", "a")],
            in_an_hour,
            0,
        ),
        (
            r#"{"access_token": "a", "expires_at": 1700003600000, "expires_in": 5}"#,
            &[("access_token", "a")],
            in_an_hour,
            0,
        ),
        (
            r#"{"access_token": "a", "expires_at": "1700003600"}"#,
            &[("access_token", "a")],
            in_an_hour,
            0,
        ),
        (
            r#"{"access_token": "a", "expiry": "2023-11-15T00:13:20+01:00"}"#,
            &[("access_token", "a")],
            Some(at(1_700_003_600)),
            0,
        ),
        (
            r#"{"access_token": "a", "expiry": "2023-11-14 23:13:20.5"}"#,
            &[("access_token", "a")],
            Some(at(NOW + 3600) + Duration::from_millis(500)),
            0,
        ),
        (
            r#"{"refresh_token": "r", "access_token": null}"#,
            &[("refresh_token", "r")],
            None,
            0,
        ),
        (
            r#"{"token": "a", "refresh_token": "r", "client_id": "c", "client_secret": "s", "expiry": "2023-11-14T23:13:20Z"}"#,
            &[("access_token", "a"), ("refresh_token", "r")],
            in_an_hour,
            1,
        ),
        (
            r#"{"refresh_token": "r", "id_token": "i"}"#,
            &[("refresh_token", "r"), ("id_token", "i")],
            None,
            0,
        ),
    ] {
        let material = good(text, "");
        assert_eq!(fields(&material), expected, "{text}");
        assert_eq!(
            (material.expires_at, material.warnings.len()),
            (end, warnings),
            "{text}"
        );
        assert!(material.cookies.is_empty());
    }
    let material = good(r#"{"refresh_token": "r", "client_secret": "hunter2"}"#, "");
    assert_eq!(material.warnings, ["left out: \"client_secret\""]);
    assert!(!format!("{material:?}").contains("hunter2"));
}

#[test]
fn bad_files() {
    for (text, domain, expected) in [
        ("", "", "it holds no cookie and no token"),
        ("{}", "", "it holds no cookie and no token"),
        ("[]", "", "it holds no cookie and no token"),
        (r#"{"cookies": []}"#, "", "it holds no cookie and no token"),
        (r#"{"a": 1}"#, "", "key \"a\": a number, not a text"),
        (
            r#"{"a": "1", "b": null}"#,
            "example.com",
            "key \"b\": null, not a text",
        ),
        (
            r#"{"a": "1"}"#,
            "",
            "it does not say where its cookies belong",
        ),
        (
            r#"[{"name": "a", "value": "1"}]"#,
            "",
            "it does not say where its cookies belong",
        ),
        (
            r#"{"a": "1", "a": "2"}"#,
            "example.com",
            "key \"a\": it is there twice",
        ),
        (
            r#"{"a": "secret"#,
            "",
            "it is no whole JSON: line 1, column 13: it ends too early",
        ),
        (
            "{\n\"a\": secret}",
            "",
            "it is no whole JSON: line 2, column 6: it is not well-formed there",
        ),
        (
            r#"{"a": "1"} x"#,
            "example.com",
            "it is no whole JSON: line 1, column 12: it is not well-formed there",
        ),
        ("\"text\"", "", "it is not in the shape that was expected"),
        ("# Netscape HTTP Cookie File\n", "", "it is a cookies.txt"),
        ("[1]", "", "[0]: a number, not an object"),
        (
            r#"[{"value": "1", "domain": "a.example"}]"#,
            "",
            "[0]: it has no name",
        ),
        (
            r#"{"cookies": [{"name": "a", "domain": "a.example"}]}"#,
            "",
            "cookies[0] (\"a\"): it has no value",
        ),
        (
            r#"[{"name": "a", "value": 5, "domain": "a.example"}]"#,
            "",
            "[0] (\"a\"): value is a number, not a text",
        ),
        (
            r#"[{"name": "a", "value": "1", "domain": "a.example", "secure": "yes"}]"#,
            "",
            "[0] (\"a\"): secure is a text, not true or false",
        ),
        (
            r#"[{"name": "a", "value": "1", "domain": "a.example", "expires": "soon"}]"#,
            "",
            "[0] (\"a\"): expires is no number of seconds",
        ),
        (
            r#"[{"name": "a", "value": "1", "domain": ".com"}]"#,
            "",
            "[0] (\"a\"): its domain is a public suffix",
        ),
        (
            r#"[{"name": "a", "value": "1", "domain": ".b\u00fc.example"}]"#,
            "",
            "[0] (\"a\"): its domain is none: the host has a character that no host name has",
        ),
        (
            r#"[{"name": "a", "value": "1", "url": "ftp://a.example"}]"#,
            "",
            "[0] (\"a\"): its url: the scheme is neither http nor https",
        ),
        (
            r#"{"a": "b\nc"}"#,
            "example.com",
            "key \"a\": a control character or `;` where none may be, a path without `/`, or neither name nor value",
        ),
        (
            r#"{"access_token": "a\r\nb"}"#,
            "",
            "key \"access_token\": it has a control character",
        ),
        (
            r#"{"access_token": 5}"#,
            "",
            "key \"access_token\": a number, not a text",
        ),
        (
            r#"{"access_token": ""}"#,
            "",
            "key \"access_token\": it is empty",
        ),
        (
            r#"{"access_token": "a", "access_token": "b"}"#,
            "",
            "key \"access_token\": it is there twice",
        ),
        (
            r#"{"access_token": "a", "expires_at": "soon"}"#,
            "",
            "key \"expires_at\": it is no time",
        ),
        (
            r#"{"access_token": null}"#,
            "",
            "it holds no cookie and no token",
        ),
        (
            r#"[{"name": "a", "name": "b", "value": "c"}]"#,
            "a.test",
            "it is no whole JSON: line 1, column 21: key \"name\" is there twice",
        ),
    ] {
        assert_eq!(refused(Kind::Json, text, domain), expected, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(refused(Kind::Json, &deep, "").starts_with("it is no whole JSON"));
    assert_eq!(refused(Kind::StorageState, "[]", ""), "it is JSON");
    assert_eq!(
        refused(Kind::StorageState, r#"{"a": "1"}"#, ""),
        "it is JSON"
    );
}
