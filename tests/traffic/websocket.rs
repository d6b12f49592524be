//! WebSocket to the byte: whatever follows the handshake passes as it is, in both directions, to the end of each.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use http::{Request, Version};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use crate::support::{
    child::Running,
    client::{Parts, Stream},
    content::{Content, Hash},
    origin::empty,
    proxy::{Proxy, bearer, proxy},
    raw::{Raw, raw, read_head, tcp},
    routes::websocket_accept,
    seen,
    tool::{clean, feed, python, script, succeed},
    within,
};

const HOST: &str = "app.example.test";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const LONG: Duration = Duration::from_secs(60);

/// What is sent before anything of the other side is read, in pieces of all sizes.
async fn send(io: &mut (impl AsyncWrite + Unpin), content: Content, from: u64) {
    let (mut at, mut piece) = (from, 1);
    while at < content.size {
        let end = content.size.min(at + piece);
        for bytes in content.chunks(at..end) {
            io.write_all(&bytes).await.expect("write");
        }
        io.flush().await.expect("flush");
        (at, piece) = (end, (piece * 7 + 3) % 100_003);
    }
}

/// Which side ends first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Client,
    Server,
}

const UP: u64 = 3_000_000;
const DOWN: u64 = 5_000_000;

/// A server that sends its first bytes together with the 101, and the rest when it hears the first of the client's.
async fn server<S>(mut io: S, first: First, heard: UnboundedSender<String>)
where
    S: tokio::io::AsyncRead + AsyncWrite + Unpin + Send,
{
    let Some(head) = read_head(&mut io).await else {
        return;
    };
    assert!(
        head.to_ascii_lowercase()
            .contains("authorization: bearer t1"),
        "{head}"
    );
    let key = crate::support::wire::field(&head, "sec-websocket-key").expect("a key");
    let down = Content::new(DOWN, 2);
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        websocket_accept(key.as_bytes())
    )
    .into_bytes();
    for bytes in down.chunks(0..500) {
        answer.extend_from_slice(&bytes);
    }
    io.write_all(&answer).await.expect("write");
    io.flush().await.expect("flush");
    let (mut read, mut write) = tokio::io::split(io);
    let up = async {
        let mut hash = Hash::new();
        let mut buffer = vec![0; 50_000];
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            hash.update(&buffer[..n]);
        }
        hash.finish()
    };
    let send = async {
        send(&mut write, down, 500).await;
        write
    };
    let hash = if first == First::Server {
        let ((), hash) = tokio::join!(async { send.await.shutdown().await.expect("shutdown") }, up);
        hash
    } else {
        // The client has ended, and still reads.
        let hash = up.await;
        send.await.shutdown().await.expect("shutdown");
        hash
    };
    heard.send(hash).expect("the test goes on");
}

/// A proxy with a session for a site, with TLS and without.
async fn before(tls: &Raw, plain: SocketAddr) -> Proxy {
    proxy()
        .raw(tls)
        .resolve(&format!("{HOST}:80"), plain)
        .bearer("app", HOST, "t1")
        .config(bearer(
            "plain",
            &format!("{{ scheme = \"http\", host = \"{HOST}\" }}"),
            "TOKEN_APP",
        ))
        .start()
        .await
}

/// Servers with TLS and without, the proxy before them, and the hashes of what they have heard.
async fn world(first: First) -> (Raw, JoinHandle<()>, Proxy, UnboundedReceiver<String>) {
    let (tell, heard) = unbounded_channel();
    let told = tell.clone();
    let tls = raw(HOST, move |io, _| server(io, first, told.clone())).await;
    let (plain, task) = tcp(move |io| server(io, first, tell.clone())).await;
    let proxy = before(&tls, plain).await;
    (tls, task, proxy, heard)
}

/// How a client opens a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Tls,
    Plain,
    /// An extended CONNECT (RFC 8441).
    Http2,
}

/// A WebSocket's bytes behind its handshake.
async fn open(proxy: &Proxy, way: Way) -> Stream {
    if way == Way::Http2 {
        let url = format!("https://{HOST}/any").parse().unwrap();
        let mut connection = proxy.client().h2().open(&url).await.unwrap();
        let mut request = Request::connect(url).version(Version::HTTP_2);
        let protocol = hyper::ext::Protocol::from_static("websocket");
        request.extensions_mut().unwrap().insert(protocol);
        let request = request.header("sec-websocket-version", "13");
        let answer = connection.send(request.body(empty()).unwrap()).await;
        let mut answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        let upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
        return Box::pin(TokioIo::new(upgraded));
    }
    let tls = way == Way::Tls;
    let parts = Parts {
        connect: format!("{HOST}:{}", if tls { 443 } else { 80 }),
        sni: tls.then(|| HOST.to_owned()),
        tls,
        h2: false,
    };
    let mut io = proxy.client().stream(&parts).await.unwrap();
    let head = format!(
        "GET /any HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let head = within("a head", read_head(&mut io)).await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    io
}

/// RFC 6455 needs nothing but this: all bytes in both directions, those beside the handshake too, and each end.
#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_pass_after_the_upgrade() {
    for first in [First::Client, First::Server] {
        let (_tls, _plain, proxy, mut heard) = world(first).await;
        for way in [Way::Tls, Way::Plain, Way::Http2] {
            let io = open(&proxy, way).await;
            let (mut read, mut write) = tokio::io::split(io);
            let up = async {
                send(&mut write, Content::new(UP, 1), 0).await;
                if first == First::Client {
                    write.shutdown().await.unwrap();
                }
                write
            };
            let down = async {
                let mut hash = Hash::new();
                let mut buffer = vec![0; 50_000];
                while let Ok(n @ 1..) = read.read(&mut buffer).await {
                    hash.update(&buffer[..n]);
                }
                hash.finish()
            };
            let both = timeout(LONG, async { tokio::join!(up, down) }).await;
            let (mut write, hash) = both.unwrap_or_else(|_| panic!("{first:?} first, {way:?}"));
            assert_eq!(hash, Content::new(DOWN, 2).sha256(), "{first:?} {way:?}");
            if first == First::Server {
                // Its end has come, and leaves the other direction as it was.
                write.shutdown().await.unwrap();
            }
            let hash = within("the server has heard all", heard.recv()).await;
            let expected = Content::new(UP, 1).sha256();
            assert_eq!(hash, Some(expected), "{first:?} {way:?}");
        }
    }
}

