//! `refresh`, through the running proxy and without one.

use serde_json::Value;

use super::Said;
use crate::support::{
    authority::{Authority, Fault, holding, logged_in, session},
    oauth::{Oauth, Policy},
    proxy::{Proxy, proxy},
};

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_now() {
    for running in [false, true] {
        let (authority, origin, pair) = logged_in("api.example", Policy::lifetime(3600.0)).await;
        let mut proxy = holding(&origin, &pair, session("api", "api.example", "")).prepare();
        if running {
            proxy.start().await;
        }
        let status = said(&proxy, &["refresh", "api", "--json"]).json();
        assert_eq!(
            (&status["state"], &status["last_refresh"]["result"]),
            (&"fresh".into(), &"ok".into())
        );
        let line = said(&proxy, &["refresh", "api"]).good();
        assert!(line.starts_with("api fresh, ends in "), "{line}");
        assert_eq!(
            authority.with(|oauth| (oauth.counts.granted, oauth.repeated)),
            (2, 0)
        );

        authority.fail_with([Fault::Error(400, "invalid_grant")]);
        let err = said(&proxy, &["refresh", "api"])
            .bad(1, &["the refresh failed", "hint:", "staysigned import api"]);
        assert!(!err.contains(&pair.refresh), "{err}");
        let status = said(&proxy, &["status", "api", "--json"]).json();
        let status = &status["sessions"][0];
        assert_eq!(status["state"], "needs_login");
        // What happened is known to the proxy alone.
        let history = status["history"].as_array();
        let names =
            |history: &Vec<Value>| history.iter().map(|event| event["name"].clone()).collect();
        let names: Vec<Value> = history.map(names).unwrap_or_default();
        let happened = [
            "refresh.started",
            "refresh.succeeded",
            "session.rotated",
            "refresh.started",
            "refresh.succeeded",
            "session.rotated",
            "refresh.started",
            "refresh.failed",
            "session.needs_login",
        ];
        assert_eq!(names, if running { &happened[..] } else { &[] }, "{status}");
        let text = said(&proxy, &["status", "api"]).good();
        for name in happened {
            assert_eq!(text.contains(&format!("Z  {name} ")), running, "{text}");
        }
        assert!(!text.contains(&pair.refresh), "{text}");
    }
}

/// What is wrong in the configuration is corrected there: no import helps.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_is_corrected_in_the_configuration() {
    for (code, auth, named) in [
        (
            "invalid_client",
            "none",
            "values.client_id in [session.api]",
        ),
        (
            "invalid_client",
            "post",
            "values.client_id or secrets.client_secret in [session.api]",
        ),
        ("invalid_scope", "post", "refresh in [session.api]"),
    ] {
        let authority = Authority::new(Policy::lifetime(3600.0));
        let origin = authority.site("api.example").start().await;
        let pair = authority.login();
        let session = session("api", "api.example", "")
            .replace(
                "client_auth = \"none\"",
                &format!("client_auth = \"{auth}\""),
            )
            .replace("secrets = {", "secrets = { client_secret = \"env:SECRET\",");
        let proxy = proxy()
            .site(&origin)
            .config(session)
            .env("ACCESS", &pair.access)
            .env("REFRESH", &pair.refresh)
            .env("SECRET", "canary-secret")
            .prepare();
        authority.fail_with([Fault::Error(401, code)]);
        let hint = format!("hint: correct {named}, and reload the proxy");
        let err = said(&proxy, &["refresh", "api"]).bad(1, &[code, &hint]);
        assert!(!err.contains("canary") && !err.contains("import"), "{err}");
        // That end is of the configuration alone: the next process tries again.
        said(&proxy, &["refresh", "api"]).good();
    }
}

