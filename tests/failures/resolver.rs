//! Name servers that are silent: who needs them is told in time, nobody else notices, and nothing piles up.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    LIMIT,
    child::{Running, resident_kib},
    client::{Answer, Client, Connection, eventually},
    netns::{End, MOUNT, Net},
    origin::empty,
    proxy::{bearer, proxy},
    tool,
};

/// `limits.connect`: a resolver gives up later.
const CONNECT: Duration = Duration::from_secs(6);

/// More than the threads of a runtime.
const CROWD: usize = 700;

/// Where a web server is, within the network namespace.
const PORT: u16 = 8000;

async fn fails(client: &Client, url: &str, status: u16, error: &str) -> Duration {
    let begun = Instant::now();
    let answer = client.get(url).await.expect(status);
    let says = answer.field("proxy-status").expect("ours").to_owned();
    assert!(says.contains(&format!("error={error};")), "{url}: {says}");
    begun.elapsed()
}

fn threads(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks.expect("a process").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_servers_hurt_only_who_needs_them() {
    let net = Net::new().await;
    let bound = format!("{{ scheme = \"http\", host = \"app.example.test\", port = {PORT} }}");
    let silent = "{ host = \"silent.example.test\" }";
    let mut proxy = proxy()
        .resolve(
            &format!("app.example.test:{PORT}"),
            ([127, 0, 0, 1], PORT).into(),
        )
        .config(bearer("app", &bound, "T"))
        .config(bearer("silent", silent, "T"))
        .config(format!("[limits]\nconnect = \"{}s\"", CONNECT.as_secs()))
        .env("T", "t1")
        .file("servers", "nameserver 127.0.0.1\n")
        .file("index.html", "here")
        .level("info")
        .prepare();
    let within = |program: &str, arguments: &[&str]| net.program(End::Near, program, arguments);
    let python = tool::python();
    let python = python.to_str().unwrap();
    let script = tool::script("python/names.py");
    let mut server = Running::start(&mut within(python, &[script.to_str().unwrap()]));
    let server_pid = Pid::from_raw(server.id().try_into().unwrap()).unwrap();
    let folder = proxy.path().to_str().unwrap().to_owned();
    let port = PORT.to_string();
    let mut web = within(python, &["-u", "-m", "http.server", &port, "-d", &folder]);
    let mut web = Running::start(web.stderr(Stdio::null()));
    for server in [&mut server, &mut web] {
        server.lines().next().expect("it listens");
    }
    let unshare = within("unshare", &["-m", "sh", "-c", MOUNT]);
    net.serve(&mut proxy, unshare).await;

    let client = proxy.client();
    let url = |host: &str| format!("http://{host}:{PORT}/index.html");
    client.get(&url("known.example.test")).await.expect(200);
    fails(&client, &url("gone.example.test"), 502, "dns_error").await;
    let others = [
        url("known.example.test"),
        url("127.0.0.1"),
        url("app.example.test"),
    ];
    let before = (threads(proxy.pid()), resident_kib(proxy.pid()));

    kill_process(server_pid, Signal::STOP).unwrap();
    let begun = Instant::now();
    let mut crowd: FuturesUnordered<_> = (0..CROWD)
        .map(|n| {
            let (client, url) = (client.clone(), url(&format!("n{n}.example.test")));
            async move { fails(&client, &url, 504, "dns_timeout").await }
        })
        .collect();
    // Over one HTTP/2 connection, for the same host: no request waits for the failure of the one before.
    let crowd_of_one = async {
        let url = "https://silent.example.test/";
        let mut connection = client
            .clone()
            .h2()
            .open(&url.parse().unwrap())
            .await
            .unwrap();
        let Connection::H2(sender) = &mut connection else {
            panic!("HTTP/2 was asked for");
        };
        let ask = |_| {
            let mut sender = sender.clone();
            let request = http::Request::get(url).body(empty()).unwrap();
            async move { sender.send_request(request).await.unwrap() }
        };
        for answer in join_all((0..20).map(ask)).await {
            Answer::read(answer).await.unwrap().expect(504);
        }
        begun.elapsed()
    };
    let meanwhile = async {
        let (mut slowest, mut most) = (Duration::ZERO, (0, 0));
        while begun.elapsed() < CONNECT {
            for url in &others {
                let begun = Instant::now();
                client.get(url).await.expect(200);
                slowest = slowest.max(begun.elapsed());
            }
            most.0 = most.0.max(threads(proxy.pid()));
            most.1 = most.1.max(resident_kib(proxy.pid()));
        }
        (slowest, most)
    };
    let crowd = async {
        let mut slowest = Duration::ZERO;
        while let Some(took) = crowd.next().await {
            slowest = slowest.max(took);
        }
        slowest
    };
    let (crowd, of_one, (slowest, most)) = tokio::join!(crowd, crowd_of_one, meanwhile);
    println!(
        "{CROWD} names: {crowd:?}, HTTP/2: {of_one:?}, others at most {slowest:?}, threads and KiB {before:?}, then {most:?}"
    );
    for took in [crowd, of_one] {
        assert!(took < CONNECT + LIMIT / 2, "{took:?}");
    }
    assert!(slowest < CONNECT / 2, "{slowest:?}");
    assert!(most.0 <= before.0 + 64 + 16, "{most:?}, before {before:?}");
    assert!(
        most.1 <= before.1 + 64 * CROWD + 16 * 1024,
        "{most:?}, before {before:?}"
    );

    kill_process(server_pid, Signal::CONT).unwrap();
    for n in [0, CROWD - 1, CROWD] {
        client
            .get(&url(&format!("n{n}.example.test")))
            .await
            .expect(200);
    }
    eventually("threads are gone", LIMIT, || {
        (threads(proxy.pid()) <= before.0 + 16).then_some(())
    })
    .await;
    assert!(proxy.running());
}
