//! Names and addresses in every form that clients use: A-labels, IPv6 literals, a trailing dot, other letters.

use crate::support::{
    origin::{Origin, origin},
    pki::{TRUSTED, Valid},
    proxy::{Proxy, bearer, proxy},
    tool::{Way, find, run, succeed, through},
    wire::{Wire, status},
};

/// `bücher.example.test`, as browsers send it.
const A_LABEL: &str = "xn--bcher-kva.example.test";

async fn world() -> (Origin, Origin, Origin, Proxy) {
    let named = origin(&[A_LABEL]).bearer("t1").start().await;
    let address = origin(&["[::1]"])
        .identity(TRUSTED.issue(&["::1"], Valid::Now))
        .bearer("t1")
        .start()
        .await;
    let plain = origin(&["[::1]"]).bearer("t1").start_plain().await;
    let proxy = proxy()
        .site(&named)
        .site(&address)
        .site(&plain)
        .bearer("named", A_LABEL, "t1")
        .bearer("address", "::1", "t1")
        .config(bearer(
            "plain",
            "{ scheme = \"http\", host = \"::1\" }",
            "TOKEN_NAMED",
        ))
        .start()
        .await;
    (named, address, plain, proxy)
}

/// IPv6 literals (RFC 3986 §3.2.2) in CONNECT, in `Host`, in absolute form and in certificates.
#[tokio::test(flavor = "multi_thread")]
async fn ipv6_literals_are_hosts() {
    let (_named, address, plain, proxy) = world().await;
    for client in [proxy.client(), proxy.client().h2()] {
        client.get(&address.url("/echo")).await.expect(200);
    }
    proxy.client().get(&plain.url("/echo")).await.expect(200);
    // The same address in other words is the same host.
    for (target, host) in [
        ("http://[::1]/echo", "[::1]"),
        ("http://[0:0:0:0:0:0:0:1]:80/echo", "[::1]:80"),
        ("http://[0::1]/echo", "[0:0::1]"),
    ] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        assert_eq!(status(&wire.head().await), 200, "{target} {host}");
    }
    for target in ["[::1", "::1:443", "[::1]443", "[::g]:443", "[::1%eth0]:443"] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(status(&wire.head().await), 400, "{target}");
    }
    for url in [address.url("/echo"), plain.url("/echo")] {
        let arguments = ["-gsSf", &url];
        succeed(through(&proxy, Way::Run, &find("curl"), &arguments)).await;
    }
}

/// Names that are not ASCII come as A-labels (RFC 5891 §4.4); in any other form they are refused, not guessed at.
#[tokio::test(flavor = "multi_thread")]
async fn names_come_as_a_labels() {
    let (named, _address, _plain, proxy) = world().await;
    for client in [proxy.client(), proxy.client().h2()] {
        client.get(&named.url("/echo")).await.expect(200);
    }
    for authority in ["XN--BCHER-KVA.Example.Test:443", &format!("{A_LABEL}.:443")] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(status(&wire.head().await), 200, "{authority}");
    }
    assert!(!proxy.log().contains("decision=Tunnel"), "{}", proxy.log());
    for message in [
        "CONNECT bücher.example.test:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://bücher.example.test/ HTTP/1.1\r\nHost: bücher.example.test\r\n\r\n",
    ] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(message).await;
        assert_eq!(status(&wire.head().await), 400, "{message}");
    }
    // A tool that is asked for the name in its own letters, in a locale that has them.
    let before = named.seen().len();
    let arguments = ["-sSf", "https://bücher.example.test/echo"];
    let mut command = through(&proxy, Way::Run, &find("curl"), &arguments);
    command.env("LC_ALL", "C.UTF-8");
    let output = run(command).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(named.seen().len(), before + 1);
}
