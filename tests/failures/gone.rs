//! Origins that are gone without a word: a network that has forgotten the connection answers nothing, and who waits for an
//! answer is told.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    child::Running,
    netns::{End, FAR, Net},
    proxy::proxy,
    tool::python,
    wait::within_limit,
    wire::{Wire, status},
};

const PORT: u16 = 8000;

/// Hears two requests, and says nothing.
const ORIGIN: &str = "
import socket, sys, time
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
held = []
print('listens', flush=True)
for _ in range(2):
    held.append(server.accept()[0])
    held[-1].recv(1000)
    print('asked', flush=True)
time.sleep(1000)
";

/// Two minutes after the last word, a request that waits for its answer is a 502, and a tunnel ends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than two minutes"]
async fn an_origin_that_is_gone_is_noticed() {
    let limit = Duration::from_secs(240);
    let net = Net::new().await;
    let python = python();
    let port = PORT.to_string();
    let arguments = ["-u", "-c", ORIGIN, FAR, &port];
    let mut origin = net.program(End::Far, python.to_str().unwrap(), &arguments);
    let mut origin = Running::start(origin.stderr(Stdio::null()));
    let mut said = origin.lines();
    said.next().expect("it listens");
    let mut proxy = proxy().prepare();
    let words = net.at(End::Near);
    let mut within = Command::new(&words[0]);
    within.args(&words[1..]);
    net.serve(&mut proxy, within).await;

    let place = format!("{FAR}:{PORT}");
    let get = |target: &str| format!("GET {target}/ HTTP/1.1\r\nHost: {place}\r\n\r\n");
    let mut waits = Wire::proxy(&proxy.client()).await;
    waits.send(get(&format!("http://{place}"))).await;
    let mut tunnel = Wire::proxy(&proxy.client()).await;
    tunnel
        .send(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n"))
        .await;
    assert_eq!(status(&tunnel.head().await), 200);
    tunnel.send(get("")).await;
    for _ in 0..2 {
        assert_eq!(said.next().as_deref().map(str::trim_end), Some("asked"));
    }
    net.cut().await;
    let begun = Instant::now();
    let told = async {
        let head = within_limit(limit, "an answer", waits.next_head()).await;
        println!("{} after {:?}: {head}", status(&head), begun.elapsed());
        assert_eq!(status(&head), 502, "{head}");
    };
    let ended = async {
        let rest = within_limit(limit, "an end", tunnel.until_end()).await;
        println!("the tunnel ended after {:?}", begun.elapsed());
        assert_eq!(rest, b"");
    };
    tokio::join!(told, ended);
}
