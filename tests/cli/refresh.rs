//! `refresh`, through the running proxy and without one.

use super::Said;
use crate::support::{
    authority::{Authority, Fault, session},
    oauth::Policy,
    proxy::{Proxy, proxy},
};

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_now() {
    for running in [false, true] {
        let authority = Authority::new(Policy::lifetime(3600.0));
        let origin = authority.site("api.example").start().await;
        let pair = authority.login();
        let mut proxy = proxy()
            .site(&origin)
            .config(session("api", "api.example", ""))
            .env("ACCESS", &pair.access)
            .env("REFRESH", &pair.refresh)
            .prepare();
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
        assert_eq!(status["sessions"][0]["state"], "needs_login");
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
        text.contains("expired") && text.contains("renewed at its next use"),
        "{text}"
    );
    assert_eq!(authority.attempts().len(), 1);
}
