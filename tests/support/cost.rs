//! What the proxy spends: its own CPU time, with clients and origin elsewhere.

use std::{process::Command, time::Duration};

use futures_util::future::join_all;

use super::proxy::{Builder, PROGRAM, Proxy};

/// Clients at once.
const CLIENTS: usize = 16;

/// The same by the build that is measured: `STAYSIGNED_PROGRAM` names it.
pub fn measured(command: &Command) -> Command {
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

/// Starts the build that is measured.
pub async fn start(builder: Builder) -> Proxy {
    let mut proxy = builder.prepare();
    let serve = measured(&proxy.command(&["serve"]));
    proxy.start_as(serve).await;
    proxy
}

/// Asks so often by each of many clients, on one connection each; returns the proxy's CPU time of one request.
pub async fn a_request(proxy: &Proxy, url: &str, each: usize) -> Duration {
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
            for _ in 0..each {
                connection.get(&url).await.unwrap().expect(200);
            }
        })
    });
    for client in join_all(clients).await {
        client.unwrap();
    }
    let requests = u32::try_from(CLIENTS * each).unwrap();
    (cpu_time(proxy.pid()) - before) / requests
}

/// The time on a CPU of a process's threads, in user and in system space.
pub fn cpu_time(pid: u32) -> Duration {
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
