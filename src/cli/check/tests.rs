use std::path::PathBuf;

use super::*;
use crate::config::Found;

const CONFIG: &str = r#"
[session.api]
bind = [{ host = "api.example.com", path = "/v1/*", methods = ["GET"] }]
inject = [{ header = "authorization", value = "Bearer {{ access_token }}" }, { query = "k", value = "{{ cookies['sid'] }}", mode = "if_missing" }]
cookies = { required = ["sid"] }
secrets = { client_secret = "cmd:exit 1" }
[[session.api.block]]
match = { host = "api.example.com", path = "/v1/logout" }
[[session.api.capture]]
match = { host = "auth.example.com", path = "/token" }
answer = { access_token = { json = "/access_token" } }
[session.two]
bind = [{ host = "api.example.com", path = "/v1/*", methods = ["GET"], when = { header = "x-account", value = "two" } }]
inject = [{ header = "authorization", value = "Bearer {{ access_token }}" }]
"#;

fn check(text: &str, ask: Option<(&str, &str)>, json: bool) -> (Ended, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let place = Place {
        path,
        found: Found::Option,
        notes: Vec::new(),
    };
    let ask = ask.map(|(method, url)| Ask {
        method: method.parse().unwrap(),
        client: None,
        url: url.to_owned(),
    });
    let params = Params {
        place: &place,
        variables: &Variables::default(),
        ask,
        json,
    };
    let mut out = Vec::new();
    let ended = run(&params, |_, _| false, &mut out).unwrap();
    let folder = PathBuf::from(folder.path());
    let text = String::from_utf8(out).unwrap();
    (ended, text.replace(&format!("{}/", folder.display()), ""))
}

/// Returns the answer about a request, as `--json` prints it.
fn ask(method: &str, url: &str) -> serde_json::Value {
    let (_, text) = check(CONFIG, Some((method, url)), true);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    report["request"].clone()
}

#[test]
fn a_request_is_told_its_session() {
    let cases = [
        (
            "GET",
            "https://api.example.com/v1/me",
            "session",
            Some("api"),
        ),
        ("POST", "https://api.example.com/v1/me", "unbound", None),
        ("GET", "https://api.example.com/v2/me", "unbound", None),
        (
            "GET",
            "https://api.example.com/v1/../v2/me",
            "unbound",
            None,
        ),
        (
            "GET",
            "https://api.example.com/v1/logout",
            "blocked",
            Some("api"),
        ),
        (
            "GET",
            "https://api.example.com/v1/x?X-Amz-Signature=abc",
            "presigned",
            Some("api"),
        ),
        ("GET", "https://api.example.com:8443/v1/me", "tunnel", None),
        ("GET", "https://other.example.com/", "tunnel", None),
        ("GET", "http://api.example.com/v1/me", "forward", None),
        ("POST", "https://auth.example.com/token", "unbound", None),
    ];
    for (method, url, decision, session) in cases {
        let answer = ask(method, url);
        assert_eq!(answer["decision"], decision, "{method} {url}");
        assert_eq!(answer["session"].as_str(), session, "{method} {url}");
        assert!(
            !answer.to_string().contains("abc"),
            "the query is not shown"
        );
    }
    let captured_by = &ask("POST", "https://auth.example.com/token")["captured_by"];
    assert_eq!(captured_by, &serde_json::json!(["api"]));
}

#[test]
fn the_answer_names_what_is_sent() {
    let (ended, text) = check(
        CONFIG,
        Some(("GET", "https://api.example.com/v1/me")),
        false,
    );
    assert_eq!(ended, Ended::Right);
    insta::assert_snapshot!(text, @r"
    config.toml is right: 2 sessions

    GET https://api.example.com/v1/me
      sent with session api
      rule: https://api.example.com:443/v1/*
      header authorization (replace, from access_token)
      query k (if_missing, from cookies['sid'])
      cookies of the jar (replace, from sid)
      note: with the right field x-account: session two
    ");
}

#[test]
fn the_answer_names_the_rule_and_the_signature() {
    let (_, text) = check(
        "[session.books]\nprovider = \"audible\"\n",
        Some(("GET", "https://www.audible.com/companion-file/1")),
        false,
    );
    insta::assert_snapshot!(text, @r"
    config.toml is right: 1 session

    GET https://www.audible.com/companion-file/1
      sent with session books
      rule: https://www.audible.com:443/companion-file/*
      header x-amz-access-token (if_present, from access_token)
      header authorization (if_present, from access_token)
      cookies of the jar (replace)
      signature (adp, from adp_token, device_private_key)
    ");
}

#[test]
fn a_configuration_is_summed_up() {
    let (_, text) = check(CONFIG, None, false);
    insta::assert_snapshot!(text, @r"
    config.toml is right: 2 sessions
      api: https://api.example.com:443/v1/*
      two: https://api.example.com:443/v1/*
    ");
}

#[test]
fn what_is_wrong_is_said_in_both_forms() {
    let (ended, text) = check("[proxy]\nadmin = 1\n", None, false);
    assert_eq!(ended, Ended::Wrong);
    insta::assert_snapshot!(text, @r#"
    config.toml:2:9: proxy.admin: expected a string, found a number
      2 | admin = 1
        |         ^
      hint: put it in quotes

    config.toml: 1 fault; nothing was started
    "#);
    let (_, json) = check("[proxy]\nadmin = 1\n", None, true);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["valid"], false);
    assert_eq!(value["errors"][0]["line"], 2);
    assert_eq!(value["errors"][0]["key"], "proxy.admin");

    let (ended, text) = check(CONFIG, Some(("GET", "example.com")), false);
    assert_eq!(ended, Ended::Wrong);
    assert!(text.contains("not a URL"), "{text}");
}

#[test]
fn a_scheme_that_is_not_supported_is_one_fault() {
    let (ended, text) = check(
        "[session.api]\nbind = [{ host = \"api.example.com\" }]\n[session.api.sign]\nscheme = \"hmac\"\n\
         key = \"{{ access_token }}\"\nover = [\"method\", \"path\"]\nheader = \"x-signature\"\n",
        None,
        false,
    );
    assert_eq!(ended, Ended::Wrong);
    insta::assert_snapshot!(text, @r#"
    config.toml:4:10: session.api.sign.scheme: `hmac` is not supported yet
      4 | scheme = "hmac"
        |          ^^^^^^
      hint: bind only hosts that need no signature

    config.toml: 1 fault; nothing was started
    "#);
}

/// JSON, for programs, has all of them.
#[test]
fn what_many_sessions_share_is_said_a_few_times() {
    let text: String = (0..100)
        .map(|n| format!("[session.s{n}]\nbind = [{{ host = \"b{n}.example\" }}]\nbindd = 1\n"))
        .collect();
    let (ended, told) = check(&text, None, false);
    assert_eq!(ended, Ended::Wrong);
    assert_eq!(told.matches(".bindd: unknown key").count(), 5, "{told}");
    assert!(told.contains("and 95 more like this"), "{told}");
    let end = "config.toml: 200 faults; nothing was started\n";
    assert!(told.ends_with(end), "{told}");
    let (_, json) = check(&text, None, true);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["errors"].as_array().unwrap().len(), 200);
}
