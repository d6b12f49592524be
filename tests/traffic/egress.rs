//! The way out through an upstream proxy: by CONNECT, over TLS, by SOCKS5, as the configuration or the environment
//! says. The upstream proxy is another one of ours, or a few scripted bytes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};

use crate::support::{
    authority::{Authority, session},
    canary::{canary, find},
    oauth::Policy,
    origin::{Origin, empty, origin},
    proxy::{Builder, Proxy, bearer, proxy},
    raw::{read_head, tcp},
    secured::secured,
    wire::{Wire, field},
};

use super::upgrade;

pub const BOUND: &str = "app.example.test";
const OTHER: &str = "other.example.test";
pub const PLAIN: &str = "plain.example.test";
/// The name of an upstream proxy that speaks TLS.
pub const WAY: &str = "way.example.test";

/// The upstream proxy: it asks for a password, and alone knows where the sites are.
fn beyond(sites: &[&Origin]) -> Builder {
    let clients = "[clients.inner]\npassword = \"env:PASSWORD\"";
    let builder = proxy().config(clients).env("PASSWORD", "open sesame");
    sites
        .iter()
        .fold(builder, |builder, site| builder.site(site))
}

/// An upstream proxy, and how it is spoken to.
struct Upstream {
    proxy: Proxy,
    scheme: &'static str,
}

/// Starts an upstream proxy that is spoken to like this.
async fn way(builder: Builder, scheme: &'static str) -> Upstream {
    let proxy = match scheme {
        "https" => secured(builder, WAY).await,
        _ => builder.start().await,
    };
    Upstream { proxy, scheme }
}

impl Upstream {
    /// Has another proxy go out by this one, by what the environment says.
    fn leads(&self, builder: Builder, password: &str) -> Builder {
        let place = format!("{WAY}:{}", self.proxy.listen.port());
        let url = format!("{}://inner:{password}@{place}", self.scheme);
        builder
            .resolve(&place, self.proxy.listen)
            .env("http_proxy", &url)
            .env("HTTPS_PROXY", &url)
    }
}

pub fn inner(token: &str) -> Builder {
    let plain = format!("{{ scheme = \"http\", host = \"{PLAIN}\" }}");
    proxy()
        .bearer("app", BOUND, token)
        .config(bearer("plain", &plain, "TOKEN_APP"))
}

/// Its way out is what this line says.
pub async fn by(builder: Builder, way: &str) -> Proxy {
    let mut proxy = builder.prepare();
    proxy.edit(|text| text.replace("upstream_proxy = \"none\"", way));
    proxy.start().await;
    proxy
}

/// Promises 1 and 5 behind an upstream proxy of every kind: it passes TLS on and sees no credential in it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_work_through_an_upstream_proxy() {
    let token = canary("egress");
    let bound = origin(&[BOUND]).bearer(&token).start().await;
    let other = origin(&[OTHER]).start().await;
    let plain = origin(&[PLAIN]).bearer(&token).start_plain().await;
    let sites = [&bound, &other, &plain];
    for scheme in ["http", "https", "socks5"] {
        let way = way(beyond(&sites), scheme).await;
        let builder = way.leads(inner(&token), "open%20sesame");
        let proxy = by(builder, "upstream_proxy = \"env\"").await;
        for client in [proxy.client(), proxy.client().h2()] {
            for site in sites {
                client.get(&site.url("/bytes/100000/1")).await.expect(200);
            }
            assert_eq!(other.last().field("authorization"), None);
        }
        let mut secure = Wire::https(&proxy.client(), BOUND).await;
        secure.send(upgrade::handshake(BOUND, "/ws")).await;
        upgrade::converse(&mut secure).await;
        let mut open = Wire::proxy(&proxy.client()).await;
        let target = format!("http://{PLAIN}/ws");
        open.send(upgrade::handshake(PLAIN, &target)).await;
        upgrade::converse(&mut open).await;
        let log = way.proxy.log();
        assert_eq!(find(log.as_bytes(), &token), None, "{scheme}");
        for name in [BOUND, OTHER, PLAIN] {
            assert!(log.contains(name), "{scheme}: around it, to {name}: {log}");
        }
    }
}

