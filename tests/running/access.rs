//! Who may use the proxy: passwords, and each client's own sessions.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    client::Client,
    origin::{Origin, origin},
    proxy::{Builder, proxy},
    routes,
    wire::{Wire, field, status},
};

const HOST: &str = "app.example.test";

fn two_clients(site: &Origin) -> Builder {
    let session = |client: &str| {
        format!(
            "[session.{client}]\nclients = [\"{client}\"]\nbind = [{{ host = \"{HOST}\" }}]\n\
             secrets = {{ token = \"env:TOKEN_{client}\" }}\n\
             [[session.{client}.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
             [session.{client}.refresh]\nkind = \"none\"\n"
        )
    };
    proxy()
        .site(site)
        .config("[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"")
        .config(session("alice"))
        .config(session("bob"))
        .env("ALICE", "wonderland")
        .env("BOB", "builder")
        .env("TOKEN_alice", "alices-token")
        .env("TOKEN_bob", "bobs-token")
}

fn as_client(mut client: Client, name: &str, password: &str) -> Client {
    let basic = STANDARD.encode(format!("{name}:{password}"));
    client.connect_fields = format!("Proxy-Authorization: Basic {basic}\r\n");
    client
}

/// A CONNECT behind requests in absolute form says itself whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_connect_behind_requests_tells_its_client() {
    let site = origin(&[HOST]).start().await;
    let proxy = two_clients(&site).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    let alice = STANDARD.encode("alice:wonderland");
    let alice = format!("Proxy-Authorization: Basic {alice}\r\n");
    let nowhere = "GET http://nowhere.invalid/ HTTP/1.1\r\nHost: nowhere.invalid\r\n";
    let connect = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n");
    for (head, expected) in [
        (format!("{nowhere}{alice}\r\n"), 502),
        (format!("{connect}\r\n"), 407),
        (format!("{connect}{alice}\r\n"), 200),
    ] {
        wire.send(&head).await;
        assert_eq!(status(&wire.message().await.0), expected, "{head}");
    }
}

/// Two clients on one host: each gets the credential of its own session, in turns and on pooled connections.
#[tokio::test(flavor = "multi_thread")]
async fn clients_have_their_own_sessions() {
    let site = origin(&[HOST]).start().await;
    let proxy = two_clients(&site).start().await;
    for _ in 0..3 {
        for (name, password, token) in [
            ("alice", "wonderland", "alices-token"),
            ("bob", "builder", "bobs-token"),
        ] {
            for client in [proxy.client(), proxy.client().h2()] {
                as_client(client, name, password)
                    .get(&site.url("/echo"))
                    .await
                    .expect(200);
                assert_eq!(
                    site.last().field("authorization"),
                    Some(format!("Bearer {token}").as_str())
                );
                assert_eq!(site.last().field("proxy-authorization"), None);
            }
        }
    }
    let seen = site.seen();
    let holders = |token: &str| -> std::collections::BTreeSet<usize> {
        let of = seen
            .iter()
            .filter(|seen| seen.field("authorization") == Some(&format!("Bearer {token}")));
        of.map(|seen| seen.connection).collect()
    };
    assert!(
        holders("alices-token").is_disjoint(&holders("bobs-token")),
        "no upstream connection is shared"
    );
}

