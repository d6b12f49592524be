mod requests;

use proptest::prelude::*;
use regex::bytes::Regex;
use serde_json::json;

use super::*;
use crate::rule::glob::Glob;

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    fields.collect()
}

fn asked(method: &Method) -> Asked<'_> {
    Asked {
        method,
        path: "/api/me?x=/login",
        applied: Applied::Sent,
    }
}

fn status(codes: &[u16]) -> Rejected {
    Rejected {
        status: Some(codes.to_vec()),
        ..Rejected::default()
    }
}

fn switch() -> Rejected {
    Rejected {
        status_not: Some(vec![401]),
        ..Rejected::default()
    }
}

/// `Some(rule)` if the head alone says "rejected".
fn by_head(
    rules: &[Rejected],
    request: Asked<'_>,
    code: u16,
    headers: &HeaderMap,
) -> Option<Option<usize>> {
    let code = StatusCode::from_u16(code).unwrap();
    match head(rules, request, code, headers) {
        Verdict::Rejected(hit) => Some(hit.rule),
        Verdict::Accepted => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_401_always_counts_unless_it_is_switched_off() {
    let teapot = status(&[418]);
    let own = status(&[401]);
    let cases = [
        (vec![], Method::GET, 401, Some(None)),
        (vec![], Method::POST, 401, Some(None)),
        (vec![], Method::GET, 403, None),
        (vec![], Method::GET, 200, None),
        (vec![], Method::GET, 407, None),
        (vec![switch()], Method::GET, 401, None),
        (vec![switch()], Method::GET, 200, None),
        (vec![switch()], Method::GET, 500, None),
        (vec![teapot.clone()], Method::GET, 401, Some(None)),
        (vec![teapot.clone()], Method::GET, 418, Some(Some(0))),
        (vec![teapot.clone()], Method::HEAD, 418, Some(Some(0))),
        (vec![teapot.clone()], Method::POST, 418, None),
        (vec![teapot, own.clone()], Method::POST, 401, Some(Some(1))),
        (vec![switch(), own], Method::GET, 401, Some(Some(1))),
    ];
    for (rules, method, code, expected) in cases {
        let got = by_head(&rules, asked(&method), code, &HeaderMap::new());
        assert_eq!(got, expected, "{rules:?} {method} {code}");
    }
}

#[test]
fn all_keys_of_a_rule_must_match() {
    let rule = Rejected {
        status: Some(vec![302, 303]),
        location: Some(Glob::new("*/login*")),
        methods: vec![Method::GET, Method::POST],
        content_type_not: Some(vec!["application/pdf".into()]),
        ..Rejected::default()
    };
    let cases = [
        (Method::GET, 302, "/login", "text/html", true),
        (Method::POST, 303, "/login", "text/html", true),
        (Method::PUT, 302, "/login", "text/html", false),
        (Method::GET, 301, "/login", "text/html", false),
        (Method::GET, 302, "/home", "text/html", false),
        (Method::GET, 302, "/home?next=/login", "text/html", false),
        (Method::GET, 302, "/a/../login", "text/html", true),
        (Method::GET, 302, "../login", "text/html", true),
        (Method::GET, 302, "login?next=%2F", "text/html", true),
        (
            Method::GET,
            302,
            "https://sso.example/login/x",
            "text/html",
            true,
        ),
        (
            Method::GET,
            302,
            "https://login.example/",
            "text/html",
            false,
        ),
        (Method::GET, 302, "/login", "Application/PDF; q=1", false),
    ];
    for (method, code, location, media, expected) in cases {
        let headers = fields(&[("location", location), ("content-type", media)]);
        let got = by_head(std::slice::from_ref(&rule), asked(&method), code, &headers);
        assert_eq!(
            got,
            expected.then_some(Some(0)),
            "{method} {code} {location} {media}"
        );
    }
    let none = by_head(
        std::slice::from_ref(&rule),
        asked(&Method::GET),
        302,
        &HeaderMap::new(),
    );
    assert_eq!(none, None);
}

#[test]
fn media_types() {
    let rule = Rejected {
        content_type: Some(vec!["text/html".into(), "image/*".into()]),
        ..Rejected::default()
    };
    let cases = [
        ("text/html", true),
        ("TEXT/HTML; charset=utf-8", true),
        ("image/png", true),
        ("text/htmlx", false),
        ("application/json", false),
        ("", false),
    ];
    for (media, expected) in cases {
        let headers = fields(&[("content-type", media)]);
        let got = by_head(
            std::slice::from_ref(&rule),
            asked(&Method::GET),
            200,
            &headers,
        );
        assert_eq!(got.is_some(), expected, "{media}");
    }
    let not = Rejected {
        content_type_not: rule.content_type,
        ..Rejected::default()
    };
    let none = by_head(&[not], asked(&Method::GET), 200, &HeaderMap::new());
    assert_eq!(none, Some(Some(0)), "no type is not that type");
}

#[test]
fn a_missing_scope_is_no_dead_session() {
    let rule = status(&[403]);
    let scope = r#"Bearer error="insufficient_scope", scope="a b""#;
    let token = r#"Bearer error="invalid_token""#;
    for (challenge, code, expected) in [
        (scope, 403, None),
        (token, 403, Some(Some(0))),
        ("", 403, Some(Some(0))),
        (scope, 401, Some(None)),
    ] {
        let headers = fields(&[
            ("www-authenticate", "Basic"),
            ("www-authenticate", challenge),
        ]);
        let got = by_head(
            std::slice::from_ref(&rule),
            asked(&Method::GET),
            code,
            &headers,
        );
        assert_eq!(got, expected, "{challenge} {code}");
    }
}

#[test]
fn grpc_says_it_in_a_trailers_only_head() {
    let cases = [
        ("application/grpc", "16", true),
        ("application/grpc+proto", "16", true),
        ("application/grpc-web", "16", true),
        ("application/grpc", "7", false),
        ("application/json", "16", false),
    ];
    for (media, grpc_status, expected) in cases {
        let headers = fields(&[("content-type", media), ("grpc-status", grpc_status)]);
        let got = by_head(&[], asked(&Method::POST), 200, &headers);
        assert_eq!(got, expected.then_some(None), "{media} {grpc_status}");
        assert_eq!(
            by_head(&[switch()], asked(&Method::POST), 200, &headers),
            None
        );
    }
}

#[test]
fn only_text_that_ends_is_looked_at() {
    let rules = [Rejected {
        body: Some(Regex::new("sign in").unwrap()),
        ..Rejected::default()
    }];
    let cases = [
        (Method::GET, 200, "text/html", "", true),
        (Method::GET, 200, "text/plain", "gzip", true),
        (
            Method::GET,
            200,
            "application/json; charset=utf-8",
            "br",
            true,
        ),
        (Method::GET, 200, "application/problem+json", "", true),
        (Method::GET, 200, "application/xhtml+xml", "", true),
        (Method::GET, 200, "text/html", "zstd", false),
        (Method::GET, 200, "text/event-stream", "", false),
        (Method::GET, 200, "application/stream+json", "", false),
        (Method::GET, 200, "application/pdf", "", false),
        (Method::GET, 200, "application/grpc", "", false),
        (Method::GET, 200, "", "", false),
        (Method::GET, 206, "text/html", "", false),
        (Method::GET, 204, "text/html", "", false),
        (Method::GET, 304, "text/html", "", false),
        (Method::GET, 101, "text/html", "", false),
        (Method::HEAD, 200, "text/html", "", false),
        (Method::POST, 200, "text/html", "", false),
    ];
    for (method, code, media, coding, expected) in cases {
        let headers = fields(&[("content-type", media), ("content-encoding", coding)]);
        let status = StatusCode::from_u16(code).unwrap();
        let got = head(&rules, asked(&method), status, &headers);
        let wanted = if expected {
            Verdict::NeedsBody(vec![0])
        } else {
            Verdict::Accepted
        };
        assert_eq!(got, wanted, "{method} {code} {media} {coding}");
    }
}

#[test]
fn a_body_by_pointers_and_pattern() {
    let json = |pairs: &[(&str, Value)]| Rejected {
        json: pairs
            .iter()
            .map(|(pointer, value)| (pointer.parse().unwrap(), value.clone()))
            .collect(),
        confirm: true,
        ..Rejected::default()
    };
    let text = |pattern: &str| Rejected {
        body: Some(Regex::new(pattern).unwrap()),
        again: Again::Fail,
        ..Rejected::default()
    };
    let credits = json(&[("/credits", json!(0)), ("/success", json!(true))]);
    let empty = json(&[("", json!([]))]);
    let page = text("(?i)please sign in");
    let cases: [(&Rejected, &[u8], bool); 12] = [
        (&credits, br#"{"success":true,"credits":0}"#, true),
        (&credits, br#"{"success":true,"credits":0.0}"#, true),
        (&credits, br#"{"success":true,"credits":"0"}"#, false),
        (&credits, br#"{"success":true,"credits":57}"#, false),
        (&credits, br#"{"credits":0}"#, false),
        (&credits, br#"{"success":true,"credits":0"#, false),
        (&empty, b" [ ] ", true),
        (&empty, b"[1]", false),
        (&empty, b"", false),
        (&page, b"<p>Please Sign In</p>", true),
        (&page, b"\xff\xfe please sign in", true),
        (&page, b"<p>welcome</p>", false),
    ];
    for (rule, bytes, expected) in cases {
        let rules = std::slice::from_ref(rule);
        let name = String::from_utf8_lossy(bytes);
        match body(rules, &[0], bytes, Seen::Whole) {
            Looked::Rejected(hit) => {
                assert!(expected, "{name}");
                assert_eq!(
                    (hit.confirm, hit.again),
                    (rule.confirm, rule.again),
                    "{name}"
                );
                assert!(!hit.answer.is_empty());
            }
            looked => assert!(!expected && looked == Looked::Accepted, "{name}"),
        }
    }
}

#[test]
fn a_beginning_may_decide_and_may_not() {
    let rules = [
        Rejected {
            body: Some(Regex::new("sign in").unwrap()),
            ..Rejected::default()
        },
        Rejected {
            json: vec![("".parse().unwrap(), json!([]))],
            ..Rejected::default()
        },
    ];
    let early = body(&rules, &[0, 1], b"please sign in, ", Seen::Beginning);
    assert!(matches!(early, Looked::Rejected(Hit { rule: Some(0), .. })));
    let open = body(&rules, &[0, 1], b"[]", Seen::Beginning);
    assert_eq!(open, Looked::Undecided);
    let whole = body(&rules, &[0, 1], b"[]", Seen::Whole);
    assert!(matches!(whole, Looked::Rejected(Hit { rule: Some(1), .. })));
    assert_eq!(body(&rules, &[0], b"[]", Seen::Whole), Looked::Accepted);
}

#[test]
fn what_confirm_remembers_is_the_same_for_the_same_answer() {
    let rules = [Rejected {
        json: vec![("/credits".parse().unwrap(), json!(0))],
        confirm: true,
        ..Rejected::default()
    }];
    let hit = |bytes: &[u8]| match body(&rules, &[0], bytes, Seen::Whole) {
        Looked::Rejected(hit) => hit,
        looked => panic!("{looked:?}"),
    };
    let (one, two) = (
        hit(br#"{"credits":0,"at":1}"#),
        hit(br#"{"at":2,"credits":0}"#),
    );
    assert_eq!(one, two);
}

#[test]
fn what_a_logout_leads_to_is_no_rejection() {
    let rules = [Rejected {
        location: Some(Glob::new("*/login*")),
        ..Rejected::default()
    }];
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_static("/login"));
    for (path, accepted) in [("/page", false), ("/logout", true)] {
        let asked = Asked {
            method: &Method::GET,
            path,
            applied: Applied::Sent,
        };
        let verdict = head(&rules, asked, StatusCode::FOUND, &headers);
        assert_eq!(verdict == Verdict::Accepted, accepted, "{path}");
        let verdict = head(&rules, asked, StatusCode::UNAUTHORIZED, &headers);
        assert!(matches!(verdict, Verdict::Rejected(_)), "{path}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(
        code in 100u16..1000,
        location in "[ -~]*",
        media in "[ -~]*",
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let rules = [
            Rejected {
                location: Some(Glob::new("*/login*")),
                content_type: Some(vec!["text/*".into()]),
                ..Rejected::default()
            },
            Rejected {
                json: vec![("/a".parse().unwrap(), json!(1))],
                body: Some(Regex::new("a").unwrap()),
                ..Rejected::default()
            },
        ];
        let headers = fields(&[("location", &location), ("content-type", &media)]);
        let status = StatusCode::from_u16(code).unwrap();
        let _ = head(&rules, asked(&Method::GET), status, &headers);
        let _ = body(&rules, &[1], &bytes, Seen::Whole);
    }
}
