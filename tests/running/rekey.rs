//! `[store] rotate`: the proxy replaces the store's key by itself when it is old enough.

use std::time::Duration;

use crate::{
    sessions::{cookie_session, import},
    support::{
        client::eventually,
        proxy::{Proxy, proxy},
        rotating::{Manner, Rotating},
    },
};

const HOST: &str = "site.example.test";

/// When the store got its key, in Unix time.
fn keyed(proxy: &Proxy) -> i64 {
    let database = rusqlite::Connection::open(proxy.path().join("staysigned.db")).unwrap();
    let sql = "SELECT value FROM meta WHERE name = 'keyed'";
    database.query_row(sql, (), |row| row.get(0)).unwrap()
}

/// Makes the key older, as time would.
fn age(proxy: &Proxy, seconds: i64) {
    let database = rusqlite::Connection::open(proxy.path().join("staysigned.db")).unwrap();
    let sql = "UPDATE meta SET value = value - ?1 WHERE name = 'keyed'";
    assert_eq!(database.execute(sql, [seconds]).unwrap(), 1);
}

/// 5.4.11: a key that is an hour old is replaced while the proxy works, and one of fifty minutes is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_is_replaced_by_the_proxy() {
    let rotating = Rotating::new(Manner::Strict);
    let site = rotating.site(HOST).start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(cookie_session(HOST, "concurrency = \"serial\""))
        .prepare();
    import(&proxy, &rotating, HOST);
    let key = proxy.path().join("certs/store.key");
    let read = || std::fs::read_to_string(&key).unwrap();
    let first = read();
    proxy.edit(|text| text.replacen("[store]\n", "[store]\nrotate = \"1h\"\n", 1));

    age(&proxy, 3000);
    let since = keyed(&proxy);
    proxy.start().await;
    proxy.client().get(&site.url("/")).await.expect(200);
    assert_eq!((read(), keyed(&proxy)), (first.clone(), since));
    proxy.kill();

    age(&proxy, 700);
    proxy.start().await;
    let changed = || {
        let now = read();
        (now != first).then_some(now)
    };
    let second = eventually("another key", Duration::from_secs(30), changed).await;
    proxy.client().get(&site.url("/")).await.expect(200);
    assert!(keyed(&proxy) >= since, "the new key is young");
    assert!(proxy.log().contains("the store has a new key"));
    assert!(!proxy.log().contains(second.trim()), "the key is logged");
    proxy.kill();

    // The new key opens it, and the old one nothing.
    proxy.start().await;
    proxy.client().get(&site.url("/")).await.expect(200);
    assert_eq!(read(), second, "once");
    rotating.with(|state| {
        let harm = (state.ended, state.rejected, state.behind);
        assert_eq!(harm, (false, 0, 0));
    });
    proxy.kill();
    std::fs::write(&key, first).unwrap();
    let refused = proxy.cli(&["export", "site", "--to", "header"]);
    assert!(!refused.status.success(), "{refused:?}");
}
