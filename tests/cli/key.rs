//! `key`: another key for the store, where it does not lie in a file.

use staysigned::store;

use super::Said;
use crate::support::proxy::{Proxy, proxy};

const HOST: &str = "api.example.test";

/// A session with something in the store, whose key comes from a variable.
fn world(old: &str, new: &str) -> Proxy {
    let mut proxy = proxy()
        .config(crate::sessions::cookie_session(HOST, ""))
        .prepare();
    proxy.edit(|text| text.replacen("[store]\n", "[store]\nkey = \"env:STORE_KEY\"\n", 1));
    proxy.environment = vec![
        ("STORE_KEY".to_owned(), old.to_owned()),
        ("NEXT_KEY".to_owned(), new.to_owned()),
    ];
    proxy
}

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

/// 5.4.11: `key rotate --to`: what is stored opens with the new key alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_elsewhere_is_replaced_by_one_that_is_given() {
    let (old, new) = (store::key::generate(), store::key::generate());
    let mut proxy = world(old.expose(), new.expose());
    let import = ["import", "site", "--from", "header", "--domain", HOST];
    let output = proxy.cli_with(&import, "Cookie: sid=kept");
    assert!(output.status.success(), "{output:?}");
    let export = ["export", "site", "--to", "header"];

    let rotate = ["key", "rotate", "--to", "env:NEXT_KEY"];
    said(&proxy, &["key", "rotate"]).bad(2, &["env:STORE_KEY", "staysigned key new", "--to"]);
    said(&proxy, &["key", "rotate", "--to", "env:NONE"]).bad(1, &["NONE"]);
    // A proxy that has it open would be left behind with the old one.
    proxy.start().await;
    said(&proxy, &rotate).bad(1, &["other processes"]);
    proxy.kill();
    assert!(said(&proxy, &export).good().contains("sid=kept"));

    let output = proxy.cli(&rotate);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for says in ["sealed with the new key", "env:STORE_KEY"] {
        assert!(text.contains(says), "{text}");
    }
    for key in [&old, &new] {
        assert!(!text.contains(key.expose().as_str()), "a key is shown");
    }
    let refused = proxy.cli(&export);
    assert!(!refused.status.success(), "{refused:?}");
    proxy.environment[0].1 = new.expose().to_string();
    assert!(said(&proxy, &export).good().contains("sid=kept"));
}

/// A key in a file takes none from elsewhere, and a store in memory has none.
#[test]
fn where_no_key_is_given() {
    let rotate = ["key", "rotate", "--to", "env:NEXT_KEY"];
    let proxy = world("", store::key::generate().expose());
    proxy.edit(|text| text.replacen("key = \"env:STORE_KEY\"\n", "", 1));
    said(&proxy, &rotate).bad(2, &["leave --to out"]);
    proxy.edit(|text| text.replacen("sqlite:staysigned.db", "memory:", 1));
    said(&proxy, &rotate).bad(2, &["in memory"]);
}
