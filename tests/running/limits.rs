//! `[limits]`, met on the wire: each set low, and what happens when it is reached.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    authority::Authority,
    client::{Client, eventually},
    oauth::Policy,
    origin::{empty, origin},
    proxy::{Builder, Proxy, proxy},
    raw::{After, raw, read_head, says, tcp},
    routes,
    wire::{Wire, status},
};

const HOST: &str = "app.example.test";

fn bound(limits: &str) -> Builder {
    proxy()
        .bearer("app", HOST, "t1")
        .config(format!("[limits]\n{limits}"))
}

/// Waits for the end of a connection, which must come by the limit of a second: not at once, and not by another one.
async fn ends(what: &str, wire: &mut Wire, begun: Instant) -> String {
    let rest = wire.rest().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900), "{what}: after {took:?}");
    assert!(took < Duration::from_secs(20), "{what}: after {took:?}");
    rest
}

fn connect(wire: &str) -> String {
    format!("CONNECT {wire} HTTP/1.1\r\nHost: {wire}\r\n\r\n")
}

/// Whoever falls silent is let go: before, within and between requests, and in tunnels.
#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_connection() {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let (silent, _task) = tcp(|mut socket| async move {
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all).await;
    })
    .await;
    let proxy = bound(
        "request_head = \"1s\"\nhandshake = \"1s\"\nidle = \"1s\"\nsilence = \"1s\"\ntunnel_idle = \"1s\"",
    )
    .site(&site)
    .resolve("raw.example.test:7777", silent)
    .start()
    .await;
    let client = proxy.client();
    let tunnel = connect("raw.example.test:7777");
    let half = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: ");
    for (what, begin) in [
        ("nothing at all", ""),
        ("half a CONNECT", half.as_str()),
        (
            "half a request",
            "GET http://plain.example.test/ HTTP/1.1\r\nHo",
        ),
        ("a greeting by SOCKS", "\x05"),
        ("a CONNECT, and no TLS", &connect(&format!("{HOST}:443"))),
        ("a tunnel without a byte", &tunnel),
    ] {
        let mut wire = Wire::proxy(&client).await;
        let begun = Instant::now();
        wire.send(begin).await;
        ends(what, &mut wire, begun).await;
    }
    for (what, begin) in [
        ("TLS, and no request", String::new()),
        (
            "half a head in TLS",
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-"),
        ),
        (
            "half a body",
            format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf"),
        ),
        (
            "half a chunk",
            format!(
                "POST /upload HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"
            ),
        ),
        (
            "nothing after an answer",
            format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        ),
        (
            "a WebSocket without a byte",
            format!(
                "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        ),
    ] {
        let mut wire = Wire::https(&client, HOST).await;
        let begun = Instant::now();
        wire.send(&begin).await;
        let rest = ends(what, &mut wire, begun).await;
        assert!(
            !rest.contains("200 OK") || what.contains("answer"),
            "{what}: {rest}"
        );
    }
    let mut h2 = client
        .clone()
        .h2()
        .open(&site.url("/").parse().unwrap())
        .await
        .unwrap();
    h2.get(&site.url("/echo")).await.unwrap().expect(200);
    let begun = Instant::now();
    while h2.get(&site.url("/echo")).await.is_ok() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "HTTP/2 is never idle"
        );
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    client.get(&site.url("/echo")).await.expect(200);
}

/// Over the number of connections a client waits until another leaves.
#[tokio::test(flavor = "multi_thread")]
async fn connections_wait_for_one_another() {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let proxy = bound("connections = 2").site(&site).start().await;
    let client = proxy.client();
    let mut first = Wire::https(&client, HOST).await;
    let _second = Wire::https(&client, HOST).await;
    let mut third = client.socket().await;
    third
        .write_all(connect(&format!("{HOST}:443")).as_bytes())
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(500), read_head(&mut third)).await;
    assert!(early.is_err(), "{early:?}");
    // Those that are in are served meanwhile.
    first
        .send(format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await;
    assert_eq!(status(&first.message().await.0), 200);
    drop(first);
    let late = tokio::time::timeout(Duration::from_secs(20), read_head(&mut third)).await;
    assert_eq!(status(&late.expect("in time").unwrap_or_default()), 200);
}

