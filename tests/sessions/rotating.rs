//! Sites that rotate their cookie on every response.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::Request;
use tokio::sync::Semaphore;

use crate::support::{
    beside::beside,
    client::eventually,
    origin::{Origin, empty},
    proxy::{Proxy, proxy},
    rotating::{Manner, Rotating, dead_site},
    routes,
};

use super::{Crowd, cookie_session, import};

const HOST: &str = "site.example.test";

/// The site, and a proxy that does not run yet: a person has imported the browser's cookie.
async fn imported(rotating: &Rotating, more: &str) -> (Origin, Proxy) {
    let site = rotating.site(HOST).start().await;
    let config = cookie_session(HOST, more);
    let proxy = proxy().site(&site).config(config).prepare();
    import(&proxy, rotating, HOST);
    (site, proxy)
}

/// Promise 2 in serial mode: 16 parallel clients at a site that ends the session at a value more than one generation
/// old, and not one 401.
#[tokio::test(flavor = "multi_thread")]
async fn serial_sessions_survive_rotation_on_every_answer() {
    let rotating = Rotating::new(Manner::Strict);
    let (site, mut proxy) = imported(&rotating, "concurrency = \"serial\"").await;
    proxy.start().await;
    let crowd = Crowd::new(&proxy.client(), 16, &site.url("/"));
    crowd.each_answered(100).await;
    let [good, unauthorized, other, failed] = crowd.stop().await.all();
    println!("{good} requests, each with a cookie of its own");
    assert_eq!((unauthorized, other, failed), (0, 0, 0));
    rotating.with(|state| {
        assert!(!state.ended);
        assert_eq!((state.rejected, state.behind), (0, 0));
        assert_eq!(state.values.len() as u64, state.accepted + 1);
    });
    let status = proxy.status("site");
    assert_eq!(status["state"], "fresh", "{status}");
}

/// A turn ends with the head: while one body is on its way, others are asked for and answered.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_serial_sessions_overlap() {
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let rotating = Rotating::new(Manner::Strict);
    let site = rotating.site(HOST).before(move |request| {
        let gate = opens.clone();
        async move {
            match request.uri().path() {
                "/slow" => Ok(routes::gated("text/plain", "first".into(), gate)),
                _ => Err(request),
            }
        }
    });
    let site = site.start().await;
    let config = cookie_session(HOST, "concurrency = \"serial\"");
    let mut proxy = proxy().site(&site).config(config).prepare();
    import(&proxy, &rotating, HOST);
    proxy.start().await;
    for client in [proxy.client(), proxy.client().h2()] {
        let request = Request::get(site.url("/slow")).body(empty()).unwrap();
        let slow = client.start(request).await.unwrap();
        for _ in 0..3 {
            client.get(&site.url("/")).await.expect(200);
        }
        routes::ungate(slow.into_body(), &gate).await;
    }
    rotating.with(|state| assert!(!state.ended));
}

/// As before, with two processes on one store: one of them sends at a time, with what the other learnt.
#[tokio::test(flavor = "multi_thread")]
async fn serial_sessions_are_serial_across_processes() {
    let rotating = Rotating::new(Manner::Strict);
    let (site, mut first) = imported(&rotating, "concurrency = \"serial\"").await;
    first.start().await;
    let (_second, client) = beside(&first).await;
    let crowds = [first.client(), client].map(|client| Crowd::new(&client, 4, &site.url("/")));
    for crowd in &crowds {
        crowd.each_answered(10).await;
    }
    for crowd in crowds {
        let [_, unauthorized, other, failed] = crowd.stop().await.all();
        assert_eq!((unauthorized, other, failed), (0, 0, 0));
    }
    rotating.with(|state| {
        assert_eq!((state.ended, state.rejected, state.behind), (false, 0, 0));
    });
}

/// The turn of a process that is killed is free, whether it was sending or kept it for its next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_owner_leaves_the_turn() {
    let rotating = Rotating::new(Manner::Strict);
    let (site, mut first) = imported(&rotating, "concurrency = \"serial\"").await;
    first.start().await;
    let (_second, client) = beside(&first).await;
    for sending in [false, true] {
        first.client().get(&site.url("/")).await.expect(200);
        let asked = rotating.with(|state| {
            state.work = Duration::from_secs(if sending { 3600 } else { 0 });
            state.accepted
        });
        if sending {
            let (one, url) = (first.client(), site.url("/"));
            tokio::spawn(async move { one.get(&url).await });
            let arrived = || rotating.with(|state| (state.accepted > asked).then_some(()));
            eventually("the site is asked", Duration::from_secs(20), arrived).await;
        }
        first.kill();
        rotating.with(|state| state.work = Duration::ZERO);
        let begun = std::time::Instant::now();
        let answer = client.get(&site.url("/")).await;
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{took:?}, sending: {sending}"
        );
        // Nobody has heard what the killed one's request rotated: the value before is taken once more.
        answer.expect(200);
        if !sending {
            first.start().await;
        }
    }
}

