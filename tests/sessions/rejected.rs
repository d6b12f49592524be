//! What counts as a rejection beside 401: redirects to a login, pages in the place of answers, empty results.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use tokio::sync::Semaphore;

use crate::support::{
    canary::canary,
    origin::{Origin, Reply, empty, full, origin},
    proxy::{Proxy, proxy},
    routes,
};

const HOST: &str = "site.example.test";

/// A site that shows itself to strangers in its own way; `/login` makes the visitor known.
struct Site {
    known: Arc<AtomicBool>,
    /// Whether a login makes the visitor known at all.
    forgetful: Arc<AtomicBool>,
    logins: Arc<AtomicU64>,
    origin: Origin,
}

impl Site {
    async fn new(stranger: fn() -> Reply) -> Self {
        let (known, logins) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let forgetful = Arc::new(AtomicBool::new(false));
        let state = (known.clone(), forgetful.clone(), logins.clone());
        let origin = origin(&[HOST])
            .handler(move |request| {
                let (known, forgetful, logins) = state.clone();
                async move {
                    if request.uri().path() == "/login" && request.method() == "POST" {
                        logins.fetch_add(1, Ordering::Relaxed);
                        known.store(!forgetful.load(Ordering::Relaxed), Ordering::Relaxed);
                        let mut reply = routes::text("signed in");
                        let cookie = format!("sid={}; Path=/; Secure", canary("sid"));
                        reply
                            .headers_mut()
                            .insert(header::SET_COOKIE, cookie.parse().unwrap());
                        return Ok(reply);
                    }
                    if known.load(Ordering::Relaxed) {
                        Err(request)
                    } else {
                        Ok(stranger())
                    }
                }
            })
            .start()
            .await;
        Self {
            known,
            forgetful,
            logins,
            origin,
        }
    }

    async fn proxy(&self, rules: &str) -> Proxy {
        let config = format!(
            "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n[session.site.cookies]\nrequired = [\"sid\"]\n{rules}\n\
             [session.site.refresh]\nkind = \"http\"\n[[session.site.refresh.steps]]\n\
             request = {{ method = \"POST\", url = \"https://{HOST}/login\" }}\n"
        );
        let proxy = proxy().site(&self.origin).config(config).start().await;
        // The first login, because nothing was held.
        proxy
            .client()
            .get(&self.origin.url("/gate"))
            .await
            .expect(200);
        assert_eq!(self.logins.swap(0, Ordering::Relaxed), 1);
        proxy
    }

    fn forget(&self) {
        self.known.store(false, Ordering::Relaxed);
    }
}

/// A rule, a site that answers strangers so, and a login that mends it: the client sees only the right answer.
#[tokio::test(flavor = "multi_thread")]
async fn rules_find_rejections() {
    let cases: [(&str, fn() -> Reply, &str); 5] = [
        (
            "a redirect to the login",
            || {
                let mut reply = routes::reply(StatusCode::FOUND, empty());
                reply
                    .headers_mut()
                    .insert(header::LOCATION, "../auth/login?next=%2F".parse().unwrap());
                reply
            },
            "[[session.site.rejected]]\nstatus = [302]\nlocation = \"*/login*\"",
        ),
        (
            "a page in the place of a file",
            || routes::html("<html><body>Please sign in</body></html>"),
            "[[session.site.rejected]]\nstatus = [200]\ncontent_type_not = \"application/octet-stream\"\n\
             body = \"(?i)please sign in\"",
        ),
        (
            "a field of JSON",
            || routes::json(200, &serde_json::json!({ "user": { "anonymous": true } })),
            "[[session.site.rejected]]\nstatus = [200]\njson = { \"/user/anonymous\" = true }",
        ),
        (
            "an empty list",
            || routes::json(200, &serde_json::json!([])),
            "[[session.site.rejected]]\nstatus = [200]\njson = { \"\" = [] }",
        ),
        (
            "a 403",
            || routes::reply(StatusCode::FORBIDDEN, empty()),
            "[[session.site.rejected]]\nstatus = [403]",
        ),
    ];
    for (what, stranger, rule) in cases {
        let site = Site::new(stranger).await;
        let proxy = site.proxy(rule).await;
        for client in [proxy.client(), proxy.client().h2()] {
            site.forget();
            let answer = client.get(&site.origin.url("/bytes/50000/3")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body.len()),
                (200, 50_000),
                "{what}: {answer:?}"
            );
            assert_eq!(site.logins.swap(0, Ordering::Relaxed), 1, "{what}");
        }
        // Other methods than GET and HEAD are no reason, unless the rule says so.
        site.forget();
        proxy.client().post(&site.origin.url("/upload"), "x").await;
        assert_eq!(site.logins.load(Ordering::Relaxed), 0, "{what}: a POST");
    }
}

