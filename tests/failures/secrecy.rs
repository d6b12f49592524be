//! Secrets stay secret: a whole exchange of every kind at log level trace, and a search of all that it left.

use std::process::Output;

use http::Request;

use crate::support::{
    authority::{Authority, Fault},
    canary::{assert_none, assert_none_below, assert_none_in_process, canary},
    client::Client,
    oauth::Policy,
    origin::{Origin, empty, full, origin},
    proxy::{Proxy, proxy},
    rotating::{Manner, Rotating},
};

/// Every secret there is, by name: the ones configured, and the ones learnt since.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str) -> String {
        let secret = canary(name);
        self.0.push((name.to_owned(), secret.clone()));
        secret
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.as_str()))
            .collect()
    }
}

const VARIABLES: [&str; 9] = [
    "ACCESS",
    "REFRESH",
    "CLIENT_SECRET",
    "STATIC",
    "QUERY",
    "COOKIE",
    "PASSWORD",
    "USERNAME",
    "LOGIN",
];

fn config() -> String {
    r#"
[session.oauth]
bind = [{ host = "api.example.test" }]
values = { client_id = "tests" }
secrets = { access_token = "env:ACCESS", refresh_token = "env:REFRESH", client_secret = "env:CLIENT_SECRET" }
[[session.oauth.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[session.oauth.refresh]
kind = "oauth2"
token_url = "https://api.example.test/token"

[session.static]
bind = [{ host = "static.example.test" }]
secrets = { key = "env:STATIC", query = "env:QUERY", cookie = "env:COOKIE" }
[[session.static.inject]]
header = "x-api-key"
value = "{{ key }}"
[[session.static.inject]]
query = "sig2"
value = "{{ query }}"
[[session.static.inject]]
cookie = "auth"
value = "{{ cookie }}"
[session.static.refresh]
kind = "none"

[session.form]
bind = [{ host = "form.example.test" }]
secrets = { password = "env:PASSWORD" }
[session.form.cookies]
required = ["sid"]
[session.form.refresh]
kind = "http"
[[session.form.refresh.steps]]
request = { method = "POST", url = "https://form.example.test/login", form = { password = "{{ password }}" } }
expect = { status = [200] }

[session.login]
bind = [{ host = "login.example.test" }]
values = { client_id = "tests" }
secrets = { username = "env:USERNAME", password = "env:LOGIN" }
[[session.login.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[[session.login.inject]]
json = "/token"
value = "{{ access_token }}"
[session.login.refresh]
kind = "oauth2"
token_url = "https://login.example.test/token"
grant_type = "password"
client_auth = "none"

[session.learn]
bind = [{ host = "learn.example.test" }]
values = { client_id = "tests" }
[[session.learn.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[[session.learn.capture]]
match = { host = "learn.example.test", path = "/token", methods = ["POST"] }
answer = { access_token = { json = "/access_token" }, refresh_token = { json = "/refresh_token" } }
[session.learn.refresh]
kind = "oauth2"
token_url = "https://learn.example.test/token"
client_auth = "none"

[session.cmd]
bind = [{ host = "cmd.example.test" }]
[[session.cmd.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[session.cmd.refresh]
kind = "command"
command = ["sh", "token.sh"]
"#
    .to_owned()
}

struct World {
    authority: Authority,
    /// Of the sessions that begin without a token: by a password, and by what a client does.
    beginners: [Authority; 2],
    login_api: Origin,
    learn_api: Origin,
    api: Origin,
    fixed: Origin,
    form: Origin,
    command: Origin,
    login: Rotating,
    proxy: Proxy,
    secrets: Secrets,
}

async fn world() -> World {
    let mut secrets = Secrets(Vec::new());
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let login = Rotating::new(Manner::Mild);
    let api = authority.site("api.example.test").start().await;
    let fixed = origin(&["static.example.test"]).start().await;
    let form = login.site("form.example.test").start().await;
    let beginners = [0, 1].map(|_| Authority::new(Policy::lifetime(600.0)));
    let login_api = beginners[0].site("login.example.test").start().await;
    let learn_api = beginners[1].site("learn.example.test").start().await;
    let printed = secrets.add("command");
    let command = origin(&["cmd.example.test"]).bearer(&printed).start().await;
    let mut builder = proxy()
        .site(&api)
        .site(&fixed)
        .site(&form)
        .site(&command)
        .site(&login_api)
        .site(&learn_api)
        .config(config())
        .level("trace")
        // Its text is a secret too, but stands on this disk by the user's own will.
        .file("token.sh", &format!("echo {printed}\n"))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh);
    for name in &VARIABLES[2..] {
        builder = builder.env(name, &secrets.add(name));
    }
    let proxy = builder.start().await;
    World {
        authority,
        beginners,
        login_api,
        learn_api,
        api,
        fixed,
        form,
        command,
        login,
        proxy,
        secrets,
    }
}

fn printed(output: &Output) -> Vec<u8> {
    [&output.stdout[..], b"\n", &output.stderr].concat()
}

/// Promise 7: logs, errors, `status`, metrics, database, command lines, and a child's environment.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_anywhere() {
    let mut world = world().await;
    let clients: [Client; 2] = [world.proxy.client(), world.proxy.client().h2()];
    let own = world.secrets.add("clients-own");
    let in_query = world.secrets.add("clients-query");
    let mut answers = Vec::new();
    for client in &clients {
        for site in [&world.api, &world.fixed, &world.form, &world.command] {
            for path in [
                format!("/gate?token={in_query}"),
                "/status/500".to_owned(),
                "/status/302".to_owned(),
            ] {
                let request =
                    Request::get(site.url(&path)).header("authorization", format!("Bearer {own}"));
                let answer = client.send(request.body(empty()).unwrap()).await;
                answers.extend(
                    format!(
                        "{:?} {}",
                        answer.headers,
                        String::from_utf8_lossy(&answer.body)
                    )
                    .into_bytes(),
                );
            }
        }
        // A client signs in by itself, and both sessions go on without it.
        let form = "grant_type=password&username=ann&password=x";
        let login = client.post(&world.learn_api.url("/token"), form).await;
        login.expect(200);
        for (site, authority) in [&world.learn_api, &world.login_api]
            .iter()
            .zip(world.beginners.iter().rev())
        {
            for _ in 0..2 {
                let body = "{\"a\": 1}";
                let request =
                    Request::post(site.url("/echo")).header("content-type", "application/json");
                let answer = client.send(request.body(full(body)).unwrap()).await;
                assert_eq!(answer.status, 200, "{}", site.names[0]);
                authority.with(|oauth| oauth.revoke_all_access());
            }
        }
        // Refreshes that work, that are refused, that answer nonsense, and upstreams that fail.
        world.authority.with(|oauth| oauth.revoke_all_access());
        client.get(&world.api.url("/gate")).await.expect(200);
    }
    world.authority.with(|oauth| oauth.revoke_all_access());
    // At every attempt, as the next one is waited for: the rejection is passed on.
    world.authority.fail_with(vec![Fault::Html; 1000]);
    let rejected = clients[0].get(&world.api.url("/gate")).await.expect(401);
    answers.extend(format!("{:?} ", rejected.headers).into_bytes());
    answers.extend(rejected.body);
    world.authority.heal();
    let mut outputs = Vec::new();
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["refresh", "oauth"],
        &["refresh", "form"],
        &["refresh", "login"],
        &["status", "learn"],
        &["restore", "learn"],
        &["logout", "learn"],
        &["check"],
        &["check", "https://api.example.test/gate"],
        &["check", "https://static.example.test/gate"],
        &["env"],
        &["run", "--", "env"],
        &[
            "run",
            "--",
            "sh",
            "-c",
            "cat /proc/self/environ /proc/self/cmdline",
        ],
    ] {
        let output = tokio::task::block_in_place(|| world.proxy.cli(arguments));
        let text = printed(&output);
        assert!(text.len() > 1, "{arguments:?} printed nothing");
        outputs.push((arguments.join(" "), text));
    }
    for issued in world.authority.with(|oauth| oauth.issued.clone()) {
        world.secrets.0.push(("a token".to_owned(), issued));
    }
    for issued in world
        .beginners
        .iter()
        .flat_map(|one| one.with(|oauth| oauth.issued.clone()))
    {
        world
            .secrets
            .0
            .push(("a beginner's token".to_owned(), issued));
    }
    for value in world.login.with(|state| state.values.clone()) {
        world.secrets.0.push(("a cookie".to_owned(), value));
    }
    let secrets = world.secrets.pairs();
    assert!(secrets.len() > 12, "{}", secrets.len());

    let log = world.proxy.log();
    assert!(log.len() > 5_000, "a log at trace: {log}");
    assert_none("the log", log.as_bytes(), &secrets);
    for (command, text) in &outputs {
        assert_none(&format!("staysigned {command}"), text, &secrets);
    }
    assert_none("answers", &answers, &secrets);
    assert_none_in_process(world.proxy.pid(), &VARIABLES, &secrets);
    let searched = assert_none_below(world.proxy.path(), &["token.sh"], &secrets);
    assert!(searched >= 5, "only {searched} files");
    assert!(world.proxy.path().join("staysigned.db").exists());
    // The same after a crash, and after a clean end, when the log of the database is folded in.
    world.proxy.kill();
    assert_none_below(world.proxy.path(), &["token.sh"], &secrets);
    world.proxy.start().await;
    world.proxy.signal(rustix::process::Signal::TERM);
    world.proxy.wait(std::time::Duration::from_secs(20)).await;
    assert_none_below(world.proxy.path(), &["token.sh"], &secrets);
}

/// Promise 7: `/metrics` and the API, asked with the admin's token.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_side_tells_no_secret() {
    let mut world = world().await;
    world
        .proxy
        .client()
        .get(&world.api.url("/gate"))
        .await
        .expect(200);
    world
        .proxy
        .client()
        .get(&world.form.url("/gate"))
        .await
        .expect(200);
    let token =
        std::fs::read_to_string(world.proxy.path().join("admin.token")).expect("the admin's token");
    world
        .secrets
        .0
        .push(("the admin's token".to_owned(), token.trim().to_owned()));
    for issued in world.authority.with(|oauth| oauth.issued.clone()) {
        world.secrets.0.push(("a token".to_owned(), issued));
    }
    for value in world.login.with(|state| state.values.clone()) {
        world.secrets.0.push(("a cookie".to_owned(), value));
    }
    let client = Client::to(world.proxy.admin);
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/sessions",
        "/api/v1/sessions/oauth",
        "/",
    ] {
        let url = format!("http://{}{path}", world.proxy.admin);
        let request = Request::get(url)
            .header("authorization", format!("Bearer {}", token.trim()))
            .extension(crate::support::client::Direct)
            .body(empty())
            .unwrap();
        let answer = client.send(request).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        assert_none(path, &answer.body, &world.secrets.pairs());
        assert_none(
            path,
            format!("{:?}", answer.headers).as_bytes(),
            &world.secrets.pairs(),
        );
    }
}

/// Promise 7 on disk: what must be private is 0600, and the folder of keys is nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn private_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world().await;
    world
        .proxy
        .client()
        .get(&world.api.url("/gate"))
        .await
        .expect(200);
    for file in [
        "certs/ca.key",
        "certs/store.key",
        "admin.token",
        "staysigned.db",
    ] {
        let mode = std::fs::metadata(world.proxy.path().join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(mode.permissions().mode() & 0o077, 0, "{file}");
    }
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", world.proxy.pid())).expect("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
