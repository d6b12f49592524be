//! `supabase`: a project and an app, with the rules of GoTrue; what the clients send, and what makes a refresh.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client, eventually},
    gotrue::{Exp, Tokens},
    origin::{Body, Origin, full},
    project::{APIKEY, APP, Fault, PROJECT, Project, bound},
    proxy::{Proxy, proxy},
    routes::websocket_accept,
    wire::{Wire, field, status},
};

/// A project with an app, as the provider's file describes it.
pub fn session(more: &str) -> String {
    let bound = bound();
    format!(
        r#"
[session.app]
provider = "supabase"
values = {{ host = "{PROJECT}", apikey = "{APIKEY}" }}
secrets = {{ access_token = "env:ACCESS", refresh_token = "env:REFRESH" }}
{bound}[[session.app.inject]]
json = "/a/0/token"
value = "{{{{ access_token }}}}"
mode = "if_present"
[session.app.refresh]
{more}
"#
    )
}

pub struct Bench {
    pub project: Project,
    pub site: Origin,
    pub app: Origin,
    pub proxy: Proxy,
    pub client: Client,
    /// What the session was started with.
    pub first: Value,
}

impl Bench {
    pub async fn new(project: Project, more: &str) -> Self {
        let first = project.with(|state| state.rules.login());
        let (site, app) = (project.site().start().await, project.app().start().await);
        let text = |field: &str| first[field].as_str().expect("a token").to_owned();
        let proxy = proxy()
            .site(&site)
            .site(&app)
            .env("ACCESS", &text("access_token"))
            .env("REFRESH", &text("refresh_token"))
            .config(session(more))
            .start()
            .await;
        Self {
            client: proxy.client(),
            project,
            site,
            app,
            proxy,
            first,
        }
    }

    pub async fn usual() -> Self {
        Self::new(Project::new(), "").await
    }

    pub async fn get(&self, origin: &Origin, path: &str) -> Answer {
        let request = Request::get(origin.url(path)).header("apikey", APIKEY);
        self.client.send(request.body(full("")).unwrap()).await
    }

    async fn credits(&self) -> u64 {
        let answer = self.get(&self.app, "/api/users/credits").await.expect(200);
        answer.json()["credits"].as_u64().expect("a number")
    }

    /// The body that came to `/auth/verify`.
    async fn verify(&self, media: &str, coding: Option<&str>, body: Body) -> Vec<u8> {
        let mut request = Request::post(self.app.url("/auth/verify")).header("content-type", media);
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        self.client
            .send(request.body(body).unwrap())
            .await
            .expect(200);
        let asked = self.project.asked("/auth/verify").pop().expect("a request");
        if media == "application/json" {
            let length = asked.headers["content-length"].to_str().unwrap();
            assert_eq!(length, asked.body.len().to_string());
        }
        asked.body.to_vec()
    }

    pub fn revoke(&self) {
        self.project.with(|state| state.rules.revoke_access());
    }

    pub fn newest(&self) -> String {
        self.project.with(|state| {
            let session = state.rules.sessions.first().expect("a login");
            session.chain.last().expect("a token").0.clone()
        })
    }

    fn revoked(&self) -> u64 {
        self.project
            .with(|state| state.rules.counts.families_revoked)
    }
}

/// 3.4.1: whatever bearer the client has, the project's key included, the real one goes out; the apikey is the client's.
#[tokio::test(flavor = "multi_thread")]
async fn decoys_become_the_real_token() {
    let bench = Bench::usual().await;
    for decoy in ["decoy", APIKEY] {
        let request = Request::get(bench.site.url("/rest/v1/todos"))
            .header("apikey", APIKEY)
            .header("authorization", format!("Bearer {decoy}"));
        bench
            .client
            .send(request.body(full("")).unwrap())
            .await
            .expect(200);
        let asked = bench.project.asked("/rest/").pop().unwrap();
        let bearer = format!("Bearer {}", bench.first["access_token"].as_str().unwrap());
        assert_eq!(asked.headers["authorization"], bearer);
        assert_eq!(asked.headers["apikey"], APIKEY);
    }
}

