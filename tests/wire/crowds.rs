//! Crowds of clients that say nothing, or too little, or too much: limits answer, others go on, memory stays bounded, and
//! everything comes back.
//!
//! `CROWD=5000 cargo test --test tests crowds_that -- --nocapture` is the full number, with the default limits, of the
//! build that `STAYSIGNED_PROGRAM` names; the ordinary run is smaller and quicker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle};

use crate::support::{
    child::{raise_files, resident_kib},
    client::{Client, Parts, eventually},
    cost::{cpu_time, start},
    origin::{Origin, origin},
    proxy::{Builder, Proxy, proxy},
    wire::{Wire, status},
    within,
};

const HOST: &str = "app.example.test";

/// The beginning of a ClientHello: a record of 512 bytes of which hardly any come.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Connections of each kind, and whether the limits are the default ones.
fn crowd() -> (usize, bool) {
    match std::env::var("CROWD") {
        Ok(count) => (count.parse().expect("CROWD is a number"), true),
        Err(_) => (300, false),
    }
}

pub fn world(site: &Origin) -> Builder {
    proxy()
        .site(site)
        .level("warn")
        .memory()
        .bearer("app", HOST, "t1")
}

/// Files that the process has open.
pub fn files(proxy: &Proxy) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid()));
    folder.expect("the process runs").count()
}

/// Opens so many at once as a listener's queue holds without a wait.
pub async fn many<T, F: Future<Output = T>>(count: usize, open: impl Fn(usize) -> F) -> Vec<T> {
    stream::iter(0..count)
        .map(open)
        .buffer_unordered(64)
        .collect()
        .await
}

/// A tunnel's beginning, with TLS about to begin.
async fn greeting(client: &Client) -> TcpStream {
    let mut socket = client
        .connect(&format!("{HOST}:443"))
        .await
        .expect("a tunnel");
    socket.write_all(HELLO).await.expect("written");
    socket
}

/// Sends a byte every second, until the peer hangs up.
fn dribble(mut socket: TcpStream) -> JoinHandle<()> {
    tokio::spawn(async move {
        let head = format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nX: ");
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut byte = [0];
            let ended = matches!(socket.try_read(&mut byte), Ok(0));
            if ended || socket.write_all(b"a").await.is_err() {
                return;
            }
        }
    })
}

/// Requests a second of [`Others`].
const RATE: u32 = 200;

/// Others, who do nothing unusual.
struct Others {
    begun: Instant,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Duration>>,
}

impl Others {
    fn begin(client: &Client, url: &str) -> Self {
        const TASKS: u32 = 8;
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let tasks = (0..TASKS).map(|number| {
            let client = if number % 2 == 0 {
                client.clone()
            } else {
                client.clone().h2()
            };
            let (stop, done, url) = (stop.clone(), done.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut slowest = Duration::ZERO;
                let mut every = tokio::time::interval(Duration::from_secs(1) / (RATE / TASKS));
                let mut connection = client
                    .open(&url.parse().unwrap())
                    .await
                    .expect("a connection");
                while !stop.load(Ordering::Relaxed) {
                    every.tick().await;
                    let begun = Instant::now();
                    let count = done.fetch_add(1, Ordering::Relaxed);
                    if count % 16 == 0 {
                        connection = client
                            .open(&url.parse().unwrap())
                            .await
                            .expect("a connection");
                    }
                    connection.get(&url).await.expect("an answer").expect(200);
                    slowest = slowest.max(begun.elapsed());
                }
                slowest
            })
        });
        Self {
            begun: Instant::now(),
            tasks: tasks.collect(),
            stop,
            done,
        }
    }

    /// Ends, and returns how many were answered, of how many that were due, and how long the slowest took; an error is a
    /// panic.
    async fn end(self) -> (usize, usize, Duration) {
        let due = RATE as f64 * self.begun.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let mut slowest = Duration::ZERO;
        for task in self.tasks {
            slowest = slowest.max(task.await.expect("every request is answered"));
        }
        (self.done.load(Ordering::Relaxed), due as usize, slowest)
    }
}

