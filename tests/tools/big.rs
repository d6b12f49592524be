//! Big bodies, by hash: a gigabyte down, 200 megabytes up.

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
    time::Instant,
};

use crate::support::{
    child::{Running, peak_kib, resident_kib},
    content::{Content, Hash},
    cost::start,
    origin::Origin,
    proxy::Proxy,
    tool::{Way, find, through},
    usual::prepared,
};

const GIB: u64 = 1 << 30;

/// What the proxy's memory may grow by while a big body passes, in KiB; a release build's grows by less than half of it
/// (docs/benchmarks.md).
const GROWTH: usize = 24 * 1024;

/// The proxy after its first request, and what it holds then, in KiB. `STAYSIGNED_PROGRAM` names another build.
async fn at_rest() -> (Origin, Proxy, usize) {
    let (site, proxy) = prepared().await;
    let proxy = start(proxy.level("info")).await;
    for client in [proxy.client(), proxy.client().h2()] {
        client.get(&site.url("/echo")).await.expect(200);
    }
    let rest = resident_kib(proxy.pid());
    (site, proxy, rest)
}

/// The most that it has held more than at rest.
fn grown(proxy: &Proxy, rest: usize) -> usize {
    let grown = peak_kib(proxy.pid()).saturating_sub(rest);
    println!("{rest} KiB at rest, {grown} more at most");
    grown
}

/// Promise 5: a download of 1 GiB (`GIBIBYTES`: of more) is byte-identical, and nothing of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_identical() {
    let (site, proxy, rest) = at_rest().await;
    let gibibytes = gibibytes().unwrap_or(1);
    let size = gibibytes * GIB;
    let url = site.url(&format!("/bytes/{size}/77"));
    let mut command = through(&proxy, Way::Variables, &find("curl"), &["-sSf", &url]);
    let begun = Instant::now();
    let mut child = Running::start(command.stdout(Stdio::piped()));
    let mut output = child.stdout.take().expect("piped");
    let received = tokio::task::spawn_blocking(move || {
        let (mut hash, mut buffer) = (Hash::new(), vec![0; 1 << 18]);
        while let read @ 1.. = output.read(&mut buffer).expect("read") {
            hash.update(&buffer[..read]);
        }
        (hash.1, hash.finish())
    });
    let expected = tokio::task::spawn_blocking(move || Content::new(size, 77).sha256());
    assert_eq!(received.await.unwrap(), (size, expected.await.unwrap()));
    assert!(child.end().success());
    println!("{gibibytes} GiB down in {:?}", begun.elapsed());
    let grown = grown(&proxy, rest);
    assert!(grown < GROWTH, "the proxy grew by {grown} KiB");
}

/// Promise 5, upwards: 200 MB go through whole, over the limit of what is kept to be sent again; as many GiB as a
/// download has if their number is given (`GIBIBYTES`).
#[tokio::test(flavor = "multi_thread")]
async fn a_big_upload_is_identical() {
    let (site, proxy, rest) = at_rest().await;
    let size = gibibytes().map_or(200_000_000, |count| count * GIB);
    let url = site.url("/upload/it");
    let length = format!("Content-Length: {size}");
    for arguments in [
        &["-sSf", "-T", "-", "-H", &length, &url][..],
        &["-sSf", "--http1.1", "-T", "-", "-H", "Expect:", &url],
    ] {
        let begun = Instant::now();
        let mut command = through(&proxy, Way::Run, &find("curl"), arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Running::start(&mut command);
        let mut input = child.stdin.take().expect("piped");
        let sent = tokio::task::spawn_blocking(move || {
            for chunk in Content::new(size, 3).chunks(0..size) {
                input.write_all(&chunk).expect("write");
            }
        });
        let expected = tokio::task::spawn_blocking(move || Content::new(size, 3).sha256());
        sent.await.unwrap();
        let answer = String::from_iter(child.lines());
        assert!(child.end().success());
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["length"], size);
        assert_eq!(answer["sha256"], expected.await.unwrap());
        println!("{size} bytes up in {:?}", begun.elapsed());
    }
    let grown = grown(&proxy, rest);
    assert!(grown < GROWTH, "the proxy grew by {grown} KiB");
}

fn gibibytes() -> Option<u64> {
    let count = std::env::var("GIBIBYTES").ok()?;
    Some(count.parse().expect("a number"))
}
