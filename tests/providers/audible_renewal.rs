//! `audible`: the refresh of its token, ours and the library's own.

use http::Request;
use serde_json::{Value, json};

use super::{
    audible::{URL, python, signed_in, standin},
    marketplace::auth,
    now,
};
use crate::support::{
    canary,
    origin::{empty, full},
    tool::{self, Way},
};

/// 2.7.7: the refresh is the library's own, and takes both shapes of answers; what is none changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_as_the_library_does() {
    let (market, _sites, proxy) = signed_in("").await;
    let actor = json!({ "actor_access_token": "Atna|actor", "actor_refresh_token": "Atnr|actor", "expires_in": 3600 });
    market.with(|state| state.tokens = vec![(200, "application/json", actor.to_string())]);
    assert!(proxy.cli(&["refresh", "audible"]).status.success());
    market.with(|state| {
        let field = |name: &str| {
            let found = state.forms[0].iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(field("source_token"), Some(auth("refresh_token")));
        assert_eq!(field("source_token_type").as_deref(), Some("refresh_token"));
        assert_eq!(
            field("requested_token_type").as_deref(),
            Some("access_token")
        );
        assert_eq!(field("app_name").as_deref(), Some("Audible"));
        for name in ["grant_type", "refresh_token", "client_id"] {
            assert_eq!(field(name), None);
        }
    });
    market
        .with(|state| state.tokens = vec![(200, "text/html", "<html>a portal</html>".to_owned())]);
    assert!(!proxy.cli(&["refresh", "audible"]).status.success());
    let request = Request::get(URL)
        .header("x-amz-access-token", "x")
        .body(empty())
        .unwrap();
    proxy.client().send(request).await.expect(200);
    market.with(|state| assert_eq!(state.fields[0]["x-amz-access-token"], "Atna|actor"));
    assert_eq!(market.faults(), [""; 0]);
}

/// 2.7.7: the library's own refresh with its stand-in: the real one goes out, the session learns, and a stand-in of the new
/// token comes back with its true end; the next ones are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_library_renews_by_itself() {
    let (market, _sites, proxy) = signed_in("").await;
    let file = standin(&proxy);
    for line in ["0.13", "0.10", "0.8"] {
        let script = tool::script("python/audible_renew.py");
        let arguments = [script.to_str().unwrap(), file.to_str().unwrap()];
        let command = tool::through(&proxy, Way::Run, &python(line), &arguments);
        let output = tool::succeed(command).await;
        let got: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let token = got["access_token"].as_str().unwrap();
        assert!(
            token.starts_with("Atna|") && !token.contains("renewed"),
            "{got}"
        );
        let left = got["expires"].as_f64().unwrap() - now() as f64;
        assert!((3400.0..3601.0).contains(&left), "{left}");
    }
    market.with(|state| {
        let sent = state.forms[0].iter().find(|(key, _)| key == "source_token");
        assert_eq!(sent.unwrap().1, auth("refresh_token"));
    });
    let request = Request::get(URL).header("x-amz-access-token", "x");
    proxy
        .client()
        .send(request.body(empty()).unwrap())
        .await
        .expect(200);
    market.with(|state| {
        let held = state.fields[0]["x-amz-access-token"].to_str().unwrap();
        assert!(held.starts_with("Atna|renewed"), "{held}");
    });
}

