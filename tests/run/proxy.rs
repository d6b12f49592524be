//! A proxy that answers for every host itself: what it was asked comes back as the body.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::ServerConfig;
use staysigned::{ca::Ca, origin::Authority};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const REFUSED: &[u8] =
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"run\"\r\nContent-Length: 0\r\n\r\n";

const DOWN: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

pub(super) async fn run(ca: Ca, login: Option<(&str, &str)>) -> SocketAddr {
    let expected = login.map(|(name, password)| {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        format!("proxy-authorization: basic {pair}").to_lowercase()
    });
    let (ca, expected) = (Arc::new(ca), Arc::new(expected));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(io, Arc::clone(&ca), Arc::clone(&expected)));
        }
    });
    address
}

async fn serve(mut io: TcpStream, ca: Arc<Ca>, expected: Arc<Option<String>>) {
    loop {
        let Some(head) = head(&mut io).await else {
            return;
        };
        if let Some(expected) = &*expected
            && !head.to_lowercase().contains(expected)
        {
            io.write_all(REFUSED).await.ok();
            continue;
        }
        let Some(target) = head.strip_prefix("CONNECT ") else {
            return answer(&mut io, "proxy", &head).await;
        };
        let target = target.split(' ').next().unwrap();
        let target: Authority = target.parse().unwrap();
        if target.host.name() == Some("down.example") {
            io.write_all(DOWN).await.ok();
            return;
        }
        io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
        let mut first = [0];
        if io.peek(&mut first).await.unwrap_or(0) == 0 {
            return;
        }
        if first == [0x16] {
            let mut config = ServerConfig::clone(&ca.resolve(&target.host).unwrap());
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let acceptor = TlsAcceptor::from(Arc::new(config));
            if let Ok(mut tls) = acceptor.accept(io).await
                && let Some(head) = self::head(&mut tls).await
            {
                answer(&mut tls, "tls", &head).await;
            }
        } else if let Some(head) = self::head(&mut io).await {
            answer(&mut io, "plain", &head).await;
        }
        return;
    }
}

async fn head(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = io.read_u8().await.ok()?;
        head.push(byte);
    }
    String::from_utf8(head).ok()
}

/// Answers `way method path host`; git gets references.
async fn answer(io: &mut (impl AsyncWrite + Unpin), way: &str, head: &str) {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let host = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("host: ")
                .map(str::to_owned)
        })
        .unwrap_or_default();
    let (kind, body) = if path.contains("service=git-upload-pack") {
        let id = "1".repeat(40);
        let line = format!("{id} refs/heads/{way}\0agent=none\n");
        let service = "001e# service=git-upload-pack\n0000";
        let body = format!("{service}{:04x}{line}0000", line.len() + 4);
        ("application/x-git-upload-pack-advertisement", body)
    } else {
        ("text/plain", format!("{way} {method} {path} {host}\n"))
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    io.write_all(answer.as_bytes()).await.ok();
    io.shutdown().await.ok();
}
