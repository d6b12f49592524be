//! Answers with more than one reading: 502 or an answer that is seen to be broken, and never the answer to another
//! request; their connection is not used again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::AsyncWriteExt as _;

use crate::support::{
    proxy::{Proxy, proxy},
    raw::{Raw, raw},
    wire::{Wire, field, status},
};

const HOST: &str = "app.example.test";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// An origin whose first connection answers every request with these bytes, and ends if they end with `|`; all others
/// are good.
async fn bad_once(bytes: &'static str, connections: Arc<AtomicUsize>) -> Raw {
    raw(HOST, move |mut stream, heads| {
        let connections = connections.clone();
        async move {
            let number = connections.fetch_add(1, Ordering::Relaxed);
            while heads.read(&mut stream).await.is_some() {
                let said = if number == 0 { bytes } else { GOOD };
                let ends = said.ends_with('|');
                let said: Vec<u8> = said
                    .trim_end_matches('|')
                    .chars()
                    .map(|c| c as u8)
                    .collect();
                if stream.write_all(&said).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                if ends {
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    })
    .await
}

async fn world(bytes: &'static str) -> (Raw, Proxy, Arc<AtomicUsize>) {
    let connections = Arc::<AtomicUsize>::default();
    let site = bad_once(bytes, connections.clone()).await;
    let proxy = proxy()
        .raw(&site)
        .bearer("app", HOST, "t1")
        .memory()
        .start()
        .await;
    (site, proxy, connections)
}

/// What the client gets.
enum Fate {
    /// The proxy's own 502.
    BadGateway,
    /// This body, whole.
    Whole(&'static str),
    /// An end that shows: the head has gone by, or was about to.
    Broken,
}

use Fate::{BadGateway, Broken, Whole};

#[rustfmt::skip]
const ANSWERS: &[(&str, &str, Fate)] = &[
    // Lengths.
    ("both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", BadGateway),
    ("both lengths, the other way", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\nevil\r\n0\r\n\r\n", BadGateway),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevils", BadGateway),
    ("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\ngood", Whole("good")),
    ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nevil", BadGateway),
    ("a sign", "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nevil", BadGateway),
    ("below zero", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nevil", BadGateway),
    ("no number", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nevil", BadGateway),
    ("empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nevil", BadGateway),
    ("too long a length", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551620\r\n\r\nevil", BadGateway),
    // Codings.
    ("a list of codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", BadGateway),
    ("not chunked last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n4\r\nevil\r\n0\r\n\r\n|", BadGateway),
    ("another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nevil|", BadGateway),
    ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", BadGateway),
    ("xchunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nevil|", BadGateway),
    ("a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", BadGateway),
    // Heads.
    ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nevil", BadGateway),
    ("obs-fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("bare CR", "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 9\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("NUL", "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("lines ended by LF", "HTTP/1.1 200 OK\nContent-Length: 4\n\ngood", Whole("good")),
    ("HTTP/2 in words", "HTTP/2 200 OK\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("no version", "200 OK\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("below 100", "HTTP/1.1 099 OK\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    ("a protocol nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nevil", BadGateway),
    ("a body in 100", "HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", BadGateway),
    // Chunks: the head has gone by when they break.
    ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\ngo\r\n2\r\nod\r\n0\r\n\r\n", Whole("good")),
    ("0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nevil\r\n0\r\n\r\n", Broken),
    ("a negative size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nevil\r\n0\r\n\r\n", Broken),
    ("too long a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000004\r\nevil\r\n0\r\n\r\n", Broken),
    ("longer than it says", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nevil\r\n0\r\n\r\n", Broken),
    ("bare LF behind the size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\nevil\r\n0\r\n\r\n", Broken),
    ("bare LF in an extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a\nb\r\nevil\r\n0\r\n\r\n", Broken),
    ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n|", Broken),
    ("shorter than it says", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil|", Broken),
    // More than was asked for: it must not answer the next request.
    ("a second answer", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Whole("good")),
    ("a second answer behind chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Whole("good")),
    ("a body in 204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Whole("")),
    ("a body in 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Whole("")),
];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// RFC 9112 §6.3, §11.2: whatever an origin says, a client sees one answer to each request, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn one_answer_to_each_request() {
    let mut wrong = Vec::new();
    for (name, bytes, fate) in ANSWERS {
        let (_site, proxy, connections) = world(bytes).await;
        let mut wire = Wire::https(&proxy.client(), HOST).await;
        wire.send(get("/first")).await;
        let head = wire.head().await;
        let mut fault = |what: String| wrong.push(format!("{name}: {what}"));
        let first = status(&head);
        match fate {
            Broken => {
                let rest = wire.rest().await;
                let length = field(&head, "content-length").map(|l| l.parse::<usize>().unwrap());
                let ended = rest.ends_with("0\r\n\r\n") || length == Some(rest.len());
                // If the break comes with the head, not even that may be there.
                let nothing = head.is_empty() && rest.is_empty();
                if !(nothing || first == 200 && !ended) {
                    fault(format!("{head}{rest}"));
                }
                wire = Wire::https(&proxy.client(), HOST).await;
            }
            BadGateway => {
                let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
                let body = wire.bytes(length).await;
                if first != 502 || body.windows(4).any(|w| w == b"evil") {
                    fault(head);
                }
            }
            Whole(expected) => {
                let coded = field(&head, "transfer-encoding").is_some();
                let lengths = head.to_ascii_lowercase().matches("content-length:").count();
                let body = match coded {
                    true => {
                        let mut body = String::new();
                        while !body.ends_with("0\r\n\r\n") {
                            body.push_str(&String::from_utf8(wire.bytes(1).await).unwrap());
                        }
                        body.split("\r\n").skip(1).step_by(2).collect::<String>()
                    }
                    false if matches!(first, 204 | 304) => String::new(),
                    false => {
                        let length = field(&head, "content-length").unwrap().parse().unwrap();
                        String::from_utf8(wire.bytes(length).await).unwrap()
                    }
                };
                if body != *expected || lengths > 1 {
                    fault(format!("{head}{body}"));
                }
            }
        }
        // What comes next is the origin's answer to what was asked next.
        wire.send(get("/second")).await;
        let (head, body) = wire.message().await;
        let reused = connections.load(Ordering::Relaxed) == 1;
        let expected = match fate {
            // The same bytes again, on the same connection: they were good.
            Whole(body) if reused => body,
            _ => "good",
        };
        let again =
            reused && matches!(fate, Whole("good")) && field(&head, "transfer-encoding").is_some();
        if !again && (status(&head) != 200 || body != expected) {
            wrong.push(format!("{name}: then {head}{body}"));
        }
        if reused && !matches!(fate, Whole(_)) {
            wrong.push(format!("{name}: the connection was used again"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
