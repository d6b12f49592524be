//! `run`: whose proxy it is, and that nobody can tell the command from one without us.

use super::Said;
use crate::support::{
    authority::{Authority, session},
    oauth::Policy,
    origin::origin,
    proxy::{Proxy, proxy},
    tool::output,
};

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

const CURL: [&str; 5] = ["run", "--", "curl", "-sS", "https://api.example/fields"];

/// The proxy of everybody if there is one for this configuration, else a private one that ends with the command.
#[tokio::test(flavor = "multi_thread")]
async fn the_running_proxy_or_a_private_one() {
    let origin = origin(&["api.example"]).start().await;
    let mut proxy = proxy()
        .site(&origin)
        .bearer("api", "api.example", "the-token")
        .prepare();
    let way = |said: String| {
        said.trim()
            .rsplit(':')
            .next()
            .unwrap()
            .parse::<u16>()
            .unwrap()
    };
    let asked = ["run", "--", "sh", "-c", "echo $HTTPS_PROXY"];

    let private = way(said(&proxy, &asked).good());
    assert_ne!(private, proxy.listen.port());
    let out = said(&proxy, &CURL).good();
    assert!(!out.is_empty());
    assert_eq!(
        origin.last().field("authorization"),
        Some("Bearer the-token")
    );

    proxy.start().await;
    assert_eq!(way(said(&proxy, &asked).good()), proxy.listen.port());
    said(&proxy, &CURL).good();
    assert_eq!(
        origin.last().field("authorization"),
        Some("Bearer the-token")
    );

    // Another configuration with the same admin side is another proxy's.
    let text = std::fs::read_to_string(proxy.path().join("config.toml")).unwrap();
    std::fs::write(proxy.path().join("other.toml"), text).unwrap();
    let mut command = super::program(
        proxy.path(),
        &[&["--config", "other.toml"][..], &asked].concat(),
    );
    command.env("TOKEN_API", "the-token");
    assert_ne!(way(super::say(command).good()), proxy.listen.port());
}

#[test]
fn codes_and_streams_are_the_commands_own() {
    let proxy = proxy().prepare();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let said = said(&proxy, &["run", "--", "sh", "-c", script]);
        assert_eq!(
            (said.code, &*said.out, &*said.err),
            (code, "", ""),
            "{script}"
        );
    }
    let said: Said = proxy.cli_with(&["run", "--", "cat"], "line\n").into();
    assert_eq!(said.good(), "line\n");
    let said: Said = proxy
        .cli(&["run", "sh", "-c", "echo out; echo err >&2"])
        .into();
    assert_eq!((said.code, &*said.out, &*said.err), (0, "out\n", "err\n"));
    let said: Said = proxy.cli(&["run", "--", "no-such-command"]).into();
    said.bad(127, &["cannot start no-such-command", "hint:"]);
    let said: Said = proxy.cli(&["run", "--", "/etc/passwd"]).into();
    said.bad(126, &["cannot start /etc/passwd"]);
}

#[test]
fn what_keeps_it_from_running_is_125() {
    let broken = proxy().key("listen_on = 1").prepare();
    said(&broken, &["run", "--", "true"]).bad(125, &["proxy.listen_on", "hint:"]);
    let missing = proxy().config(crate::support::proxy::bearer(
        "api",
        "{ host = \"api.example\" }",
        "NOT_SET",
    ));
    said(&missing.prepare(), &["run", "--", "true"]).bad(125, &["NOT_SET", "hint:"]);
}

/// The command gets neither the variables that are sources of secrets, nor anything else that is one.
#[test]
fn the_environment_has_no_secret() {
    let proxy = proxy()
        .bearer("api", "api.example", "canary-of-run")
        .prepare();
    let out = said(&proxy, &["run", "--", "env"]).good();
    assert!(!out.contains("canary-of-run"), "{out}");
    assert!(!out.contains("TOKEN_API="), "{out}");
    assert!(out.contains("SSL_CERT_FILE="), "{out}");
    let folder = out
        .lines()
        .find_map(|line| line.strip_prefix("SSL_CERT_FILE="))
        .unwrap();
    assert!(
        !std::path::Path::new(folder).exists(),
        "the folder goes with the run"
    );
}

/// The limits of the command are its caller's: not those that the proxy sets for itself.
#[test]
fn limits_are_inherited() {
    let proxy = proxy().prepare();
    let ask = "ulimit -Sn; ulimit -Sc; ulimit -Hc";
    let inside = said(&proxy, &["run", "--", "sh", "-c", ask]).good();
    let outside = output(std::process::Command::new("sh").args(["-c", ask]));
    assert_eq!(inside, String::from_utf8(outside.stdout).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_client() {
    let origin = origin(&["api.example"]).start().await;
    let clients =
        "[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"\n";
    let session = |name: &str| {
        crate::support::proxy::bearer(name, "{ host = \"api.example\" }", &name.to_uppercase())
            .replace("secrets", &format!("clients = [\"{name}\"]\nsecrets"))
    };
    let mut proxy = proxy()
        .site(&origin)
        .config(clients)
        .config(session("alice"))
        .config(session("bob"))
        .env("ALICE", "secret-of-alice")
        .env("BOB", "secret-of-bob")
        .prepare();
    let curl = |client: &'static str| [&["run", "--client", client], &CURL[1..]].concat();
    for running in [false, true] {
        if running {
            proxy.start().await;
        }
        said(&proxy, &CURL).bad(125, &["several clients", "--client", "alice, bob"]);
        said(&proxy, &curl("carol")).bad(125, &["there is no client carol"]);
        for (client, token) in [
            ("alice", "Bearer secret-of-alice"),
            ("bob", "Bearer secret-of-bob"),
        ] {
            said(&proxy, &curl(client)).good();
            assert_eq!(
                origin.last().field("authorization"),
                Some(token),
                "running: {running}"
            );
        }
    }
}

/// A private proxy looks after the sessions that its command uses, and after no other.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_does_not_use_is_left_alone() {
    let (used, unused) = (
        Authority::new(Policy::lifetime(1.0)),
        Authority::new(Policy::lifetime(1.0)),
    );
    let (api, idle) = (
        used.site("api.example").start().await,
        unused.site("idle.example").start().await,
    );
    let idle_session = session("idle", "idle.example", "")
        .replace("env:ACCESS", "env:IDLE_ACCESS")
        .replace("env:REFRESH", "env:IDLE_REFRESH");
    let (mine, other) = (used.login(), unused.login());
    let proxy = proxy()
        .site(&api)
        .site(&idle)
        .config(session("api", "api.example", ""))
        .config(idle_session)
        .env("ACCESS", &mine.access)
        .env("REFRESH", &mine.refresh)
        .env("IDLE_ACCESS", &other.access)
        .env("IDLE_REFRESH", &other.refresh)
        .prepare();
    for name in ["api", "idle"] {
        said(&proxy, &["refresh", name]).good();
    }
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let said = said(
        &proxy,
        &["run", "--", "curl", "-fsS", "https://api.example/echo"],
    );
    let attempts = (used.attempts().len(), unused.attempts().len());
    assert_eq!((said.code, attempts), (0, (2, 1)), "{}", said.err);
    assert!(!said.err.contains("idle"), "{}", said.err);
}
