//! Cookies that the site takes away again: by a logout that was asked for, and with a rejection that nothing can cure.

use std::sync::Arc;

use http::{Response, StatusCode, header};

use crate::support::{
    origin::{Body, Origin, Seen, empty, origin},
    proxy::proxy,
    routes,
};

const HOST: &str = "site.example.test";

const RULE: &str = "[[session.site.rejected]]\nstatus = [302]\nlocation = \"*/login*\"\n";

fn to_the_login(deletes: bool) -> Response<Body> {
    let mut reply = routes::reply(StatusCode::FOUND, empty());
    let headers = reply.headers_mut();
    headers.insert(header::LOCATION, "/login?next=/".parse().unwrap());
    if deletes {
        let gone = "sid=; Path=/; Max-Age=0".parse().unwrap();
        headers.insert(header::SET_COOKIE, gone);
    }
    reply
}

fn asked(site: &Origin, path: &str) -> Vec<Arc<Seen>> {
    let mut seen = site.seen();
    seen.retain(|seen| seen.path == path);
    seen
}

/// A site whose logout leads to the login, as its quiet death would.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_a_client_asks_for_is_no_rejection() {
    let site = origin(&[HOST])
        .handler(|request| async move {
            let known = request.headers().contains_key(header::COOKIE);
            match request.uri().path() {
                "/login" => {
                    let mut reply = routes::text("signed in");
                    let cookie = "sid=1; Path=/; Secure".parse().unwrap();
                    reply.headers_mut().insert(header::SET_COOKIE, cookie);
                    Ok(reply)
                }
                "/logout" => Ok(to_the_login(true)),
                _ if known => Ok(routes::text("the page")),
                _ => Ok(to_the_login(false)),
            }
        })
        .start()
        .await;
    let config = format!(
        "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n[session.site.cookies]\nrequired = [\"sid\"]\n{RULE}\
         [session.site.refresh]\nkind = \"http\"\n[[session.site.refresh.steps]]\n\
         request = {{ method = \"POST\", url = \"https://{HOST}/login\" }}\n"
    );
    let proxy = proxy().site(&site).config(config).start().await;
    let client = proxy.client();
    for round in 1..=2 {
        let page = client.get(&site.url("/page")).await.expect(200);
        assert_eq!(page.text(), "the page");
        assert_eq!(asked(&site, "/login").len(), round);
        client.get(&site.url("/logout?now")).await.expect(302);
        assert_eq!(asked(&site, "/logout").len(), round, "asked for once");
        let status = proxy.status("site");
        let missing = serde_json::json!(["sid"]);
        assert_eq!(status["state"], "empty");
        assert_eq!(status["cookies"]["missing"], missing);
        assert_eq!(status["counters"]["rejected"], 0);
    }
}

/// Without a refresh nothing will tell whether a rejection was one: what it deletes is deleted, as a browser would, and can
/// be restored; and a rejection alone is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_refresh_says_that_it_is_rejected() {
    let site = origin(&[HOST])
        .handler(|request| async move {
            match request.uri().path() {
                "/dead" => Ok(to_the_login(false)),
                "/gone" => Ok(to_the_login(true)),
                _ => Err(request),
            }
        })
        .start()
        .await;
    let config = format!(
        "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n[session.site.cookies]\nrequired = [\"sid\"]\n{RULE}\
         [session.site.refresh]\nkind = \"none\"\n"
    );
    let proxy = proxy().site(&site).config(config).start().await;
    let import = ["import", "site", "--from", "header", "--domain", HOST];
    let imported = proxy.cli_with(&import, "Cookie: sid=1\n");
    assert!(imported.status.success(), "{imported:?}");
    let client = proxy.client();
    client.get(&site.url("/echo")).await.expect(200);
    assert!(proxy.status("site")["message"].is_null());

    client.get(&site.url("/dead")).await.expect(302);
    let status = proxy.status("site");
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("rejected, and nothing"), "{message}");
    assert!(message.contains("staysigned import site"), "{message}");
    client.get(&site.url("/echo")).await.expect(200);
    assert!(proxy.status("site")["message"].is_null(), "accepted since");

    let gone = client.get(&site.url("/gone")).await.expect(302);
    assert_eq!(gone.field("location"), Some("/login?next=/"));
    assert_eq!(asked(&site, "/gone").len(), 1);
    let status = proxy.status("site");
    assert_eq!(status["state"], "empty");
    assert_eq!(status["requires_login"], true);
    client.get(&site.url("/echo")).await.expect(200);
    assert_eq!(site.last().field("cookie"), None);

    let restored = proxy.cli(&["restore", "site"]);
    assert!(restored.status.success(), "{restored:?}");
    client.get(&site.url("/echo")).await.expect(200);
    assert_eq!(site.last().field("cookie"), Some("sid=1"));
}