/// `confirm`: the same answer again after a refresh is believed, and causes no further one.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_answer_is_believed() {
    let site = Site::new(|| routes::text("never")).await;
    let broke = origin(&["credits.example.test"])
        .handler(|_| async { Ok(routes::json(200, &serde_json::json!({ "credits": 0 }))) })
        .start()
        .await;
    let config = format!(
        "[session.site]\nbind = [{{ host = \"{HOST}\" }}, {{ host = \"credits.example.test\" }}]\n\
         [session.site.cookies]\nrequired = [\"sid\"]\n\
         [[session.site.rejected]]\nstatus = [200]\njson = {{ \"/credits\" = 0 }}\nconfirm = true\n\
         [session.site.refresh]\nkind = \"http\"\ncooldown = \"0s\"\n[[session.site.refresh.steps]]\n\
         request = {{ method = \"POST\", url = \"https://{HOST}/login\" }}\n"
    );
    let proxy = proxy()
        .site(&site.origin)
        .site(&broke)
        .config(config)
        .start()
        .await;
    for _ in 0..5 {
        let answer = proxy.client().get(&broke.url("/credits")).await.expect(200);
        assert_eq!(answer.json()["credits"], 0);
    }
    let logins = site.logins.load(Ordering::Relaxed);
    assert!(
        logins <= 2,
        "{logins}: one to have something, one because of the first answer"
    );
    assert!(broke.seen().len() <= 6, "{} requests", broke.seen().len());
}

/// `again = "fail"`: an answer that matches after the refresh too becomes a 502, not a wrong file.
#[tokio::test(flavor = "multi_thread")]
async fn still_rejected_can_be_a_failure() {
    let site = Site::new(|| routes::html("Please sign in")).await;
    let rule = "[[session.site.rejected]]\nstatus = [200]\nbody = \"(?i)please sign in\"\nagain = \"fail\"";
    let proxy = site.proxy(rule).await;
    // From now on no login is remembered.
    site.forgetful.store(true, Ordering::Relaxed);
    site.forget();
    let answer = proxy.client().get(&site.origin.url("/gate")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.field("proxy-status").is_some());
    assert_eq!(site.logins.load(Ordering::Relaxed), 1, "one more attempt");
}

/// Promise 5 under a body rule: events and bytes are not looked at, slow text no longer than `inspect_wait`, and what
/// cannot become the page any more not even that long. The origin sends the second piece only when the first arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_rule_holds_nothing_back() {
    let rule = "[[session.site.rejected]]\nstatus = [200]\nbody = \"(?i)please sign in\"\n[session.site.refresh]\nkind = \"none\"";
    let page = Bytes::from_static(b"<p>please, wait: ");
    let many = Bytes::from(vec![b'x'; 600_000]);
    for (what, kind, first, wait) in [
        ("events", "text/event-stream", &page, "1h"),
        ("bytes", "application/octet-stream", &page, "1h"),
        ("more text than may be looked at", "text/plain", &many, "1h"),
        (
            "text that could still become it",
            "text/html",
            &page,
            "700ms",
        ),
    ] {
        let gate = Arc::new(Semaphore::new(0));
        let (opened, first) = (gate.clone(), first.clone());
        let site = origin(&[HOST])
            .handler(move |_| {
                let (first, gate) = (first.clone(), gate.clone());
                async move { Ok(routes::gated(kind, first, gate)) }
            })
            .start()
            .await;
        let proxy = proxy()
            .site(&site)
            .config(format!(
                "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ token = \"env:T\" }}\n\
                 [[session.site.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
                 {rule}\n[limits]\ninspect_wait = \"{wait}\""
            ))
            .env("T", "t")
            .start()
            .await;
        for client in [proxy.client(), proxy.client().h2()] {
            let begun = Instant::now();
            let request = Request::get(site.url("/")).body(empty()).unwrap();
            let body = client.start(request).await.unwrap().into_body();
            routes::ungate(body, &opened).await;
            assert!(
                wait == "1h" || begun.elapsed() >= Duration::from_millis(700),
                "{what}: it was not looked at"
            );
        }
    }
}

