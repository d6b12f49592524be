//! The store as an operator meets it: keys that do not fit, no disk at all, two processes at once.

use crate::support::{
    authority::{Authority, session},
    beside::beside,
    oauth::Policy,
    origin::Origin,
    proxy::{Builder, proxy},
};

const HOST: &str = "api.example.test";

async fn world() -> (Authority, Origin, Builder) {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site(HOST).start().await;
    let builder = proxy()
        .site(&site)
        .config(session("app", HOST, ""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh);
    (authority, site, builder)
}

/// A wrong or missing key is a clear refusal that deletes nothing (5.4.11).
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_deletes_nothing() {
    let (authority, site, builder) = world().await;
    let mut proxy = builder.start().await;
    authority.with(|oauth| oauth.revoke_all_access());
    proxy.client().get(&site.url("/echo")).await.expect(200);
    proxy.kill();
    let key = proxy.path().join("certs/store.key");
    let right = std::fs::read(&key).unwrap();
    for wrong in [Some(right.iter().rev().copied().collect::<Vec<u8>>()), None] {
        match &wrong {
            Some(wrong) => std::fs::write(&key, wrong).unwrap(),
            None => std::fs::remove_file(&key).unwrap(),
        }
        let output = proxy.cli(&["serve"]);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("key"), "{text}");
        assert!(
            wrong.is_some() || !key.exists(),
            "no new key beside an old store"
        );
    }
    std::fs::write(&key, right).unwrap();
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    proxy.start().await;
    proxy.client().get(&site.url("/echo")).await.expect(200);
    assert_eq!(
        authority.with(|oauth| oauth.counts.granted),
        1,
        "what was learnt is still there"
    );
}

/// `memory:` writes nothing anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn memory_writes_nothing() {
    let (authority, site, builder) = world().await;
    let proxy = builder.memory().start().await;
    authority.with(|oauth| oauth.revoke_all_access());
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let names: Vec<String> = std::fs::read_dir(proxy.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("db") || name.contains("sqlite") || name.contains("journal"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
    assert!(!proxy.path().join("certs/store.key").exists());
}

/// `persist = false`: that session is in memory alone, whatever the store; the others are kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_persist_is_written_nowhere() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site(HOST).start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(session("app", HOST, "").replace("bind", "persist = false\nbind"))
        .config(session("kept", "kept.example.test", ""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .start()
        .await;
    authority.with(|oauth| oauth.revoke_all_access());
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let status = proxy.status("app");
    assert_eq!(status["generation"], 2, "{status}");
    proxy.kill();
    let database = rusqlite::Connection::open(proxy.path().join("staysigned.db")).unwrap();
    let names = "SELECT DISTINCT name FROM session";
    let mut names = database.prepare(names).unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    assert_eq!(names, ["kept"]);
    // The next process begins anew, with what the sources say.
    proxy.start().await;
    assert_eq!(proxy.status("app")["generation"], 1);
}

/// 5.4.14: a second process on the same store is safe: the CLI's refresh and the proxy's are one.
#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_share_one_refresh() {
    let (authority, site, builder) = world().await;
    authority.delay(std::time::Duration::from_millis(300));
    let first = builder.start().await;
    let (_second, client) = beside(&first).await;
    let clients = [first.client(), client];
    for round in 1..=3 {
        authority.with(|oauth| oauth.revoke_all_access());
        let url = site.url("/echo");
        let asked = clients
            .iter()
            .cycle()
            .take(10)
            .map(|client| client.get(&url));
        for answer in futures_util::future::join_all(asked).await {
            answer.expect(200);
        }
        let counts = authority.with(|oauth| oauth.counts);
        assert_eq!((counts.granted, counts.families_revoked), (round, 0));
    }
}
