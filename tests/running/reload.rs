//! Reloads on SIGHUP: taken up without a restart, refused whole when bad; and bad files at the start.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::support::{
    client::eventually,
    origin::{empty, origin},
    proxy::{bearer, proxy},
};

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

    proxy.edit(|text| text.replace("[session.one]\nbind", "[session.one]\nnonsense = 1\nbind"));
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

    proxy.edit(|text| {
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

/// Limits: their change is told, and sessions take theirs up at once.
#[tokio::test(flavor = "multi_thread")]
async fn limits_change_too() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = origin(&["one.example.test"])
        .handler(move |request| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                Err(request)
            }
        })
        .start()
        .await;
    let session = bearer("one", r#"{ host = "one.example.test" }"#, "T");
    let serial = session.replace("bind", "concurrency = \"serial\"\nbind");
    let proxy = proxy()
        .site(&site)
        .config(serial)
        .config("[limits]\nserial_wait = \"1h\"")
        .env("T", "t1")
        .start()
        .await;
    // Bad ones are refused, place and all.
    proxy.edit(|text| text.replace("\"1h\"", "\"soon\""));
    let said = proxy.hangup().await;
    assert!(said.contains("limits.serial_wait"), "{said}");
    assert!(said.contains("the old one stays in force"), "{said}");
    assert!(
        said.contains("\n      hint: "),
        "as `check` shows it: {said}"
    );

    proxy.edit(|text| text.replace("\"soon\"", "\"100ms\""));
    let said = proxy.hangup().await;
    assert!(
        said.contains("need a restart") && said.contains("keys=limits"),
        "{said}"
    );
    let client = proxy.client();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.get("https://one.example.test/slow").await }
    });
    eventually("the slow one is there", Duration::from_secs(20), || {
        site.seen()
            .iter()
            .any(|seen| seen.path == "/slow")
            .then_some(())
    })
    .await;
    let answer = client.get("https://one.example.test/").await.expect(503);
    assert!(answer.field("proxy-status").is_some(), "{answer:?}");
    opened.add_permits(1);
    assert_eq!(slow.await.unwrap().status, 404);
}

/// What runs counts, not what was read last: a key that is as it was needs no restart, and one that is not still does.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_taken_back_needs_no_restart() {
    let mut proxy = proxy().bearer("one", "one.example.test", "t1").prepare();
    proxy.start().await;
    let (now, other) = (proxy.admin.to_string(), "127.0.0.1:1".to_owned());
    for (from, to, needed) in [
        (&now, &other, true),
        (&other, &other, true),
        (&other, &now, false),
    ] {
        proxy.edit(|text| text.replace(from.as_str(), to));
        let said = proxy.hangup().await;
        assert_eq!(said.contains("need a restart"), needed, "{to}: {said}");
    }
}

/// A renewed CA is taken up: by `ca renew` itself, and at SIGHUP. Connections under way go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_ca_is_taken_up() {
    for admin in [true, false] {
        let site = origin(&["one.example.test"]).start().await;
        let mut proxy = proxy()
            .site(&site)
            .bearer("one", "one.example.test", "t1")
            .prepare();
        if !admin {
            proxy.edit(|text| text.replace(&format!("\"{}\"", proxy.admin), "\"off\""));
        }
        proxy.start().await;
        let url = "https://one.example.test/echo";
        let old = proxy.client();
        let mut connection = old.open(&url.parse().unwrap()).await.unwrap();
        connection.get(url).await.unwrap().expect(200);

        let output = proxy.cli(&["ca", "renew"]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        if admin {
            assert!(said.contains("signs with it from now on"), "{said}");
        } else {
            assert!(said.contains("kill -HUP"), "{said}");
            old.get(url).await.expect(200);
            let said = proxy.hangup().await;
            assert!(said.contains("there is a new CA"), "{said}");
        }
        // A client made now trusts the new certificate alone.
        proxy.client().get(url).await.expect(200);
        let request = http::Request::get(url).body(empty()).unwrap();
        old.try_send(request)
            .await
            .expect_err("the old CA signs no more");
        connection.get(url).await.unwrap().expect(200);
        assert_eq!(site.last().field("authorization"), Some("Bearer t1"));

        // One that others may read is refused, and the one that runs goes on.
        let key = proxy.path().join("certs/ca.key");
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
        std::fs::set_permissions(&key, mode).unwrap();
        let said = proxy.hangup().await;
        assert!(said.contains("others may read"), "{said}");
        proxy.client().get(url).await.expect(200);
    }
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