/// An echo server of Python's `websockets`; behind TLS, and without.
async fn echo() -> (Running, SocketAddr) {
    let mut command = Command::new(python());
    command.arg(script("python/echo.py")).stdout(Stdio::piped());
    let mut child = Running::start(&mut command);
    let line = tokio::task::block_in_place(|| child.lines().next());
    let line = line.expect("a line");
    let port: u16 = line.trim().parse().expect("a port");
    (child, ([127, 0, 0, 1], port).into())
}

async fn tls_to(name: &str, to: SocketAddr) -> Raw {
    raw(name, move |mut io, _| async move {
        if let Ok(mut socket) = TcpStream::connect(to).await {
            let _ = copy_bidirectional(&mut io, &mut socket).await;
        }
    })
    .await
}

/// A library at both ends: messages, fragments, compression, control frames, every close code, an end without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_at_both_ends() {
    let (_echo, address) = echo().await;
    let tls = tls_to(HOST, address).await;
    let proxy = before(&tls, address).await;
    for scheme in ["wss", "ws"] {
        let mut command = clean(&python(), proxy.path());
        command
            .arg(script("python/websocket_client.py"))
            .arg(format!("{scheme}://{HOST}/"))
            .arg(proxy.url())
            .arg(proxy.ca_path());
        succeed(command).await;
    }
    let version = seen::python("requirements.txt", "websockets");
    let what = "messages, fragments, compression and every close code";
    seen::saw("any", "Python `websockets`", &version, what);
}

/// Where a case is to be met, for a client that knows no proxy: every connection goes to `localhost` at this very port,
/// through the proxy.
async fn adapter(proxy: &Proxy, listener: std::net::TcpListener) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("address").port();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let client = proxy.client();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let client = client.clone();
            tokio::spawn(async move {
                let mut tunnel = client.connect(&format!("localhost:{port}")).await.unwrap();
                let _ = copy_bidirectional(&mut socket, &mut tunnel).await;
            });
        }
    })
}

/// Autobahn's suite, over TLS and without: `AUTOBAHN` names its `wstest`, `AUTOBAHN_CASES` some of its cases instead of
/// all. It runs on a Python of long ago, so it is no part of the ordinary run, which has the two tests above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Autobahn's suite, on Python 2.7: docs/operations.md has the commands"]
async fn autobahn() {
    let wstest = std::env::var_os("AUTOBAHN").expect("AUTOBAHN names wstest");
    let cases = std::env::var("AUTOBAHN_CASES").unwrap_or("*".to_owned());
    let (_echo, address) = echo().await;
    let tls = tls_to("localhost", address).await;
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let listeners = [bind(), bind()];
    let [secure, plain] = [0, 1].map(|n: usize| listeners[n].local_addr().unwrap().port());
    let proxy = proxy()
        .resolve(&format!("localhost:{secure}"), tls.address)
        .resolve(&format!("localhost:{plain}"), address)
        .config(bearer(
            "tls",
            &format!("{{ host = \"localhost\", port = {secure} }}"),
            "T",
        ))
        .config(bearer(
            "plain",
            &format!("{{ scheme = \"http\", host = \"localhost\", port = {plain} }}"),
            "T",
        ))
        .env("T", "t1")
        .start()
        .await;
    for listener in listeners {
        adapter(&proxy, listener).await;
    }
    let spec = serde_json::json!({
        "outdir": proxy.path().join("reports"),
        "servers": [
            { "agent": "tls", "url": format!("wss://localhost:{secure}") },
            { "agent": "plain", "url": format!("ws://localhost:{plain}") },
        ],
        "cases": cases.split(',').collect::<Vec<_>>(),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let file = proxy.path().join("spec.json");
    std::fs::write(&file, spec.to_string()).expect("write");
    let mut command = clean(std::path::Path::new(&wstest), proxy.path());
    command.args(["-m", "fuzzingclient", "-s"]).arg(&file);
    let limit = Duration::from_secs(3600);
    let output = tokio::task::spawn_blocking(move || feed(command, "", limit)).await;
    let output = output.expect("joined");
    let index = std::fs::read_to_string(proxy.path().join("reports/index.json"));
    let index = index.unwrap_or_else(|error| panic!("no report: {error}: {output:?}"));
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let mut bad = Vec::new();
    for (agent, results) in index.as_object().expect("agents") {
        let results = results.as_object().expect("results");
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for (case, result) in results {
            let behavior = result["behavior"].as_str().expect("a behaviour");
            *counts.entry(behavior).or_default() += 1;
            let fine = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"];
            let close = result["behaviorClose"].as_str().expect("a close");
            if !fine[..3].contains(&behavior) || !fine.contains(&close) {
                bad.push(format!("{agent} {case}: {behavior}, close {close}"));
            }
        }
        println!("{agent}: {} cases, {counts:?}", results.len());
        assert!(cases != "*" || results.len() >= 517, "{agent}");
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
