//! Tools of one client among several: by password, which git sends only when it is asked for it, and by a port, for what
//! knows no password of a proxy.

use std::{path::PathBuf, process::Command};

use super::git;
use crate::support::{
    canary::canary,
    origin::{Origin, origin},
    ports,
    proxy::{Proxy, proxy},
    seen,
    tool::{clean, find, run, succeed},
};

const HOST: &str = "api.example.test";

/// A program that prints what it fetches, as `java A.java URL` does.
const JAVA: &str = "
public class A {
    public static void main(String[] args) throws Exception {
        System.out.write(new java.net.URL(args[0]).openStream().readAllBytes());
        System.out.flush();
    }
}";

/// Two clients by password and one by a port, each with a token of its own for the host.
async fn clients(site: &Origin, host: &str, tokens: [(&str, &str); 3]) -> (Proxy, u16) {
    let port = ports::free().port();
    let mut builder = proxy().site(site).config(format!(
        "[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"\n\
         [clients.carol]\nport = {port}"
    ));
    for (client, token) in tokens {
        builder = builder
            .config(format!(
                "[session.{client}]\nclients = [\"{client}\"]\nbind = [{{ host = \"{host}\" }}]\n\
                 secrets = {{ token = \"env:TOKEN_{client}\" }}\n\
                 [[session.{client}.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
                 [session.{client}.refresh]\nkind = \"none\"\n"
            ))
            .env(&format!("TOKEN_{client}"), token);
    }
    let builder = builder.env("ALICE", "pw-alice").env("BOB", "pw-bob");
    (builder.start().await, port)
}

/// A tool by the variables that a person would export for one client.
fn by_variables(proxy: &Proxy, user: &str, program: PathBuf, arguments: &[&str]) -> Command {
    let mut command = clean(&program, proxy.path());
    command
        .args(arguments)
        .env("https_proxy", format!("http://{user}@{}", proxy.listen))
        .env("GIT_SSL_CAINFO", proxy.ca_path())
        .env("GIT_TRACE_CURL", "1");
    git::identify(&mut command);
    command
}

/// 5.4.1: git names itself when the proxy has asked it to, and not before, on the same connection.
#[tokio::test(flavor = "multi_thread")]
async fn git_meets_the_407() {
    let folder = tempfile::tempdir().unwrap();
    let token = canary("git");
    let site = git::served(folder.path(), &token).await;
    let tokens = [("alice", &*token), ("bob", "another"), ("carol", "none")];
    let (proxy, _) = clients(&site, "git.example.test", tokens).await;
    let url = site.url("/repo.git");

    let clone = ["clone", "-q", &url, "by-variables"];
    let command = by_variables(&proxy, "alice:pw-alice", find("git"), &clone);
    let output = succeed(command).await;
    let trace = String::from_utf8_lossy(&output.stderr);
    let at = |words: &str| {
        let found = trace.find(words);
        found.unwrap_or_else(|| panic!("no {words:?} in: {trace}"))
    };
    let (asked, named) = (at("HTTP/1.1 407"), at("Proxy-Authorization: Basic"));
    assert!(asked < named, "it names itself when it was asked: {trace}");
    assert!(at("CONNECT git.example.test:443") < asked, "{trace}");
    let connected = trace[..named].matches("Trying 127.0.0.1").count();
    assert_eq!(connected, 1, "the 407 leaves the connection: {trace}");
    assert!(proxy.path().join("by-variables/file19").exists());

    let mut command = proxy.command(&["run", "--client", "alice", "--", "git"]);
    git::identify(command.args(["clone", "-q", &url, "by-run"]));
    succeed(command).await;
    assert!(proxy.path().join("by-run/file19").exists());
    let what = "a clone as one client of several, by the password that the proxy's 407 asks for";
    seen::saw("any", "git", &seen::installed("git"), what);

    // Nobody else's: not a stranger's, and not of one whose own token is not taken.
    for user in ["mallory:pw-alice", "alice:wrong", "bob:pw-bob"] {
        let clone = ["clone", "-q", &url, "none"];
        let refused = run(by_variables(&proxy, user, find("git"), &clone)).await;
        assert_eq!(refused.status.code(), Some(128), "{user}: {refused:?}");
    }
}

/// 5.4.1: Java, which has no password for a proxy, and curl, which is given none, by a port of their client's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_a_client() {
    let site = origin(&[HOST]).start().await;
    let tokens = [
        ("alice", "of-alice"),
        ("bob", "of-bob"),
        ("carol", "of-carol"),
    ];
    let (proxy, port) = clients(&site, HOST, tokens).await;
    let url = site.url("/echo");
    std::fs::write(proxy.path().join("A.java"), JAVA).unwrap();
    let java = ["java", "A.java", &url];
    let curl = ["curl", "-sS", "-f", &url];
    for tool in [&java[..], &curl] {
        let mut command = proxy.command(&["run", "--client", "carol", "--"]);
        // Where a machine has several, this says which.
        if let Some(home) = std::env::var_os("JAVA_HOME") {
            command.env("JAVA_HOME", home);
        }
        let output = succeed({
            command.args(tool);
            command
        })
        .await;
        assert!(!output.stdout.is_empty(), "{tool:?}");
        let seen = site.last();
        assert_eq!(
            seen.field("authorization"),
            Some("Bearer of-carol"),
            "{tool:?}"
        );
    }
    let what = "as one client of several, by a port of its own";
    seen::saw("any", "Java", &seen::installed("java"), what);
    seen::saw("any", "curl", &seen::installed("curl"), what);

    // The variables that a person would export for it.
    let mut command = clean(&find("curl"), proxy.path());
    command
        .args(["-sS", "-f", &url])
        .env("https_proxy", format!("http://127.0.0.1:{port}"))
        .env("CURL_CA_BUNDLE", proxy.ca_path());
    succeed(command).await;
    assert_eq!(site.last().field("authorization"), Some("Bearer of-carol"));
    // With a password: as whom it says.
    let mut command = proxy.command(&["run", "--client", "bob", "--"]);
    command.args(curl);
    succeed(command).await;
    assert_eq!(site.last().field("authorization"), Some("Bearer of-bob"));
}