/// What would be forgotten with the command is not done: its refresh token may be spent only once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_in_memory_is_renewed_by_a_proxy_alone() {
    for in_memory in ["persist", "store"] {
        let (authority, origin, pair) = logged_in("api.example", Policy::lifetime(3600.0)).await;
        let of_store = session("api", "api.example", "");
        let mut proxy = match in_memory {
            "persist" => {
                let own = "[session.api]\npersist = false";
                let own = of_store.replace("[session.api]", own);
                holding(&origin, &pair, own)
            }
            _ => holding(&origin, &pair, of_store).memory(),
        }
        .prepare();
        let err = said(&proxy, &["refresh", "api"]).bad(
            1,
            &[
                "nothing was refreshed: api is kept in the memory of a proxy alone, and none runs",
                "hint: start it first: staysigned",
            ],
        );
        assert!(!err.contains(&pair.refresh), "{err}");
        assert_eq!(authority.attempts().len(), 0, "nothing was spent");
        proxy.start().await;
        said(&proxy, &["refresh", "api"]).good();
        let counts = |oauth: &mut Oauth| (oauth.counts.granted, oauth.repeated);
        assert_eq!(authority.with(counts), (1, 0));
    }
}

#[test]
fn what_has_no_refresh_says_so() {
    let proxy = proxy().bearer("api", "api.example", "t").prepare();
    said(&proxy, &["refresh", "api"]).bad(
        1,
        &[
            "there is nothing to refresh with",
            "hint: staysigned import api",
        ],
    );
    said(&proxy, &["refresh", "nothing"]).bad(2, &["there is no session nothing"]);
}

/// A status is no use: nothing is spent by looking.
#[tokio::test(flavor = "multi_thread")]
async fn looking_renews_nothing() {
    let authority = Authority::new(Policy::lifetime(1.0));
    let origin = authority.site("api.example").start().await;
    let pair = authority.login();
    let proxy = proxy()
        .site(&origin)
        .config(session("api", "api.example", ""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .prepare();
    said(&proxy, &["refresh", "api"]).good();
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let text = said(&proxy, &["status"]).good();
    assert!(
        text.contains("api      fresh")
            && text.contains("what is held has expired; it is renewed at its next use"),
        "{text}"
    );
    assert_eq!(authority.attempts().len(), 1);
}

/// What comes back may hold a token that was spent: it comes back all the same, and the person is told what that means.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_says_when_the_refresh_token_was_spent() {
    for running in [false, true] {
        let (authority, origin, pair) = logged_in("api.example", Policy::lifetime(3600.0)).await;
        let mut proxy = holding(&origin, &pair, session("api", "api.example", "")).prepare();
        if running {
            proxy.start().await;
        }
        said(&proxy, &["refresh", "api"]).good();
        let back = said(&proxy, &["restore", "api"]);
        assert_eq!(back.code, 0, "{}", back.err);
        assert!(back.out.starts_with("back to generation "), "{}", back.out);
        for word in [
            "warning:",
            "spent",
            "refuse",
            "end the whole session",
            "staysigned restore api",
            "staysigned import api",
        ] {
            assert!(back.err.contains(word), "no {word:?} in: {}", back.err);
        }
        assert!(!back.err.contains(&pair.refresh), "{}", back.err);
        // The one after it was not: there is nothing to say.
        let forth = said(&proxy, &["restore", "api", "--json"]).json();
        assert_eq!(forth["restored"]["warning"], Value::Null, "{forth}");
        // Back once more, as a program asks: the same is known of it.
        let back = said(&proxy, &["restore", "api", "--json"]).json();
        let warning = back["restored"]["warning"].as_str().unwrap_or_default();
        assert!(warning.contains("spent"), "{back}");
        assert_eq!(authority.with(|oauth| oauth.counts.refused), 0);
    }
}

/// A server that always takes the token before the newest loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_says_nothing_of_a_token_that_is_always_taken() {
    let more = "grace = \"unlimited\"";
    let (_authority, origin, pair) = logged_in("api.example", Policy::lifetime(3600.0)).await;
    let proxy = holding(&origin, &pair, session("api", "api.example", more)).prepare();
    said(&proxy, &["refresh", "api"]).good();
    let back = said(&proxy, &["restore", "api", "--json"]).json();
    assert_eq!(back["restored"]["warning"], Value::Null, "{back}");
}
