use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::rule::{ClientAuth, Encoding, GrantType, Url};

/// 2026-11-20T16:00:00Z.
const NOW: u64 = 1_795_190_400;

fn oauth2(answer: &[(&str, &[&str])]) -> Oauth2 {
    Oauth2 {
        token_url: Url {
            origin: "https://auth.example".parse().unwrap(),
            path: "/token".to_owned(),
        },
        grant_type: GrantType::RefreshToken,
        client_auth: ClientAuth::None,
        encoding: Encoding::Form,
        params: Vec::new(),
        headers: Vec::new(),
        answer: answer
            .iter()
            .map(|(name, pointers)| {
                let pointers = pointers.iter().map(|pointer| pointer.parse().unwrap());
                ((*name).to_owned(), pointers.collect())
            })
            .collect(),
    }
}

fn standard() -> Oauth2 {
    oauth2(&[
        ("access_token", &["/access_token", "/actor_access_token"]),
        ("refresh_token", &["/refresh_token"]),
        ("expires_in", &["/expires_in"]),
    ])
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    fields.collect()
}

fn answer(oauth2: &Oauth2, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
    let received = Received {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body,
        now: UNIX_EPOCH + Duration::from_secs(NOW),
    };
    read(
        oauth2,
        &["invalid_grant".to_owned(), "session_gone".to_owned()],
        received,
    )
}

fn plain(status: u16, body: &str) -> Answer {
    answer(&standard(), status, &HeaderMap::new(), body.as_bytes())
}

fn granted(fields: &[(&str, &str)], expires_in: Option<f64>) -> Answer {
    Answer::Granted(Granted {
        fields: fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect(),
        expires_in: expires_in.map(Duration::from_secs_f64),
    })
}

