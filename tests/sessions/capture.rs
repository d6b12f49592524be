//! Learning from what clients do themselves: a login that passes through the proxy starts the session.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, header};

use crate::support::{
    authority::Authority,
    oauth::Policy,
    origin::{Origin, full, origin},
    proxy::{Builder, Proxy, proxy},
    routes,
};

const API: &str = "api.example.test";
const AUTH: &str = "auth.example.test";

/// A session that holds nothing, and learns at the token endpoint.
fn learning(answer: &str, more: &str) -> Builder {
    proxy().config(format!(
        r#"
[session.app]
bind = [{{ host = "{API}" }}]
values = {{ client_id = "tests" }}
{more}
[[session.app.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"
[[session.app.capture]]
match = {{ host = "{AUTH}", path = "/token", methods = ["POST"] }}
answer = {{ {answer} }}
[session.app.refresh]
token_url = "https://{AUTH}/token"
client_auth = "none"
"#
    ))
}

async fn shown(proxy: &Proxy, api: &Origin) -> Option<String> {
    proxy.client().get(&api.url("/echo")).await;
    api.last().field("authorization").map(str::to_owned)
}

/// The tokens of a JSON answer: the client has it as it was, the session has them, and renews itself with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_the_client_starts_the_session() {
    let authority = Authority::new(Policy::lifetime(600.0).without_grace());
    let auth = authority.endpoint(origin(&[AUTH])).start().await;
    let api = authority.guard(origin(&[API])).start().await;
    let answer =
        r#"access_token = { json = "/access_token" }, refresh_token = { json = "/refresh_token" },
                    expires_in = { json = "/expires_in" }"#
            .replace('\n', " ");
    let mut proxy = learning(&answer, "").site(&auth).site(&api).start().await;
    assert_eq!(proxy.status("app")["state"], "empty");
    proxy.client().get(&api.url("/echo")).await.expect(401);

    for (client, rounds) in [(proxy.client(), 1), (proxy.client().h2(), 2)] {
        let form = "grant_type=password&username=ann&password=x";
        let login = client.post(&auth.url("/token"), form).await.expect(200);
        let pair = login.json();
        let token = pair["access_token"].as_str().expect("a token");
        assert_eq!(
            shown(&proxy, &api).await.as_deref(),
            Some(format!("Bearer {token}").as_str())
        );
        let status = proxy.status("app");
        assert_eq!(
            (&status["state"], status["expires_at"].is_string()),
            (&"fresh".into(), true),
            "{status}"
        );
        // It was stored before the client had it.
        proxy.kill();
        proxy.start().await;
        proxy.client().get(&api.url("/echo")).await.expect(200);
        // And it can be renewed: the refresh token was learnt, too.
        authority.with(|oauth| oauth.revoke_all_access());
        proxy.client().get(&api.url("/echo")).await.expect(200);
        let counts = authority.with(|oauth| (oauth.counts.granted, oauth.counts.families_revoked));
        assert_eq!(counts, (rounds, 0));
    }
}

/// Only what matches teaches: another method, another path, an answer that is no success, one without the field.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_matches_teaches() {
    let auth = origin(&[AUTH])
        .handler(|request| async move {
            let status = match request.uri().query() {
                Some("refused") => 400,
                Some("moved") => 302,
                _ => 200,
            };
            Ok(match request.uri().query() {
                Some("empty") => routes::json(status, &serde_json::json!({ "access_token": "" })),
                Some("other") => routes::json(status, &serde_json::json!({ "token": "no" })),
                Some("text") => routes::text("access_token=no"),
                Some("break") => {
                    routes::json(status, &serde_json::json!({ "access_token": "no\r\nx: 1" }))
                }
                _ => routes::json(status, &serde_json::json!({ "access_token": "no" })),
            })
        })
        .start()
        .await;
    let api = origin(&[API]).start().await;
    let proxy = learning(r#"access_token = { json = "/access_token" }"#, "")
        .site(&auth)
        .site(&api)
        .start()
        .await;
    for client in [proxy.client(), proxy.client().h2()] {
        for (method, target) in [
            ("GET", "/token"),
            ("PUT", "/token"),
            ("POST", "/token/more"),
            ("POST", "/tokens"),
            ("POST", "/x/../token"),
            ("POST", "/token?refused"),
            ("POST", "/token?moved"),
            ("POST", "/token?empty"),
            ("POST", "/token?other"),
            ("POST", "/token?text"),
            ("POST", "/token?break"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(auth.url(target))
                .body(full("x"))
                .unwrap();
            client.send(request).await;
            assert_eq!(shown(&proxy, &api).await, None, "{method} {target}");
        }
    }
    assert_eq!(proxy.status("app")["state"], "empty");
    proxy
        .client()
        .post(&auth.url("/token"), "x")
        .await
        .expect(200);
    assert_eq!(shown(&proxy, &api).await.as_deref(), Some("Bearer no"));
}

/// Fields, cookies, patterns and compressed bodies; and what the client gets is the same to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn other_places_of_an_answer() {
    let page = "<script>var token = 't-page';</script>";
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    zipped.write_all(br#"{"access_token":"t-zipped"}"#).unwrap();
    let zipped = Bytes::from(zipped.finish().unwrap());
    let body = zipped.clone();
    let auth = origin(&[AUTH])
        .handler(move |request| {
            let zipped = zipped.clone();
            async move {
                let mut reply = match request.uri().query() {
                    Some("page") => routes::html(page),
                    Some("zipped") => {
                        let mut reply = routes::reply(http::StatusCode::CREATED, full(zipped));
                        let fields = reply.headers_mut();
                        fields.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
                        fields.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
                        reply
                    }
                    _ => routes::text("look at the head"),
                };
                let fields = reply.headers_mut();
                fields.insert("x-token", "t-header".parse().unwrap());
                fields.append(
                    header::SET_COOKIE,
                    "token=t-cookie; Path=/".parse().unwrap(),
                );
                Ok(reply)
            }
        })
        .start()
        .await;
    let api = origin(&[API]).start().await;
    for (query, place, expected) in [
        ("head", r#"{ header = "x-token" }"#, "t-header"),
        ("head", r#"{ cookie = "token" }"#, "t-cookie"),
        ("page", r#"{ regex = "token = '([^']+)'" }"#, "t-page"),
        ("zipped", r#"{ json = "/access_token" }"#, "t-zipped"),
    ] {
        let proxy = learning(&format!("access_token = {place}"), "")
            .site(&auth)
            .site(&api)
            .start()
            .await;
        for client in [proxy.client(), proxy.client().h2()] {
            let url = auth.url(&format!("/token?{query}"));
            let answer = client.post(&url, "x").await;
            match query {
                "page" => assert_eq!(answer.text(), page),
                "zipped" => assert_eq!((answer.status.as_u16(), &answer.body), (201, &body)),
                _ => assert_eq!(answer.text(), "look at the head"),
            }
            assert_eq!(
                shown(&proxy, &api).await,
                Some(format!("Bearer {expected}")),
                "{place}"
            );
        }
    }
}
