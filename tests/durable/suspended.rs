//! A process that is stopped in the middle of a refresh for longer than its right to it lasts, and comes back.
//!
//! One that is stopped while it writes keeps the database locked: then nobody can spend anything until it goes on.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};

use super::{warm, with, world};
use crate::support::{
    beside::beside,
    client::{Client, eventually},
    oauth::Policy,
    strace::{Strace, Thread, WRITES, Whom},
};

/// How many pairs of processes there are at a time.
const AT_ONCE: usize = 4;

/// Without a sign of life for so long, a process that refreshes loses the right to it.
const LEASE: Duration = Duration::from_secs(2);

/// Longer than the refresh of the other one takes.
const LIMIT: Duration = Duration::from_secs(90);

/// Calls of a rotation that write, and some more.
const CALLS: usize = 36;

/// Where the first process is stopped.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// Behind this call of the thread that writes the store.
    Store(usize),
    /// Behind this call of the thread that does the rest.
    Worker(usize),
    /// Behind the call that connects to the token endpoint: the lease was looked at, and nothing is sent.
    Connecting,
    /// When the token endpoint has its request, and has not answered.
    Asked,
}

/// Stopped behind any call: what the other one obtained stays, and both go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_process_overwrites_nothing() {
    let every = std::env::var_os("STAYSIGNED_EVERY_CALL").is_some();
    let step = if every { 1 } else { 4 };
    let calls = (1..=CALLS).step_by(step);
    let stops = calls.flat_map(|call| [Stop::Store(call), Stop::Worker(call / 4 + 1)]);
    let rounds = stops.chain([Stop::Asked]).map(|stop| async move {
        let pause = LEASE + Duration::from_secs(1);
        suspended(stop, Some(LEASE), pause).await
    });
    let stopped: Vec<bool> = stream::iter(rounds)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let count = stopped.iter().filter(|stopped| **stopped).count();
    println!("{count} of {} stopped in the middle", stopped.len());
    assert!(count > stopped.len() / 2, "{count} of {}", stopped.len());
}

/// Stopped between the decision to spend the token and its first byte on the way: it is not sent twice, even to a server
/// that forgives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_before_it_sends_spends_nothing() {
    let pause = LEASE + Duration::from_secs(1);
    for _ in 0..3 {
        assert!(suspended(Stop::Connecting, Some(LEASE), pause).await);
    }
}

/// With the usual lease of 30 seconds and a pause of a minute.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes: cargo test --test tests suspended_for_a_minute -- --ignored"]
async fn suspended_for_a_minute() {
    for stop in [Stop::Asked, Stop::Worker(6), Stop::Store(8)] {
        assert!(
            suspended(stop, None, Duration::from_secs(60)).await,
            "{stop:?}"
        );
    }
}

/// Tells whether the first process was in the middle of its refresh.
async fn suspended(stop: Stop, lease: Option<Duration>, pause: Duration) -> bool {
    // The second call is some seconds behind the first; the server's rules allow it, where there is one.
    let grace = Duration::from_secs(match stop {
        Stop::Connecting => 0,
        Stop::Store(_) | Stop::Worker(_) | Stop::Asked => 600,
    });
    let policy = Policy {
        grace,
        ..Policy::lifetime(3600.0)
    };
    let (authority, site, pair) = world(policy).await;
    let limits = lease.map_or(String::new(), |lease| {
        format!("[limits]\nlease = \"{}s\"\n", lease.as_secs())
    });
    let grace = grace.as_secs();
    let refresh = format!("cooldown = \"0s\"\ntimeout = \"10s\"\ngrace = \"{grace}s\"\n");
    let first = with(&site, &pair, &format!("{refresh}{limits}"))
        .start()
        .await;
    let (_second, other) = beside(&first).await;
    let url = site.url("/echo");
    // A pause within a handshake would be the end of its connection.
    let mut client = warm(&first, &url).await;
    other.get(&url).await.expect(200);
    let pid = Pid::from_raw(first.pid().try_into().unwrap()).unwrap();
    let thread = |name: &str, call| {
        let thread = Thread {
            name: name.to_owned(),
            number: 0,
        };
        (thread, format!("inject={WRITES}:signal=STOP:when={call}"))
    };
    let connecting = || {
        let (thread, _) = thread("tokio-rt-worker", 1);
        (thread, "inject=connect:signal=STOP:when=1".to_owned())
    };
    let strace = match stop {
        Stop::Store(call) => Some(thread("store", call)),
        Stop::Worker(call) => Some(thread("tokio-rt-worker", call)),
        Stop::Connecting => Some(connecting()),
        Stop::Asked => None,
    };
    let log = first.path().join("stop.strace");
    let strace = match strace {
        Some((thread, inject)) => {
            let whom = Whom::One(first.pid(), thread);
            Some(Strace::attach(&whom, &["-e", &inject], &log).await)
        }
        None => {
            authority.delay(Duration::from_secs(1));
            None
        }
    };
    authority.with(|oauth| oauth.revoke_all_access());
    let mut asking = tokio::spawn({
        let url = url.clone();
        async move { client.get(&url).await.unwrap() }
    });
    let asked = || site.seen().iter().any(|seen| seen.path == "/token");
    let in_the_middle = eventually("it stops, or is through", LIMIT, || {
        if matches!(stop, Stop::Asked) && asked() {
            first.signal(Signal::STOP);
            return Some(true);
        }
        let stopped = state(first.pid()) == 'T' || state(first.pid()) == 't';
        (stopped || asking.is_finished()).then_some(stopped)
    })
    .await;
    if !in_the_middle {
        first.signal(Signal::STOP);
    }
    let begun = Instant::now();
    authority.delay(Duration::ZERO);
    // The other one waits for a sign of life, and goes on without; unless the first was stopped while it wrote, and
    // so keeps the database locked.
    let second = first.path().join("second.log");
    let is_locked = || {
        std::fs::read_to_string(&second)
            .unwrap()
            .contains("database is locked")
    };
    while other.get(&url).await.status != 200 && !is_locked() {
        assert!(
            begun.elapsed() < LIMIT,
            "{stop:?}: the other process serves nobody"
        );
    }
    tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
    kill_process(pid, Signal::CONT).unwrap();
    if let Some(strace) = strace {
        strace.detach().await;
    }
    let answer = tokio::time::timeout(LIMIT, &mut asking).await;
    let answer = answer.expect("an answer to the first client").unwrap();
    let what = format!("{stop:?}: {:?}", authority.with(|oauth| oauth.counts));
    // While nobody could refresh its client may have waited too long.
    assert!(answer.status == 200 || is_locked(), "{what}");
    // What both hold now can be spent: the newest was not written over.
    for round in 0..2 {
        authority.with(|oauth| oauth.revoke_all_access());
        for client in [&other, &first.client()] {
            serves(client, &url, &what).await;
        }
        let counts = authority.with(|oauth| oauth.counts);
        assert_eq!(
            (counts.refused, counts.families_revoked),
            (0, 0),
            "{what} {round}"
        );
    }
    let status = first.status("app");
    assert_eq!(status["requires_login"], false, "{what} {status}");
    in_the_middle
}

/// The first character of a process's state: `T` when it is stopped, `t` when a tracer holds it.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    after_name.unwrap_or_default()
}

async fn serves(client: &Client, url: &str, what: &str) {
    let begun = Instant::now();
    while client.get(url).await.status != 200 {
        assert!(begun.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
