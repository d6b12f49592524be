//! Heads on both legs: the credential is on them, and nothing else of them has changed.

use http::{Request, Version, header};

use crate::support::{
    LIMIT,
    client::{Client, Connection, eventually},
    origin::{empty, origin},
    proxy::{bearer, proxy},
    routes,
    usual::usual,
    wire::{Wire, status},
};

/// Promise 1 and the data path: HTTP/1.1 and HTTP/2 in all four combinations, the credential on each.
#[tokio::test(flavor = "multi_thread")]
async fn credential_arrives_in_all_four_combinations() {
    for (alpn, upstream) in [
        (&["http/1.1"][..], Version::HTTP_11),
        (&["h2"][..], Version::HTTP_2),
    ] {
        let site = origin(&["app.example.test"])
            .alpn(alpn)
            .bearer("t1")
            .start()
            .await;
        let proxy = proxy()
            .site(&site)
            .bearer("app", "app.example.test", "t1")
            .start()
            .await;
        for (client, version) in [
            (proxy.client(), Version::HTTP_11),
            (proxy.client().h2(), Version::HTTP_2),
        ] {
            let answer = client.get(&site.url("/echo/a?b=c")).await.expect(200);
            assert_eq!(answer.version, version);
            assert_eq!(site.last().version, upstream);
            assert_eq!(site.last().field("authorization"), Some("Bearer t1"));
        }
    }
}

/// The version on the other leg is the one that costs less or that is needed: HTTP/2 for streams that share a connection
/// and for trailers, and whatever an origin speaks that speaks one alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_leg_has_the_version_that_helps() {
    let (old, new) = (Version::HTTP_11, Version::HTTP_2);
    let get = |url: &str, te: bool| {
        let request = Request::get(url);
        let request = if te {
            request.header(header::TE, "trailers")
        } else {
            request
        };
        request.body(empty()).unwrap()
    };
    // What the origin offers; then of HTTP/1.1, a stream alone, trailers, and two streams at once.
    for (alpn, versions) in [
        (&["h2", "http/1.1"][..], [old, old, new, new]),
        (&["http/1.1"], [old; 4]),
        (&["h2"], [new; 4]),
    ] {
        let site = origin(&["app.example.test"]).alpn(alpn).start().await;
        let proxy = proxy().site(&site).bearer("app", "app.example.test", "t1");
        let proxy = proxy.start().await;
        let (client, newer) = (proxy.client(), proxy.client().h2());
        let url = site.url("/echo");
        let mut seen = Vec::new();
        client.send(get(&url, true)).await.expect(200);
        seen.push(site.last().version);
        newer.send(get(&url, false)).await.expect(200);
        seen.push(site.last().version);
        newer.send(get(&url, true)).await.expect(200);
        seen.push(site.last().version);
        let mut connection = newer.open(&url.parse().unwrap()).await.unwrap();
        let Connection::H2(sender) = &mut connection else {
            panic!("HTTP/2 was asked for");
        };
        let before = site.seen().len();
        let slow = sender.send_request(get(&site.url("/late/60000"), false));
        let slow = tokio::spawn(slow);
        let asked = || (site.seen().len() > before).then_some(());
        eventually("it is under way", LIMIT, asked).await;
        connection.get(&url).await.unwrap().expect(200);
        seen.push(site.last().version);
        slow.abort();
        assert_eq!(seen, versions, "{alpn:?}");
    }
}

/// What HTTP/2 says with the end of a stream, HTTP/1.1 says with a length: else some origins answer 411 (RFC 9110 §8.6).
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_post_says_so_on_either_version() {
    let site = origin(&["app.example.test"]).alpn(&["http/1.1"]);
    let site = site.bearer("t1").start().await;
    let proxy = proxy().site(&site).bearer("app", "app.example.test", "t1");
    let proxy = proxy.start().await;
    for (method, length) in [("POST", Some("0")), ("PUT", Some("0")), ("DELETE", None)] {
        let request = Request::builder().method(method).uri(site.url("/echo"));
        let client = proxy.client().h2();
        client
            .send(request.body(empty()).unwrap())
            .await
            .expect(200);
        assert_eq!(site.last().version, Version::HTTP_11);
        assert_eq!(site.last().field("content-length"), length, "{method}");
    }
}

/// An origin that offers both is spoken to, whatever the client speaks; a connection carries many requests.
#[tokio::test(flavor = "multi_thread")]
async fn connections_carry_many_requests() {
    let (site, proxy) = usual().await;
    for client in [proxy.client(), proxy.client().h2()] {
        let mut connection = client.open(&site.url("/").parse().unwrap()).await.unwrap();
        for number in 0..20 {
            let answer = connection
                .get(&site.url(&format!("/echo/{number}")))
                .await
                .unwrap();
            assert_eq!(
                answer.expect(200).json()["target"]
                    .as_str()
                    .map(|target| target.ends_with(&number.to_string())),
                Some(true)
            );
        }
    }
    assert!(
        site.recorder.count() <= 4,
        "{} connections for 40 requests",
        site.recorder.count()
    );
}

