//! Answers as they are judged: challenges (RFC 9110 §11.3), where they lead to, what they say of themselves.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::WWW_AUTHENTICATE};
use staysigned::rule::{
    Rejected,
    glob::Glob,
    inject::Applied,
    rejected::{self, Asked, Looked, Seen, Verdict},
};

use super::choose;

/// Everything that a rule can ask for.
fn rules() -> Vec<Rejected> {
    vec![
        Rejected {
            status: Some(vec![302, 303]),
            location: Some(Glob::new("*/login*")),
            ..Rejected::default()
        },
        Rejected {
            status: Some(vec![200]),
            content_type_not: Some(vec!["application/pdf".to_owned()]),
            body: Some(regex::bytes::Regex::new("(?i)please sign in").expect("a pattern")),
            ..Rejected::default()
        },
        Rejected {
            status: Some(vec![200, 403]),
            methods: vec![Method::GET, Method::POST],
            content_type: Some(vec!["application/json".to_owned()]),
            json: vec![
                ("/error".parse().expect("a pointer"), true.into()),
                ("/credits".parse().expect("a pointer"), 0.into()),
            ],
            confirm: true,
            ..Rejected::default()
        },
    ]
}

/// Fields a line, up to an empty one; behind it the body.
fn read(data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, next) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = next;
        if line.is_empty() {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|n| HeaderName::from_bytes(n).ok());
        let value = parts.next().map(<[u8]>::trim_ascii);
        if let (Some(name), Some(Ok(value))) = (name, value.map(HeaderValue::from_bytes)) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

/// An answer's head, and its body if a rule asks for it: 401 is a rejection of what was sent and of nothing else, one for
/// want of scope is none, and who needs the body comes to an end with it.
pub fn judged(data: &[u8]) {
    let requests = [
        (Method::GET, "/a/b?c"),
        (Method::POST, "/"),
        (Method::HEAD, "/login"),
        (Method::GET, "/logout"),
    ];
    let statuses = [401u16, 403, 200, 302, 303, 206, 304, 500];
    let Some((at, data)) = choose(data, &[0, 1, 2, 3]) else {
        return;
    };
    let Some((status, data)) = choose(data, &statuses) else {
        return;
    };
    let (mut headers, body) = read(data);
    let (rules, (method, path)) = (rules(), &requests[at]);
    let status = StatusCode::from_u16(status).expect("a status");
    let judge = |applied| {
        let asked = Asked {
            method,
            path,
            applied,
        };
        rejected::head(&rules, asked, status, &headers)
    };
    let verdict = judge(Applied::Sent);
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    let names_scope = |value: &HeaderValue| {
        let wanted = b"insufficient_scope";
        value.as_bytes().windows(wanted.len()).any(|w| w == wanted)
    };
    let mut lacks_scope = challenges.map(names_scope);
    if status == StatusCode::UNAUTHORIZED {
        assert!(matches!(verdict, Verdict::Rejected(_)), "{verdict:?}");
    }
    if status == StatusCode::FORBIDDEN && lacks_scope.any(|lacks| lacks) {
        assert_eq!(verdict, Verdict::Accepted);
    }
    assert_eq!(judge(Applied::Nothing), Verdict::Unconcerned);
    assert_eq!(judge(Applied::Presigned), Verdict::Unconcerned);
    let challenged = judge(Applied::Withheld) == Verdict::Challenged;
    assert_eq!(challenged, matches!(verdict, Verdict::Rejected(_)));
    if let Verdict::NeedsBody(open) = &verdict {
        assert!(*method != Method::HEAD && status != StatusCode::PARTIAL_CONTENT);
        assert!(!open.is_empty() && open.iter().all(|at| *at < rules.len()));
        let whole = rejected::body(&rules, open, body, Seen::Whole);
        match whole {
            Looked::Rejected(hit) => assert!(open.contains(&hit.rule.expect("a rule"))),
            Looked::Accepted => {}
            Looked::Undecided => panic!("there is no more to come"),
        }
        let half = rejected::body(&rules, open, &body[..body.len() / 2], Seen::Beginning);
        assert_ne!(half, Looked::Accepted, "more may come");
    }
    // A request's codings are narrowed once.
    rejected::narrow(&mut headers);
    let once = headers.clone();
    rejected::narrow(&mut headers);
    assert_eq!(headers, once);
}