/// Slow heads, silent handshakes and connections that say nothing are gone within 15 seconds (quicker with the limits of
/// the small crowd), while others are served without an error.
#[tokio::test(flavor = "multi_thread")]
async fn crowds_that_say_too_little_are_gone() {
    let (count, whole) = crowd();
    raise_files(3 * count + 1_000);
    let site = origin(&[HOST]).start().await;
    let mut builder = world(&site);
    if !whole {
        builder = builder.config("[limits]\nrequest_head = \"3s\"\nhandshake = \"3s\"");
    } else {
        builder = builder.config(format!("[limits]\nconnections = {}", 3 * count));
    }
    let proxy = start(builder).await;
    let client = proxy.client();
    client.get(&site.url("/echo")).await.expect(200);
    let (before, memory) = (files(&proxy), resident_kib(proxy.pid()));
    let others = Others::begin(&client, &site.url("/echo"));

    let begun = Instant::now();
    let slow = many(count, async |_| dribble(client.socket().await)).await;
    let greeted = many(count, async |_| greeting(&client).await).await;
    let silent = many(count / 10, async |_| client.socket().await).await;
    let opened = begun.elapsed();
    let held = files(&proxy);
    let grown = resident_kib(proxy.pid()).saturating_sub(memory);
    // Since the last of them was opened.
    let limit = if whole {
        Duration::from_secs(15)
    } else {
        Duration::from_secs(8)
    };
    let gone = || (files(&proxy) < before + 64).then_some(());
    let asked = Instant::now();
    eventually("they are gone", limit, gone).await;
    let (answered, due, slowest) = others.end().await;
    eprintln!(
        "{} connections in {opened:?}, {held} files, {grown} KiB more, gone after {:?}; {answered} requests of others, \
         {due} were due, the slowest took {slowest:?}",
        slow.len() + greeted.len() + silent.len(),
        asked.elapsed(),
    );
    // A busy machine may fall behind; the measurement of the whole crowd may not.
    let least = if whole { due * 9 / 10 } else { 100 };
    assert!(answered > least, "{answered} requests, {due} were due");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    for slow in slow {
        within("a slow head is hung up on", slow).await.unwrap();
    }
    let all = 2 * count + count / 10;
    assert!(grown < all * 64, "{grown} KiB for {all} connections");
}

/// Heads without an end are refused at their limit, and what they took is given back.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_fields_are_refused() {
    let site = origin(&[HOST]).start().await;
    let proxy = world(&site).start().await;
    let client = proxy.client();
    client.get(&site.url("/echo")).await.expect(200);
    let memory = resident_kib(proxy.pid());
    let few: String = (0..90)
        .map(|n| format!("X-{n}: {}\r\n", "a".repeat(4000)))
        .collect();
    let many_fields: String = (0..10_000).map(|n| format!("X-{n}: a\r\n")).collect();
    let line = format!("X: {}", "a".repeat(600_000));
    for flood in [&few, &many_fields, &line] {
        let answers = many(50, async |n| {
            let mut wire = match n % 3 {
                0 => Wire::proxy(&client).await,
                1 => Wire::https(&client, HOST).await,
                // Plain HTTP inside the tunnel.
                _ => {
                    let parts = Parts {
                        connect: format!("{HOST}:443"),
                        sni: None,
                        tls: false,
                        h2: false,
                    };
                    Wire::open(&client, &parts).await
                }
            };
            let target = if n % 3 == 0 {
                format!("http://{HOST}/")
            } else {
                "/".to_owned()
            };
            wire.send(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{flood}"))
                .await;
            status(&wire.head().await)
        })
        .await;
        // While a client still sends, the answer may be lost with the connection.
        assert!(
            answers.iter().all(|status| matches!(status, 0 | 400 | 431)),
            "{answers:?}"
        );
        client.get(&site.url("/echo")).await.expect(200);
    }
    let grown = resident_kib(proxy.pid()).saturating_sub(memory);
    assert!(grown < 64 * 1024, "{grown} KiB");
}

