//! Bad upstreams: certificates, TLS, connections, and answers that are not HTTP.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use http::Request;
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    canary::{canary, find},
    child::Running,
    client::Answer,
    origin::{Origin, empty, origin},
    pki::{Identity, TRUSTED, UNKNOWN, Valid},
    ports,
    proxy::{Proxy, proxy},
    raw::{After, Raw, raw, reset, says, tcp},
    tool::{clean, find as program},
};

const HOST: &str = "bad.example.test";
const GOOD: &str = "good.example.test";

/// A proxy with one session for a bad host and one for a good one.
async fn facing(bad: SocketAddr, secret: &str) -> (Proxy, Origin) {
    let good = origin(&[GOOD]).bearer("fine").start().await;
    let proxy = proxy()
        .site(&good)
        .resolve(&format!("{HOST}:443"), bad)
        .bearer("bad", HOST, secret)
        .bearer("good", GOOD, "fine")
        .config("[limits]\nresponse_head = \"7s\"\nhandshake = \"3s\"\nconnect = \"3s\"\nsilence = \"2s\"")
        .start()
        .await;
    (proxy, good)
}

/// The answer must be the proxy's own, of this status and one of these error types, on both versions.
async fn answers(what: &str, bad: SocketAddr, expected: u16, errors: &[&str]) {
    let secret = canary("up");
    let (proxy, good) = facing(bad, &secret).await;
    for client in [proxy.client(), proxy.client().h2()] {
        let answer = client.get(&format!("https://{HOST}/")).await;
        judge(what, &answer, expected, errors);
        client.get(&good.url("/gate")).await.expect(200);
    }
    assert_eq!(
        find(proxy.log().as_bytes(), &secret),
        None,
        "{what}: the log"
    );
}

pub(super) fn judge(what: &str, answer: &Answer, expected: u16, errors: &[&str]) {
    let status = answer
        .field("proxy-status")
        .unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert_eq!(
        answer.status,
        expected,
        "{what}: {status} {}",
        answer.text()
    );
    let named = errors
        .iter()
        .any(|error| status.contains(&format!("error={error}")));
    assert!(named, "{what}: {status}, none of {errors:?}");
    assert!(
        answer
            .field("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain")),
        "{what}: {answer:?}"
    );
    assert!(
        (1..2_000).contains(&answer.body.len()),
        "{what}: a short plain body"
    );
}

/// Upstream certificates are always verified, and a bound origin without a good one gets no credential.
#[tokio::test(flavor = "multi_thread")]
async fn bad_certificates() {
    for (what, said, identity) in [
        (
            "expired",
            ": it has expired\n",
            TRUSTED.issue(&[HOST], Valid::Expired),
        ),
        (
            "wrong name",
            ": it is for other names\n",
            TRUSTED.issue(&["another.example.test"], Valid::Now),
        ),
        (
            "self-signed",
            "does not verify",
            Identity::self_signed(&[HOST]),
        ),
        (
            "unknown root",
            ": its issuer is not known\n",
            UNKNOWN.issue(&[HOST], Valid::Now),
        ),
    ] {
        let site = origin(&[HOST]).identity(identity).start().await;
        answers(what, site.address, 502, &["tls_certificate_error"]).await;
        let (proxy, _good) = facing(site.address, "t1").await;
        let answer = proxy.client().get(&format!("https://{HOST}/")).await;
        assert!(answer.text().contains(said), "{what}: {}", answer.text());
        assert!(site.recorder.count() > 0, "{what}: it was asked");
        assert!(site.seen().is_empty(), "{what}: a request was sent");
        assert!(
            site.recorder.everything().is_empty(),
            "{what}: bytes were sent"
        );
    }
}

