//! `amazon-ads`: users that come and go while the proxy runs, by the file and the API.

use http::{Method, Request};
use serde_json::{Value, json};

use super::{
    amazon::{URL, as_user, session},
    lwa::Amazon,
};
use crate::support::{
    client::{Answer, Client, Direct},
    origin::{empty, full},
    proxy::{Proxy, proxy},
};

const DAVE: &str = "/api/v1/sessions/ads/clients/dave";

async fn ask(proxy: &Proxy, method: Method, path: &str, body: Option<Value>) -> Answer {
    let token = std::fs::read_to_string(proxy.path().join("admin.token")).expect("its token");
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", proxy.admin))
        .header("authorization", format!("Bearer {}", token.trim()))
        .extension(Direct);
    let body = body.map_or_else(empty, |body| full(body.to_string()));
    Client::to(proxy.admin)
        .send(request.body(body).unwrap())
        .await
}

/// Reads the file again; returns the keys that need a restart.
async fn reload(proxy: &Proxy) -> Value {
    let answer = ask(proxy, Method::POST, "/api/v1/reload", None).await;
    answer.expect(200).json()["needs_restart"].clone()
}

/// 5.4.1: a user is added at run time: her entry in the file and a reload, then her grant over HTTP. Who is there notices
/// nothing; who is taken out again is no client any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_comes_and_goes_while_it_runs() {
    let amazon = Amazon::new(&["alice", "dave"]);
    let (lwa, ads) = amazon.start().await;
    let own = "clients = [\"*\"]\nper_client = true\nsecrets = { client_secret = \"env:SECRET\" }";
    let proxy = proxy()
        .site(&lwa)
        .site(&ads)
        .config("[limits]\nrefresh_wait = \"1m\"")
        .config("[clients.alice]\npassword = \"env:ALICE\"")
        .config(session("ads", own))
        .env("SECRET", "the secret")
        .env("ALICE", "pw-alice")
        .start()
        .await;
    let grant = |name: &str| {
        let refresh = amazon.user(name, |user| user.refresh.clone());
        Some(json!({ "fields": { "refresh_token": refresh } }))
    };
    let put = async |name: &str| {
        let path = format!("/api/v1/sessions/ads/clients/{name}/grant");
        ask(&proxy, Method::PUT, &path, grant(name)).await
    };
    put("alice").await.expect(200);
    let alice = as_user(&proxy, "alice");
    let mut kept = alice.open(&URL.parse().unwrap()).await.unwrap();
    let served = kept.get(URL).await.unwrap().expect(200);
    assert_eq!(served.json()["user"], "alice");

    // Nobody yet.
    let stranger = put("dave").await;
    assert_eq!(stranger.status, 404);
    assert!(stranger.text().contains("there is no client dave"));
    let get = || Request::get(URL).body(empty()).unwrap();
    let dave = as_user(&proxy, "dave");
    assert!(dave.try_send(get()).await.is_err(), "407");

    std::fs::write(proxy.path().join("dave"), "pw-dave\n").unwrap();
    const ENTRY: &str = "\n[clients.dave]\npassword = \"file:dave\"\n";
    proxy.edit(|text| text + ENTRY);
    assert_eq!(reload(&proxy).await, json!([]));
    let status = ask(&proxy, Method::GET, DAVE, None).await.expect(200);
    assert_eq!(
        (&status.json()["state"], &status.json()["client"]),
        (&json!("empty"), &json!("dave"))
    );
    let put = put("dave").await.expect(200);
    assert_eq!(put.json()["client"], "dave");
    let served = dave.get(URL).await.expect(200);
    assert_eq!(served.json()["user"], "dave");
    let served = kept.get(URL).await.unwrap().expect(200);
    assert_eq!(
        served.json()["user"],
        "alice",
        "on her connection of before"
    );

    // What there is for one session is there for one client's.
    let calls = amazon.calls("dave");
    let renewed = ask(&proxy, Method::POST, &format!("{DAVE}/refresh"), None).await;
    assert_eq!(renewed.expect(200).json()["last_refresh"]["result"], "ok");
    assert_eq!(amazon.calls("dave"), calls + 1);
    let back = ask(&proxy, Method::POST, &format!("{DAVE}/restore"), None).await;
    back.expect(200);
    let one = ask(&proxy, Method::GET, DAVE, None).await.expect(200);
    let history = one.json()["history"].as_array().map(Vec::len);
    assert!(history > Some(1), "{}", one.text());
    for place in ["/grant", ""] {
        let all = format!("/api/v1/sessions/ads{place}");
        let method = if place.is_empty() {
            Method::GET
        } else {
            Method::DELETE
        };
        let all = ask(&proxy, method, &all, None).await;
        assert_eq!(all.status, 409, "every client has one: {}", all.text());
    }
    let gone = ask(&proxy, Method::DELETE, &format!("{DAVE}/grant"), None).await;
    assert_eq!(gone.expect(200).json()["state"], "empty");
    let status = ask(
        &proxy,
        Method::GET,
        "/api/v1/sessions/ads/clients/alice",
        None,
    )
    .await;
    assert_eq!(status.json()["state"], "fresh", "hers is hers");

    // No answer had a token in it.
    let mut secrets = vec![amazon.user("dave", |user| user.refresh.clone())];
    secrets.extend(amazon.user("dave", |user| user.access.clone()));
    for answer in [put.text(), one.text(), status.text()] {
        assert!(!secrets.iter().any(|secret| answer.contains(secret)));
    }

    proxy.edit(|text| text.replace(ENTRY, ""));
    assert_eq!(reload(&proxy).await, json!([]));
    assert_eq!(ask(&proxy, Method::GET, DAVE, None).await.status, 404);
    assert!(dave.try_send(get()).await.is_err(), "407 again");
    let served = alice.get(URL).await.expect(200);
    assert_eq!(served.json()["user"], "alice");
}
