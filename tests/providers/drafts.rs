//! `provider new --from-har`: what a recording says of a site becomes a provider that works, and no value goes with it.

use std::path::Path;

use serde_json::{Value, json};

use super::drafting::{checked, draft, has_lines, holds_no_value, just_now, prepared, with};
use crate::support::{origin::origin, proxy::proxy, tool};

const BOOKS: &str = include_str!("../data/recordings/books.har");

fn fields(all: &[(&str, &str)]) -> Value {
    let all = all.iter();
    all.map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// One exchange: method and URL, the request's fields and its form, status, the answer's fields and its JSON.
fn entry(
    (method, url): (&str, &str),
    request: &[(&str, &str)],
    form: &str,
    status: u16,
    answer: &[(&str, &str)],
    body: Value,
) -> Value {
    let mime = match body.is_null() {
        true => "text/html",
        false => "application/json",
    };
    let mut entry = json!({
        "startedDateTime": "2026-11-20T10:00:00.000Z",
        "request": { "method": method, "url": url, "headers": fields(request) },
        "response": { "status": status, "headers": fields(answer),
            "content": { "mimeType": mime, "text": if body.is_null() { String::new() } else { body.to_string() } } },
    });
    if !form.is_empty() {
        let data = json!({ "mimeType": "application/x-www-form-urlencoded", "text": form });
        entry["request"]["postData"] = data;
    }
    entry
}

fn har(entries: &[Value]) -> String {
    json!({ "log": { "version": "1.2", "entries": entries } }).to_string()
}

/// The example of docs/providers.md: the draft there is the command's, it is right, and a tool lives on it.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page() {
    let (draft, said) = draft(BOOKS);
    holds_no_value(&draft, BOOKS, 12);
    assert!(
        said.contains("serial") && said.contains("providers/books.toml"),
        "{said}"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/providers.md")).unwrap();
    assert!(
        page.contains(&format!("```toml\n# providers/books.toml\n{draft}```")),
        "{draft}"
    );
    checked(&with(&draft, "books"));

    let hosts = [
        "www.books.example",
        "api.books.example",
        "metrics.tracker.example",
    ];
    let site = origin(&hosts).start().await;
    let mut proxy = prepared(proxy().site(&site), &draft, "books");
    std::fs::write(proxy.path().join("books.har"), just_now(BOOKS)).unwrap();
    let taken = proxy.cli(&["import", "books", "--from", "har", "books.har"]);
    assert!(taken.status.success(), "{taken:?}");
    proxy.start().await;
    for host in hosts {
        let url = format!("https://{host}/echo/v2");
        proxy.client().get(&url).await.expect(200);
        let seen = site.last();
        let ours = host != "metrics.tracker.example";
        for name in ["cookie", "authorization", "x-csrf-token"] {
            assert_eq!(seen.field(name).is_some(), ours, "{host} {name}");
        }
    }
    let gone = proxy
        .client()
        .get("https://www.books.example/account/logout")
        .await;
    assert_eq!(gone.status, 403, "it would end the session");
}

/// OAuth as single pages do it, a secret in a path, and a script's own bearer at a third party.
#[test]
fn tokens_of_a_standard_endpoint() {
    let (old, new) = ("at-5d0e77c1b2a3948f", "at-0f1e2d3c4b5a6978");
    let bearer = |token: &str| format!("Bearer {token}");
    let tokens = json!({ "access_token": new, "refresh_token": "rt-77aa88bb99cc00dd", "expires_in": 3600,
        "token_type": "Bearer", "scope": "read write" });
    let grant = "grant_type=refresh_token&refresh_token=rt-0011223344556677&client_id=app-4711-0815&scope=read+write";
    let recording = har(&[
        entry(
            ("GET", "https://app.shop.example/"),
            &[],
            "",
            200,
            &[],
            Value::Null,
        ),
        entry(
            (
                "GET",
                "https://api.shop.example/v1/t-9f8e7d6c5b4a3210/orders",
            ),
            &[("authorization", &bearer(old))],
            "",
            401,
            &[],
            json!({ "error": "expired" }),
        ),
        entry(
            ("POST", "https://login.idp.example/oauth2/token"),
            &[],
            grant,
            200,
            &[],
            tokens,
        ),
        entry(
            (
                "GET",
                "https://api.shop.example/v1/t-9f8e7d6c5b4a3210/orders",
            ),
            &[("authorization", &bearer(new))],
            "",
            200,
            &[],
            json!([]),
        ),
        entry(
            ("GET", "https://cdn.other.example/files/1"),
            &[("authorization", &bearer(new))],
            "",
            200,
            &[],
            json!([]),
        ),
        entry(
            ("POST", "https://errors.watch.example/v1"),
            &[("authorization", "Bearer theirs-112233445566")],
            "",
            200,
            &[],
            json!({}),
        ),
    ]);
    let (draft, _) = draft(&recording);
    holds_no_value(&draft, &recording, 6);
    has_lines(
        &draft,
        &[
            "params = { client_id = { required = true } }",
            "    { host = \"api.shop.example\", path = \"/v1/*\" },",
            "    { host = \"cdn.other.example\", path = \"/files/*\" },",
            "value = \"Bearer {{ access_token }}\"",
            "token_url = \"https://login.idp.example/oauth2/token\"",
            "client_auth = \"none\"",
            "params = { scope = \"read write\" }",
        ],
    );
    assert!(
        !draft.contains("watch.example") && !draft.contains("cookies"),
        "{draft}"
    );
    checked(&with(&draft, "shop"));
}

/// A site that knows people by a cookie which rotates; `Authorization` is made of another; Basic and secrets at the
/// endpoint of a program.
#[test]
fn cookies_and_clients_with_a_secret() {
    let page = |n: u64| {
        let set = format!("sid=s{n}-9a8b7c6d5e4f; HttpOnly; Path=/");
        let cookie = format!(
            "sid=s{}-9a8b7c6d5e4f; auth=%7Bab%3D12345678%7D; _ga=GA1.1.998877",
            n - 1
        );
        let request = [
            ("cookie", cookie.as_str()),
            ("authorization", "Bearer {ab=12345678}"),
        ];
        entry(
            ("GET", "https://forum.example/feed"),
            &request,
            "",
            200,
            &[("set-cookie", &set)],
            Value::Null,
        )
    };
    let away = [("location", "https://forum.example/users/sign_in?back=%2F")];
    let recording = har(&[
        page(2),
        page(3),
        entry(
            ("GET", "https://forum.example/inbox"),
            &[],
            "",
            303,
            &away,
            Value::Null,
        ),
    ]);
    let (text, _) = draft(&recording);
    holds_no_value(&text, &recording, 3);
    has_lines(
        &text,
        &[
            "value = \"Bearer {{ cookies['auth'] | url_decode }}\"",
            "required = [\"auth\", \"sid\"]",
            "status = [303]",
            "location = \"/users/sign_in*\"",
            "kind = \"touch\"",
            "url = \"https://forum.example/feed\"",
        ],
    );
    checked(&with(&text, "forum"));

    let tokens = json!({ "access_token": "at-aabbccddeeff0011", "expires_in": 60 });
    let recording = har(&[
        entry(
            ("POST", "https://api.robots.example/token"),
            &[("authorization", "Basic cm9ib3Q6c2VjcmV0c2VjcmV0")],
            "grant_type=client_credentials",
            200,
            &[],
            tokens,
        ),
        entry(
            ("GET", "https://api.robots.example/jobs/1"),
            &[("authorization", "Bearer at-aabbccddeeff0011")],
            "",
            200,
            &[],
            json!({}),
        ),
    ]);
    let (text, _) = draft(&recording);
    holds_no_value(&text, &recording, 2);
    has_lines(
        &text,
        &[
            "grant_type = \"client_credentials\"",
            "client_auth = \"basic\"",
        ],
    );
    checked(&with(&text, "robots"));
}

#[test]
fn what_is_no_recording_is_an_error_with_a_hint() {
    let bare = har(&[entry(
        ("GET", "https://a.example/"),
        &[],
        "",
        200,
        &[],
        Value::Null,
    )]);
    let folder = proxy().prepare();
    for (text, words) in [
        (bare.as_str(), "left them out"),
        ("{\"log\":{}}", "not in the shape"),
        ("", "a HAR file"),
    ] {
        let output = tool::feed(
            folder.command(&["provider", "new", "--from-har", "-"]),
            text,
            std::time::Duration::from_secs(60),
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        assert!(said.contains(words), "{text}: {said}");
        assert!(output.stdout.is_empty());
    }
}
