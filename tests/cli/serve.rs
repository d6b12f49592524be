//! `serve`: how it starts, what it says, how signals end it.

use std::{fs, process::Stdio, time::Duration};

use rustix::process::Signal;

use super::Said;
use crate::support::{
    child::{Running, lines},
    client::eventually,
    proxy::proxy,
    tool::output,
    within,
};

/// Far more than is needed, and less than the default of `limits.drain`.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_a_person_needs_and_ends_in_good_order() {
    let mut proxy = proxy()
        .bearer("api", "api.example", "canary-token")
        .level("info")
        .prepare();
    proxy.start().await;
    let listen = proxy.listen;
    let words = [
        format!("http://{listen}"),
        format!("http://{}", proxy.admin),
        "certs/ca.pem".to_owned(),
        "api fresh".to_owned(),
        "staysigned run -- ".to_owned(),
    ];
    eventually("it is so", SOON, || {
        let log = proxy.log();
        words.iter().all(|word| log.contains(word)).then_some(())
    })
    .await;
    assert!(!proxy.log().contains("canary-token"));
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait(SOON).await.code(), Some(0));
    assert!(proxy.log().contains("SIGTERM"), "{}", proxy.log());
    assert!(tokio::net::TcpStream::connect(listen).await.is_err());
}

/// Where each client has a session of its own, there may be none yet although the configuration is complete.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_clients_are_not_said_to_be_missing() {
    let mut proxy = proxy()
        .config(
            "[clients.alice]\npassword = \"env:ALICE\"\n\
             [session.shop]\nclients = [\"*\"]\nper_client = true\nbind = [{ host = \"shop.example\" }]\n\
             [session.shop.cookies]\nrequired = [\"sid\"]\n[session.shop.refresh]\nkind = \"none\"\n",
        )
        .env("ALICE", "wonderland")
        .prepare();
    proxy.start().await;
    eventually("it says how they come to be", SOON, || {
        let log = proxy.log();
        log.contains("staysigned import shop --client CLIENT")
            .then_some(())
    })
    .await;
    assert!(
        !proxy.log().contains("add [session.NAME]"),
        "{}",
        proxy.log()
    );
}

#[test]
fn no_command_serves_and_logs_json_where_nobody_looks() {
    let proxy = proxy().prepare();
    let text = fs::read_to_string(proxy.path().join("config.toml")).unwrap();
    fs::write(
        proxy.path().join("config.toml"),
        text.replace("format = \"text\"", ""),
    )
    .unwrap();
    let mut command = proxy.command(&[]);
    let mut child = Running::start(command.stderr(Stdio::piped()));
    let lines = lines(child.stderr.take().unwrap());
    let mut lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let listening = lines
        .find(|line| line["message"] == "listening")
        .expect("a line that says so");
    assert_eq!(listening["listen"], format!("http://{}", proxy.listen));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(child.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    let mut proxy = proxy().prepare();
    proxy.start().await;
    // A tunnel that nobody ends.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let client = proxy.client();
    let tunnel = client.connect(&place);
    let both = async { tokio::join!(tunnel, listener.accept()) };
    let (tunnel, _accepted) = within("a tunnel", both).await;
    let _tunnel = tunnel.unwrap();
    proxy.signal(Signal::INT);
    let stopping = || proxy.log().contains("stopping").then_some(());
    eventually("it has heard", SOON, stopping).await;
    assert!(proxy.running(), "it waits for the tunnel");
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait(SOON).await.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_configuration_again() {
    let mut proxy = proxy()
        .bearer("one", "one.example", "t")
        .level("info")
        .env("TOKEN_TWO", "u")
        .prepare();
    proxy.start().await;
    let path = proxy.path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let two = text
        .replace("session.one", "session.two")
        .replace("TOKEN_ONE", "TOKEN_TWO");
    fs::write(&path, two).unwrap();
    proxy.hangup().await;
    let said: Said = proxy.cli(&["status"]).into();
    let said = said.good();
    assert!(said.contains("two") && !said.contains("one"), "{said}");

    // A bad one is refused whole.
    fs::write(&path, text.replace("header =", "heder =")).unwrap();
    let said = proxy.hangup().await;
    assert!(said.contains("the old one stays in force"), "{said}");
    fs::write(
        &path,
        text.replace("session.one", "session.two")
            .replace("TOKEN_ONE", "TOKEN_TWO"),
    )
    .unwrap();
    let said: Said = proxy.cli(&["status"]).into();
    assert!(said.good().contains("two"));
    assert!(proxy.running());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said() {
    let mut first = proxy().prepare();
    first.start().await;
    let other = proxy().prepare();
    let path = other.path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let taken = text.replace(&other.listen.to_string(), &first.listen.to_string());
    fs::write(&path, taken).unwrap();
    let said: Said = other.cli(&["serve"]).into();
    assert_eq!(said.code, 1);
    for word in [
        "error: the proxy does not start",
        "cannot listen on",
        "hint: another program listens",
    ] {
        assert!(said.err.contains(word), "{}", said.err);
    }

    // A wrong configuration binds nothing and makes nothing.
    let bad = proxy()
        .key("unmachted = \"deny\"")
        .key("state = 7")
        .prepare();
    let said: Said = bad.cli(&["serve"]).into();
    let err = said.bad(
        2,
        &[
            "config.toml:",
            "proxy.unmachted",
            "proxy.state",
            "hint:",
            "2 errors",
        ],
    );
    assert!(!err.contains("panicked"), "{err}");
    assert!(!bad.ca_path().exists());

    let loud = proxy().prepare();
    let mut command = loud.command(&["serve"]);
    command.env("STAYSIGNED_LOG", "loud");
    let said: Said = output(&mut command).into();
    said.bad(2, &["\"loud\" is not a log level", "hint:"]);
}

/// Secrets do not end in a core dump, and nobody else's debugger is let in.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_core_dump() {
    let mut proxy = proxy().prepare();
    proxy.start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>()[4..6],
        ["0", "0"]
    );
}