/// A rule about bodies sees them: what the client alone could read is not asked for, where such a rule could apply, and
/// nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_coding_of_the_client_alone_is_not_passed_on() {
    /// zstd of `please sign in`, in one raw block (RFC 8878 §3.1.1).
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x20\x0e\x71\x00\x00please sign in";
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let site = origin(&[HOST])
        .handler(move |request: Request<hyper::body::Incoming>| {
            let accepts = request.headers().get(header::ACCEPT_ENCODING);
            let accepts = accepts.map_or("none", |value| value.to_str().unwrap());
            let path = request.uri().path();
            seen.lock()
                .unwrap()
                .push(format!("{} {path}: {accepts}", request.method()));
            let mut reply = routes::html("please sign in");
            if accepts.contains("zstd") {
                *reply.body_mut() = full(ZSTD);
                let coding = "zstd".parse().unwrap();
                reply.headers_mut().insert(header::CONTENT_ENCODING, coding);
            }
            async move { Ok(reply) }
        })
        .start()
        .await;
    let config = format!(
        "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ token = \"env:T\" }}\n\
         [[session.site.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
         [[session.site.rejected]]\nstatus = [200]\npath = \"/api/*\"\nbody = \"sign in\"\nagain = \"fail\"\n"
    );
    let proxy = proxy()
        .site(&site)
        .config(config)
        .env("T", "t")
        .start()
        .await;
    for client in [proxy.client(), proxy.client().h2()] {
        for (method, path, accepts, sent, status) in [
            (
                "GET",
                "/api/1",
                "gzip, deflate, br, zstd",
                "gzip, deflate, br",
                502,
            ),
            ("GET", "/api/2", "zstd;q=1.0,br; q=0.5", "br; q=0.5", 502),
            ("GET", "/api/3", "zstd", "identity", 502),
            ("GET", "/api/4", "gzip ,BR", "gzip ,BR", 502),
            // Where the rule says nothing, nothing is changed.
            ("GET", "/files/1", "gzip, zstd", "gzip, zstd", 200),
            ("POST", "/api/5", "gzip, zstd", "gzip, zstd", 200),
            ("HEAD", "/api/6", "gzip, zstd", "gzip, zstd", 200),
        ] {
            asked.lock().unwrap().clear();
            let request = Request::builder().method(method).uri(site.url(path));
            let request = request.header(header::ACCEPT_ENCODING, accepts);
            let answer = client.send(request.body(empty()).unwrap()).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}");
            let asked = asked.lock().unwrap().join("\n");
            assert_eq!(asked, format!("{method} {path}: {sent}"));
        }
    }
}

/// What `again = "fail"` did not come to see is passed on, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_came_to_see_says_so() {
    for (again, told) in [("fail", true), ("pass", false)] {
        let site = origin(&[HOST])
            .handler(|_| async {
                Ok(routes::html(Box::leak(
                    "x".repeat(300_000).into_boxed_str(),
                )))
            })
            .start()
            .await;
        let config = format!(
            "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ token = \"env:T\" }}\n\
             [[session.site.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
             [[session.site.rejected]]\nstatus = [200]\nbody = \"sign in\"\nagain = \"{again}\"\n"
        );
        let proxy = proxy()
            .site(&site)
            .config(config)
            .env("T", "t")
            .start()
            .await;
        let answer = proxy.client().get(&site.url("/")).await.expect(200);
        assert_eq!(answer.body.len(), 300_000);
        let says = answer.field("proxy-status");
        assert_eq!(
            says.is_some_and(|says| says.contains("could tell")),
            told,
            "{says:?}"
        );
    }
}
