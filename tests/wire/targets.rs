//! Request targets as clients send them: also those that RFC 3986 would have percent-encoded, since clients send them
//! raw and origins read them.

use http::{Request, Uri};

use super::requests::{PLACES, statuses, world};
use crate::support::{
    origin::{Origin, Seen, empty, origin},
    proxy::{Proxy, proxy},
    strict::Read,
    tool::{Way, find, succeed, through},
    wire::{Wire, status},
};

/// Every printable character but those that end a target, and what is not ASCII.
const TARGETS: &[&str] = &[
    "/a",
    "/?",
    "/a?",
    "//a//b/",
    "/a/./b/../c",
    "/%7Ea%2fb%2Fc%zz%",
    "/!$%&'()*+,-.:;=@[]\\^_|~",
    "/\"<>`{}",
    "/{\"id\":\"<1>\"}/`ls`",
    "/?!$%&'()*+,-./:;=?@[]\\^_|~",
    "/?\"<>`{}",
    "/q?filter={\"name\":\"<b>\"}&sort=a|b^c&cmd=`x`",
    "/q?a=1&a=2&&=&b",
    "/\u{e9}\u{20ac}\u{1f600}?\u{e9}=\u{20ac}\u{1f600}",
];

/// Other than this nothing is refused that works without a proxy: a target with a space or a control character has more
/// than one reading, and one that is not UTF-8 has none as a text (each character is one byte here).
const REFUSED: &[&str] = &[
    "/a b",
    "/a\u{7f}",
    "/?a\tb",
    "/?\u{1}",
    "/caf\u{e9}",
    "/?q=\u{e9}",
    "/\u{c3}?\u{a9}",
    "/\u{c0}\u{af}",
    "/\u{ed}\u{a0}\u{80}",
    "/\u{ff}",
];

/// RFC 9112 §3.2: a proxy must not rewrite the path and the query.
#[tokio::test(flavor = "multi_thread")]
async fn targets_arrive_as_they_were_sent() {
    let (site, proxy) = world().await;
    let client = proxy.client();
    for place in PLACES {
        for target in TARGETS {
            // What `statuses` sends is written as ISO 8859-1: here each character is one byte of the UTF-8.
            let bytes: String = target.bytes().map(char::from).collect();
            let message = format!("GET {{T}}{bytes} HTTP/1.1\r\nHost: {{H}}\r\n\r\n");
            // Braces of the target's own are none of the words that are filled in.
            assert!(!target.contains("{T}") && !target.contains("{H}"));
            assert_eq!(statuses(place, &client, &message).await, [200, 200]);
            let expected = [format!("GET {target}"), "GET /end".to_owned()].map(Read::Request);
            assert_eq!(site.take(), expected, "{place:?}");
        }
        for target in REFUSED {
            let message = format!("GET {{T}}{target} HTTP/1.1\r\nHost: {{H}}\r\n\r\n");
            assert_eq!(
                statuses(place, &client, &message).await,
                [400],
                "{place:?} {target}"
            );
            assert_eq!(site.take(), []);
        }
    }
}

/// A site behind HTTP/2 or HTTP/1.1, whose session puts a token in the query.
async fn world_of(protocol: &'static str) -> (Origin, Proxy) {
    let site = origin(&["app.example.test"])
        .alpn(&[protocol])
        .start()
        .await;
    let session = r#"
[session.app]
bind = [{ host = "app.example.test" }]
secrets = { token = "env:TOKEN" }
[[session.app.inject]]
query = "key"
value = "{{ token }}"
[session.app.refresh]
kind = "none"
"#;
    let proxy = proxy()
        .site(&site)
        .config(session)
        .env("TOKEN", "t\"1")
        .start()
        .await;
    (site, proxy)
}

/// What follows the authority, which only HTTP/2 has in its target here.
fn path_of(seen: &Seen) -> String {
    let target: Uri = seen.target.parse().expect("a target");
    target.path_and_query().expect("a path").to_string()
}

/// The same over HTTP/2, and where a value of ours is put behind what the client sent.
#[tokio::test(flavor = "multi_thread")]
async fn targets_are_the_same_over_http2() {
    for protocol in ["h2", "http/1.1"] {
        let (site, proxy) = world_of(protocol).await;
        for client in [proxy.client(), proxy.client().h2()] {
            for target in TARGETS {
                let request = Request::get(site.url(target)).body(empty()).unwrap();
                client.send(request).await;
                let seen = site.seen().pop().expect("a request");
                let between = match target.contains('?') {
                    _ if target.ends_with('?') => "",
                    true => "&",
                    false => "?",
                };
                assert_eq!(
                    path_of(&seen),
                    format!("{target}{between}key=t%221"),
                    "{protocol}"
                );
            }
        }
    }
}

/// curl sends what it is given: with us the origin sees what it sees without.
#[tokio::test(flavor = "multi_thread")]
async fn curl_changes_nothing() {
    let site = origin(&["app.example.test"]).start().await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    let path = "/echo/p\"<>{}|^`\\[]'~%zz?q=\"<>{}|^`\\[]'~\u{e9}%zz";
    let port = site.address.port();
    for http in ["--http1.1", "--http2"] {
        let url = format!("https://app.example.test:443{path}");
        let arguments = ["-gsSf", "--path-as-is", http, &url];
        succeed(through(&proxy, Way::Run, &find("curl"), &arguments)).await;
        let url = format!("https://app.example.test:{port}{path}");
        let resolve = format!("app.example.test:{port}:127.0.0.1");
        let direct = [
            "-gsSfk",
            "--path-as-is",
            "--noproxy",
            "*",
            "--resolve",
            &resolve,
            http,
            &url,
        ];
        let mut command = through(&proxy, Way::Variables, &find("curl"), &direct);
        command.env_remove("CURL_CA_BUNDLE");
        succeed(command).await;
        let seen = site.seen();
        let [.., with, without] = &seen[..] else {
            panic!("{} requests", seen.len())
        };
        assert_eq!(path_of(with), path_of(without), "{http}");
        assert_eq!(path_of(without), path, "{http}");
    }
}

/// OPTIONS for a URL with neither path nor query is about the server itself, and so the last proxy says (RFC 9112 §3.2.4).
#[tokio::test(flavor = "multi_thread")]
async fn options_for_the_server_itself() {
    const PLAIN: &str = "plain.example.test";
    let plain = origin(&[PLAIN]).start_plain().await;
    let proxy = proxy().site(&plain).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    for (target, expected) in [
        ("OPTIONS http://plain.example.test", "*"),
        ("OPTIONS http://plain.example.test:80", "*"),
        ("OPTIONS HTTP://PLAIN.example.test", "*"),
        ("OPTIONS http://plain.example.test/", "/"),
        ("OPTIONS http://plain.example.test?a", "/?a"),
        ("OPTIONS http://plain.example.test/*", "/*"),
        ("GET http://plain.example.test", "/"),
    ] {
        wire.send(format!("{target} HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n"))
            .await;
        let (head, _) = wire.message().await;
        assert_ne!(status(&head), 400, "{target}");
        assert_eq!(plain.last().target, expected, "{target}");
    }
}
