//! SOCKS5 on the same port (RFC 1928): a session for tools that speak nothing else.

use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    client::Client,
    origin::origin,
    proxy::{Proxy, proxy},
    tool::{clean, find, run},
    within,
};

const HOST: &str = "app.example.test";

fn curl(proxy: &Proxy, how: &str, user: Option<&str>, url: &str) -> Command {
    let mut command = clean(&find("curl"), proxy.path());
    command
        .args(["-sS", "--max-time", "20", how])
        .arg(proxy.listen.to_string())
        .arg("--cacert")
        .arg(proxy.ca_path())
        .arg(url);
    if let Some(user) = user {
        command.args(["--proxy-user", user]);
    }
    command
}

/// Bound hosts are signed in, the others are tunnelled; what cannot be reached is said so.
#[tokio::test(flavor = "multi_thread")]
async fn curl_is_signed_in_through_socks() {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let plain = origin(&["plain.example.test"]).start_plain().await;
    let proxy = proxy()
        .site(&site)
        .site(&plain)
        .bearer("app", HOST, "t1")
        .start()
        .await;
    let output = run(curl(&proxy, "--socks5-hostname", None, &site.url("/echo"))).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        site.last().field("authorization"),
        Some("Bearer t1"),
        "{output:?}"
    );
    let output = run(curl(&proxy, "--socks5-hostname", None, &plain.url("/echo"))).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(plain.last().field("via"), None, "it is a tunnel");
    let nowhere = "https://nowhere.invalid/";
    let output = run(curl(&proxy, "--socks5-hostname", None, nowhere)).await;
    assert_eq!(output.status.code(), Some(97), "{output:?}");
}

/// A client with a password has its own session; without the right one nothing is opened.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_tell_clients_apart() {
    let site = origin(&[HOST]).start().await;
    let session = |client: &str| {
        format!(
            "[session.{client}]\nclients = [\"{client}\"]\nbind = [{{ host = \"{HOST}\" }}]\n\
             secrets = {{ token = \"env:TOKEN_{client}\" }}\n\
             [[session.{client}.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
             [session.{client}.refresh]\nkind = \"none\"\n[clients.{client}]\npassword = \"env:PASSWORD_{client}\"\n"
        )
    };
    let mut builder = proxy().site(&site);
    for client in ["alice", "bob"] {
        builder = builder
            .config(session(client))
            .env(
                &format!("PASSWORD_{client}"),
                &format!("password-of-{client}"),
            )
            .env(&format!("TOKEN_{client}"), &format!("token-of-{client}"));
    }
    let proxy = builder.start().await;
    for client in ["alice", "bob"] {
        let user = format!("{client}:password-of-{client}");
        let output = run(curl(
            &proxy,
            "--socks5-hostname",
            Some(&user),
            &site.url("/echo"),
        ))
        .await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            site.last().field("authorization"),
            Some(format!("Bearer token-of-{client}").as_str())
        );
    }
    let seen = site.seen().len();
    for user in [Some("alice:password-of-bob"), Some("carol:x"), None] {
        let output = run(curl(&proxy, "--socks5-hostname", user, &site.url("/echo"))).await;
        assert_eq!(output.status.code(), Some(97), "{user:?} {output:?}");
    }
    assert_eq!(site.seen().len(), seen);
}

/// What a client sends, byte by byte, and how the conversation ends.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_rfc_1928() {
    let proxy = proxy().key("unmatched = \"deny\"").start().await;
    let with = |request: &[u8]| [b"\x05\x01\x00".as_slice(), request].concat();
    for (what, bytes, expected) in [
        (
            "no way to authenticate that we know",
            b"\x05\x01\x03".to_vec(),
            &b"\x05\xff"[..],
        ),
        (
            "denied",
            with(b"\x05\x01\x00\x03\x09x.invalid\x01\xbb"),
            b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0",
        ),
        (
            "denied, IPv4",
            with(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"),
            b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0",
        ),
        (
            "denied, IPv6",
            with(&[b"\x05\x01\x00\x04".as_slice(), &[0x20; 16], b"\x01\xbb"].concat()),
            b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0",
        ),
        (
            "bind",
            with(b"\x05\x02\x00\x03\x09x.invalid\x01\xbb"),
            b"\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0",
        ),
        (
            "an address of no type",
            with(b"\x05\x01\x00\x02\x09x.invalid\x01\xbb"),
            b"\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0",
        ),
        (
            "a name with more than a name",
            with(b"\x05\x01\x00\x03\x0bx.invalid/a\x01\xbb"),
            b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0",
        ),
        (
            "port 0",
            with(b"\x05\x01\x00\x03\x09x.invalid\x00\x00"),
            b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0",
        ),
        (
            "an end in the middle",
            with(b"\x05\x01\x00\x03\x09x.in"),
            b"\x05\x00",
        ),
    ] {
        // In one piece, and byte by byte.
        for pieces in [bytes.len(), 1] {
            let mut socket = Client::to(proxy.listen).socket().await;
            for piece in bytes.chunks(pieces) {
                socket.write_all(piece).await.unwrap();
            }
            socket.shutdown().await.unwrap();
            let mut answer = Vec::new();
            within(what, socket.read_to_end(&mut answer)).await.unwrap();
            assert_eq!(answer, expected, "{what}");
        }
    }
}