#[test]
fn one_table() {
    use Answer::*;
    let error = |code: &str| format!(r#"{{"error":"{code}"}}"#);
    let cases = [
        // Terminal, in every shape.
        (400, error("invalid_grant"), Terminal("invalid_grant".into())),
        (401, error("invalid_grant"), Terminal("invalid_grant".into())),
        (200, error("bad_refresh_token"), Terminal("bad_refresh_token".into())),
        (400, r#"{"code":400,"error_code":"session_gone"}"#.into(), Terminal("session_gone".into())),
        (404, r#"{"code":"session_gone"}"#.into(), Terminal("session_gone".into())),
        (
            401,
            r#"{"error":{"message":"…","type":"invalid_request_error","code":"refresh_token_reused"}}"#.into(),
            Terminal("refresh_token_reused".into()),
        ),
        (
            400,
            r#"{"error_code":"refresh_token_already_used","error":"x"}"#.into(),
            Terminal("refresh_token_already_used".into()),
        ),
        // The client or the request.
        (401, error("invalid_client"), Config("invalid_client".into())),
        (400, error("unauthorized_client"), Config("unauthorized_client".into())),
        (400, error("unsupported_grant_type"), Config("unsupported_grant_type".into())),
        (400, error("invalid_request"), Config("invalid_request".into())),
        // The server.
        (500, error("invalid_grant"), ServerError(500)),
        (502, "<html>".into(), ServerError(502)),
        (503, String::new(), ServerError(503)),
        (400, error("temporarily_unavailable"), ServerError(400)),
        (400, error("server_error"), ServerError(400)),
        (408, String::new(), ServerError(408)),
        (409, r#"{"msg":"Too many concurrent token refresh requests"}"#.into(), ServerError(409)),
        // Slower.
        (429, error("invalid_grant"), Throttled(None)),
        (400, error("slow_down"), Throttled(None)),
        // No token answer.
        (200, "<html>sign in to the Wi-Fi</html>".into(), NotAnAnswer(Why::NotJson)),
        (200, String::new(), NotAnAnswer(Why::NotJson)),
        (200, "[]".into(), NotAnAnswer(Why::NoToken)),
        (200, "{}".into(), NotAnAnswer(Why::NoToken)),
        (200, r#"{"access_token":""}"#.into(), NotAnAnswer(Why::NoToken)),
        (200, r#"{"access_token":null}"#.into(), NotAnAnswer(Why::NoToken)),
        (200, r#"{"access_token":7}"#.into(), NotAnAnswer(Why::NoToken)),
        (204, String::new(), NotAnAnswer(Why::NotJson)),
        (302, String::new(), NotAnAnswer(Why::Status(302))),
        (400, error("something_new"), NotAnAnswer(Why::Status(400))),
        (400, error("not a code\u{1b}"), NotAnAnswer(Why::Status(400))),
        (401, "<html>".into(), NotAnAnswer(Why::Status(401))),
        (403, "{}".into(), NotAnAnswer(Why::Status(403))),
        (
            200,
            r#"{"access_token":"a\r\nb"}"#.into(),
            NotAnAnswer(Why::Unusable("access_token".into())),
        ),
        (
            200,
            r#"{"access_token":"a","refresh_token":"b\n"}"#.into(),
            NotAnAnswer(Why::Unusable("refresh_token".into())),
        ),
    ];
    for (status, body, expected) in cases {
        assert_eq!(plain(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn what_is_granted() {
    let other = oauth2(&[
        ("access_token", &["/tokens/0/value"]),
        ("refresh_token", &["/refresh_token"]),
        ("account", &["/user/id"]),
    ]);
    let no_access = oauth2(&[("access_token", &[]), ("cookie", &["/c"])]);
    let cases = [
        (
            standard(),
            r#"{"access_token":"A","refresh_token":"R","expires_in":3600}"#,
            granted(
                &[("access_token", "A"), ("refresh_token", "R")],
                Some(3600.0),
            ),
        ),
        // Without a refresh token, or with an empty one, the old one stays.
        (
            standard(),
            r#"{"access_token":"A"}"#,
            granted(&[("access_token", "A")], None),
        ),
        (
            standard(),
            r#"{"access_token":"A","refresh_token":""}"#,
            granted(&[("access_token", "A")], None),
        ),
        (
            standard(),
            r#"{"access_token":"A","refresh_token":null}"#,
            granted(&[("access_token", "A")], None),
        ),
        // The first pointer that is there counts.
        (
            standard(),
            r#"{"actor_access_token":"B"}"#,
            granted(&[("access_token", "B")], None),
        ),
        (
            other,
            r#"{"tokens":[{"value":"A"}],"user":{"id":7}}"#,
            granted(&[("access_token", "A"), ("account", "7")], None),
        ),
        (no_access, r#"{"c":"x"}"#, granted(&[("cookie", "x")], None)),
    ];
    for (oauth2, body, expected) in cases {
        let got = answer(&oauth2, 200, &HeaderMap::new(), body.as_bytes());
        assert_eq!(got, expected, "{body}");
    }
    let form = fields(&[(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    )]);
    assert_eq!(
        answer(&standard(), 200, &form, b"access_token=A%2B&expires_in=60"),
        granted(&[("access_token", "A+")], Some(60.0))
    );
}

#[test]
fn lifetimes_in_every_notation() {
    let cases = [
        ("3600", Some(3600.0)),
        ("3600.5", Some(3600.5)),
        (r#""3600""#, Some(3600.0)),
        (r#"" 3600 ""#, Some(3600.0)),
        ("0", None),
        ("-1", None),
        (r#""-1""#, None),
        ("null", None),
        (r#""soon""#, None),
        (r#""inf""#, None),
        (r#""nan""#, None),
        ("{}", None),
        ("1e12", Some(LONGEST.as_secs_f64())),
        ("1e300", Some(LONGEST.as_secs_f64())),
        ("0.001", Some(0.001)),
    ];
    for (expires_in, expected) in cases {
        let body = format!(r#"{{"access_token":"A","expires_in":{expires_in}}}"#);
        assert_eq!(
            plain(200, &body),
            granted(&[("access_token", "A")], expected),
            "{expires_in}"
        );
    }
}

#[test]
fn other_ends_are_measured_by_the_servers_clock() {
    // {"exp":1795194000}: an hour after NOW.
    let jwt = "e30.eyJleHAiOjE3OTUxOTQwMDB9.c2ln";
    let ahead = ("date", "Fri, 20 Nov 2026 16:10:00 GMT");
    let over = ("date", "Fri, 20 Nov 2026 17:10:00 GMT");
    let none: &[(&str, &str)] = &[];
    let cases = [
        (none, "", Some(3600.0)),
        (&[ahead], "", Some(3000.0)),
        (&[over], "", None),
        (&[ahead], r#","expires_in":60"#, Some(60.0)),
    ];
    for (headers, more, expected) in cases {
        let headers = headers.iter().map(|(name, value)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let body = format!(r#"{{"access_token":"{jwt}"{more}}}"#);
        let got = answer(&standard(), 200, &headers.collect(), body.as_bytes());
        assert_eq!(got, granted(&[("access_token", jwt)], expected), "{more}");
    }
    let at = oauth2(&[("access_token", &["/t"]), ("expires_at", &["/expires_at"])]);
    let body = format!(r#"{{"t":"A","expires_at":{}}}"#, NOW + 90);
    let got = answer(&at, 200, &HeaderMap::new(), body.as_bytes());
    assert_eq!(got, granted(&[("access_token", "A")], Some(90.0)));
}

#[test]
fn retry_after_in_both_notations() {
    let wait = |seconds| Answer::Throttled(Some(Duration::from_secs(seconds)));
    let date = ("date", "Fri, 20 Nov 2026 16:00:00 GMT");
    let cases = [
        (429, "7", wait(7)),
        (503, "7", wait(7)),
        (429, "86400", wait(600)),
        (429, "Fri, 20 Nov 2026 16:00:30 GMT", wait(30)),
        (429, "Fri, 20 Nov 2026 15:00:30 GMT", wait(0)),
        (429, "soon", Answer::Throttled(None)),
        (503, "soon", Answer::ServerError(503)),
        (502, "7", Answer::ServerError(502)),
    ];
    for (status, value, expected) in cases {
        let headers = fields(&[date, ("retry-after", value)]);
        assert_eq!(
            answer(&standard(), status, &headers, b""),
            expected,
            "{status} {value}"
        );
    }
}

#[test]
fn what_an_answer_leaves_out_stays() {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let old = Grant {
        fields: [
            ("access_token".to_owned(), "A0".into()),
            ("refresh_token".to_owned(), "R0".into()),
            ("account".to_owned(), "7".into()),
        ]
        .into(),
        expires_at: Some(now),
        obtained_at: None,
    };
    let Answer::Granted(granted) = plain(200, r#"{"access_token":"A1","expires_in":60}"#) else {
        panic!("the answer is granted");
    };
    let grant = granted.over(&old, now);
    let field = |name| grant.field(name).unwrap().expose().as_str();
    assert_eq!(
        (
            field("access_token"),
            field("refresh_token"),
            field("account")
        ),
        ("A1", "R0", "7")
    );
    assert_eq!(grant.expires_at, Some(now + Duration::from_secs(60)));
    assert_eq!(grant.obtained_at, Some(now));
}

#[test]
fn nothing_of_a_token_is_shown() {
    let Answer::Granted(granted) = plain(200, r#"{"access_token":"hunter2"}"#) else {
        panic!("the answer is granted");
    };
    assert!(!format!("{granted:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(
        status in 100u16..600,
        body in proptest::collection::vec(any::<u8>(), 0..64),
        expires in any::<f64>(),
        text in "[ -~]*",
    ) {
        let headers = fields(&[("date", &text), ("retry-after", &text), ("content-type", &text)]);
        let _ = answer(&standard(), status, &headers, &body);
        let body = format!(r#"{{"access_token":"A","expires_in":{expires:?}}}"#);
        if let Answer::Granted(granted) = plain(200, &body) {
            let now = SystemTime::now();
            let grant = granted.over(&Grant::default(), now);
            prop_assert!(grant.expires_at.is_none_or(|at| at >= now));
        }
    }
}
