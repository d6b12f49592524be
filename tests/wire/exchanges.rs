//! Ordinary exchanges, compared to the byte: what the origin gets and what the client gets is what the other side has sent,
//! apart from the fields that are for one hop only and the credential. Here over HTTP/1.1, with TLS and without; with
//! HTTP/2 on either side in `versions`.

mod messages;
mod versions;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
    time::timeout,
};

use self::messages::{ANSWERS, CHANGED_ANSWERS, CHANGED_REQUESTS, REQUESTS};

use crate::support::{
    client::{Client, Parts},
    proxy::{Proxy, bearer, proxy},
    raw::{Raw, raw, tcp},
};

const HOST: &str = "app.example.test";

const LONG: Duration = Duration::from_secs(20);

/// Fields that end at each hop (RFC 9110 §7.6.1), or that are the session's.
const OURS: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "authorization",
];

/// A message without what is for one hop only: head, body, trailers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
    trailers: Vec<String>,
}

fn fill(text: &str) -> Vec<u8> {
    let fields: String = (0..20)
        .map(|n| format!("X-Field-{n}: value {n}\r\n"))
        .collect();
    let text = text
        .replace("{H}", HOST)
        .replace("{L}", "long ".repeat(1500).trim_end())
        .replace("{F}", &fields);
    text.chars().map(|c| c as u8).collect()
}

impl Message {
    /// Reads a message as its framing says.
    async fn read(io: &mut (impl AsyncRead + Unpin), head_only: bool) -> Option<Self> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(io.read_u8().await.ok()?);
        }
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        if text.starts_with("HTTP/1.1 100 ") {
            return Box::pin(Self::read(io, head_only)).await;
        }
        let lines = || text.trim_end_matches("\r\n").split("\r\n");
        let value = |wanted: &str| {
            lines().skip(1).find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted)
                    .then(|| value.trim().to_owned())
            })
        };
        let status = text.starts_with("HTTP/").then(|| text[9..12].to_owned());
        let mut message = Self {
            head: lines()
                .filter(|line| {
                    let name = line.split(':').next().unwrap_or_default();
                    !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
                })
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        };
        if head_only
            || status
                .as_deref()
                .is_some_and(|s| matches!(s, "204" | "304"))
        {
            return Some(message);
        }
        if value("transfer-encoding").is_some() {
            loop {
                let size = line(io).await?;
                let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
                if size == 0 {
                    break;
                }
                let mut chunk = vec![0; size + 2];
                io.read_exact(&mut chunk).await.ok()?;
                message.body.extend_from_slice(&chunk[..size]);
            }
            loop {
                match line(io).await? {
                    line if line.is_empty() => break,
                    line => message.trailers.push(line),
                }
            }
        } else if let Some(length) = value("content-length") {
            message.body = vec![0; length.parse().ok()?];
            io.read_exact(&mut message.body).await.ok()?;
        } else if status.is_some() {
            let _ = io.read_to_end(&mut message.body).await;
        }
        Some(message)
    }
}

async fn line(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line.push(char::from(io.read_u8().await.ok()?));
    }
    Some(line.trim_end_matches("\r\n").to_owned())
}

/// What the origin is to say next, and what it got.
#[derive(Default)]
struct Script {
    answer: Mutex<Vec<u8>>,
    got: Mutex<Option<Message>>,
}

impl Script {
    /// Hears requests and answers, as it is told.
    async fn play(self: Arc<Self>, mut io: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(got) = Message::read(&mut io, false).await {
            *self.got.lock().unwrap() = Some(got);
            let answer = self.answer.lock().unwrap().clone();
            let _ = io.write_all(&answer).await;
            let _ = io.flush().await;
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            if text.contains("connection: close") {
                let _ = io.shutdown().await;
                return;
            }
        }
    }
}

async fn world() -> (Raw, JoinHandle<()>, Proxy, Arc<Script>) {
    let script = Arc::<Script>::default();
    let (secure, plain) = (script.clone(), script.clone());
    let origin = raw(HOST, move |io, _| secure.clone().play(io)).await;
    let (address, task) = tcp(move |io| plain.clone().play(io)).await;
    let bind = format!("{{ scheme = \"http\", host = \"{HOST}\" }}");
    let proxy = proxy()
        .raw(&origin)
        .resolve(&format!("{HOST}:80"), address)
        .bearer("app", HOST, "t1")
        .config(bearer("plain", &bind, "TOKEN_APP"))
        .level("warn")
        .start()
        .await;
    (origin, task, proxy, script)
}

/// How the client speaks to the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// TLS inside of CONNECT.
    Tls,
    /// A URL as the target (RFC 9112 §3.2.2), which becomes a path; `Via` is added (RFC 9110 §7.6.3).
    Plain,
}