/// Heads: their bytes and their fields, of requests in every form, and of answers.
#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let proxy = bound("head_bytes = \"16 KiB\"\nfields = 20")
        .site(&site)
        .start()
        .await;
    let client = proxy.client();
    let long = format!("x-long: {}\r\n", "y".repeat(40_000));
    let many: String = (0..30).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (what, more) in [("long", &long), ("many", &many)] {
        let mut wire = Wire::proxy(&client).await;
        wire.send(format!(
            "CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{more}\r\n"
        ))
        .await;
        let head = wire.head().await;
        // CONNECT has a number of fields of its own.
        assert!(
            what == "many" || (400..500).contains(&status(&head)),
            "{what}: {head}"
        );
        let mut wire = Wire::https(&client, HOST).await;
        wire.send(format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n"))
            .await;
        let head = wire.head().await;
        assert!((400..500).contains(&status(&head)), "{what}: {head}");
    }
    for (name, value, count) in [
        ("x-long", "y".repeat(40_000), 1),
        ("x-many", "1".to_owned(), 30),
    ] {
        let mut request = Request::get(site.url("/echo"));
        for n in 0..count {
            request = request.header(format!("{name}-{n}"), value.clone());
        }
        match client
            .clone()
            .h2()
            .try_send(request.body(empty()).unwrap())
            .await
        {
            Ok(answer) => assert!(answer.status.is_client_error(), "{name}: {answer:?}"),
            // The stream is refused.
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(site.seen().is_empty(), "nothing was passed on");
    client.get(&site.url("/echo")).await.expect(200);
    let low = || bound("head_bytes = \"16 KiB\"\nfields = 20");
    for more in [long, many] {
        let answer = format!("HTTP/1.1 200 OK\r\n{more}content-length: 0\r\n\r\n");
        let bad = says(HOST, answer, After::Keep).await;
        let proxy = low().raw(&bad).start().await;
        for client in [proxy.client(), proxy.client().h2()] {
            client.get(&format!("https://{HOST}/")).await.expect(502);
        }
    }
    let bad = origin(&[HOST])
        .alpn(&["h2"])
        .handler(|_| async {
            let mut reply = routes::text("many");
            for n in 0..30 {
                let name = format!("x-{n}").parse::<http::HeaderName>().unwrap();
                reply.headers_mut().insert(name, "1".parse().unwrap());
            }
            Ok(reply)
        })
        .start()
        .await;
    let proxy = low().site(&bad).start().await;
    proxy.client().get(&bad.url("/")).await.expect(502);
}

/// What a rule reads of a body: so many bytes, and so many for each compressed one.
#[tokio::test(flavor = "multi_thread")]
async fn inspection_is_bounded() {
    let gzipped = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    for (what, limits, before, packed, found) in [
        ("within", "inspect_body = \"4 KiB\"", 2_000, false, true),
        ("beyond", "inspect_body = \"4 KiB\"", 8_000, false, false),
        (
            "packed, within",
            "inspect_ratio = 5000",
            100_000,
            true,
            true,
        ),
        ("packed, beyond", "inspect_ratio = 2", 100_000, true, false),
    ] {
        let text = format!("{}please sign in{}", " ".repeat(before), " ".repeat(50_000));
        let site = origin(&[HOST])
            .handler(move |_| {
                let body = if packed {
                    gzipped(&text)
                } else {
                    text.clone().into_bytes()
                };
                async move {
                    let mut reply = routes::text(body);
                    if packed {
                        let gzip = http::HeaderValue::from_static("gzip");
                        reply.headers_mut().insert("content-encoding", gzip);
                    }
                    Ok(reply)
                }
            })
            .start()
            .await;
        let proxy = proxy()
            .site(&site)
            .config(format!(
                "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ token = \"env:T\" }}\n\
                 [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
                 [[session.app.rejected]]\nstatus = [200]\nbody = \"please sign in\"\nagain = \"fail\"\n\
                 [session.app.refresh]\nkind = \"command\"\ncommand = [\"echo\", \"t\"]\n[limits]\n{limits}\n"
            ))
            .env("T", "t1")
            .start()
            .await;
        let answer = proxy.client().get(&site.url("/")).await;
        assert_eq!(answer.status == 502, found, "{what}: {}", answer.status);
    }
}

/// With nothing to send a request waits for the refresh, but not for ever; what then depends on the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_for_ever() {
    for (on_dead, expected) in [("pass", 401), ("fail", 503)] {
        let authority = Authority::new(Policy::lifetime(600.0));
        authority.delay(Duration::from_secs(30));
        let site = authority.site(HOST).start().await;
        let proxy = proxy()
            .site(&site)
            .config(format!(
                "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\non_dead = \"{on_dead}\"\n\
                 values = {{ client_id = \"tests\" }}\nsecrets = {{ client_secret = \"env:S\" }}\n\
                 [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ access_token }}}}\"\n\
                 [session.app.refresh]\nkind = \"oauth2\"\ntoken_url = \"https://{HOST}/token\"\n\
                 grant_type = \"client_credentials\"\ntimeout = \"1m\"\n[limits]\nrefresh_wait = \"1s\"\n"
            ))
            .env("S", "secret")
            .start()
            .await;
        let begun = Instant::now();
        let answer = proxy.client().get(&site.url("/echo")).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        let took = begun.elapsed();
        let range = Duration::from_millis(900)..Duration::from_secs(20);
        assert!(range.contains(&took), "{took:?}");
    }
}

async fn idle(proxy: &Proxy) -> String {
    let token = std::fs::read_to_string(proxy.path().join("admin.token")).unwrap();
    let request = Request::get(format!("http://{}/metrics", proxy.admin))
        .header("authorization", format!("Bearer {}", token.trim()))
        .extension(crate::support::client::Direct)
        .body(empty())
        .unwrap();
    let metrics = Client::to(proxy.admin).send(request).await.expect(200);
    let mut lines = metrics.text().lines();
    let line = lines
        .find_map(|line| line.strip_prefix("staysigned_upstream_connections{state=\"idle\"} "));
    line.expect("the metric").to_owned()
}

/// Idle upstream connections: so many an origin, for so long.
#[tokio::test(flavor = "multi_thread")]
async fn idle_upstream_connections_are_bounded() {
    let site = raw(HOST, |mut stream, heads| async move {
        while heads.read(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.flush().await;
        }
    })
    .await;
    // The second is over before the first, and ends all of them.
    for (limits, left) in [
        ("upstream_idle = 2\nupstream_idle_for = \"4s\"", "2"),
        ("upstream_idle_for = \"2s\"", "0"),
    ] {
        let proxy = bound(limits).raw(&site).start().await;
        let client = proxy.client();
        let url = format!("https://{HOST}/");
        for answer in join_all((0..6).map(|_| client.get(&url))).await {
            answer.expect(204);
        }
        let begun = Instant::now();
        while idle(&proxy).await != left {
            assert!(begun.elapsed() < Duration::from_secs(20), "{limits}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Cookies: bytes of one, and how many of a domain.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_bounded() {
    let site = origin(&[HOST])
        .handler(|request| async move {
            let mut reply = routes::text("ok");
            let name = request.uri().path().trim_start_matches('/').to_owned();
            let value = if name == "long" {
                "v".repeat(300)
            } else {
                "v".to_owned()
            };
            let cookie = format!("{name}={value}; Path=/; Secure");
            reply
                .headers_mut()
                .insert("set-cookie", cookie.parse().unwrap());
            Ok(reply)
        })
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .config(format!(
            "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\n[session.app.cookies]\n[session.app.refresh]\nkind = \"none\"\n\
             [limits]\ncookie_bytes = 200\ncookies_per_domain = 3\n"
        ))
        .start()
        .await;
    for path in ["/a", "/b", "/long", "/c", "/d", "/a"] {
        proxy.client().get(&site.url(path)).await.expect(200);
    }
    proxy.client().get(&site.url("/a")).await.expect(200);
    let cookie = site.last().field("cookie").unwrap_or_default().to_owned();
    let mut names: Vec<_> = cookie.split("; ").collect();
    names.sort_unstable();
    assert_eq!(names.len(), 3, "{cookie}");
    assert!(
        !cookie.contains("long") && names.contains(&"d=v"),
        "{cookie}"
    );
    let stored = || (proxy.status("app")["cookies"]["stored"] == 3).then_some(());
    eventually("they are counted", Duration::from_secs(20), stored).await;
}
