//! `status`, with and without a running proxy.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::{Said, say};
use crate::support::{
    child::{Running, joined},
    proxy::{PROGRAM, proxy},
    tool::{clean, find},
};

const SITE: &str = "[session.site]\nbind = [{ host = \"site.example\" }]\n[session.site.cookies]\nrequired = [\"sid\"]\n\
                    [session.site.refresh]\nkind = \"none\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_facts_with_and_without_the_proxy() {
    let mut proxy = proxy()
        .bearer("api", "api.example", "canary-of-status")
        .config(SITE)
        .prepare();
    let alone: Said = proxy.cli(&["status", "--json"]).into();
    let alone = alone.json();
    let nobody: Said = proxy.cli(&["status"]).into();
    let nobody = nobody.good();
    assert!(
        nobody.contains("No proxy runs with this configuration"),
        "{nobody}"
    );
    proxy.start().await;
    let running: Said = proxy.cli(&["status", "--json"]).into();
    assert_eq!(running.json(), alone);

    let sessions = alone["sessions"].as_array().unwrap();
    let names: Vec<_> = sessions
        .iter()
        .map(|session| session["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["api", "site"]);
    let keys: Vec<_> = sessions[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "name",
            "client",
            "provider",
            "state",
            "valid",
            "requires_login",
            "message",
            "generation",
            "expires_at",
            "next_refresh_at",
            "last_refresh",
            "last_error",
            "bound_to",
            "cookies",
            "counters",
        ]
    );
    assert_eq!(sessions[0]["state"], "fresh");
    assert_eq!(sessions[0]["bound_to"][0], "https://api.example:443/");
    assert_eq!(sessions[1]["state"], "empty");
    assert_eq!(sessions[1]["requires_login"], true);
    assert_eq!(sessions[1]["cookies"]["missing"][0], "sid");

    let said: Said = proxy.cli(&["status"]).into();
    let said = said.good();
    insta::assert_snapshot!(said, @r"
    SESSION  STATE  ENDS  NEXT REFRESH  LAST REFRESH
    api      fresh  -     -             -
    site     empty  -     -             -

    site: nothing is held; staysigned import site --from KIND
    ");
    assert!(!said.contains("canary-of-status"));
    let one: Said = proxy.cli(&["status", "site"]).into();
    assert!(!one.good().contains("api"));
}

#[test]
fn what_is_not_there() {
    let proxy = proxy().config(SITE).prepare();
    let said: Said = proxy.cli(&["status", "nothing"]).into();
    said.bad(
        2,
        &[
            "error: there is no session nothing",
            "hint: there are: site",
        ],
    );
    let said: Said = proxy.cli(&["status", "--config", "nothing.toml"]).into();
    assert_ne!(said.code, 0);
    let empty = crate::support::proxy::proxy().prepare();
    let said: Said = empty.cli(&["status"]).into();
    assert!(said.good().contains("There is no session yet"));
}

/// Somebody else on the proxy's port does not get the token, and is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_has_the_port_learns_nothing() {
    let mut proxy = proxy().bearer("api", "api.example", "t").prepare();
    proxy.start().await;
    proxy.kill();
    let token = std::fs::read_to_string(proxy.path().join("admin.token")).unwrap();
    let listener = std::net::TcpListener::bind(proxy.admin).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let answer = "HTTP/1.1 200 OK\r\nstaysigned-proof: 00\r\ncontent-length: 2\r\n\r\n{}";
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        // What else comes on this connection.
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut reader, &mut rest).ok();
        head + &rest
    });
    let said: Said = proxy.cli(&["status"]).into();
    assert!(said.good().contains("api"), "the store answers");
    let heard = joined("somebody asks", other);
    assert!(heard.contains("GET /healthz"), "{heard}");
    assert!(!heard.contains(token.trim()), "{heard}");
}

#[test]
fn watching_goes_on_until_nobody_looks() {
    let proxy = proxy().config(SITE).prepare();
    let mut command = proxy.command(&["status", "--watch", "--json"]);
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = child.lines();
    for _ in 0..2 {
        let line = lines.next().unwrap();
        let status: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(status["sessions"][0]["name"], "site");
    }
    drop(lines);
    // A pipe without a reader is no failure.
    assert_eq!(child.end().code(), Some(0));
}

/// On a terminal the same place is drawn again; elsewhere each table follows the last.
#[test]
fn watching_as_text() {
    let proxy = proxy().config(SITE).prepare();
    let status = [PROGRAM, "--config", "config.toml", "status", "--watch"].join(" ");
    let mut screen = clean(&find("script"), proxy.path());
    screen
        .args(["-qec", &status, "/dev/null"])
        .env("TERM", "xterm");
    let mut pipe = proxy.command(&["status", "--watch"]);
    for (command, terminal) in [(&mut screen, true), (&mut pipe, false)] {
        let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut output = child.lines();
        let mut table = || {
            let mut lines = String::new();
            while !lines.contains("staysigned import site --from KIND") {
                lines += &output.next().unwrap_or_else(|| panic!("{lines}"));
            }
            lines
        };
        let first = table();
        assert!(
            first.contains("SESSION") && first.contains("empty"),
            "{first}"
        );
        assert_eq!(first.starts_with("\x1b[2J\x1b[H"), terminal, "{first:?}");
        // What changes is seen, without being asked for.
        let import = [
            "import",
            "site",
            "--from",
            "header",
            "--domain",
            "site.example",
        ];
        let said: Said = proxy.cli_with(&import, "sid=1").into();
        said.good();
        let mut later = String::new();
        while !later.contains("fresh") {
            later += &output.next().unwrap_or_else(|| panic!("{later}"));
        }
        // On a terminal it is drawn over what stood there: a screen that is cleared each second flickers.
        let between = if terminal {
            "\x1b[J\x1b[HSESSION"
        } else {
            "\nSESSION"
        };
        assert!(later.contains(between), "{later:?}");
        assert!(!later.contains("\x1b[2J"), "{later:?}");
        let said: Said = proxy.cli(&["logout", "site", "--yes"]).into();
        said.good();
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let proxy = proxy().config(SITE).prepare();
    let coloured = |name: &str, value: &str| {
        let mut command = proxy.command(&["status"]);
        command.env(name, value);
        say(command).good().contains("\x1b[")
    };
    assert!(!coloured("X", ""));
    assert!(coloured("CLICOLOR_FORCE", "1"));
    assert!(!coloured("NO_COLOR", "1"));
}