/// What an upstream proxy is asked (RFC 9110 §9.3.6): host and port, who it is for, that it came through us, and
/// nothing of the client's.
#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_proxy_is_asked_for_a_tunnel() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = asked.clone();
    let (address, _task) = tcp(move |mut socket| {
        let heads = heads.clone();
        async move {
            let head = read_head(&mut socket).await.unwrap_or_default();
            heads.lock().unwrap().push(head);
            let _ = socket.write_all(b"HTTP/1.1 403 No\r\n\r\n").await;
        }
    })
    .await;
    let url = format!("http://ann:p%40ss@{address}");
    let builder = inner("t1").env("all_proxy", &url);
    let proxy = by(builder, "upstream_proxy = \"env\"").await;
    let mut client = proxy.client();
    client.connect_fields = "User-Agent: tool/1\r\nX-Mine: yes\r\n".to_owned();
    client.get(&format!("https://{BOUND}/")).await.expect(502);
    let _ = client.connect("other.example.test:8443").await.unwrap_err();
    let asked = asked.lock().unwrap().clone();
    let places = ["app.example.test:443", "other.example.test:8443"];
    assert_eq!(asked.len(), places.len());
    let mut names = Vec::new();
    for (head, place) in asked.iter().zip(places) {
        let name = field(head, "via").and_then(|via| via.strip_prefix("1.1 "));
        let name = name.unwrap_or_else(|| panic!("{head}"));
        let expected = format!(
            "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nVia: 1.1 {name}\r\n\
             Proxy-Authorization: Basic YW5uOnBAc3M=\r\n\r\n"
        );
        assert_eq!(*head, expected);
        names.push(name);
    }
    assert_ne!(
        names[0], names[1],
        "two places cannot tell that it is one proxy"
    );
}

/// Informational answers may come before the one to CONNECT (RFC 9110 §15.2).
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_proxy_may_say_something_first() {
    let site = origin(&[BOUND]).bearer("t1").start().await;
    let to = site.address;
    let (address, _task) = tcp(move |mut socket| async move {
        read_head(&mut socket).await;
        let says = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        socket.write_all(says).await.unwrap();
        let mut origin = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut socket, &mut origin).await;
    })
    .await;
    let builder = inner("t1").env("all_proxy", &format!("http://{address}"));
    let proxy = by(builder, "upstream_proxy = \"env\"").await;
    proxy
        .client()
        .get(&format!("https://{BOUND}/echo"))
        .await
        .expect(200);
}

/// An upstream proxy that does not lead anywhere: 502 that says so, nothing sent, and the proxy goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_proxy_that_leads_nowhere() {
    for (what, says) in [
        (
            "wants a login",
            Some("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n"),
        ),
        (
            "is broken",
            Some("HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n"),
        ),
        ("is no HTTP", Some("SSH-2.0-x\r\n\r\n")),
        ("hangs up", Some("")),
        ("has no end", Some("endless")),
        ("is not there", None),
    ] {
        let (address, task) = tcp(move |mut socket| async move {
            read_head(&mut socket).await;
            let says = says.unwrap_or_default();
            if says == "endless" {
                while socket.write_all(&[b'x'; 1000]).await.is_ok() {}
            }
            let _ = socket.write_all(says.as_bytes()).await;
        })
        .await;
        if says.is_none() {
            task.abort();
            let _ = task.await;
        }
        let way = format!("upstream_proxy = \"http://{address}\"");
        for scheme in ["https", "http"] {
            let proxy = by(inner("t1"), &way).await;
            let host = if scheme == "https" { BOUND } else { PLAIN };
            let answer = proxy.client().get(&format!("{scheme}://{host}/")).await;
            let answer = answer.expect(502);
            let status = answer.field("proxy-status").expect("Proxy-Status");
            assert!(status.contains("upstream proxy"), "{what}: {status}");
            assert!(
                answer.text().contains("upstream_proxy"),
                "{what}: {answer:?}"
            );
        }
    }
}