/// 3.4.2: the token in a body is exchanged where it stands, and all else stays to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_bodies() {
    const JSON: &str = "application/json";
    let bench = Bench::usual().await;
    let real = bench.first["access_token"].as_str().unwrap().to_owned();
    let long = "x".repeat(2 << 20);
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let chunked = |text: &str| -> Body {
        use http_body_util::BodyExt as _;
        let (one, two) = text.split_at(text.len() / 2);
        let frames = [one, two].map(|part| Ok(Frame::data(Bytes::from(part.to_owned()))));
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    };
    let text = |token: &str| format!("{{\"z\":1.50, \"token\":\"{token}\",\n \"a\":\"\\u00e9\"}}");
    let big = |token: &str| format!("{{\"token\":\"{token}\",\"x\":\"{long}\"}}");
    let deep = |token: &str| format!("{{\"a\":[{{\"token\":\"{token}\"}},{{\"token\":\"b\"}}]}}");
    let cases = [
        (JSON, None, full(text("decoy")), text(&real)),
        (JSON, None, chunked(&text("decoy")), text(&real)),
        (JSON, None, full(big("decoy")), big(&real)),
        (JSON, Some("gzip"), full(gzip(&text("decoy"))), text(&real)),
        (JSON, None, full(deep("decoy")), deep(&real)),
        // Nothing is put where the client has put nothing, nor into what is no JSON.
        (
            JSON,
            None,
            full("{\"other\":1}"),
            "{\"other\":1}".to_owned(),
        ),
        (JSON, None, full("{\"token\":"), "{\"token\":".to_owned()),
        (
            JSON,
            None,
            full("{\"note\":\"my token: decoy\"}"),
            "{\"note\":\"my token: decoy\"}".to_owned(),
        ),
        ("text/plain", None, full(text("decoy")), text("decoy")),
    ];
    for (media, coding, body, expected) in cases {
        let got = bench.verify(media, coding, body).await;
        let shown: String = expected.chars().take(40).collect();
        assert!(got == expected.as_bytes(), "{media} {coding:?} {shown}");
    }
}

/// 3.4.3: a token is renewed before it ends, whatever its `exp` looks like, and however wrong the server's clock is.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_ahead() {
    for exp in [Exp::Number, Exp::Float, Exp::Text, Exp::None, Exp::Opaque] {
        let project = Project::new();
        project.with(|state| (state.rules.exp, state.rules.lifetime) = (exp, 3));
        let bench = Bench::new(project, "").await;
        // A first answer tells how long it lives, whatever the token itself says.
        bench.revoke();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let rejected = bench.proxy.status("app")["counters"]["rejected"].as_u64();
        assert_eq!(rejected, Some(1), "{exp:?}");
        assert!(bench.project.refreshes() >= 3, "{exp:?}");
        assert_eq!(bench.revoked(), 0);
    }
    for skew in [300, -300] {
        let project = Project::new();
        project.with(|state| (state.rules.skew, state.rules.lifetime) = (skew, 60));
        let bench = Bench::new(project, "").await;
        for _ in 0..20 {
            bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
        }
        assert!(bench.project.refreshes() <= 1, "{skew}");
    }
}

/// 3.4.4: what says that the token is bad causes one refresh and one repetition; what says that it is not enough, none.
#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_for_a_bad_token_none_for_a_forbidden_row() {
    let bench = Bench::usual().await;
    let dated = |path: &str| {
        let request = Request::get(bench.site.url(path)).header("apikey", APIKEY);
        let request = request.header("x-supabase-api-version", "2024-01-01");
        bench.client.send(request.body(full("")).unwrap())
    };
    bench.revoke();
    bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
    bench.revoke();
    bench.get(&bench.site, "/auth/v1/user").await.expect(200);
    bench.revoke();
    dated("/auth/v1/user").await.expect(200);
    assert_eq!(bench.project.refreshes(), 3);
    let asked = bench.project.asked("/rest/v1/todos").len();
    assert_eq!(asked, 2);
    bench.get(&bench.site, "/rest/v1/secrets").await.expect(403);
    assert_eq!(bench.project.refreshes(), 3);
    assert_eq!(bench.project.asked("/rest/v1/secrets").len(), 1);
}

/// 3.4.5: the app forgets without a word, and the session is cured; an honest zero is believed after one look, until it is
/// none any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_death_is_cured_and_an_honest_zero_believed() {
    let bench = Bench::usual().await;
    assert_eq!(bench.credits().await, 57);
    bench.project.with(|state| state.restart());
    assert_eq!(bench.credits().await, 57);
    assert_eq!(bench.project.refreshes(), 1);
    assert_eq!(bench.project.asked("/api/users/credits").len(), 3);

    bench.project.with(|state| state.credits = 0);
    for _ in 0..51 {
        assert_eq!(bench.credits().await, 0);
    }
    assert_eq!(bench.project.refreshes(), 2);
    assert_eq!(bench.project.asked("/api/users/credits").len(), 3 + 2 + 50);

    // Once it was another number, a zero is asked about anew.
    bench.project.with(|state| state.credits = 57);
    assert_eq!(bench.credits().await, 57);
    bench.project.with(|state| state.restart());
    assert_eq!(bench.credits().await, 57);
    assert_eq!(bench.project.refreshes(), 3);
}

