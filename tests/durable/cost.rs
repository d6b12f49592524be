//! What the proxy spends on learning: its own CPU time, with clients and origin elsewhere.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::header::{HeaderValue, SET_COOKIE};

use super::HOST;
use crate::{
    sessions::cookie_session,
    support::{
        origin::origin,
        proxy::{PROGRAM, Proxy, proxy},
        routes, tool,
    },
};

const CLIENTS: usize = 16;
const EACH: usize = 400;
const ROUNDS: usize = 5;
const COMMAND: Duration = Duration::from_secs(60);

/// More than a cookie costs that is learnt and stored before its answer goes on.
const LEARNT: Duration = Duration::from_micros(100);

/// The CPU time of one request whose answer rotates the session's cookie, less that of one that teaches nothing.
///
/// `STAYSIGNED_PROGRAM=target/release/staysigned cargo test --test tests learning_is_cheap -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of a release build: docs/benchmarks.md has the command"]
async fn learning_is_cheap() {
    let number = Arc::new(AtomicU64::new(0));
    let site = origin(&[HOST]).handler(move |request| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut answer = routes::text("in");
            if request.uri().path() == "/new" {
                let line =
                    format!("sid=value-{number:0>180}; Path=/; Max-Age=3600; Secure; HttpOnly");
                answer
                    .headers_mut()
                    .insert(SET_COOKIE, HeaderValue::from_str(&line).unwrap());
            }
            Ok(answer)
        }
    });
    let site = site.start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(cookie_session(HOST, ""))
        .level("warn")
        .prepare();
    let import = ["import", "site", "--from", "header", "--domain", HOST];
    let import = measured(&proxy.command(&import));
    let output = tool::feed(import, "Cookie: sid=value-first", COMMAND);
    assert!(output.status.success(), "{output:?}");
    let serve = measured(&proxy.command(&["serve"]));
    proxy.start_as(serve).await;
    load(&proxy, &site.url("/same")).await;
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let same = load(&proxy, &site.url("/same")).await;
        let new = load(&proxy, &site.url("/new")).await;
        let learnt = new.saturating_sub(same);
        println!("a request {same:?}, with a rotated cookie {new:?}: {learnt:?} for learning it");
        costs.push(learnt);
    }
    costs.sort_unstable();
    let median = costs[ROUNDS / 2];
    println!("median {median:?}");
    assert!(median < LEARNT, "{median:?} of CPU for each cookie");
}

/// The same by the build that is measured.
fn measured(command: &Command) -> Command {
    let program = std::env::var_os("STAYSIGNED_PROGRAM").unwrap_or_else(|| PROGRAM.into());
    let mut other = Command::new(std::path::absolute(program).unwrap());
    other.args(command.get_args()).env_clear();
    other.current_dir(command.get_current_dir().expect("a folder"));
    other.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    other
}

/// Asks by many clients at once; returns the proxy's CPU time of one request.
async fn load(proxy: &Proxy, url: &str) -> Duration {
    let open = (0..CLIENTS).map(|_| async {
        let uri = url.parse().unwrap();
        let mut connection = proxy.client().open(&uri).await.unwrap();
        connection.get(url).await.unwrap().expect(200);
        connection
    });
    let connections = join_all(open).await;
    let before = cpu_time(proxy.pid());
    let clients = connections.into_iter().map(|mut connection| {
        let url = url.to_owned();
        tokio::spawn(async move {
            for _ in 0..EACH {
                connection.get(&url).await.unwrap().expect(200);
            }
        })
    });
    for client in join_all(clients).await {
        client.unwrap();
    }
    let requests = u32::try_from(CLIENTS * EACH).unwrap();
    (cpu_time(proxy.pid()) - before) / requests
}

/// The time on a CPU of a process's threads, in user and in system space.
fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.flatten().map(|task| {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|nanos| nanos.parse().ok())
            .unwrap_or(0u64)
    });
    Duration::from_nanos(nanos.sum())
}
