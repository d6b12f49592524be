//! Big bodies, by hash: a gigabyte down, 200 megabytes up.

use std::{io::Read as _, process::Stdio, time::Instant};

use crate::support::{
    child::{Running, peak_kib},
    content::{Content, Hash},
    tool::{Way, find, succeed, through},
    usual::prepared,
};

const GIB: u64 = 1 << 30;

/// Promise 5: a download of 1 GiB (`GIBIBYTES`: of more) is byte-identical, and nothing of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_identical() {
    let (site, proxy) = prepared().await;
    let proxy = proxy.level("info").start().await;
    let gibibytes = std::env::var("GIBIBYTES").map_or(1, |count| count.parse().expect("a number"));
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
    let peak = peak_kib(proxy.pid());
    println!("{gibibytes} GiB in {:?}, {peak} KiB held", begun.elapsed());
    assert!(peak < 300 * 1024, "the proxy held {peak} KiB");
}

/// Promise 5, upwards: 200 MB go through whole, over the limit of what is kept to be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_big_upload_is_identical() {
    let (site, proxy) = prepared().await;
    let proxy = proxy.level("info").start().await;
    let content = Content::new(200_000_000, 3);
    let file = proxy.path().join("upload");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    for chunk in content.chunks(0..content.size) {
        std::io::Write::write_all(&mut out, &chunk).unwrap();
    }
    drop(out);
    let url = site.url("/upload/it");
    for arguments in [
        &["-sSf", "-T", "upload", &url][..],
        &["-sSf", "--http1.1", "-T", "-", "-H", "Expect:", &url],
    ] {
        let mut command = through(&proxy, Way::Run, &find("curl"), arguments);
        command.stdin(std::fs::File::open(&file).unwrap());
        let output = succeed(command).await;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["length"], 200_000_000);
        assert_eq!(answer["sha256"], content.sha256());
    }
    let peak = peak_kib(proxy.pid());
    assert!(peak < 300 * 1024, "the proxy held {peak} KiB");
}
