//! `import`, `export`, `restore` and `logout`, with and without a running proxy.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::Said;
use crate::support::proxy::{Proxy, proxy};

const SITE: &str = "[session.site]\nbind = [{ host = \"www.site.example\" }]\n[session.site.cookies]\nrequired = [\"sid\"]\n\
                    [session.site.refresh]\nkind = \"none\"\n\
                    [session.brief]\npersist = false\nbind = [{ host = \"brief.example\" }]\n[session.brief.cookies]\n\
                    [session.brief.refresh]\nkind = \"none\"\n";

const FILE: &str = "# Netscape HTTP Cookie File\n\
                    www.site.example\tFALSE\t/\tTRUE\t4102444800\tsid\tcanary-one\n\
                    .site.example\tTRUE\t/\tFALSE\t0\tseen\t1\n";

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

fn put(proxy: &Proxy, value: &str) -> Said {
    let arguments = [
        "import",
        "site",
        "--from",
        "header",
        "--domain",
        "www.site.example",
    ];
    proxy
        .cli_with(&arguments, &format!("Cookie: sid={value}\n"))
        .into()
}

fn header(proxy: &Proxy) -> String {
    said(proxy, &["export", "site", "--to", "header"]).good()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_and_out_and_back_and_gone() {
    for running in [false, true] {
        let mut proxy = proxy().config(SITE).file("cookies.txt", FILE).prepare();
        if running {
            proxy.start().await;
        }
        let first = said(
            &proxy,
            &["import", "site", "--from", "cookies-txt", "cookies.txt"],
        )
        .good();
        assert!(
            first.starts_with("2 cookies taken\nsite fresh, ends in "),
            "{first}"
        );
        assert!(!first.contains("canary"), "{first}");
        assert_eq!(header(&proxy), "Cookie: sid=canary-one; seen=1\n");

        put(&proxy, "canary-two").good();
        assert_eq!(header(&proxy), "Cookie: sid=canary-two\n");
        let restored = said(&proxy, &["restore", "site", "--json"]).json();
        assert_eq!(restored["state"], "fresh");
        assert_eq!(restored["restored"]["generation"], 1);
        assert_eq!(header(&proxy), "Cookie: sid=canary-one; seen=1\n");
        let again = said(&proxy, &["restore", "site"]).good();
        assert!(
            again.starts_with("back to generation 2, obtained "),
            "{again}"
        );
        assert_eq!(header(&proxy), "Cookie: sid=canary-two\n");
        said(&proxy, &["restore", "site"]).good();

        // A file is for its owner alone, and is replaced whole.
        let out = said(
            &proxy,
            &["export", "site", "--to", "cookies-txt", "out.txt"],
        );
        assert_eq!((out.code, &*out.out), (0, ""));
        let path = proxy.path().join("out.txt");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(fs::read_to_string(&path).unwrap().contains("canary-one"));

        let gone = said(&proxy, &["logout", "site"]);
        gone.bad(2, &["nobody can be asked", "--yes"]);
        let gone = said(&proxy, &["logout", "site", "--yes", "--json"]).json();
        assert_eq!(
            (&gone["state"], &gone["requires_login"]),
            (&"empty".into(), &true.into())
        );
        said(&proxy, &["restore", "site"]).bad(1, &["there is no grant before this one"]);
        said(&proxy, &["export", "site", "--to", "header"])
            .bad(1, &["nothing was exported", "hint:"]);
        if running {
            assert!(!proxy.log().contains("canary"), "{}", proxy.log());
        }
    }
}

#[test]
fn what_cannot_be_taken_is_said_without_a_value() {
    let cut = "www.site.example\tFALSE\t/\tTRUE\tcanary-value\n";
    let elsewhere = "other.example\tFALSE\t/\tTRUE\t0\tsid\tcanary-value\n";
    let proxy = proxy()
        .config(SITE)
        .file("cut.txt", cut)
        .file("elsewhere.txt", elsewhere)
        .file("empty.txt", "")
        .file("half.json", "[{\"name\": \"canary-value\"")
        .prepare();
    for (arguments, code, words) in [
        (
            &["--from", "cookies-txt", "cut.txt"][..],
            1,
            &["nothing was imported", "line 1", "hint:"][..],
        ),
        (
            &[
                "--from",
                "cookies-txt",
                "--domain",
                "www.site.example",
                "elsewhere.txt",
            ],
            1,
            &["for another host"],
        ),
        (
            &["--from", "cookies-txt", "empty.txt"],
            1,
            &["it holds no cookie"],
        ),
        (
            &["--from", "json", "half.json"],
            1,
            &["it is no whole JSON: line 1"],
        ),
        (
            &["--from", "cookies-txt", "missing.txt"],
            1,
            &["cannot read missing.txt"],
        ),
        (&["--from", "header"], 1, &["it holds no cookie"]),
    ] {
        let err = said(&proxy, &[&["import", "site"], arguments].concat()).bad(code, words);
        assert!(!err.contains("canary-value"), "{err}");
    }
    for command in [
        &["import", "nothing", "--from", "header"][..],
        &["restore", "nothing"],
        &["logout", "nothing", "--yes"],
    ] {
        said(&proxy, command).bad(
            2,
            &[
                "there is no session nothing",
                "hint: there are: site, brief",
            ],
        );
    }
    said(&proxy, &["restore", "site", "--client", "alice"])
        .bad(2, &["all clients share the session site"]);
    said(&proxy, &["export", "site", "--to", "audible-standin"])
        .bad(2, &["site is no session of Audible's", "hint:"]);
    said(&proxy, &["export", "brief", "--to", "header"])
        .bad(1, &["in the memory of the proxy alone", "hint:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_its_own() {
    let site = "[clients.alice]\nport = PORT\n[clients.bob]\nuid = 4242\n\
                [session.site]\nclients = [\"*\"]\nper_client = true\nbind = [{ host = \"www.site.example\" }]\n\
                [session.site.cookies]\n[session.site.refresh]\nkind = \"none\"\n";
    let port = crate::support::ports::free().port().to_string();
    let mut proxy = proxy().config(site.replace("PORT", &port)).prepare();
    proxy.start().await;
    let import = [
        "import",
        "site",
        "--from",
        "header",
        "--domain",
        "www.site.example",
    ];
    let said = |arguments: &[&str]| -> Said { proxy.cli_with(arguments, "sid=1").into() };
    said(&import).bad(
        2,
        &["every client has a session site of its own", "--client"],
    );
    said(&[&import[..], &["--client", "carol"]].concat())
        .bad(2, &["there is no client carol", "alice, bob"]);
    said(&[&import[..], &["--client", "alice"]].concat()).good();
    let out = said(&["export", "site", "--to", "header", "--client", "alice"]).good();
    assert_eq!(out, "Cookie: sid=1\n");
    said(&["export", "site", "--to", "header", "--client", "bob"])
        .bad(1, &["nothing was exported"]);
    let status = said(&["status", "--json"]).json();
    assert_eq!(status["sessions"][0]["client"], "alice");
}