/// A server that speaks nothing newer than TLS 1.0, by OpenSSL.
#[tokio::test(flavor = "multi_thread")]
async fn old_tls() {
    let folder = tempfile::tempdir().unwrap();
    let identity = TRUSTED.issue(&[HOST], Valid::Now);
    std::fs::write(folder.path().join("cert.pem"), &identity.chain_pem).unwrap();
    std::fs::write(folder.path().join("key.pem"), &identity.key_pem).unwrap();
    let address = ports::free();
    let mut command = clean(&program("openssl"), folder.path());
    command.args([
        "s_server",
        "-quiet",
        "-tls1",
        "-cipher",
        "ALL:@SECLEVEL=0",
        "-cert",
        "cert.pem",
        "-key",
        "key.pem",
    ]);
    command
        .args(["-accept", &address.to_string(), "-www"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Running::start(&mut command);
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "openssl does not listen"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers(
        "TLS 1.0",
        address,
        502,
        &["tls_protocol_error", "tls_alert_received"],
    )
    .await;
}

/// Connections that never come to HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn bad_connections() {
    answers("refused", ports::free(), 502, &["connection_refused"]).await;
    let (address, _task) = tcp(|socket| async move { drop(socket) }).await;
    answers(
        "closed before TLS",
        address,
        502,
        &["tls_protocol_error", "connection_terminated"],
    )
    .await;
    let (address, _task) = tcp(|mut socket| async move {
        let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    answers("not TLS", address, 502, &["tls_protocol_error"]).await;
    let (address, _task) = tcp(|socket| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(socket);
    })
    .await;
    answers(
        "silent TLS",
        address,
        504,
        &["connection_timeout", "tls_protocol_error"],
    )
    .await;
}

/// A name that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn no_such_name() {
    let proxy = proxy().bearer("none", "none.invalid", "t1").start().await;
    let answer = proxy.client().get("https://none.invalid/").await;
    assert!(matches!(answer.status.as_u16(), 502 | 504), "{answer:?}");
    let status = answer.field("proxy-status").expect("Proxy-Status");
    assert!(
        status.contains("error=dns_error") || status.contains("error=dns_timeout"),
        "{status}"
    );
}

async fn broken(script: &'static str, after: After) -> Raw {
    says(HOST, script, after).await
}

const INCOMPLETE: &[&str] = &["http_response_incomplete", "connection_terminated"];

/// Answers that break off, never come, or are no HTTP: 502 or 504 as long as no head was passed on.
#[tokio::test(flavor = "multi_thread")]
async fn bad_heads() {
    let head_only = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n";
    let cases: [(&str, &'static str, After, u16, &[&str]); 9] = [
        ("closed before the head", "", After::Close, 502, INCOMPLETE),
        ("reset before the head", "", After::Reset, 502, INCOMPLETE),
        (
            "closed within the head",
            head_only,
            After::Close,
            502,
            INCOMPLETE,
        ),
        (
            "reset within the head",
            head_only,
            After::Reset,
            502,
            INCOMPLETE,
        ),
        (
            "silent",
            "",
            After::Silence,
            504,
            &["http_response_timeout"],
        ),
        (
            "garbage",
            "\x16\x03\x01 garbage\r\n\r\n",
            After::Keep,
            502,
            &["http_protocol_error"],
        ),
        (
            "no version",
            "ICY 200 OK\r\n\r\n",
            After::Keep,
            502,
            &["http_protocol_error"],
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
            After::Close,
            502,
            &["http_protocol_error"],
        ),
        (
            "length and chunked",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            After::Keep,
            502,
            &["http_protocol_error"],
        ),
    ];
    for (what, script, after, status, errors) in cases {
        let site = broken(script, after).await;
        answers(what, site.address, status, errors).await;
        // An idempotent request may be tried again on a fresh connection, once.
        assert!(
            site.heads.all().len() <= 4,
            "{what}: {} requests",
            site.heads.all().len()
        );
    }
}

/// A head without end is bounded by `limits.head_bytes`.
#[tokio::test(flavor = "multi_thread")]
async fn endless_head() {
    let site = raw(HOST, |mut stream, heads| async move {
        heads.read(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let line = format!("x-more: {}\r\n", "y".repeat(1000));
        for _ in 0..20_000 {
            if stream.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    answers(
        "endless head",
        site.address,
        502,
        &["http_response_header_section_size", "http_protocol_error"],
    )
    .await;
}

/// A break within the body cannot become another answer: the client sees that it is not whole.
#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_seen_to_be_broken() {
    for (what, framing) in [
        ("length", "content-length: 1000\r\n\r\nonly this"),
        (
            "chunked",
            "transfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        ),
        (
            "bad chunk",
            "transfer-encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
        ),
    ] {
        for after in [After::Close, After::Reset, After::Silence] {
            if what == "bad chunk" && !matches!(after, After::Close) {
                continue;
            }
            let bytes = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{framing}");
            let site = raw(HOST, move |mut stream, heads| {
                let bytes = bytes.clone();
                async move {
                    heads.read(&mut stream).await;
                    let _ = stream.write_all(bytes.as_bytes()).await;
                    let _ = stream.flush().await;
                    // What was sent arrives before the end does.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    match after {
                        After::Reset => reset(stream),
                        After::Silence => std::future::pending().await,
                        _ => drop(stream.shutdown().await),
                    }
                }
            })
            .await;
            let (proxy, good) = facing(site.address, "t1").await;
            for client in [proxy.client(), proxy.client().h2()] {
                let request = Request::get(format!("https://{HOST}/"))
                    .body(empty())
                    .unwrap();
                // The break does not overtake the head.
                let response = client.start(request).await;
                let response = response.unwrap_or_else(|error| panic!("{what} {after:?}: {error}"));
                assert_eq!(response.status(), 200, "{what}");
                let read =
                    tokio::time::timeout(Duration::from_secs(30), Answer::read(response)).await;
                read.unwrap_or_else(|_| panic!("{what}: never ended"))
                    .expect_err(what);
                client.get(&good.url("/gate")).await.expect(200);
            }
        }
    }
}
