//! Injection on the wire: each place in each mode, beside what the client sends itself, and values that must not pass.

use http::Request;

use crate::support::{
    client::Client,
    origin::{Origin, Seen, empty, origin},
    proxy::{Proxy, proxy},
};

const HOST: &str = "app.example.test";

/// What the origin got in a place: the values, joined if there are several.
fn found(seen: &Seen, place: &str) -> String {
    let parts: Vec<String> = match place {
        "header" => seen
            .fields
            .get_all("x-key")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect(),
        "query" => {
            let query = seen.target.split_once('?').map_or("", |(_, query)| query);
            form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name == "x-key")
                .map(|(_, value)| value.into_owned())
                .collect()
        }
        _ => seen
            .field("cookie")
            .unwrap_or_default()
            .split("; ")
            .filter_map(|pair| pair.strip_prefix("x-key="))
            .map(str::to_owned)
            .collect(),
    };
    parts.join("+")
}

/// A request with the client's own values in this place, and a few of no concern beside them.
async fn ask(client: &Client, site: &Origin, place: &str, own: &[&str]) -> u16 {
    let mut url = site.url("/echo?a=1&b=%2F");
    let mut request = Request::builder();
    match place {
        "header" => {
            for own in own {
                request = request.header("x-key", *own);
            }
        }
        "query" => own.iter().for_each(|own| url += &format!("&x-key={own}")),
        _ => {
            let pairs = own.iter().map(|own| format!("x-key={own}"));
            let pairs: Vec<String> = ["c=d".to_owned()].into_iter().chain(pairs).collect();
            request = request.header("cookie", pairs.join("; "));
        }
    }
    let answer = client.send(request.uri(url).body(empty()).unwrap()).await;
    let seen = site.last();
    assert!(
        seen.target.starts_with("/echo?a=1&b=%2F"),
        "{}",
        seen.target
    );
    if place == "cookie" {
        assert!(seen.field("cookie").unwrap_or_default().contains("c=d"));
    }
    answer.status.as_u16()
}

async fn with(site: &Origin, place: &str, mode: &str) -> Proxy {
    proxy()
        .site(site)
        .config(format!(
            "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ key = \"env:KEY\" }}\n\
             [[session.app.inject]]\n{place} = \"x-key\"\nvalue = \"{{{{ key }}}}\"\nmode = \"{mode}\"\n\
             [session.app.refresh]\nkind = \"none\"\n"
        ))
        .env("KEY", "ours/1=")
        .start()
        .await
}

/// Whatever the place: `replace` leaves ours alone there, `if_missing` and `if_present` do what they say.
#[tokio::test(flavor = "multi_thread")]
async fn every_place_in_every_mode() {
    let site = origin(&[HOST]).start().await;
    for place in ["header", "query", "cookie"] {
        for (mode, cases) in [
            (
                "replace",
                [
                    (&[][..], "ours/1="),
                    (&["own"], "ours/1="),
                    (&["o1", "o2"], "ours/1="),
                ],
            ),
            (
                "if_missing",
                [
                    (&[], "ours/1="),
                    (&["own"], "own"),
                    (&["o1", "o2"], "o1+o2"),
                ],
            ),
            (
                "if_present",
                [(&[], ""), (&["own"], "ours/1="), (&["o1", "o2"], "ours/1=")],
            ),
        ] {
            let proxy = with(&site, place, mode).await;
            for client in [proxy.client(), proxy.client().h2()] {
                for (own, expected) in cases {
                    assert_eq!(ask(&client, &site, place, own).await, 200);
                    let got = found(&site.last(), place);
                    assert_eq!(got, expected, "{place} {mode} beside {own:?}");
                }
            }
        }
    }
}

/// `on_challenge`: first as the client sent it; where that is not enough, once more with ours.
#[tokio::test(flavor = "multi_thread")]
async fn on_challenge_shows_it_only_where_it_is_asked_for() {
    for place in ["header", "query", "cookie"] {
        let site = origin(&[HOST])
            .gate(move |seen| {
                let free = seen.target.contains("free");
                free || ["ours/1=", "own"].contains(&&*found(seen, place))
            })
            .start()
            .await;
        let proxy = with(&site, place, "on_challenge").await;
        for client in [proxy.client(), proxy.client().h2()] {
            let before = site.seen().len();
            client.get(&site.url("/echo/free")).await.expect(200);
            assert_eq!(ask(&client, &site, place, &[]).await, 200);
            assert_eq!(ask(&client, &site, place, &["own"]).await, 200);
            assert_eq!(ask(&client, &site, place, &["wrong"]).await, 200);
            let seen = site.seen();
            let sent: Vec<String> = seen[before..]
                .iter()
                .map(|seen| found(seen, place))
                .collect();
            assert_eq!(
                sent,
                ["", "", "ours/1=", "own", "wrong", "ours/1="],
                "{place}"
            );
        }
    }
}

/// CR, LF and NUL of a source or an import end no field and begin none: nothing is sent, and the error says why without
/// the value. In a query they are encoded.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_with_line_ends_reaches_no_field() {
    let site = origin(&[HOST]).start().await;
    for place in ["header", "cookie", "query"] {
        for value in ["canary\r\nx-injected: 1", "canary\nx", "canary\rx"] {
            let proxy = proxy()
                .site(&site)
                .config(format!(
                    "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\n\
                     [[session.app.inject]]\n{place} = \"x-key\"\nvalue = \"{{{{ access_token }}}}\"\n\
                     [session.app.refresh]\nkind = \"none\"\n"
                ))
                .start()
                .await;
            let token = serde_json::json!({ "access_token": value }).to_string();
            let import = ["import", "app", "--from", "json"];
            let output = proxy.cli_with(&import, &token);
            let before = site.seen().len();
            for client in [proxy.client(), proxy.client().h2()] {
                let answer = client.get(&site.url("/echo")).await;
                if place == "query" && output.status.success() {
                    answer.expect(200);
                    assert_eq!(found(&site.last(), place), value);
                    continue;
                }
                let said = format!("{:?} {}", answer.headers, answer.text());
                assert!(answer.status.is_server_error() || site.last().field("x-key").is_none());
                assert!(!said.contains("canary"), "{said}");
            }
            for seen in &site.seen()[before..] {
                assert_eq!(seen.field("x-injected"), None);
                let text = String::from_utf8_lossy(&seen.text()).into_owned();
                assert!(place == "query" || !text.contains("canary"), "{text}");
            }
            assert!(!proxy.log().contains("canary"), "{}", proxy.log());
        }
    }
    // From the environment it is refused before anything is bound.
    let refused = proxy()
        .bearer("app", HOST, "canary\r\nx-injected: 1")
        .prepare();
    for command in [&["serve"][..], &["run", "--", "true"]] {
        let output = refused.cli(command);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_ne!(output.status.code(), Some(0), "{said}");
        assert!(
            said.contains("TOKEN_APP") && !said.contains("canary"),
            "{said}"
        );
    }
}