/// 3.4.6: after a vain recovery another trigger causes none until the cooldown is over, also across a restart. (A clock that
/// goes back: `the_pause_survives_a_restart_and_a_clock_that_went_back`.)
#[tokio::test(flavor = "multi_thread")]
async fn two_triggers_one_recovery() {
    let mut bench = Bench::new(Project::new(), "cooldown = \"8s\"").await;
    bench.project.with(|state| state.credits = 0);
    assert_eq!(bench.credits().await, 0);
    let begun = std::time::Instant::now();
    bench.revoke();
    bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
    assert_eq!(bench.project.refreshes(), 1);
    bench.proxy.kill();
    bench.proxy.start().await;
    bench.client = bench.proxy.client();
    bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
    assert!(begun.elapsed() < Duration::from_secs(8), "too slow to tell");
    assert_eq!(bench.project.refreshes(), 1);
    tokio::time::sleep(Duration::from_secs(9).saturating_sub(begun.elapsed())).await;
    bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
    assert_eq!(bench.project.refreshes(), 2);
}

/// 3.4.7: fifty at once cause one refresh; an answer that was lost after the commit is asked for again with the same token.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_rejections_one_refresh() {
    for tokens in [Tokens::First, Tokens::Second] {
        let project = Project::new();
        project.with(|state| {
            state.rules.tokens = tokens;
            state.rules.interval = Duration::ZERO;
            state.delay = Duration::from_millis(200);
        });
        let bench = Bench::new(project, "").await;
        bench.revoke();
        let all = (0..50).map(|_| bench.get(&bench.site, "/rest/v1/todos"));
        for answer in join_all(all).await {
            answer.expect(200);
        }
        assert_eq!((bench.project.refreshes(), bench.revoked()), (1, 0));

        bench.revoke();
        bench
            .project
            .with(|state| state.faults.push_back(Fault::ResetAfterCommit));
        bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
        let counts = bench.project.with(|state| state.rules.counts);
        assert_eq!((counts.reused, counts.families_revoked), (1, 0));
        assert_eq!(bench.project.refreshes(), 3);
    }
}

/// 3.4.8: killed between the answer and its storing, the old token works once more; killed after it, the new one does.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing() {
    for tokens in [Tokens::First, Tokens::Second] {
        let project = Project::new();
        project.with(|state| {
            state.rules.tokens = tokens;
            state.rules.interval = Duration::ZERO;
            let silence = Fault::SilenceAfterCommit(Duration::from_secs(60));
            state.faults.push_back(silence);
        });
        let mut bench = Bench::new(project, "").await;
        let before = bench.newest();
        bench.revoke();
        let url = bench.site.url("/rest/v1/todos");
        let waiting = tokio::spawn({
            let request = Request::get(url).header("apikey", APIKEY);
            let request = request.body(full("")).unwrap();
            let client = bench.proxy.client();
            async move { client.try_send(request).await.is_ok() }
        });
        eventually("the server commits", Duration::from_secs(30), || {
            (bench.newest() != before).then_some(())
        })
        .await;
        bench.proxy.kill();
        assert!(!waiting.await.unwrap());
        for _ in 0..2 {
            bench.proxy.start().await;
            bench.client = bench.proxy.client();
            bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
            bench.revoke();
            bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
            bench.proxy.kill();
        }
        assert_eq!(bench.revoked(), 0);
    }
}

/// 3.4.12: another service's failure is none of ours; a range is asked for again as it was; a handshake has the token.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_ranges_and_handshakes() {
    let bench = Bench::usual().await;
    let upload = bench.get(&bench.app, "/uploads/x.mp3").await.expect(500);
    assert_eq!(upload.text(), "disk");
    assert_eq!(bench.project.refreshes(), 0);

    bench.revoke();
    let request = Request::get(bench.app.url("/range")).header("range", "bytes=5-9");
    let answer = bench.client.send(request.body(full("")).unwrap()).await;
    assert_eq!(answer.expect(206).json(), json!({ "range": "bytes=5-9" }));
    assert_eq!(bench.project.refreshes(), 1);

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    let mut wire = Wire::https(&bench.client, APP).await;
    wire.send(format!(
        "GET /ws?apikey={APIKEY} HTTP/1.1\r\nHost: {APP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ))
    .await;
    let head = wire.head().await;
    assert_eq!(status(&head), 101, "{head}");
    let accept = websocket_accept(KEY.as_bytes());
    assert_eq!(field(&head, "sec-websocket-accept"), Some(&*accept));
    let bearer = bench.app.last().field("authorization").map(str::to_owned);
    let good = bench.project.with(|state| {
        let token = bearer.as_deref().and_then(|b| b.strip_prefix("Bearer "));
        state.rules.verifies(token)
    });
    assert!(good, "{bearer:?}");
}