/// `per_client`: one session, two clients by their passwords, and a jar for each: what a site gives one is never sent for
/// the other, nor after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn each_client_has_a_jar_of_its_own() {
    // Whoever has a cookie gets its successor.
    let site = origin(&[HOST])
        .handler(|request| async move {
            let cookie = request.headers().get("cookie");
            let cookie = cookie.and_then(|value| value.to_str().ok()?.strip_prefix("sid="));
            let Some((name, number)) = cookie.and_then(|sid| sid.split_once('-')) else {
                return Ok(routes::unauthorized());
            };
            let next = number.parse::<u32>().expect("a number") + 1;
            let mut reply = routes::text(format!("{name}-{number}"));
            let cookie = format!("sid={name}-{next}; Path=/; Secure; Max-Age=600");
            reply
                .headers_mut()
                .insert("set-cookie", cookie.parse().unwrap());
            Ok(reply)
        })
        .start()
        .await;
    let mut proxy = proxy()
        .site(&site)
        .config("[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"")
        .config(format!(
            "[session.site]\nclients = [\"*\"]\nper_client = true\nbind = [{{ host = \"{HOST}\" }}]\n\
             [session.site.cookies]\nrequired = [\"sid\"]\n[session.site.refresh]\nkind = \"none\"\n"
        ))
        .env("ALICE", "wonderland")
        .env("BOB", "builder")
        .start()
        .await;
    let clients = [("alice", "wonderland"), ("bob", "builder")];
    let url = site.url("/");
    for (name, password) in clients {
        // Before she or he has one, nobody else's is used.
        as_client(proxy.client(), name, password)
            .get(&url)
            .await
            .expect(401);
        let import = [
            "import", "site", "--client", name, "--from", "header", "--domain", HOST,
        ];
        let output = proxy.cli_with(&import, &format!("Cookie: sid={name}-0"));
        assert!(output.status.success(), "{output:?}");
    }
    for round in 0..4 {
        if round == 2 {
            proxy.kill();
            proxy.start().await;
        }
        for (name, password) in clients {
            let client = as_client(proxy.client(), name, password);
            let client = if round % 2 == 0 { client } else { client.h2() };
            let answer = client.get(&url).await.expect(200);
            assert_eq!(answer.text(), format!("{name}-{round}"));
            assert_eq!(answer.field("set-cookie"), None);
        }
    }
    let output = proxy.cli(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sessions = status["sessions"].as_array().unwrap().iter();
    let known: Vec<_> = sessions.map(|session| session["client"].as_str()).collect();
    assert_eq!(known, [Some("alice"), Some("bob")]);
}

/// Of a session that several clients share, the history tells whose request had a part in what happened.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_names_the_client() {
    // One answer rotates the cookie, the other says that it is none.
    let site = origin(&[HOST])
        .handler(|request| async move {
            if request.uri().path() != "/rotates" {
                return Ok(routes::unauthorized());
            }
            let mut reply = routes::text("hello");
            let cookie = "sid=two; Path=/; Secure; Max-Age=600".parse().unwrap();
            reply.headers_mut().insert("set-cookie", cookie);
            Ok(reply)
        })
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .config("[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"")
        .config(format!(
            "[session.site]\nclients = [\"*\"]\nbind = [{{ host = \"{HOST}\" }}]\n\
             [session.site.cookies]\nrequired = [\"sid\"]\n[session.site.refresh]\nkind = \"none\"\n"
        ))
        .env("ALICE", "wonderland")
        .env("BOB", "builder")
        .start()
        .await;
    let import = ["import", "site", "--from", "header", "--domain", HOST];
    let output = proxy.cli_with(&import, "Cookie: sid=one");
    assert!(output.status.success(), "{output:?}");
    for (name, password, path, status) in [
        ("alice", "wonderland", "/rotates?key=secret", 200),
        ("bob", "builder", "/rejects", 401),
    ] {
        let client = as_client(proxy.client(), name, password);
        client.get(&site.url(path)).await.expect(status);
    }
    let output = proxy.cli(&["status", "site", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let events = status["sessions"][0]["history"].as_array();
    let events = events.expect("a history");
    let told = |event: &str| {
        let found = events.iter().rfind(|told| told["name"] == event);
        let told = found.unwrap_or_else(|| panic!("no {event}: {events:?}"));
        (told["asked_by"].clone(), told["request"].clone())
    };
    assert_eq!(
        told("session.rotated"),
        (
            "alice".into(),
            format!("GET https://{HOST}:443/rotates").into()
        )
    );
    assert_eq!(
        told("request.rejected"),
        (
            "bob".into(),
            format!("GET https://{HOST}:443/rejects").into()
        )
    );
    let text = String::from_utf8_lossy(&proxy.cli(&["status", "site"]).stdout).into_owned();
    assert!(
        text.contains("alice") && text.contains("/rejects"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

/// Without a password, or with a wrong one: 407, and the connection stays open for the right one.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_asked_for() {
    let site = origin(&[HOST]).start().await;
    let proxy = two_clients(&site).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    let wrong = STANDARD.encode("alice:queen");
    let unknown = STANDARD.encode("carol:wonderland");
    for authorization in [
        String::new(),
        format!("Proxy-Authorization: Basic {wrong}\r\n"),
        format!("Proxy-Authorization: Basic {unknown}\r\n"),
        "Proxy-Authorization: Bearer wonderland\r\n".to_owned(),
        "Proxy-Authorization: Basic %%%\r\n".to_owned(),
    ] {
        wire.send(format!(
            "CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{authorization}\r\n"
        ))
        .await;
        let (head, _) = wire.message().await;
        assert_eq!(status(&head), 407, "{authorization}{head}");
        assert!(
            field(&head, "proxy-authenticate").is_some_and(|value| value.starts_with("Basic")),
            "{head}"
        );
    }
    let right = STANDARD.encode("alice:wonderland");
    wire.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\nProxy-Authorization: Basic {right}\r\n\r\n"))
        .await;
    assert_eq!(status(&wire.head().await), 200);
    assert!(site.seen().is_empty());
}

/// Requests that a forward proxy does not take.
#[tokio::test(flavor = "multi_thread")]
async fn bad_targets_are_refused() {
    let proxy = proxy().start().await;
    for line in [
        "GET / HTTP/1.1\r\nHost: app.example.test\r\n\r\n",
        "CONNECT app.example.test HTTP/1.1\r\nHost: app.example.test\r\n\r\n",
        "CONNECT user@app.example.test:443 HTTP/1.1\r\nHost: app.example.test:443\r\n\r\n",
        "CONNECT app.example.test:0 HTTP/1.1\r\nHost: app.example.test:0\r\n\r\n",
        "CONNECT app.example.test:99999 HTTP/1.1\r\nHost: app.example.test\r\n\r\n",
        "GET ftp://app.example.test/ HTTP/1.1\r\nHost: app.example.test\r\n\r\n",
        "GET http://user:pass@app.example.test/ HTTP/1.1\r\nHost: app.example.test\r\n\r\n",
        "GET http://app.example.test/ HTTP/1.1\r\nHost : app.example.test\r\n\r\n",
        "GET http://app.example.test/ HTTP/1.1\r\nHost: app.example.test\r\nX: a\r\n b\r\n\r\n",
        "GET http://app.example.test/ HTTP/1.1\r\nHost: app.example.test\r\nX: a\0b\r\n\r\n",
        "GET http://app.example.test/ HTTP/1.1\r\nHost: app.example.test\r\nContent-Length: +1\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(line).await;
        assert_eq!(status(&wire.head().await), 400, "{line:?}");
    }
}

/// Two lengths in one request (RFC 9112 §6.1): the chunks count, the other length is gone, and nothing is smuggled.
#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_lengths_smuggle_nothing() {
    let site = origin(&["plain.example.test"]).start_plain().await;
    let proxy = proxy().site(&site).start().await;
    let mut wire = Wire::proxy(&proxy.client()).await;
    wire.send(
        "POST http://plain.example.test/upload HTTP/1.1\r\nHost: plain.example.test\r\nContent-Length: 60\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let (head, body) = wire.message().await;
    if status(&head) == 400 {
        return;
    }
    assert!(body.contains("\"length\":5"), "{head}{body}");
    assert_eq!(site.last().field("content-length"), None);
    assert_eq!(site.seen().len(), 1);
}
