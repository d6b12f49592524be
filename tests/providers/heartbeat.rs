//! Heartbeats of the real program; how they are spread, left out and ended is held to a clock of its own in the engine's
//! tests (`a_heartbeat_is_jittered_and_left_out_while_traffic_shows_the_same`, `a_dead_or_idle_session_has_no_heartbeat`).

use std::time::Duration;

use super::mubi;
use crate::support::{
    client::eventually,
    origin::{Origin, origin},
    proxy::{Builder, proxy},
    tool,
};

const HOST: &str = "api.example.test";
const PATIENCE: Duration = Duration::from_secs(60);

async fn world() -> (Origin, Builder) {
    let site = origin(&[HOST]).start().await;
    let builder = proxy()
        .site(&site)
        .bearer("beating", HOST, "token")
        .config(format!(
            "[[session.beating.heartbeat]]\nurl = \"https://{HOST}/me\"\nevery = \"1s\"\n"
        ));
    (site, builder)
}

fn beats(site: &Origin) -> usize {
    let seen = site.seen();
    seen.iter().filter(|seen| seen.path == "/me").count()
}

/// 4.3.7: it is asked as often as it says, with the credential, and the log says whose request it was.
#[tokio::test(flavor = "multi_thread")]
async fn it_beats_and_says_so() {
    let (site, builder) = world().await;
    let proxy = builder.start().await;
    eventually("three heartbeats", PATIENCE, || {
        (beats(&site) >= 3).then_some(())
    })
    .await;
    assert_eq!(site.last().field("authorization"), Some("Bearer token"));
    let said = proxy.log();
    let ours = said
        .lines()
        .filter(|line| line.contains("a request of our own"));
    assert!(ours.count() >= 2, "{said}");
}

/// 4.3.7: with `run` it beats from the command's first request for as long as that runs, and not after it.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_command_that_it_ran_for() {
    let (site, builder) = world().await;
    let proxy = builder.prepare();
    let script = format!(
        ": > up; until [ -e begin ]; do sleep 0.1; done; curl -sSf -o /dev/null {} && until [ -e enough ]; do sleep 0.1; done",
        site.url("/gate")
    );
    let mut command = proxy.command(&["run", "--", "sh", "-c"]);
    command.arg(script);
    let run = tokio::spawn(tool::run(command));
    let up = proxy.path().join("up");
    eventually("the command", PATIENCE, || up.exists().then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(beats(&site), 0, "nothing uses the session");
    std::fs::write(proxy.path().join("begin"), "").unwrap();
    eventually("two heartbeats", PATIENCE, || {
        (beats(&site) >= 2).then_some(())
    })
    .await;
    std::fs::write(proxy.path().join("enough"), "").unwrap();
    let output = run.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let at_its_end = beats(&site);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(beats(&site), at_its_end);
}

/// 4.3.7: `mubi`, with the block that its provider has for it: a session that has ended is read from the browser again
/// before a tool comes to know, and a site without such a path is no trouble.
#[tokio::test(flavor = "multi_thread")]
async fn it_reads_the_browser_again_before_a_tool_needs_it() {
    const STATUS: &str = "/v3/auth/status";
    let shown = proxy().prepare().cli(&["provider", "show", "mubi"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let begin = shown
        .find("#   [[session.films.heartbeat]]")
        .expect("its block");
    let block = shown[begin..]
        .replace("#   ", "")
        .replace("\"30m\"", "\"1s\"");
    let site = mubi::Site::start().await;
    let (proxy, firefox) = mubi::started(&site, &block).await;
    firefox.set("mubi.com", mubi::COOKIE, &mubi::session("T"));
    mubi::ask(&proxy.client()).await.expect(200);

    firefox.set("mubi.com", mubi::COOKIE, &mubi::session("T2"));
    site.accept("T2");
    let begun = site.origin.seen().len();
    eventually("a heartbeat with the new token", PATIENCE, || {
        let seen = site.origin.seen();
        let ours = seen.iter().filter(|seen| seen.path == STATUS);
        ours.into_iter()
            .any(|seen| seen.field("authorization") == Some("Bearer T2"))
            .then_some(())
    })
    .await;
    mubi::ask(&proxy.client()).await.expect(200);
    let seen = site.origin.seen();
    let films: Vec<_> = seen[begun..]
        .iter()
        .filter(|seen| seen.path != STATUS)
        .collect();
    assert_eq!(films.len(), 1, "the tool was not rejected");
    assert_eq!(films[0].field("authorization"), Some("Bearer T2"));
    assert_eq!(proxy.status("films")["state"], "fresh");
}
