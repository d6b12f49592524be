//! `amazon-ads`: Login with Amazon for several users of one host.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::lwa::{ADS, Amazon, Brings};
use crate::support::{
    client::{Client, eventually},
    origin::{Origin, empty},
    ports,
    proxy::{Builder, Proxy, proxy},
};

pub(super) const URL: &str = "https://advertising-api.amazon.com/v2/profiles";
const CLIENT: &str = "amzn1.application-oa2-client.x";

pub(super) fn session(name: &str, more: &str) -> String {
    format!(
        "[session.{name}]\nprovider = \"amazon-ads\"\n{more}\n\
         values = {{ client_id = \"{CLIENT}\", region = \"na\" }}\n"
    )
}

/// One user, whose refresh token is a secret of the configuration.
pub(super) async fn one() -> (Amazon, [Origin; 2], Proxy) {
    one_with("").await
}

async fn one_with(more: &str) -> (Amazon, [Origin; 2], Proxy) {
    let amazon = Amazon::new(&["alice"]);
    let (lwa, ads) = amazon.start().await;
    let secrets = "secrets = { client_secret = \"env:SECRET\", refresh_token = \"env:REFRESH\" }";
    let proxy = proxy()
        .site(&lwa)
        .site(&ads)
        .config(session("ads", secrets))
        .config(more)
        .env("SECRET", "the secret")
        .env(
            "REFRESH",
            &amazon.user("alice", |user| user.refresh.clone()),
        )
        .start()
        .await;
    (amazon, [lwa, ads], proxy)
}

/// A team: alice and bob by password, carol by a port of her own; each with a grant of her or his own.
pub(super) async fn team(amazon: &Amazon) -> ([Origin; 2], Proxy, u16) {
    let (lwa, ads) = amazon.start().await;
    let port = ports::free().port();
    let more = "clients = [\"*\"]\nper_client = true\nsecrets = { client_secret = \"env:SECRET\" }";
    let builder: Builder = proxy()
        .site(&lwa)
        .site(&ads)
        // However busy the machine is.
        .config("[limits]\nrefresh_wait = \"1m\"")
        .config("[clients.alice]\npassword = \"env:ALICE\"\n[clients.bob]\npassword = \"env:BOB\"")
        .config(format!("[clients.carol]\nport = {port}"))
        .config(session("ads", more))
        .env("SECRET", "the secret")
        .env("ALICE", "pw-alice")
        .env("BOB", "pw-bob");
    let proxy = builder.start().await;
    for name in ["alice", "bob", "carol"] {
        // Users are added while the proxy runs.
        let token = json!({ "refresh_token": amazon.user(name, |user| user.refresh.clone()) });
        let output = proxy.cli_with(
            &["import", "ads", "--client", name, "--from", "json"],
            &token.to_string(),
        );
        assert!(output.status.success(), "{output:?}");
    }
    ([lwa, ads], proxy, port)
}

pub(super) fn as_user(proxy: &Proxy, name: &str) -> Client {
    let mut client = proxy.client();
    let basic = STANDARD.encode(format!("{name}:pw-{name}"));
    client.connect_fields = format!("Proxy-Authorization: Basic {basic}\r\n");
    client
}

/// 5.4.1: who asks decides whose token it is: by password, by port; nobody gets another's.
#[tokio::test(flavor = "multi_thread")]
async fn each_user_has_a_grant() {
    let amazon = Amazon::new(&["alice", "bob", "carol"]);
    let (_sites, proxy, port) = team(&amazon).await;
    for name in ["alice", "bob"] {
        let answer = as_user(&proxy, name).get(URL).await.expect(200);
        assert_eq!(answer.json()["user"], name);
    }
    let ca = std::fs::read_to_string(proxy.ca_path()).unwrap();
    let carol = Client::proxied(([127, 0, 0, 1], port).into(), &ca);
    assert_eq!(carol.get(URL).await.expect(200).json()["user"], "carol");
    let stranger = as_user(&proxy, "mallory");
    let error = stranger
        .try_send(Request::get(URL).body(empty()).unwrap())
        .await;
    assert!(error.is_err(), "a stranger is asked for a password");
}

/// 5.4.1, its third way: two sessions on one host, told apart by the Scope.
#[tokio::test(flavor = "multi_thread")]
async fn the_scope_tells_sessions_apart() {
    let amazon = Amazon::new(&["alice", "bob"]);
    let (lwa, ads) = amazon.start().await;
    let by_scope = |name: &str, scope: &str| {
        let when =
            format!("when = {{ header = \"amazon-advertising-api-scope\", value = \"{scope}\" }}");
        let secrets = format!(
            "bind = [{{ host = \"{ADS}\", {when} }}]\n\
             secrets = {{ client_secret = \"env:SECRET\", refresh_token = \"env:REFRESH_{name}\" }}"
        );
        session(name, &secrets)
    };
    let refresh = |name| amazon.user(name, |user| user.refresh.clone());
    let proxy = proxy()
        .site(&lwa)
        .site(&ads)
        .config(by_scope("alice", "111"))
        .config(by_scope("bob", "222"))
        .env("SECRET", "s")
        .env("REFRESH_alice", &refresh("alice"))
        .env("REFRESH_bob", &refresh("bob"))
        .start()
        .await;
    for (scope, name) in [("111", "alice"), ("222", "bob")] {
        let request = Request::get(URL)
            .header("Amazon-Advertising-API-Scope", scope)
            .body(empty())
            .unwrap();
        assert_eq!(
            proxy.client().send(request).await.expect(200).json()["user"],
            name
        );
    }
    // No Scope, no session: passed on as it is.
    assert_eq!(proxy.client().get(URL).await.status, 401);
}

