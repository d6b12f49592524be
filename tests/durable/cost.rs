//! What the proxy spends on learning: its own CPU time, with clients and origin elsewhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::header::{HeaderValue, SET_COOKIE};

use super::HOST;
use crate::{
    sessions::cookie_session,
    support::{
        cost::{a_request, measured},
        origin::origin,
        proxy::proxy,
        routes, tool,
    },
};

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
    a_request(&proxy, &site.url("/same"), EACH).await;
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let same = a_request(&proxy, &site.url("/same"), EACH).await;
        let new = a_request(&proxy, &site.url("/new"), EACH).await;
        let learnt = new.saturating_sub(same);
        println!("a request {same:?}, with a rotated cookie {new:?}: {learnt:?} for learning it");
        costs.push(learnt);
    }
    costs.sort_unstable();
    let median = costs[ROUNDS / 2];
    println!("median {median:?}");
    assert!(median < LEARNT, "{median:?} of CPU for each cookie");
}
