//! The certified server away in each of the ways there are, in processes and in real time: nobody is signed out, and
//! the session is renewed soon after the server is back.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::provider::{LIFETIME, with, works};
use crate::support::{
    child::Running,
    client::Client,
    netns::{End, FAR, MOUNT, Net},
    oidc::{HOST, LOGIN, Server, tell},
    origin::empty,
    ports,
    proxy::Proxy,
    tool,
};

/// Promised where no connection was made, and nothing spent.
const SOON: Duration = Duration::from_secs(5);

/// Promised where the token may have been spent: it is sent once a minute.
const MINUTE: Duration = Duration::from_secs(65);

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(110);

const PORT: u16 = 8443;

/// How the server is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// `kill -9`: its port refuses.
    Killed,
    /// Answers to SYNs are dropped on the way.
    Silent,
    /// The name server says that there is no such name.
    NoName,
    /// 502 at the token endpoint.
    BadGateway,
    /// HTML with 200 at the token endpoint.
    Portal,
}

/// A server, its proxy, and what stands between them.
struct World {
    server: Server,
    proxy: Proxy,
    net: Option<Net>,
    names: Option<Running>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_back_is_found_in_time() {
    let ways = [
        (Away::Killed, 5, SOON),
        (Away::Silent, 5, SOON),
        (Away::NoName, 2, SOON),
        (Away::BadGateway, 1, MINUTE),
        (Away::Portal, 1, MINUTE),
    ];
    let ways = ways.map(|(away, rounds, promised)| {
        let times = tokio::spawn(away_and_back(away, rounds));
        async move { (away, promised, times.await.unwrap()) }
    });
    for (away, promised, mut times) in futures_util::future::join_all(ways).await {
        times.sort_unstable();
        println!("{away:?}: back in {times:?}, promised {promised:?}");
        let median = times[times.len() / 2];
        assert!(median <= promised, "{away:?}: {times:?}");
        // On a machine that is busy with other things each step takes longer.
        assert!(times.iter().all(|time| *time < 2 * promised), "{times:?}");
    }
}

/// Tells how long after each return the session was renewed.
async fn away_and_back(away: Away, rounds: usize) -> Vec<Duration> {
    let mut world = World::new(away).await;
    let url = format!("https://{HOST}/resource/x");
    let begun = Instant::now();
    let mut times = Vec::new();
    for round in 0..rounds {
        let asking = tokio::spawn(ask(world.proxy.client(), url.clone()));
        if round > 0 || !matches!(away, Away::NoName) {
            works(&world.proxy.client(), &url).await;
            // What it began with has no end that is known.
            while world.status()["expires_at"].is_null() {
                tokio::time::sleep(Duration::from_millis(250)).await;
                assert!(begun.elapsed() < LIMIT, "{away:?}");
            }
            world.go(away).await;
        }
        // Nothing that was sent is under way any more, and the token has ended.
        let status = world.degraded(away, begun).await;
        let expected = match away {
            Away::Killed | Away::Silent | Away::NoName => "unsent",
            Away::BadGateway => "in_doubt",
            Away::Portal => "not_an_answer",
        };
        assert_eq!(
            status["last_refresh"]["result"], expected,
            "{away:?}: {status}"
        );
        // At any moment of what is tried and waited for.
        let mut random = [0; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        if expected == "unsent" {
            let millis = u64::from(u16::from_le_bytes(random)) / 16;
            tokio::time::sleep(Duration::from_millis(3000 + millis)).await;
        }
        let generation = status["generation"].clone();
        let back = world.back(away).await;
        loop {
            let status = world.status();
            if status["state"] == "fresh" && status["generation"] != generation {
                break;
            }
            assert!(back.elapsed() < 2 * MINUTE, "{away:?}: {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        times.push(back.elapsed());
        println!("{away:?} {round}: {:?}", back.elapsed());
        works(&world.proxy.client(), &url).await;
        asking.abort();
        if begun.elapsed() > LIMIT {
            break;
        }
    }
    assert_eq!(world.server.refusals(), [""; 0], "{away:?}");
    assert_eq!(world.status()["requires_login"], false);
    times
}

/// A tool that goes on asking. An answer that was lost in the silence never comes: nobody waits for it.
async fn ask(client: Client, url: String) {
    loop {
        let request = http::Request::get(&url).body(empty()).unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(4), client.try_send(request)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// === impl World ===

impl World {
    async fn new(away: Away) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], PORT));
        let (net, address) = match away {
            Away::Killed | Away::BadGateway | Away::Portal => (None, ports::free()),
            Away::Silent => (
                Some(Net::new().await),
                format!("{FAR}:{PORT}").parse().unwrap(),
            ),
            Away::NoName => (Some(Net::new().await), loopback),
        };
        let at = match (&net, away) {
            (None, _) => Vec::new(),
            (Some(net), Away::NoName) => net.at(End::Near),
            (Some(net), _) => net.at(End::Far),
        };
        let server = Server::durable(LIFETIME, address, at).await;
        let mut proxy = with(&server)
            .resolve(&format!("{HOST}:443"), address)
            .file("servers", "nameserver 127.0.0.1\n")
            .prepare();
        let mut names = None;
        match (&net, away) {
            (Some(net), Away::NoName) => {
                // Only the token endpoint is asked for by its name.
                let (there, by_name) = (
                    format!("https://{HOST}/token"),
                    format!("https://{LOGIN}:{PORT}/token"),
                );
                proxy.edit(|text| text.replace(&there, &by_name));
                let (python, script) = (tool::python(), tool::script("python/names.py"));
                let mut command = within(net, python.to_str().unwrap());
                command.arg(script).stdout(Stdio::piped());
                let mut process = Running::start(command.stdin(Stdio::null()));
                process.lines().next().expect("it listens");
                signal(process.id(), Signal::USR1);
                names = Some(process);
                let mut unshare = within(net, "unshare");
                unshare.args(["-m", "sh", "-c", MOUNT]);
                net.serve(&mut proxy, unshare).await;
            }
            (Some(net), _) => {
                let words = net.at(End::Near);
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                net.serve(&mut proxy, command).await;
            }
            (None, _) => proxy.start().await,
        }
        // A token that is sent on a connection that is there already would be in doubt, or need no name.
        tell(&proxy.client(), "close").await;
        Self {
            server,
            proxy,
            net,
            names,
        }
    }

    async fn go(&mut self, away: Away) {
        match away {
            Away::Killed => self.server.kill(),
            Away::Silent => self.net.as_ref().expect("a network").mute().await,
            Away::NoName => self.signal_names(Signal::USR1),
            Away::BadGateway => tell(&self.proxy.client(), "away/502").await,
            Away::Portal => tell(&self.proxy.client(), "away/html").await,
        }
    }

    /// Brings the server back; says since when it is.
    async fn back(&mut self, away: Away) -> Instant {
        match away {
            Away::Killed => self.server.restart().await,
            Away::Silent => self.net.as_ref().expect("a network").mend().await,
            Away::NoName => self.signal_names(Signal::USR2),
            Away::BadGateway | Away::Portal => tell(&self.proxy.client(), "away/").await,
        }
        Instant::now()
    }

    /// Waits until it is said that the last refresh failed; where the next may be a minute away, until it is.
    async fn degraded(&self, away: Away, begun: Instant) -> serde_json::Value {
        loop {
            let status = self.status();
            let next = status["next_refresh_at"].as_str().unwrap_or_default();
            let next = OffsetDateTime::parse(next, &Rfc3339).ok();
            let wait = next.map(|next| next - OffsetDateTime::now_utc());
            let is_long = wait.is_some_and(|wait| wait > Duration::from_secs(50));
            let waits = matches!(away, Away::BadGateway | Away::Portal);
            if status["state"] == "degraded" && (is_long || !waits) {
                return status;
            }
            assert!(begun.elapsed() < 2 * LIMIT, "{away:?}: {status}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn status(&self) -> serde_json::Value {
        tokio::task::block_in_place(|| self.proxy.status("app"))
    }

    fn signal_names(&self, which: Signal) {
        signal(self.names.as_ref().expect("a name server").id(), which);
    }
}

/// A program within the near end of a network.
fn within(net: &Net, program: &str) -> Command {
    let words = net.at(End::Near);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program);
    command
}

fn signal(id: u32, which: Signal) {
    let pid = id.try_into().ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, which).unwrap();
}