/// `NO_PROXY` and `"none"` lead around it; a variable that leads to ourselves is passed over, and said.
#[tokio::test(flavor = "multi_thread")]
async fn ways_around_an_upstream_proxy() {
    let site = origin(&[BOUND]).bearer("t1").start().await;
    let nowhere = "http://127.0.0.1:1";
    let url = site.url("/gate");
    let builder = || inner("t1").site(&site).env("HTTPS_PROXY", nowhere);
    by(builder(), "upstream_proxy = \"env\"")
        .await
        .client()
        .get(&url)
        .await
        .expect(502);
    for (way, no) in [
        ("upstream_proxy = \"none\"", ""),
        ("", "example.test"),
        ("upstream_proxy = \"env\"", "other.test, .example.test"),
        ("upstream_proxy = \"env\"", "*"),
    ] {
        let proxy = by(builder().env("NO_PROXY", no), way).await;
        proxy.client().get(&url).await.expect(200);
    }
    let listen = crate::support::ports::free();
    for name in ["127.0.0.1", "localhost"] {
        let ours = format!("http://{name}:{}", listen.port());
        let builder = builder().listen(listen).env("HTTPS_PROXY", &ours);
        let proxy = by(builder, "upstream_proxy = \"env\"").await;
        proxy.client().get(&url).await.expect(200);
        assert!(proxy.log().contains("leads to this proxy itself"), "{name}");
    }
}

/// A way out that leads back to us, in a way that no address tells: the second time round it is known by its `Via`.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_leads_back_is_a_loop() {
    let listen = crate::support::ports::free();
    let count = Arc::new(AtomicU64::new(0));
    let forwarded = count.clone();
    let (address, _task) = tcp(move |mut socket| {
        forwarded.fetch_add(1, Ordering::SeqCst);
        async move {
            if let Ok(mut proxy) = TcpStream::connect(listen).await {
                let _ = copy_bidirectional(&mut socket, &mut proxy).await;
            }
        }
    })
    .await;
    let way = format!("upstream_proxy = \"http://{address}\"");
    let proxy = by(inner("t1").listen(listen), &way).await;
    for (round, host) in [(1, BOUND), (2, OTHER)] {
        let request = http::Request::get(format!("https://{host}/"))
            .body(empty())
            .unwrap();
        match proxy.client().try_send(request).await {
            Ok(answer) => assert_eq!(answer.status, 502, "{answer:?}"),
            Err(error) => assert!(error.to_string().contains(" 502 "), "{error}"),
        }
        assert_eq!(count.load(Ordering::SeqCst), round, "one extra connection");
    }
    assert!(proxy.log().contains("has passed this proxy before"));
}

/// Refreshes go where requests go: through an upstream proxy of every kind that asks for a password, and through one that
/// has another behind it.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_go_through_upstream_proxies_too() {
    for (scheme, chained) in [
        ("http", false),
        ("https", false),
        ("socks5", false),
        ("http", true),
        ("https", true),
        ("socks5", true),
    ] {
        let authority = Authority::new(Policy::lifetime(600.0).without_grace());
        let pair = authority.login();
        let site = authority.site("api.example.test").start().await;
        let last = way(beyond(&[&site]), scheme).await;
        // The one before it leads there in another way.
        let middle = match chained {
            false => None,
            true => {
                let clients = "[clients.inner]\npassword = \"env:PASSWORD\"";
                let builder = proxy().config(clients).env("PASSWORD", "another");
                let builder = last.leads(builder, "open%20sesame");
                Some(by(builder, "upstream_proxy = \"env\"").await)
            }
        };
        let builder = proxy()
            .config(session("app", "api.example.test", ""))
            .env("ACCESS", &pair.access)
            .env("REFRESH", &pair.refresh);
        let builder = match &middle {
            None => last.leads(builder, "open%20sesame"),
            Some(middle) => {
                let url = format!("http://inner:another@{}", middle.listen);
                builder.env("all_proxy", &url)
            }
        };
        let proxy = by(builder, "upstream_proxy = \"env\"").await;
        for round in 1..=2 {
            authority.with(|oauth| oauth.revoke_all_access());
            for client in [proxy.client(), proxy.client().h2()] {
                client.get(&site.url("/echo")).await.expect(200);
            }
            let counts = authority.with(|oauth| oauth.counts);
            assert_eq!((counts.granted, counts.refused), (round, 0), "{scheme}");
        }
        for way in middle.iter().chain([&last.proxy]) {
            let log = way.log();
            assert!(log.contains("api.example.test"), "{scheme}: around it");
            assert_eq!(find(log.as_bytes(), &pair.refresh), None, "{scheme}");
        }
    }
}