/// A client that leaves while the answer is on its way takes nothing with it: the answer's cookie is kept all the same.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_lose_no_rotation() {
    for h2 in [false, true] {
        let rotating = Rotating::new(Manner::Strict);
        let (site, mut proxy) = imported(&rotating, "concurrency = \"serial\"").await;
        proxy.start().await;
        rotating.with(|state| state.work = Duration::from_millis(500));
        for round in 1..=3 {
            let client = if h2 {
                proxy.client().h2()
            } else {
                proxy.client()
            };
            let url = site.url("/");
            let leaving = tokio::spawn(async move { client.get(&url).await });
            let asked = || rotating.with(|state| (state.accepted == round).then_some(()));
            eventually("the site is asked", Duration::from_secs(20), asked).await;
            leaving.abort();
            assert!(leaving.await.is_err(), "it left before the answer");
        }
        proxy.client().get(&site.url("/")).await.expect(200);
        rotating.with(|state| {
            let harm = (state.ended, state.rejected, state.behind);
            assert_eq!(harm, (false, 0, 0), "{h2}");
        });
    }
}

/// The rotated value survives a stop: the next process goes on with the last one.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_survives_a_restart() {
    let rotating = Rotating::new(Manner::Strict);
    let (site, mut proxy) = imported(&rotating, "concurrency = \"serial\"").await;
    for _ in 0..3 {
        proxy.start().await;
        for _ in 0..5 {
            let answer = proxy.client().get(&site.url("/")).await.expect(200);
            assert_eq!(
                answer.field("set-cookie"),
                None,
                "the jar's cookies are the session's own"
            );
        }
        proxy.signal(rustix::process::Signal::TERM);
        assert!(proxy.wait(Duration::from_secs(20)).await.success());
    }
    assert_eq!(
        rotating.with(|state| (state.accepted, state.rejected, state.behind)),
        (15, 0, 0)
    );
}

/// A pasted `Cookie` line says neither domain nor path: the first rotated cookie takes its place, wherever it is for.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_replaces_what_was_pasted() {
    for running in [false, true] {
        let rotating = Rotating::new(Manner::Strict);
        let site = rotating.site(HOST).start().await;
        let mut proxy = proxy()
            .site(&site)
            .config(cookie_session(HOST, "concurrency = \"serial\""))
            .prepare();
        if running {
            proxy.start().await;
        }
        let import = [
            "import",
            "site",
            "--from",
            "header",
            "--domain",
            "example.test",
        ];
        let output = proxy.cli_with(&import, &format!("Cookie: sid={}", rotating.newest()));
        assert!(output.status.success(), "{output:?}");
        if !running {
            proxy.start().await;
        }
        for _ in 0..3 {
            proxy.client().get(&site.url("/")).await.expect(200);
            let cookie = site.last().field("cookie").expect("a cookie").to_owned();
            assert!(!cookie.contains("; "), "{cookie}");
        }
        proxy.kill();
        proxy.start().await;
        proxy.client().get(&site.url("/")).await.expect(200);
        assert_eq!(
            rotating.with(|state| (state.accepted, state.rejected, state.behind)),
            (4, 0, 0)
        );
    }
}

/// In parallel mode the milder site's session lives; how often a client sees its 401 is measured, not promised.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_mode_is_measured() {
    let rotating = Rotating::new(Manner::Mild);
    let (site, mut proxy) = imported(&rotating, "").await;
    proxy.start().await;
    let crowd = Crowd::new(&proxy.client(), 16, &site.url("/"));
    crowd.each_answered(60).await;
    let [good, unauthorized, other, failed] = crowd.stop().await.all();
    let total = good + unauthorized;
    println!(
        "parallel mode, 16 clients, a cookie for every answer: {unauthorized} of {total} requests saw a 401 ({:.2} %); \
         the origin said 401 {} times",
        100.0 * unauthorized as f64 / total as f64,
        rotating.with(|state| state.rejected),
    );
    assert_eq!((other, failed), (0, 0));
    assert!(good > 0, "of {total}");
    proxy.client().get(&site.url("/")).await.expect(200);
}

/// Promise 6: a dead session at a site that sets another cookie on every 401 causes one refresh, then the cooldown.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_session_has_a_cooldown() {
    let site = dead_site(HOST).start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(format!(
            "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n\
             [session.site.cookies]\nrequired = [\"sid\"]\n\
             [session.site.refresh]\nkind = \"http\"\n\
             [[session.site.refresh.steps]]\nrequest = {{ method = \"POST\", url = \"https://{HOST}/login\" }}\n",
        ))
        .prepare();
    import(&proxy, &Rotating::new(Manner::Strict), HOST);
    proxy.start().await;
    let url = site.url("/page");
    for _ in 0..4 {
        let answers = join_all((0..10).map(|_| {
            let (client, url) = (proxy.client(), &url);
            async move { client.get(url).await.status.as_u16() }
        }))
        .await;
        assert_eq!(answers, [401; 10]);
    }
    let seen = site.seen();
    let logins = seen.iter().filter(|seen| seen.path == "/login").count();
    let pages = seen.iter().filter(|seen| seen.path == "/page").count();
    assert_eq!(logins, 1, "one refresh, then the cooldown");
    assert!(pages <= 40 + 10, "{pages} requests for 40");
}
