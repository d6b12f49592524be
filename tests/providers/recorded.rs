//! `provider new --from-har` on what a real browser has written: Chromium 156 by Playwright's `recordHar`, at a site of two
//! hosts on loopback. Somebody signs in by a form, every page sets the cookie anew, a script renews a token that has ended
//! at the second host and tells a third one that it was here, and the session is signed out at the end.

use serde_json::Value;

use super::drafting::{checked, draft, has_lines, holds_no_value, just_now, prepared, with};
use crate::support::{origin::origin, proxy::proxy};

const SHOP: &str = include_str!("../data/recordings/shop.har");

const HOSTS: [&str; 3] = [
    "www.shop.example",
    "api.shop.example",
    "metrics.tracker.example",
];

/// The recording until before the sign-out.
fn signed_in() -> String {
    let mut har: Value = serde_json::from_str(SHOP).unwrap();
    let entries = har["log"]["entries"].as_array_mut().unwrap();
    let url = |entry: &Value| entry["request"]["url"].as_str().unwrap().to_owned();
    let out = entries
        .iter()
        .position(|entry| url(entry).ends_with("/account/logout"));
    entries.truncate(out.expect("a sign-out"));
    har.to_string()
}

/// Hosts, cookies, tokens, what says "signed out" and what signs out are found, with and without the sign-out; no value is.
#[test]
fn a_browsers_recording_is_drafted_from() {
    let whole = [
        "    { host = \"www.shop.example\" },",
        "    { host = \"api.shop.example\", path = \"/v2/*\" },",
        "value = \"Bearer {{ access_token }}\"",
        "value = \"{{ cookies['csrftoken'] }}\"",
        "# Set anew while it was recorded: shop_session",
        "required = [\"csrftoken\", \"shop_session\"]",
        "location = \"/login*\"",
        "token_url = \"https://api.shop.example/v2/token\"",
        "encoding = \"json\"",
        "answer = { access_token = [\"/data/accessToken\"], refresh_token = [\"/data/refreshToken\"], \
         expires_in = [\"/data/expiresIn\"] }",
    ];
    let out = "match = { host = \"www.shop.example\", path = \"/account/logout*\" }";
    for (recording, ends) in [(SHOP.to_owned(), true), (signed_in(), false)] {
        let (text, said) = draft(&recording);
        holds_no_value(&text, &recording, 16);
        has_lines(&text, &whole);
        assert_eq!(text.contains(out), ends, "{text}");
        assert_eq!(said.contains("ends with a sign-out"), ends, "{said}");
        assert!(said.contains("it rotates shop_session"), "{said}");
        assert!(!text.contains("tracker"), "{text}");
        checked(&with(&text, "shop"));
    }
}

/// Without the bodies of its answers a recording shows no token endpoint, and that is said.
#[test]
fn a_recording_without_bodies_says_so() {
    let mut har: Value = serde_json::from_str(SHOP).unwrap();
    for entry in har["log"]["entries"].as_array_mut().unwrap() {
        let content = entry["response"]["content"].as_object_mut().unwrap();
        content.remove("text");
    }
    let (text, said) = draft(&har.to_string());
    assert!(said.contains("no bodies of answers"), "{said}");
    assert!(!text.contains("token_url"), "{text}");
    let (_, said) = draft(SHOP);
    assert!(!said.contains("no bodies"), "{said}");
}

/// What was signed out lacks its cookie, and says so; what was not is a session, on its own hosts and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_recording_is_imported() {
    let (text, _) = draft(SHOP);
    let site = origin(&HOSTS).start().await;
    let mut proxy = prepared(proxy().site(&site), &text, "shop");
    let import = |proxy: &crate::support::proxy::Proxy, har: &str| {
        std::fs::write(proxy.path().join("shop.har"), just_now(har)).unwrap();
        let output = proxy.cli(&["import", "shop", "--from", "har", "shop.har"]);
        (
            output.status.success(),
            String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned(),
        )
    };
    let (_, said) = import(&proxy, SHOP);
    assert!(said.contains("shop_session"), "{said}");
    let (taken, said) = import(&proxy, &signed_in());
    assert!(taken, "{said}");
    proxy.start().await;
    for host in HOSTS {
        let url = format!("https://{host}/echo/v2");
        proxy.client().get(&url).await;
        let url = format!("https://{host}/v2/echo");
        proxy.client().get(&url).await;
    }
    for seen in site.seen() {
        let host = seen.field("host").unwrap();
        let expected = match (host, seen.path.starts_with("/v2/")) {
            ("www.shop.example", _) => [true; 3],
            // Its own cookies are the site's, and the domain's go there too.
            ("api.shop.example", true) => [true; 3],
            _ => [false; 3],
        };
        let got =
            ["cookie", "authorization", "x-csrf-token"].map(|name| seen.field(name).is_some());
        assert_eq!(got, expected, "{host}{}", seen.path);
    }
    assert_eq!(site.seen().len(), 6);
}
