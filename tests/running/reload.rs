//! Reloads on SIGHUP: taken up without a restart, refused whole when bad; and bad files at the start.

use crate::support::{
    origin::origin,
    proxy::{Proxy, bearer, proxy},
};

fn edit(proxy: &Proxy, change: impl FnOnce(String) -> String) {
    let path = proxy.path().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

/// A new binding is taken up by SIGHUP while connections go on; a bad file changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_up_the_new_file() {
    let site = origin(&["one.example.test", "two.example.test"])
        .start()
        .await;
    let mut proxy = proxy()
        .site(&site)
        .config(bearer("one", r#"{ host = "one.example.test" }"#, "T"))
        .env("T", "t1")
        .start()
        .await;
    let client = proxy.client();
    client
        .get("https://one.example.test/echo")
        .await
        .expect(200);
    client
        .get("https://two.example.test/echo")
        .await
        .expect(200);
    assert_eq!(site.last().field("authorization"), None);

    edit(&proxy, |text| {
        text.replace("[session.one]\nbind", "[session.one]\nnonsense = 1\nbind")
    });
    let said = proxy.hangup().await;
    assert!(
        said.contains("nonsense") && said.contains("the old one"),
        "{said}"
    );
    client
        .get("https://one.example.test/echo")
        .await
        .expect(200);
    assert_eq!(
        site.last().field("authorization"),
        Some("Bearer t1"),
        "the old one stays in force"
    );

    edit(&proxy, |text| {
        let text = text.replace("nonsense = 1\n", "");
        text.replace(
            r#"host = "one.example.test""#,
            r#"host = "two.example.test""#,
        )
    });
    let said = proxy.hangup().await;
    assert!(said.contains("was read again"), "{said}");
    client
        .get("https://two.example.test/echo")
        .await
        .expect(200);
    assert_eq!(site.last().field("authorization"), Some("Bearer t1"));
    client
        .get("https://one.example.test/echo")
        .await
        .expect(200);
    assert_eq!(site.last().field("authorization"), None);
    assert!(proxy.running());
}

/// Promise 8: a bad configuration is refused before any port is bound, with file, line, key and a hint; exit 2.
#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_at_the_start() {
    let proxy = proxy()
        .config("[session.app]\nbind = [{ host = \"a.example.test\" }]\nsecrets = { token = \"bare-secret\" }\nunknown_key = 1")
        .prepare();
    // `run` keeps the lower numbers for its child.
    for (command, code) in [
        (&["serve"][..], 2),
        (&["check"], 2),
        (&["run", "--", "true"], 125),
    ] {
        let output = proxy.cli(command);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        for part in ["config.toml:", "unknown_key", "token", "hint:"] {
            assert!(text.contains(part), "{command:?}: no {part:?} in {text}");
        }
        assert!(
            !text.contains("bare-secret"),
            "{command:?}: the secret is shown"
        );
    }
    tokio::net::TcpStream::connect(proxy.listen)
        .await
        .expect_err("not bound");
    assert!(
        !proxy.path().join("certs").exists(),
        "nothing is made for a configuration that is refused"
    );
}
