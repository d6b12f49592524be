//! All five providers in one configuration, one proxy, at once, while tokens end, logins are renewed, and the hosts as
//! well as the proxy are killed and started again.

mod redirects;
mod tools;
mod trouble;
mod verdict;
mod world;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::support::{dice::Dice, gotrue::Tokens};

use self::{
    tools::{Entry, Ledger, Outcome},
    trouble::{Outages, Wants},
    world::{Tenant, World},
};

/// Tools of each tenant.
const TOOLS: u64 = 2;

fn seconds() -> u64 {
    let given = std::env::var("STAYSIGNED_SECONDS").ok();
    given.map_or(20, |text| {
        text.parse().expect("STAYSIGNED_SECONDS: a number")
    })
}

/// Not one tool is told that it is not signed in; where nothing was away, not one is told anything but its answer.
#[tokio::test(flavor = "multi_thread")]
async fn five_systems_at_once() {
    let mut dice = Dice::new();
    let world = World::start(dice.of(&[Tokens::First, Tokens::Second])).await;
    let ledger = Arc::new(Ledger::default());
    let outages = Arc::new(Outages::default());
    let mut tasks = Vec::new();
    for tenant in Tenant::ALL {
        for _ in 0..TOOLS {
            let (world, ledger) = (world.clone(), ledger.clone());
            tasks.push(tokio::spawn(tools::live(
                world,
                ledger,
                tenant,
                dice.another(),
            )));
        }
    }
    let mut troubles = Vec::new();
    for tenant in Tenant::ALL {
        let (world, ledger, outages) = (world.clone(), ledger.clone(), outages.clone());
        let dice = dice.another();
        troubles.push(tokio::spawn(trouble::of_tenant(
            world, ledger, outages, tenant, dice,
        )));
    }
    troubles.push(tokio::spawn(trouble::of_proxy(
        world.clone(),
        ledger.clone(),
        outages.clone(),
        dice.another(),
    )));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds());
    while Instant::now() < end && !troubles.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Tools go on until the last trouble is cured.
    ledger.calm.store(true, Ordering::Relaxed);
    let failed = settle(troubles).await;
    ledger.stop.store(true, Ordering::Relaxed);
    let failed = failed.or(settle(tasks).await);
    report(&ledger, &outages, begun.elapsed());
    assert_eq!(failed, None);
    let looked = verdict::judge(&world, &ledger);
    println!("{looked} requests at the hosts");
}

/// The first panic of the tasks, if there is one.
async fn settle(tasks: Vec<tokio::task::JoinHandle<()>>) -> Option<String> {
    let mut failed = None;
    for task in tasks {
        if let Err(error) = task.await {
            failed = failed.or(Some(error.to_string()));
        }
    }
    failed
}

/// Tells what happened, and fails at what must not have.
fn report(ledger: &Ledger, outages: &Outages, took: Duration) {
    let mut done = outages.done.lock().unwrap().clone();
    let troubles = done.len();
    done.sort();
    done.dedup();
    println!("{troubles} troubles, {} sorts", done.len());
    for tenant in Tenant::ALL {
        println!("{tenant:?}: {} good answers", ledger.count(tenant));
    }
    let outages = outages.all.lock().unwrap();
    let (mut denied, mut unexplained, mut excused) = (Vec::new(), Vec::new(), [0, 0]);
    let is_explained = |entry: &Entry, wants| {
        outages.iter().any(|outage| {
            let when = outage.excuses(entry.tenant, wants);
            when.is_some_and(|(begun, ended)| entry.begun < ended && begun < entry.ended)
        })
    };
    for entry in ledger.entries.lock().unwrap().iter() {
        let told = |said| {
            let took = entry.ended - entry.begun;
            format!("{:?} after {took:?}: {said}", entry.tenant)
        };
        match &entry.outcome {
            Outcome::Good => {}
            Outcome::Denied(said) => denied.push(told(said)),
            Outcome::Uncured(_) if is_explained(entry, Wants::Renewal) => excused[1] += 1,
            Outcome::Uncured(said) => denied.push(told(said)),
            Outcome::Failed(said) if is_explained(entry, wants(said)) => excused[0] += 1,
            Outcome::Failed(said) => unexplained.push(told(said)),
        }
    }
    for tenant in Tenant::ALL {
        let share = |wants| {
            let windows = outages.iter().filter_map(|o| o.excuses(tenant, wants));
            let share = covered(windows.collect()).as_secs_f64() / took.as_secs_f64();
            (share * 100.0).round()
        };
        let (answer, renewal) = (share(Wants::Answer), share(Wants::Renewal));
        println!(
            "{tenant:?}: {answer} % of the time a failure would be excused, {renewal} % a session that is not renewed"
        );
    }
    let [away, unrenewed] = excused;
    println!(
        "{away} requests failed while something was away, {unrenewed} while nothing could be renewed"
    );
    assert!(denied.is_empty(), "denied: {denied:#?}\n{unexplained:#?}");
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}

/// What a tool that had no answer wanted.
fn wants(said: &str) -> Wants {
    let asked = said.split(": ").next();
    match asked.is_some_and(|asked| asked.contains("/token")) {
        true => Wants::Token,
        false => Wants::Answer,
    }
}

/// How long at least one of these was.
fn covered(mut windows: Vec<(Instant, Instant)>) -> Duration {
    windows.sort();
    let mut sum = Duration::ZERO;
    let mut until: Option<Instant> = None;
    for (begun, ended) in windows {
        let begun = until.map_or(begun, |until| begun.max(until));
        sum += ended.saturating_duration_since(begun);
        until = until.max(Some(ended));
    }
    sum
}
