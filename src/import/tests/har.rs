//! Recordings.

use serde_json::{Value, json};

use super::*;
use crate::rule::HostPattern;

/// One exchange: URL, fields of the request, fields of the answer.
fn entry(url: &str, request: &[(&str, &str)], answer: &[(&str, &str)]) -> Value {
    let fields = |all: &[(&str, &str)]| {
        let all = all.iter();
        let all = all.map(|(name, value)| json!({ "name": name, "value": value }));
        Value::Array(all.collect())
    };
    json!({
        "startedDateTime": "2023-11-14T22:13:10.000Z",
        "request": { "method": "GET", "url": url, "headers": fields(request) },
        "response": { "status": 200, "headers": fields(answer), "content": {} },
    })
}

fn har(entries: &[Value]) -> String {
    json!({ "log": { "version": "1.2", "creator": {}, "entries": entries } }).to_string()
}

fn take(entries: &[Value], hosts: &[&str]) -> Result<Material, Error> {
    let options = Options {
        hosts: hosts
            .iter()
            .map(|host| HostPattern::Exact(host.parse().unwrap()))
            .collect(),
        ..options("")
    };
    read(Kind::Har, har(entries).as_bytes(), &options)
}

#[test]
fn the_cookies_at_its_end() {
    let entries = [
        entry(
            "https://www.a.test/login",
            &[("Cookie", "old=1; kept=2")],
            &[
                (
                    "Set-Cookie",
                    "sid=one; Domain=a.test; Path=/; Secure; Max-Age=60\nextra=x; Path=/here",
                ),
                ("set-cookie", "old=; Max-Age=0"),
            ],
        ),
        entry(
            "https://www.a.test/x",
            &[
                ("cookie", "sid=one; kept=2; script=3"),
                ("Authorization", "Bearer first"),
            ],
            &[],
        ),
        entry(
            "https://other.test/",
            &[("cookie", "track=1"), ("authorization", "Bearer theirs")],
            &[("set-cookie", "t=2")],
        ),
        entry(
            "wss://www.a.test/live",
            &[("authorization", "bearer second")],
            &[("Set-Cookie", "sid=two; Domain=.a.test; Secure; Max-Age=60")],
        ),
        entry("data:text/plain,x", &[], &[]),
    ];
    let material = take(&entries, &["www.a.test"]).unwrap();
    let mut found = lines(&material);
    found.sort();
    let expected = [
        "extra=x www.a.test /here",
        "kept=2 www.a.test / secure",
        "script=3 www.a.test / secure",
        "sid=two .a.test / secure 50",
    ];
    assert_eq!(found, expected);
    assert_eq!(fields(&material), [("access_token", "second")]);
    let assumed: Vec<_> = material
        .cookies
        .iter()
        .filter(|cookie| cookie.assumed)
        .collect();
    assert_eq!(assumed.len(), 2, "what no answer has set");

    let theirs = read(Kind::Har, har(&entries).as_bytes(), &options("other.test")).unwrap();
    assert_eq!(fields(&theirs), [("access_token", "theirs")]);
    assert_eq!(theirs.cookies.len(), 2);
    let error = take(&entries, &["third.test"]).unwrap_err();
    assert!(
        error.to_string().contains("other hosts were left out"),
        "{error}"
    );
}

#[test]
fn what_is_none() {
    let plain = entry("https://a.test/", &[("accept", "*/*")], &[("date", "x")]);
    let sanitized = take(&[plain], &["a.test"]).unwrap_err();
    assert_eq!(sanitized, Error::Sanitized);
    assert!(sanitized.hint().unwrap().contains("sensitive data"));
    for (text, says) in [
        ("{}", "it is JSON"),
        ("[]", "it is JSON"),
        ("{\"log\":{}}", "it is JSON"),
        (
            "{\"log\":{\"entries\":[{}]}}",
            "log.entries[0]: it has no request.url",
        ),
        (
            "{\"log\":{\"entries\":[",
            "it is no whole JSON: line 1, column 19: it ends too early",
        ),
        ("", "it holds no cookie and no token"),
        ("# Netscape HTTP Cookie File", "it is a cookies.txt"),
    ] {
        assert_eq!(refused(Kind::Har, text, ""), says, "{text}");
    }
    let marked = format!(
        "\u{feff}{}\r\n",
        har(&[entry("https://a.test/", &[("cookie", "a=b")], &[])])
    );
    assert_eq!(
        lines(&read(Kind::Har, marked.as_bytes(), &options("")).unwrap()),
        ["a=b a.test / secure"]
    );
}
