//! `pace`: a session's requests go at its rate, and who would wait too long is told when to come again.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{
    origin::origin,
    proxy::{bearer, proxy},
};

const HOST: &str = "paced.example.test";

fn session(pace: &str) -> String {
    let bind = format!("{{ host = \"{HOST}\" }}");
    bearer("paced", &bind, "TOKEN").replacen("bind", &format!("pace = \"{pace}\"\nbind"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_at_the_sessions_pace() {
    let (site, other) = (
        origin(&[HOST]).start().await,
        origin(&["other.example.test"]).start().await,
    );
    let proxy = proxy()
        .site(&site)
        .site(&other)
        .config(session("2/s"))
        .bearer("other", "other.example.test", "other")
        .env("TOKEN", "paced")
        .start()
        .await;
    let begun = Instant::now();
    let asked = (0..6).map(|number| {
        let client = if number % 2 == 0 {
            proxy.client()
        } else {
            proxy.client().h2()
        };
        let url = site.url("/");
        async move {
            client.get(&url).await.expect(200);
            begun.elapsed()
        }
    });
    let mut took = join_all(asked).await;
    took.sort();
    // Two at once, two a second later, two a second after those.
    for (took, least) in took.iter().zip([0, 0, 1, 1, 2, 2]) {
        assert!(*took >= Duration::from_secs(least), "{took:?} for {least}");
    }
    assert_eq!(site.seen().len(), 6);
    // A reload lets nobody go sooner, and other sessions are not held up.
    proxy.hangup().await;
    let begun = Instant::now();
    let (one, two) = (proxy.client(), proxy.client());
    let (mine, others) = (site.url("/"), other.url("/"));
    let asked = async {
        for _ in 0..3 {
            one.get(&mine).await.expect(200);
        }
        begun.elapsed()
    };
    let unpaced = async {
        for _ in 0..20 {
            two.get(&others).await.expect(200);
        }
    };
    let (took, ()) = tokio::join!(asked, unpaced);
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_wait_too_long_is_told_when_to_come() {
    let site = origin(&[HOST]).start().await;
    let proxy = proxy()
        .site(&site)
        .config(session("1/h"))
        .env("TOKEN", "paced")
        .start()
        .await;
    proxy.client().get(&site.url("/")).await.expect(200);
    let refused = proxy.client().get(&site.url("/")).await.expect(503);
    let after: u64 = refused.field("retry-after").expect("when").parse().unwrap();
    assert!((3500..=3600).contains(&after), "{after}");
    let status = refused.field("proxy-status").expect("why");
    assert!(status.contains("connection_limit_reached"), "{status}");
    assert!(refused.text().contains("pace"), "{}", refused.text());
    assert_eq!(site.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn paces_that_are_none_are_refused_with_a_hint() {
    for (pace, word) in [("fast", "slash"), ("0/s", "from 1"), ("2/week", "2/s")] {
        let proxy = proxy().config(session(pace)).env("TOKEN", "x").prepare();
        let output = proxy.cli(&["check"]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("session.paced.pace") && said.contains(word),
            "{said}"
        );
    }
}