/// 2.7.7: both shapes of answers; errors and pages pass through, and change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_endpoint_says_passes_masked() {
    let token = "Atna|OneThatTheMarketplaceGave0123456789";
    let actor = json!({ "actor_access_token": token, "actor_refresh_token": format!("Atnr|{token}"), "expires_in": 3600 });
    let usual = json!({ "access_token": token, "expires_in": "3600", "token_type": "bearer" });
    let refused = json!({ "error": "invalid_token", "error_description": "no" });
    for (status, kind, body, learnt) in [
        (200, "application/json", actor.to_string(), true),
        (200, "application/json", usual.to_string(), true),
        (401, "application/json", refused.to_string(), false),
        (503, "text/html", "<html>sorry</html>".to_owned(), false),
    ] {
        let (market, _sites, proxy) = signed_in("").await;
        let file = std::fs::read_to_string(standin(&proxy)).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        market.with(|state| state.tokens = vec![(status, kind, body.clone())]);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("source_token", file["refresh_token"].as_str().unwrap())
            .append_pair("requested_token_type", "access_token")
            .append_pair("source_token_type", "refresh_token")
            .finish();
        let request = Request::post("https://api.amazon.com/auth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(full(form));
        let answer = proxy.client().send(request.unwrap()).await.expect(status);
        assert_eq!(canary::find(&answer.body, token), None);
        if !learnt {
            assert_eq!(answer.text(), body);
        }
        let request = Request::get(URL).header("x-amz-access-token", "x");
        proxy
            .client()
            .send(request.body(empty()).unwrap())
            .await
            .expect(200);
        market.with(|state| {
            let sent = state.forms[0].iter().find(|(key, _)| key == "source_token");
            assert_eq!(sent.unwrap().1, auth("refresh_token"));
            assert_eq!(
                state.fields[0]["x-amz-access-token"] == token,
                learnt,
                "{body}"
            );
        });
    }
}

/// 2.7.12: a machine whose clock is ten minutes off signs with the server's, once an answer has told it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_corrected() {
    let (market, _sites, proxy) = signed_in("").await;
    market.with(|state| state.ahead = 600);
    proxy.client().get(URL).await.expect(200);
    market.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (2, 1)));
    assert_eq!(market.faults().len(), 1, "{:?}", market.faults());
    for _ in 0..3 {
        proxy.client().get(URL).await.expect(200);
    }
    market.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (5, 1)));
    assert_eq!(market.faults().len(), 1, "{:?}", market.faults());
}

/// 2.7.11, in part: cookies of the website come into the jar with their host, Secure and Amazon's date, quotes and all. The
/// exchange of a token for such cookies is not ours: it goes past the proxy as it is, with nothing of the session.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_the_website() {
    let shop = crate::support::origin::origin(&["www.amazon.com"])
        .start()
        .await;
    let market = super::marketplace::Marketplace::new();
    let site = market.site().start().await;
    let proxy = crate::support::proxy::proxy()
        .site(&site)
        .site(&shop)
        .config(super::audible::SESSION)
        .file("auth.json", super::marketplace::AUTH)
        .start()
        .await;
    let output = proxy.cli(&["import", "audible", "--from", "audible", "auth.json"]);
    assert!(output.status.success(), "{output:?}");
    market.with(|state| {
        state.sets = vec![
            "at-main=\"Atza|quoted+value==\"; Domain=.audible.com; Path=/; Secure; HttpOnly; Expires=27 Sep 2043 20:45:37 GMT",
            "gone=1; Expires=27 Sep 2003 20:45:37 GMT",
        ];
    });
    proxy.client().get(URL).await.expect(200);
    let output = proxy.cli(&["export", "audible", "--to", "json"]);
    let cookies: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = cookies.as_array().expect("cookies");
    let found = all
        .iter()
        .find(|cookie| cookie["name"] == "at-main" && cookie["domain"] == ".audible.com");
    let found = found.unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(found["value"], "\"Atza|quoted+value==\"");
    assert_eq!(
        (&found["secure"], &found["httpOnly"]),
        (&json!(true), &json!(true))
    );
    assert!(found["expirationDate"].is_number(), "{found}");
    assert!(all.iter().all(|cookie| cookie["name"] != "gone"));

    let form = "source_token=Atnr%7Cstand-in&requested_token_type=auth_cookies&domain=.amazon.com";
    let url = "https://www.amazon.com/ap/exchangetoken/cookies";
    proxy.client().post(url, form).await;
    let seen = shop.last();
    assert_eq!(seen.path, "/ap/exchangetoken/cookies");
    for name in ["cookie", "x-adp-token", "x-adp-signature", "authorization"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    let everything = shop.recorder.everything();
    for name in ["adp_token", "access_token", "refresh_token"] {
        assert!(canary::find(&everything, &auth(name)).is_none(), "{name}");
    }
}