/// 5.4.2: the bearer is replaced, ClientId added if it is not there, all else untouched.
#[tokio::test(flavor = "multi_thread")]
async fn fields_are_put_on_as_the_api_wants_them() {
    let (amazon, _sites, proxy) = one().await;
    let request = Request::get(URL)
        .header("authorization", "Bearer PLACEHOLDER")
        .header("Amazon-Advertising-API-Scope", "123")
        .header("Amazon-Advertising-API-AdvertiserId", "ENTITY1")
        .body(empty())
        .unwrap();
    proxy.client().send(request).await.expect(200);
    let request = Request::get(URL)
        .header("amazon-advertising-api-clientid", "its own")
        .body(empty())
        .unwrap();
    proxy.client().send(request).await.expect(200);
    amazon.with(|state| {
        let (_, first) = &state.asked[0];
        assert_eq!(first.get_all("authorization").iter().count(), 1);
        assert_eq!(first["amazon-advertising-api-clientid"], CLIENT);
        assert_eq!(first["amazon-advertising-api-scope"], "123");
        assert_eq!(first["amazon-advertising-api-advertiserid"], "ENTITY1");
        let (_, second) = &state.asked[1];
        assert_eq!(second["amazon-advertising-api-clientid"], "its own");
        let form = &state.forms[0];
        assert_eq!(
            (form["client_id"].as_str(), form["client_secret"].as_str()),
            (CLIENT, "the secret")
        );
        assert_eq!(form["grant_type"], "refresh_token");
    });
}

/// 5.4.4, 5.4.8, 5.4.12: a hundred requests of two users whose tokens are not taken any more: one refresh each, the slow one
/// holds nobody up, and who was revoked is told so alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_are_rejected() {
    let amazon = Amazon::new(&["alice", "bob", "carol"]);
    let (_sites, proxy, port) = team(&amazon).await;
    for name in ["alice", "bob"] {
        as_user(&proxy, name).get(URL).await.expect(200);
    }
    for name in ["alice", "bob", "carol"] {
        amazon.user(name, |user| user.good = false);
    }
    // Alice's answer is there once bob has one.
    let slow = Arc::new(Semaphore::new(0));
    amazon.user("alice", |user| user.held = Some(slow.clone()));
    amazon.user("carol", |user| user.revoked = true);
    let order = Mutex::new(Vec::new());
    let crowd = |name: &'static str| {
        let all = (0..50).map(|_| {
            let client = as_user(&proxy, name);
            let (order, slow) = (&order, &slow);
            async move {
                let status = client.get(URL).await.status.as_u16();
                order.lock().unwrap().push(name);
                if name == "bob" {
                    slow.add_permits(1);
                }
                status
            }
        });
        join_all(all)
    };
    let ca = std::fs::read_to_string(proxy.ca_path()).unwrap();
    let carol = Client::proxied(([127, 0, 0, 1], port).into(), &ca);
    let (alice, bob, revoked) = tokio::join!(crowd("alice"), crowd("bob"), carol.get(URL));
    assert_eq!((alice, bob), (vec![200; 50], vec![200; 50]));
    assert_eq!((amazon.calls("alice"), amazon.calls("bob")), (2, 2));
    let first = order.lock().unwrap()[0];
    assert_eq!(first, "bob", "who does not wait for alice");
    assert_eq!(revoked.status, 401, "the upstream's own answer");

    let status = proxy.cli(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    for (name, state, valid) in [
        ("alice", "fresh", true),
        ("bob", "fresh", true),
        ("carol", "needs_login", false),
    ] {
        let mut all = status["sessions"].as_array().unwrap().iter();
        let entry = all.find(|entry| entry["client"] == name).expect("an entry");
        assert_eq!(
            (&entry["state"], &entry["valid"]),
            (&json!(state), &json!(valid)),
            "{entry}"
        );
        assert_eq!(entry["requires_login"], json!(!valid), "{entry}");
        assert_eq!(entry["message"].is_null(), valid, "{entry}");
        assert!(entry["last_refresh"]["at"].is_string(), "{entry}");
    }
    let text = status.to_string();
    assert!(!text.contains("Atza|") && !text.contains("Atzr|"), "{text}");
    let before = amazon.calls("carol");
    carol.get(URL).await;
    assert_eq!(amazon.calls("carol"), before, "an end is an end");
}

