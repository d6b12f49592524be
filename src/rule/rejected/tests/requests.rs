//! Which requests a rule is about.

use super::*;

#[test]
fn where_a_rule_may_look_its_answer_should_be_readable() {
    let page = Rejected {
        status: Some(vec![200]),
        path: Some(Glob::new("/api/*")),
        body: Some(Regex::new("sign in").unwrap()),
        ..Rejected::default()
    };
    let made = Rejected {
        status: Some(vec![401, 403]),
        json: vec![("/code".parse().unwrap(), json!(1))],
        ..Rejected::default()
    };
    let head = status(&[302]);
    let cases = [
        (&[][..], Method::GET, "/api/1", false),
        (std::slice::from_ref(&head), Method::GET, "/api/1", false),
        (std::slice::from_ref(&page), Method::GET, "/api/1?a", true),
        (
            std::slice::from_ref(&page),
            Method::GET,
            "/a/../api/1",
            true,
        ),
        (std::slice::from_ref(&page), Method::GET, "/files/1", false),
        (std::slice::from_ref(&page), Method::GET, "/f?/api/1", false),
        (std::slice::from_ref(&page), Method::HEAD, "/api/1", false),
        (std::slice::from_ref(&page), Method::POST, "/api/1", false),
        (std::slice::from_ref(&made), Method::POST, "/", true),
        (
            &[head.clone(), page.clone()][..],
            Method::GET,
            "/api/",
            true,
        ),
    ];
    for (rules, method, path, expected) in cases {
        for applied in [
            Applied::Sent,
            Applied::Nothing,
            Applied::Withheld,
            Applied::Presigned,
        ] {
            let request = Asked {
                method: &method,
                path,
                applied,
            };
            let expected = expected && applied == Applied::Sent;
            assert_eq!(may_look(rules, request), expected, "{method} {path}");
        }
    }
}

#[test]
fn a_rule_for_some_paths() {
    let rules = [Rejected {
        path: Some(Glob::new("/api/*")),
        content_type: Some(vec!["text/html".to_owned()]),
        ..Rejected::default()
    }];
    let html = fields(&[("content-type", "text/html; charset=utf-8")]);
    for (path, expected) in [
        ("/api/v1/book/1/?format=json", true),
        ("/x/../api/v1", true),
        ("/%61pi/v1", true),
        ("/files/api/1.html", false),
        ("/?/api/", false),
    ] {
        let method = Method::GET;
        let request = Asked {
            path,
            ..asked(&method)
        };
        let got = by_head(&rules, request, 200, &html);
        assert_eq!(got.is_some(), expected, "{path}");
    }
}

#[test]
fn without_the_credential_an_answer_says_nothing_about_it() {
    let cases = [
        (Applied::Sent, 200, Verdict::Accepted),
        (Applied::Nothing, 401, Verdict::Unconcerned),
        (Applied::Presigned, 401, Verdict::Unconcerned),
        (Applied::Withheld, 401, Verdict::Challenged),
        (Applied::Withheld, 200, Verdict::Unconcerned),
    ];
    for (applied, code, expected) in cases {
        let request = Asked {
            applied,
            ..asked(&Method::GET)
        };
        let code = StatusCode::from_u16(code).unwrap();
        let got = head(&[], request, code, &HeaderMap::new());
        assert_eq!(got, expected, "{applied:?} {code}");
    }
}
