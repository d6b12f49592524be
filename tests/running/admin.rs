//! The admin side: loopback, a token, and the right Host; never through the proxy.

use std::time::Duration;

use http::{Method, Request};

use crate::support::{
    authority::{Authority, session},
    client::{Answer, Client, Direct, eventually},
    oauth::Policy,
    origin::{Origin, empty, full},
    proxy::{Proxy, proxy},
    wire::{Wire, status},
};

async fn world() -> (Authority, Origin, Proxy) {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site("api.example.test").start().await;
    let proxy = proxy()
        .site(&site)
        .config(session("app", "api.example.test", ""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .start()
        .await;
    (authority, site, proxy)
}

async fn token(proxy: &Proxy) -> String {
    let path = proxy.path().join("admin.token");
    let read = || std::fs::read_to_string(&path).ok();
    let text = eventually("the admin's token", Duration::from_secs(20), read).await;
    text.trim().to_owned()
}

async fn ask(proxy: &Proxy, method: Method, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(method.clone())
        .uri(format!("http://{}{path}", proxy.admin));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if method == Method::GET {
        empty()
    } else {
        full("")
    };
    Client::to(proxy.admin)
        .send(request.extension(Direct).body(body).unwrap())
        .await
}

/// The documented paths answer, with the token; the probes without.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers() {
    let (authority, site, proxy) = world().await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let token = token(&proxy).await;
    for path in ["/healthz", "/readyz"] {
        ask(&proxy, Method::GET, path, None).await.expect(200);
    }
    for path in ["/api/v1/sessions", "/api/v1/sessions/app"] {
        ask(&proxy, Method::GET, path, None).await.expect(401);
        ask(&proxy, Method::GET, path, Some("wrong"))
            .await
            .expect(401);
        ask(&proxy, Method::GET, path, Some(&token))
            .await
            .expect(200);
    }
    ask(&proxy, Method::GET, "/api/v1/sessions/none", Some(&token))
        .await
        .expect(404);
    ask(&proxy, Method::POST, "/api/v1/sessions/app/refresh", None)
        .await
        .expect(401);
    assert!(authority.attempts().is_empty());
    let answer = ask(
        &proxy,
        Method::POST,
        "/api/v1/sessions/app/refresh",
        Some(&token),
    )
    .await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(authority.attempts().len(), 1);
    let metrics = ask(&proxy, Method::GET, "/metrics", Some(&token))
        .await
        .expect(200);
    for name in [
        "staysigned_requests_total",
        "staysigned_refresh_attempts_total",
        "staysigned_session_state",
        "staysigned_build_info",
    ] {
        assert!(metrics.text().contains(name), "{name}: {}", metrics.text());
    }
}

/// A web page cannot reach it: names that lead to it are not its name (DNS rebinding).
#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_refused() {
    let (_authority, _site, proxy) = world().await;
    let token = token(&proxy).await;
    let port = proxy.admin.port();
    for (host, allowed) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("rebound.example:{port}"), false),
        ("rebound.example".to_owned(), false),
        (format!("127.0.0.1.evil.test:{port}"), false),
        (String::new(), false),
    ] {
        let socket = tokio::net::TcpStream::connect(proxy.admin).await.unwrap();
        let mut wire = Wire::new(Box::pin(socket));
        wire.send(format!(
            "GET /api/v1/sessions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let head = wire.head().await;
        assert_eq!(status(&head) == 200, allowed, "{host:?}: {head}");
    }
}

/// Never through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn not_through_the_proxy() {
    let (_authority, _site, proxy) = world().await;
    let port = proxy.admin.port();
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
    ] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!(
            "GET http://{host}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ))
        .await;
        let head = wire.head().await;
        assert!((400..600).contains(&status(&head)), "{host}: {head}");
    }
}
