//! A user's own provider: a file in `providers/`, and sessions that take from it what they do not say themselves.

use crate::support::{
    client::Client,
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    routes,
};

const PROVIDER: &str = r#"
params = { tld = { default = "test" }, shop = { required = true } }
bind = [{ host = "{{ shop }}.example.{{ tld }}" }]

[[inject]]
header = "authorization"
value = "Bearer {{ access_token }}"

[[rejected]]
status = [403]

[[block]]
match = { host = "{{ shop }}.example.{{ tld }}", path = "/logout" }

[refresh]
kind = "command"
command = ["sh", "token.sh"]
cooldown = "0s"
"#;

/// `/closed` is 403 to the first token, `/gone` is 410 to it.
async fn shop(name: &str) -> Origin {
    origin(&[name])
        .handler(|request| async move {
            let token = request.headers().get("authorization");
            let first = token.is_some_and(|token| token == "Bearer first");
            let status = match request.uri().path() {
                "/closed" if first => http::StatusCode::FORBIDDEN,
                "/gone" if first => http::StatusCode::GONE,
                _ => return Ok(routes::text("in")),
            };
            Ok(routes::reply(status, crate::support::origin::empty()))
        })
        .start()
        .await
}

/// The session `shop`, as configured so; its command prints `first`, then `second`.
async fn with(site: &Origin, keys: &str) -> Proxy {
    let mut proxy = proxy()
        .site(site)
        .file(
            "token.sh",
            "[ -e asked ] && echo second || echo first\ntouch asked\n",
        )
        .config(format!(
            "[session.shop]\nprovider = \"mine\"\nvalues = {{ shop = \"books\" }}\n{keys}"
        ))
        .prepare();
    let folder = proxy.path().join("providers");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("mine.toml"), PROVIDER).unwrap();
    proxy.start().await;
    proxy
}

async fn statuses(client: &Client, site: &Origin, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(client.get(&site.url(path)).await.status.as_u16());
    }
    statuses
}

/// All of it as it stands; tables merged key by key; `rejected` and `block` added to; `inherit = false` without those.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_what_it_does_not_say() {
    let site = shop("books.example.test").await;
    let gone = "[[session.shop.rejected]]\nstatus = [410]\n";
    for (what, keys, closed, gone, logout) in [
        ("as it stands", String::new(), 200, 410, 403),
        ("with more", gone.to_owned(), 200, 200, 403),
        (
            "without those",
            format!("inherit = false\n{gone}"),
            403,
            200,
            200,
        ),
    ] {
        for (path, expected) in [("/closed", closed), ("/gone", gone), ("/logout", logout)] {
            let proxy = with(&site, &keys).await;
            let got = statuses(&proxy.client(), &site, &[path]).await;
            assert_eq!(got, [expected], "{what}: {path}");
        }
    }
    // A table's other keys stay; a list is replaced.
    let proxy = with(
        &site,
        "[[session.shop.inject]]\nheader = \"x-token\"\nvalue = \"{{ access_token }}\"\n\
         [session.shop.refresh]\ncooldown = \"1h\"\n",
    )
    .await;
    proxy.client().get(&site.url("/in")).await.expect(200);
    let seen = site.last();
    assert_eq!(seen.field("x-token"), Some("first"));
    assert_eq!(seen.field("authorization"), None);
}

/// A value stands in its hosts; one that is missing is a fault of the configuration, at the session.
#[tokio::test(flavor = "multi_thread")]
async fn its_parameters_are_the_sessions_values() {
    let site = shop("books.example.net").await;
    let proxy = with(&site, "").await;
    proxy.edit(|text| text.replace("shop = \"books\"", "shop = \"books\", tld = \"net\""));
    let said = proxy.hangup().await;
    assert!(said.contains("was read again"), "{said}");
    proxy.client().get(&site.url("/in")).await.expect(200);
    assert_eq!(site.last().field("authorization"), Some("Bearer first"));
    proxy.edit(|text| text.replace("shop = \"books\", ", ""));
    let output = proxy.cli(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["config.toml:", "shop", "hint:"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let output = proxy.cli(&["provider", "show", "mine"]);
    assert_eq!(output.stdout, PROVIDER.as_bytes());
}