/// No more files: nobody new is served, whoever is there goes on, and in the end everything is as before.
#[tokio::test(flavor = "multi_thread")]
async fn files_used_up_come_back() {
    let site = origin(&[HOST]).start().await;
    let proxy = world(&site).start().await;
    let client = proxy.client();
    let mut held = client.open(&site.url("/").parse().unwrap()).await.unwrap();
    held.get(&site.url("/echo")).await.unwrap().expect(200);
    let now = files(&proxy) as u64;
    let limit = |files: u64| {
        let pid = i32::try_from(proxy.pid()).ok().and_then(Pid::from_raw);
        let new = Rlimit {
            current: Some(files),
            maximum: Some(20_000),
        };
        prlimit(pid, Resource::Nofile, new).expect("set its limit")
    };
    let old = limit(now + 20);
    let crowd = many(200, async |_| client.socket().await).await;
    let full = || (files(&proxy) as u64 >= now + 20).then_some(());
    eventually("no file is left", Duration::from_secs(20), full).await;
    let (begun, cpu) = (Instant::now(), cpu_time(proxy.pid()));
    for _ in 0..10 {
        held.get(&site.url("/echo")).await.unwrap().expect(200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (took, cpu) = (begun.elapsed(), cpu_time(proxy.pid()) - cpu);
    println!("without a file: {cpu:?} of CPU in {took:?}");
    // One that tries all the time takes a core.
    assert!(cpu < took / 8, "{cpu:?} of CPU in {took:?}");
    let said = proxy.log().matches("cannot accept connections").count();
    assert!(
        (1..=5).contains(&said),
        "it is told once in a while: {said} lines"
    );
    drop(crowd);
    let begun = Instant::now();
    client.get(&site.url("/echo")).await.expect(200);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    limit(old.current.unwrap_or(10_000));
    client.get(&site.url("/echo")).await.expect(200);
}

/// Whatever is sent, memory grows by no more than ten times as much and 64 KiB for each connection.
#[tokio::test(flavor = "multi_thread")]
async fn memory_grows_with_what_is_sent() {
    const EACH: usize = 200;
    let site = origin(&[HOST]).start().await;
    let proxy = world(&site).start().await;
    let client = proxy.client();
    for _ in 0..20 {
        client.get(&site.url("/echo")).await.expect(200);
    }
    let parts = |tls, h2| Parts {
        connect: format!("{HOST}:443"),
        sni: Some(HOST.to_owned()),
        tls,
        h2,
    };
    let half = format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n");
    let long = format!("{half}X: {}", "a".repeat(8000));
    let upload = format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n");
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    for (name, parts, sent) in [
        ("nothing", None, String::new()),
        ("half a head", None, half),
        ("half a long head", None, long),
        (
            "a tunnel, and nothing",
            Some(parts(false, false)),
            String::new(),
        ),
        ("TLS, and nothing", Some(parts(true, false)), String::new()),
        ("an upload that stops", Some(parts(true, false)), upload),
        (
            "HTTP/2, and nothing",
            Some(parts(true, true)),
            preface.to_owned(),
        ),
    ] {
        let memory = resident_kib(proxy.pid());
        let held = many(EACH, async |_| {
            let mut wire = match &parts {
                None => Wire::proxy(&client).await,
                Some(parts) => Wire::open(&client, parts).await,
            };
            wire.send(&sent).await;
            wire
        })
        .await;
        client.get(&site.url("/echo")).await.expect(200);
        let grown = resident_kib(proxy.pid()).saturating_sub(memory);
        // A handshake sends some 600 bytes.
        let most = EACH * (64 + 10 * (sent.len() + 600) / 1024);
        eprintln!(
            "{name}: {} KiB a connection, {most} KiB allowed for all",
            grown / EACH
        );
        assert!(grown <= most, "{name}: {grown} KiB, and not at most {most}");
        drop(held);
    }
}