/// The answer as it is to be written: to HEAD it has no body.
fn answer_to(request: &[u8], answer: &str) -> Vec<u8> {
    let mut answer = fill(answer);
    if request.starts_with(b"HEAD ") {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        answer.truncate(end.expect("a head") + 4);
    }
    answer
}

/// Takes out what the proxy has to add, and nobody else does.
fn without_via(message: &mut Message) {
    let ours = |line: &String| line.to_ascii_lowercase().starts_with("via: 1.1 staysigned");
    message.head.retain(|line| !ours(line));
}

/// One exchange: whether the request and the answer arrived as they were sent, and what came instead.
async fn exchange(
    client: &Client,
    way: Way,
    script: &Script,
    request: &str,
    answer: &str,
) -> [String; 2] {
    let request = fill(request);
    let head_only = request.starts_with(b"HEAD ");
    let answer = answer_to(&request, answer);
    *script.answer.lock().unwrap() = answer.clone();
    let mut wire = match way {
        Way::Tls => {
            let mut wire = client.stream(&parts()).await.expect("a connection");
            wire.write_all(&request).await.unwrap();
            wire
        }
        Way::Plain => {
            let mut wire = Box::pin(client.socket().await);
            let space = request.iter().position(|byte| *byte == b' ');
            let (method, rest) = request.split_at(space.expect("a request line") + 1);
            // The server as a whole is a URL without a path (RFC 9112 §3.2.4).
            let rest = rest.strip_prefix(b"*").unwrap_or(rest);
            let absolute = [method, b"http://", HOST.as_bytes(), rest].concat();
            wire.write_all(&absolute).await.unwrap();
            wire
        }
    };
    wire.flush().await.unwrap();
    let got = timeout(LONG, Message::read(&mut wire, head_only)).await;
    let got = got.unwrap_or_else(|_| panic!("no answer to {request:?}"));
    let sent = Message::read(&mut &request[..], false).await;
    let said = Message::read(&mut &answer[..], head_only).await;
    let mut arrived = script.got.lock().unwrap().take();
    let mut got = got;
    if way == Way::Plain {
        arrived.iter_mut().chain(&mut got).for_each(without_via);
    }
    let differs = |one: &Option<Message>, other: &Option<Message>| match one == other {
        true => String::new(),
        false => format!("{one:?}\n  {other:?}"),
    };
    [differs(&sent, &arrived), differs(&said, &got)]
}

fn parts() -> Parts {
    Parts {
        connect: format!("{HOST}:443"),
        sni: Some(HOST.to_owned()),
        tls: true,
        h2: false,
    }
}

/// Every which answer is taken with a request: `EXCHANGES=all` takes all.
fn step(usual: usize) -> usize {
    match std::env::var("EXCHANGES") {
        Ok(all) => {
            assert_eq!(all, "all");
            1
        }
        Err(_) => usual,
    }
}

/// At least 98 of a hundred exchanges arrive as they were sent, to the byte; those that do not are known, and why.
fn judge(way: &str, wrong: &[String], count: usize, changed: usize) {
    let (same, all) = (count - wrong.len(), count + changed);
    let percent = 100.0 * same as f64 / all as f64;
    println!("{way}: {same} of {all} exchanges are the same to the byte, {percent:.1} %");
    assert!(wrong.is_empty(), "{way}: {}", wrong.join("\n"));
    assert!(percent >= 98.0, "{percent:.1} %");
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_exchanges_are_the_same_to_the_byte() {
    let (_origin, _plain, proxy, script) = world().await;
    let client = proxy.client();
    for (way, usual) in [(Way::Tls, 2), (Way::Plain, 4)] {
        let step = step(usual);
        let exchange =
            async |request, answer| exchange(&client, way, &script, request, answer).await;
        let (mut count, mut wrong) = (0, Vec::new());
        for (number, (request_name, request)) in REQUESTS.iter().enumerate() {
            for (answer_name, answer) in ANSWERS.iter().skip(number % step).step_by(step) {
                count += 1;
                let differs = exchange(request, answer).await.concat();
                if !differs.is_empty() {
                    wrong.push(format!("{request_name}, {answer_name}: {differs}"));
                }
            }
        }
        let (request, answer) = (REQUESTS[0].1, ANSWERS[0].1);
        for (change, request) in CHANGED_REQUESTS {
            let [there, back] = exchange(request, answer).await;
            assert_ne!(there, "", "{change}: mended, it belongs to the others");
            assert_eq!(back, "", "{change}");
        }
        for (change, answer) in CHANGED_ANSWERS {
            let [there, back] = exchange(request, answer).await;
            assert_eq!(there, "", "{change}");
            assert_ne!(back, "", "{change}: mended, it belongs to the others");
        }
        let changed = CHANGED_REQUESTS.len() + CHANGED_ANSWERS.len();
        judge(&format!("{way:?}"), &wrong, count, changed);
    }
}
