//! SIGKILL at every system call of a rotation.
//!
//! One rotation is traced first: who calls what. Then one proxy for each of these calls dies right before it, and
//! what the next one finds is held to what the rules of the server allow.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use super::{warm, with, world};
use crate::support::{
    client::eventually,
    oauth::Policy,
    strace::{Strace, Thread, WRITES, Whom, threads},
};

/// How many proxies are killed at a time.
const AT_ONCE: usize = 4;

/// How long nothing more is called before a rotation counts as over: longer than a sync is put off.
const QUIET: Duration = Duration::from_millis(800);

/// How long a request may take whose proxy is killed meanwhile.
const CUT: Duration = Duration::from_secs(30);

/// Where the process dies: right before this call of this thread.
#[derive(Clone, Debug)]
struct Place {
    thread: Thread,
    call: usize,
}

/// How far the rotation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// The server was not asked.
    Nothing,
    /// It has rotated; what it answered is nowhere.
    Spent,
    /// The new grant is stored, and the client has no answer.
    Stored,
    /// The client has its answer.
    Answered,
}

/// With a server that takes a spent token for ten seconds more nobody is ever signed out. Every call that writes;
/// with `STAYSIGNED_EVERY_CALL=1` every call at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_call_of_a_rotation_signs_nobody_out() {
    let reached = sweep(&Policy::lifetime(600.0), 1).await;
    assert_eq!(reached.len(), 4, "{reached:?}");
}

/// With one that takes it once, lost is only what was answered and not yet stored, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_what_only_the_server_knows_and_says_so() {
    let reached = sweep(&Policy::lifetime(600.0).without_grace(), 2).await;
    assert_eq!(reached.len(), 4, "{reached:?}");
}

/// Kills at one call of so many, and says how often the rotation had come how far.
async fn sweep(policy: &Policy, step: usize) -> BTreeMap<Reached, usize> {
    let every = std::env::var_os("STAYSIGNED_EVERY_CALL").is_some();
    let (which, step) = if every { ("all", 1) } else { (WRITES, step) };
    let counts = calls(policy, which).await;
    println!("{counts:?}");
    let places = counts.into_iter().flat_map(|(thread, calls)| {
        (1..=calls).step_by(step).map(move |call| Place {
            thread: thread.clone(),
            call,
        })
    });
    let rounds = places.map(|place| round(policy, which, place));
    let mut reached = BTreeMap::new();
    let mut rounds = stream::iter(rounds).buffer_unordered(AT_ONCE);
    while let Some(one) = rounds.next().await {
        *reached.entry(one).or_default() += 1;
    }
    println!("{reached:?}");
    reached
}

/// The calls of one rotation, from the rejection until all is quiet, counted for each thread.
async fn calls(policy: &Policy, which: &str) -> BTreeMap<Thread, usize> {
    let (authority, site, pair) = world(policy.clone()).await;
    let proxy = with(&site, &pair, "").start().await;
    let url = site.url("/echo");
    let mut client = warm(&proxy, &url).await;
    let known = threads(proxy.pid());
    let log = proxy.path().join("calls.strace");
    let options = ["-e", &format!("trace={which}")];
    let strace = Strace::attach(&Whom::All(proxy.pid()), &options, &log).await;
    authority.with(|oauth| oauth.revoke_all_access());
    client.get(&url).await.unwrap().expect(200);
    let mut seen = (0, Instant::now());
    eventually("all is quiet", Duration::from_secs(60), || {
        // Threads look about at times, which is no news.
        let now = strace.calls().iter().filter(|call| is_write(call)).count();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        (seen.1.elapsed() > QUIET).then_some(())
    })
    .await;
    let mut counts = BTreeMap::new();
    for line in strace.detach().await {
        let id = line.split(' ').next().and_then(|id| id.parse().ok());
        let Some(thread) = id.and_then(|id: u32| known.get(&id)) else {
            continue;
        };
        // Those behind the first of a name come and go, and only read.
        if thread.number > 0 {
            continue;
        }
        if !["resumed>", "+++", "---"].iter().any(|s| line.contains(s)) {
            *counts.entry(thread.clone()).or_default() += 1;
        }
    }
    counts
}

fn is_write(line: &str) -> bool {
    let call = line.split_whitespace().nth(1).unwrap_or_default();
    let name = call.split('(').next().unwrap_or_default();
    WRITES.split(',').any(|write| write == name)
}

async fn round(policy: &Policy, which: &str, place: Place) -> Reached {
    let (authority, site, pair) = world(policy.clone()).await;
    let mut proxy = with(&site, &pair, "").start().await;
    let url = site.url("/echo");
    let mut client = warm(&proxy, &url).await;
    let Place { thread, call } = &place;
    let whom = Whom::One(proxy.pid(), thread.clone());
    let inject = format!("inject={which}:signal=KILL:when={call}");
    let log = proxy.path().join("kill.strace");
    let strace = Strace::attach(&whom, &["-e", &inject], &log).await;
    authority.with(|oauth| oauth.revoke_all_access());
    let answer = tokio::time::timeout(CUT, client.get(&url)).await;
    let answer = answer.unwrap_or_else(|_| panic!("{place:?}: neither an answer nor a death"));
    // Some calls come behind the answer, or not this time: then it dies now.
    proxy.kill();
    drop(strace);

    let status = proxy.status("app");
    let granted = authority.with(|oauth| oauth.counts.granted);
    let reached = match (granted, status["generation"].as_u64(), &answer) {
        (0, Some(1), Err(_)) => Reached::Nothing,
        (1, Some(1), Err(_)) => Reached::Spent,
        (1, Some(2), Err(_)) => Reached::Stored,
        (1, Some(2), Ok(_)) => Reached::Answered,
        other => panic!("{place:?}: {other:?} {status}"),
    };
    if let Ok(answer) = answer {
        answer.expect(200);
    }
    let used = || site.last().field("authorization").map(str::to_owned);
    let before = used();

    proxy.start().await;
    let answer = proxy.client().get(&url).await;
    let (counts, repeated) = authority.with(|oauth| (oauth.counts, oauth.repeated));
    let lost = reached == Reached::Spent && policy.grace.is_zero();
    let what = format!("{place:?} {reached:?} {counts:?} {}", answer.text());
    let status = proxy.status("app");
    if lost {
        // It may not have arrived, so it is tried once more; the server's answer to that is said.
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!((counts.granted, counts.refused), (1, 1), "{what}");
        assert_eq!(status["requires_login"], true, "{what} {status}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains("lost"), "{what} {status}");
        return reached;
    }
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(status["requires_login"], false, "{what} {status}");
    let again = u64::from(reached == Reached::Spent);
    assert_eq!((counts.granted, repeated), (1 + again, again), "{what}");
    assert_eq!((counts.refused, counts.families_revoked), (0, 0), "{what}");
    if reached == Reached::Answered {
        assert_eq!(
            used(),
            before,
            "{what}: what the client was told of is held"
        );
    }
    reached
}