/// 5.4.4, its deadline, and 5.4.12: who waits for a refresh that hangs gets the answer that there was; the status is told
/// meanwhile, and what the refresh brings at last is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_hangs_keeps_nobody() {
    let (amazon, _sites, proxy) =
        one_with("[session.ads.refresh]\ntimeout = \"2s\"\n[limits]\nrefresh_wait = \"1s\"\n")
            .await;
    proxy.client().get(URL).await.expect(200);
    let held = Arc::new(Semaphore::new(0));
    amazon.user("alice", |user| {
        (user.good, user.held) = (false, Some(held.clone()));
    });
    let client = proxy.client();
    let waiting = tokio::spawn(async move { client.get(URL).await });
    eventually("it says that it refreshes", Duration::from_secs(60), || {
        let status = proxy.status("ads");
        assert_eq!(status["requires_login"], false, "{status}");
        (status["state"] == "refreshing").then_some(())
    })
    .await;
    let answer = waiting.await.unwrap().expect(401);
    assert_eq!(answer.json()["details"], "Authentication failed");
    assert!(answer.field("proxy-status").is_some(), "{answer:?}");
    // What hangs fails, and what is asked for next is answered.
    amazon.user("alice", |user| user.held = None);
    held.close();
    eventually("the refresh ends", Duration::from_secs(60), || {
        amazon.user("alice", |user| user.good.then_some(()))
    })
    .await;
    proxy.client().get(URL).await.expect(200);
}

/// 5.4.5: a 401 counts more than the clock; a second one is passed on.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_once_and_twice() {
    let (amazon, _sites, proxy) = one().await;
    proxy.client().get(URL).await.expect(200);
    amazon.user("alice", |user| user.good = false);
    proxy.client().get(URL).await.expect(200);
    amazon.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (3, 2)));
    amazon.with(|state| state.api = vec![(401, "no"), (401, "no")]);
    assert_eq!(proxy.client().get(URL).await.status, 401);
    amazon.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (5, 3)));
}

/// 5.4.6: a 403 is an entitlement, unless it says that the bearer was mangled.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_403_says() {
    let (amazon, _sites, proxy) = one().await;
    proxy.client().get(URL).await.expect(200);
    amazon.with(|state| state.api = vec![(403, "Not authorized to access scope 123")]);
    assert_eq!(proxy.client().get(URL).await.status, 403);
    assert_eq!(amazon.calls("alice"), 1);
    let mangled =
        "Atza|… not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer'.";
    for method in ["GET", "POST"] {
        let before = amazon.calls("alice");
        amazon.with(|state| state.api = vec![(403, mangled)]);
        let request = Request::builder()
            .method(method)
            .uri(URL)
            .body(empty())
            .unwrap();
        proxy.client().send(request).await.expect(200);
        assert_eq!(amazon.calls("alice"), before + 1, "{method}");
    }
}

/// 5.4.7: an answer without a refresh token keeps the old one, one with a new one replaces it, on disk.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_are_kept_and_replaced() {
    let (amazon, _sites, mut proxy) = one().await;
    for brings in [Brings::None, Brings::New, Brings::Same, Brings::None] {
        amazon.user("alice", |user| user.brings = brings);
        let output = proxy.cli(&["refresh", "ads"]);
        assert!(output.status.success(), "{output:?}");
        proxy.kill();
        proxy.start().await;
        proxy.client().get(URL).await.expect(200);
    }
    amazon.user("alice", |user| assert_eq!(user.access.len(), 4));
}

/// 5.4.9: what is no token answer never reaches a request, and what was held stays.
#[tokio::test(flavor = "multi_thread")]
async fn odd_token_answers_are_never_put_on_a_request() {
    let page = "<html>captive portal</html>";
    let cases = [
        ("text/html", page.to_owned()),
        (
            "application/json",
            json!({ "access_token": "" }).to_string(),
        ),
        (
            "application/json",
            json!({ "access_token": "a\r\nb: c" }).to_string(),
        ),
        ("application/json", "[]".to_owned()),
    ];
    for (kind, body) in cases {
        let (amazon, _sites, proxy) = one().await;
        amazon.with(|state| state.says = vec![(200, kind, body.clone())]);
        let answer = proxy.client().get(URL).await;
        amazon.with(|state| {
            for (_, headers) in &state.asked {
                let sent = headers.get("authorization").map(|v| v.as_bytes().to_vec());
                assert!(
                    sent.is_none_or(|v| v.starts_with(b"Bearer Atza|")),
                    "{body}"
                );
            }
        });
        let state = proxy.status("ads")["state"].clone();
        assert!(
            state == "degraded" || answer.status == 200,
            "{body}: {state}"
        );
    }
    for life in [json!(null), json!("3600"), json!(-1), json!(1e12)] {
        let (amazon, _sites, proxy) = one().await;
        amazon.user("alice", |user| {
            user.access = vec!["Atza|odd".to_owned()];
            user.good = true;
        });
        let body = json!({ "access_token": "Atza|odd", "expires_in": life }).to_string();
        amazon.with(|state| state.says = vec![(200, "application/json", body)]);
        proxy.client().get(URL).await.expect(200);
        let ends = proxy.status("ads")["expires_at"].clone();
        assert_eq!(
            ends.is_null(),
            life.is_null() || life == json!(-1),
            "{life}: {ends}"
        );
    }
}
