//! Origins that leave while requests are under way (GOAWAY, RFC 9113 §6.8): what came behind the last stream that they
//! name was not looked at and is sent again on another connection, whatever its method; what came before it completes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::Reason;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    client::{Answer, Connection},
    frames::{Came, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, OK, frame, greet, heed},
    origin::{empty, full},
    pki::{TRUSTED, Valid},
    proxy::{Proxy, proxy},
    raw::{Raw, Stream, raw_with},
};

const HOST: &str = "app.example.test";

/// Every stream that there may be.
const ALL: u32 = (1 << 31) - 1;

/// How an origin leaves its first connection, with two requests on it beside the one that it has answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    /// It names the first of them as its last, and answers that one.
    AtOnce,
    /// The same after a word that it is about to.
    Announced,
    /// It names both, and answers both.
    WithBoth,
    /// It names the first of them, and ends without an answer to it.
    Unanswered,
    /// The same, and says that something went wrong.
    InTrouble,
}

/// An origin whose first connection ends like this, and how often it was asked in all.
async fn site(leaves: Leaves) -> (Raw, Arc<AtomicUsize>) {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let (asked, connections) = (Arc::<AtomicUsize>::default(), AtomicUsize::new(0));
    let counted = asked.clone();
    let raw = raw_with(HOST, config, move |stream, _| {
        let first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        let leaves = first.then_some(leaves);
        let counted = counted.clone();
        async move {
            // How it ends is the test's affair.
            let _ = converse(stream, leaves, &counted).await;
        }
    })
    .await;
    (raw, asked)
}

async fn converse(
    mut io: Stream,
    leaves: Option<Leaves>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    greet(&mut io).await?;
    let mut whole = Vec::new();
    loop {
        let Came {
            kind,
            flags,
            stream,
            ..
        } = heed(&mut io).await?;
        if kind == HEADERS {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
            continue;
        }
        match leaves {
            None => answer(&mut io, stream).await?,
            Some(leaves) => {
                whole.push(stream);
                match whole[..] {
                    [first] => answer(&mut io, first).await?,
                    [_, one, other] => return leave(io, leaves, one, other).await,
                    _ => {}
                }
            }
        }
    }
}

async fn answer(io: &mut Stream, stream: u32) -> std::io::Result<()> {
    let head = frame(HEADERS, END_HEADERS, stream, OK);
    let body = frame(DATA, END_STREAM, stream, b"good");
    io.write_all(&[head, body].concat()).await?;
    io.flush().await
}

async fn leave(mut io: Stream, leaves: Leaves, one: u32, other: u32) -> std::io::Result<()> {
    let (first, last) = (one.min(other), one.max(other));
    let reason = match leaves {
        Leaves::InTrouble => Reason::INTERNAL_ERROR,
        _ => Reason::NO_ERROR,
    };
    let reason = u32::from(reason).to_be_bytes();
    let goodbye = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason].concat());
    if leaves == Leaves::Announced {
        io.write_all(&goodbye(ALL)).await?;
        io.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let named = if leaves == Leaves::WithBoth {
        last
    } else {
        first
    };
    io.write_all(&goodbye(named)).await?;
    io.flush().await?;
    // What is to be done about it is done before the answer comes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    if matches!(leaves, Leaves::Unanswered | Leaves::InTrouble) {
        return io.shutdown().await;
    }
    answer(&mut io, first).await?;
    if leaves == Leaves::WithBoth {
        answer(&mut io, last).await?;
    }
    // The peer is the one to end it.
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await?;
    io.shutdown().await
}

async fn facing(leaves: Leaves) -> (Raw, Arc<AtomicUsize>, Proxy) {
    let (site, asked) = site(leaves).await;
    let proxy = proxy()
        .raw(&site)
        .level("info")
        .bearer("app", HOST, "t1")
        .start()
        .await;
    (site, asked, proxy)
}

/// Two requests at once on the connection to the origin that another one has opened; their statuses, sorted.
async fn two(proxy: &Proxy, method: &str) -> Vec<u16> {
    let url: http::Uri = format!("https://{HOST}/a").parse().unwrap();
    let connection = proxy.client().h2().open(&url).await;
    let Connection::H2(sender) = connection.unwrap() else {
        panic!("HTTP/2 was asked for");
    };
    let ask = |method: &str| {
        let mut sender = sender.clone();
        let body = if method == "POST" {
            full("hello")
        } else {
            empty()
        };
        let request = Request::builder().method(method).uri(&url).body(body);
        async move {
            let answer = sender.send_request(request.unwrap()).await.unwrap();
            let answer = Answer::read(answer).await.unwrap();
            if answer.status == 200 {
                assert_eq!(answer.text(), "good");
            }
            answer.status.as_u16()
        }
    };
    assert_eq!(ask("GET").await, 200);
    let (one, other) = tokio::join!(ask(method), ask(method));
    let mut statuses = vec![one, other];
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_behind_the_last_stream_is_sent_again() {
    use Leaves::{Announced, AtOnce, InTrouble, Unanswered, WithBoth};
    // The origin leaves, the method, what the client gets, and how often the origin was asked.
    let cases: [(Leaves, &str, [u16; 2], usize); 8] = [
        (AtOnce, "GET", [200, 200], 4),
        (AtOnce, "POST", [200, 200], 4),
        (Announced, "GET", [200, 200], 4),
        (Announced, "POST", [200, 200], 4),
        (WithBoth, "GET", [200, 200], 3),
        (WithBoth, "POST", [200, 200], 3),
        // The first may have been done: never again by itself.
        (Unanswered, "POST", [200, 502], 4),
        (InTrouble, "POST", [200, 502], 4),
    ];
    for (leaves, method, expected, times) in cases {
        let (_site, asked, proxy) = facing(leaves).await;
        assert_eq!(two(&proxy, method).await, expected, "{leaves:?} {method}");
        assert_eq!(
            asked.load(Ordering::SeqCst),
            times,
            "{leaves:?} {method}: requests"
        );
        // Whoever comes next finds another connection.
        let client = proxy.client();
        client.get(&format!("https://{HOST}/b")).await.expect(200);
    }
}
