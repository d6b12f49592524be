//! `amazon-ads` while tokens come to their end by the clock: nobody hears of it, the API's host neither.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::Semaphore;

use super::{
    amazon::{URL, as_user, one, team},
    lwa::Amazon,
};
use crate::support::{client::eventually, proxy::Proxy};

const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that came with no good token: ended, or none at all.
fn refused(amazon: &Amazon) -> usize {
    amazon.with(|state| {
        state
            .asked
            .iter()
            .filter(|(name, _)| name.is_none())
            .count()
    })
}

/// Fifty clients of a user ask until its token was renewed so many times; returns how many requests that were.
async fn ask(proxy: &Proxy, amazon: &Amazon, name: &'static str, renewals: u64) -> usize {
    let clients = (0..50).map(|_| async {
        let client = as_user(proxy, name);
        let mut asked = 0;
        while amazon.calls(name) < renewals {
            client.get(URL).await.expect(200);
            asked += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        asked
    });
    join_all(clients).await.into_iter().sum()
}

/// 5.4.3: tokens of eight seconds, renewed when half of that is left, under a hundred clients that never stop: each is
/// renewed once, and none is used when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn short_tokens_are_renewed_ahead() {
    let amazon = Amazon::new(&["alice", "bob", "carol"]);
    for name in ["alice", "bob"] {
        amazon.user(name, |user| user.lasts = Some(Duration::from_secs(8)));
    }
    let (_sites, proxy, _) = team(&amazon).await;
    let begun = tokio::time::Instant::now();
    let (alice, bob) = tokio::join!(
        ask(&proxy, &amazon, "alice", 4),
        ask(&proxy, &amazon, "bob", 4)
    );
    let took = begun.elapsed();
    println!("{alice} and {bob} requests in {took:?}");
    assert!(alice > 200 && bob > 200, "{alice} {bob}");
    assert_eq!(refused(&amazon), 0);
    // The first for want of a token, the others when half of one's life was over.
    assert!(took > Duration::from_secs(11), "{took:?}");
    for name in ["alice", "bob"] {
        assert_eq!(amazon.user(name, |user| user.access.len()), 4, "{name}");
    }
}

/// 5.4.4: a hundred requests when both users' tokens have ended, because no refresh has been answered: they wait for the one
/// that there is, each for its own user's.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_expiry() {
    let amazon = Amazon::new(&["alice", "bob", "carol"]);
    let names = ["alice", "bob"];
    for name in names {
        amazon.user(name, |user| user.lasts = Some(Duration::from_secs(3)));
    }
    let (_sites, proxy, _) = team(&amazon).await;
    let answers = names.map(|_| Arc::new(Semaphore::new(0)));
    for (name, answer) in names.into_iter().zip(&answers) {
        as_user(&proxy, name).get(URL).await.expect(200);
        amazon.user(name, |user| {
            (user.lasts, user.held) = (None, Some(answer.clone()));
        });
    }
    eventually("both tokens end", PATIENCE, || {
        let over = |name| amazon.user(name, |user| user.is_over());
        names.into_iter().all(over).then_some(())
    })
    .await;
    let crowd = |name| {
        let all = (0..50).map(|_| {
            let client = as_user(&proxy, name);
            tokio::spawn(async move { client.get(URL).await.status.as_u16() })
        });
        join_all(all.collect::<Vec<_>>())
    };
    let [of_alice, of_bob] = names.map(crowd);
    eventually("both are asked for", PATIENCE, || {
        let asked = |name| amazon.calls(name) == 2;
        names.into_iter().all(asked).then_some(())
    })
    .await;
    // Bob's requests do not wait for alice.
    answers[1].add_permits(1);
    for status in of_bob.await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(amazon.calls("alice"), 2);
    answers[0].add_permits(1);
    for status in of_alice.await {
        assert_eq!(status.unwrap(), 200);
    }
    for name in names {
        assert_eq!(amazon.calls(name), 2, "{name}: one refresh for all");
    }
    assert_eq!(refused(&amazon), 0, "no ended token was sent");
}

fn time_of(status: &Value, name: &str) -> SystemTime {
    let text = status[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {status}"));
    OffsetDateTime::parse(text, &Rfc3339)
        .expect("a time")
        .into()
}

/// 5.4.3: an hour's token is renewed fifteen minutes before its end, as `status` says.
#[tokio::test(flavor = "multi_thread")]
async fn fifteen_minutes_ahead() {
    let (_amazon, _sites, proxy) = one().await;
    proxy.client().get(URL).await.expect(200);
    let status = proxy.status("ads");
    let ends = time_of(&status, "expires_at");
    let next = time_of(&status, "next_refresh_at");
    let ahead = ends.duration_since(next).expect("before the end");
    assert_eq!(ahead, Duration::from_secs(900), "{status}");
}