/// Promise 1: in mode `replace`, what the client sent under the same name is removed first, in every spelling.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_own_credential_is_removed() {
    let (site, proxy) = usual().await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    wire.send(
        "GET /echo HTTP/1.1\r\nHost: app.example.test\r\nAuthorization: Basic b3du\r\n\
         AUTHORIZATION: Bearer own\r\nauthorization: Digest x\r\n\r\n",
    )
    .await;
    let (head, _) = wire.message().await;
    assert_eq!(status(&head), 200);
    let all: Vec<_> = site
        .last()
        .fields
        .get_all(header::AUTHORIZATION)
        .iter()
        .cloned()
        .collect();
    assert_eq!(all, ["Bearer t1"]);
}

/// Promise 5: field case and order are kept, and nothing is added that a client would not have sent.
#[tokio::test(flavor = "multi_thread")]
async fn field_case_and_order_are_kept() {
    let site = origin(&["app.example.test"])
        .alpn(&["http/1.1"])
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    wire.send(
        "GET /echo?q=%7Bx%7d HTTP/1.1\r\nHost: app.example.test\r\nX-FoO: 1\r\nuser-agent: Tool/1.0\r\n\
         ACCEPT: */*\r\nX-Bar: two\r\nAccept-Language: de\r\n\r\n",
    )
    .await;
    assert_eq!(status(&wire.message().await.0), 200);
    let raw = site.recorder.everything();
    let raw = String::from_utf8_lossy(&raw);
    let head = raw.split("\r\n\r\n").next().unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("authorization:"));
    assert_eq!(
        lines,
        [
            "GET /echo?q=%7Bx%7d HTTP/1.1",
            "Host: app.example.test",
            "X-FoO: 1",
            "user-agent: Tool/1.0",
            "ACCEPT: */*",
            "X-Bar: two",
            "Accept-Language: de",
        ]
    );
}

/// Cookie crumbs of HTTP/2 are joined with `; ` (RFC 9113 §8.2.3); Set-Cookie is never folded.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_joined_and_never_folded() {
    let site = origin(&["app.example.test"])
        .alpn(&["http/1.1"])
        .handler(|request| async {
            if request.uri().path() != "/two" {
                return Err(request);
            }
            let mut reply = routes::text("two");
            for cookie in ["a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT", "b=2"] {
                reply
                    .headers_mut()
                    .append(header::SET_COOKIE, cookie.parse().unwrap());
            }
            Ok(reply)
        })
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .start()
        .await;
    let request = Request::get(site.url("/two"))
        .header("cookie", "x=1")
        .header("cookie", "y=2; z=3")
        .body(empty())
        .unwrap();
    let answer = proxy.client().h2().send(request).await.expect(200);
    assert_eq!(site.last().fields.get_all("cookie").iter().count(), 1);
    assert_eq!(site.last().field("cookie"), Some("x=1; y=2; z=3"));
    let cookies: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(
        cookies,
        ["a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT", "b=2"]
    );
}

/// Plain http in absolute form: the credential goes where a binding says `scheme = "http"`, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_needs_its_own_binding() {
    let plain = origin(&["plain.example.test", "app.example.test"])
        .start_plain()
        .await;
    let secure = origin(&["app.example.test"]).start().await;
    let proxy = proxy()
        .site(&plain)
        .site(&secure)
        .bearer("app", "app.example.test", "t1")
        .config(bearer(
            "plain",
            r#"{ scheme = "http", host = "plain.example.test" }"#,
            "PLAIN",
        ))
        .env("PLAIN", "t2")
        .start()
        .await;
    let client: Client = proxy.client();
    client
        .get("http://plain.example.test/echo")
        .await
        .expect(200);
    assert_eq!(plain.last().field("authorization"), Some("Bearer t2"));
    assert_eq!(plain.last().target, "/echo", "origins get the origin form");
    assert_eq!(plain.last().field("host"), Some("plain.example.test"));
    assert!(
        plain.last().field("via").is_some(),
        "absolute-form http carries Via"
    );
    client.get("http://app.example.test/echo").await.expect(200);
    assert_eq!(plain.last().field("authorization"), None);
    client
        .get("https://app.example.test/echo")
        .await
        .expect(200);
    assert_eq!(secure.last().field("authorization"), Some("Bearer t1"));
    assert_eq!(
        secure.last().field("via"),
        None,
        "Via is not written inside intercepted TLS"
    );
}

/// Paths and methods bind too: what is outside goes without, and dot segments or encodings do not get in.
#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_bind() {
    let site = origin(&["app.example.test"]).start().await;
    let bind = r#"{ host = "app.example.test", path = "/v1/*", methods = ["GET"] }"#;
    let proxy = proxy()
        .site(&site)
        .config(bearer("app", bind, "T"))
        .env("T", "t1")
        .start()
        .await;
    let mut wire = Wire::https(&proxy.client(), "app.example.test").await;
    for (method, target, expected) in [
        ("GET", "/v1/echo", Some("Bearer t1")),
        ("POST", "/v1/echo", None),
        ("GET", "/v2/echo", None),
        ("GET", "/v1", None),
        ("GET", "/V1/echo", None),
        ("GET", "/v1/../v2/echo", None),
        ("GET", "/v1/%2e%2e/v2/echo", None),
        ("GET", "/v2/../v1/echo", None),
        ("GET", "/%76%31/echo", None),
        ("GET", "/v1/a%2fb?x=/../", Some("Bearer t1")),
    ] {
        wire.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: app.example.test\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let (head, _) = wire.message().await;
        assert_ne!(status(&head), 0, "{method} {target}");
        assert_eq!(site.last().target, target, "sent as it was");
        assert_eq!(
            site.last().field("authorization"),
            expected,
            "{method} {target}"
        );
    }
}
