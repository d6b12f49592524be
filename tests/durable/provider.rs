//! The certified server and the proxy, killed and stopped at any moment: nobody is signed out.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    sessions::Crowd,
    support::{
        client::Client,
        oidc::{HOST, Server, session},
        ports,
        proxy::{Builder, proxy},
    },
};

/// Short enough that a refresh is always near.
pub(super) const LIFETIME: f64 = 3.0;

const ROUNDS: usize = 10;

/// Within this a request is answered again, on a machine that is busy with other things.
const BACK: Duration = Duration::from_secs(30);

/// How long a process is dead or stopped.
const AWAY: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn dead_and_stopped_processes_sign_nobody_out() {
    let mut server = Server::durable(LIFETIME, ports::free(), Vec::new()).await;
    let mut proxy = with(&server)
        .resolve(&format!("{HOST}:443"), server.address)
        .start()
        .await;
    let url = format!("https://{HOST}/resource/x");
    works(&proxy.client(), &url).await;
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let crowd = Crowd::new(&proxy.client(), 6, &url);
        crowd.each_answered(1).await;
        if round % 3 == 0 {
            server.revoke().await;
        }
        // At any moment of a token's life, and so of its refresh.
        let mut random = [0; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let millis = u64::from(u16::from_le_bytes(random)) / 40;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        match round % 4 {
            0 => {
                server.kill();
                tokio::time::sleep(AWAY).await;
                server.restart().await;
            }
            1 => stopped_for(server.pid(), AWAY).await,
            2 => {
                proxy.kill();
                proxy.start().await;
            }
            _ => stopped_for(proxy.pid(), AWAY).await,
        }
        slowest = slowest.max(works(&proxy.client(), &url).await);
        crowd.stop().await;
    }
    println!("{ROUNDS} rounds, back after {slowest:?} at most");
    assert_eq!(server.refusals(), [""; 0]);
    assert_eq!(proxy.status("app")["requires_login"], false);
}

/// The proxy's configuration for it, its place left open.
pub(super) fn with(server: &Server) -> Builder {
    proxy()
        .config(session())
        .env("SECRET", "tests-secret")
        .env("ACCESS", &server.access)
        .env("REFRESH", &server.refresh)
        .level("info")
}

/// Asks until it is answered well; says how long that took.
pub(super) async fn works(client: &Client, url: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let request = http::Request::get(url).body(crate::support::origin::empty());
        let answer = tokio::time::timeout(BACK, client.try_send(request.unwrap())).await;
        if matches!(&answer, Ok(Ok(answer)) if answer.status == 200) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < BACK, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stopped_for(pid: u32, time: Duration) {
    let pid = pid.try_into().ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    tokio::time::sleep(time).await;
    kill_process(pid, Signal::CONT).unwrap();
}
