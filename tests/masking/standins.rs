//! `capture.mask` and `capture.request`: clients hold stand-ins, and refresh with them.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, header};
use serde_json::json;

use super::bench::{Bench, FORM, SESSION};
use crate::support::{
    authority::{Authority, Fault},
    canary::find,
    content::Hash,
    oauth::Policy,
    origin::full,
};

/// A login is learnt and masked; its stand-ins open the API, and nothing else; they renew the session, and stay good.
#[tokio::test(flavor = "multi_thread")]
async fn stand_ins_log_in_work_and_renew() {
    let mut bench = Bench::usual().await;
    for client in [bench.proxy.client(), bench.proxy.client().h2()] {
        let first = bench.login(&client).await;
        assert_eq!(first["expires_in"], 600);
        assert_eq!(first["access_token"].as_str().map(str::len), Some(32));
        bench.api(&client, &first["access_token"]).await.expect(200);

        let renewed = bench.refresh(&client, &first["refresh_token"]).await;
        let renewed = renewed.expect(200);
        assert_eq!(
            renewed.field("content-length"),
            Some(renewed.body.len().to_string().as_str())
        );
        let renewed = renewed.json();
        assert_ne!(renewed["refresh_token"], first["refresh_token"]);
        assert_ne!(renewed["access_token"], first["access_token"]);
        let attempt = bench.authority.attempts().pop().expect("an attempt");
        assert_eq!(attempt.form["client_id"], "theirs");
        assert_eq!(attempt.fields["accept-encoding"], "identity");
        // Both stand for what is held now, whatever the client has kept.
        for token in [&renewed, &first] {
            bench.api(&client, &token["access_token"]).await.expect(200);
        }
        bench.assert_apart(&[first, renewed]);
    }
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!((counts.granted, counts.families_revoked), (2, 0));

    // Another process makes and knows the same ones.
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    bench.proxy.kill();
    bench.proxy.start().await;
    let client = bench.proxy.client();
    bench.api(&client, &login["access_token"]).await.expect(200);
    bench
        .refresh(&client, &login["refresh_token"])
        .await
        .expect(200);
    assert_eq!(bench.authority.with(|oauth| oauth.counts.granted), 3);
}

/// A value of the client's own stays where the session only fills gaps; a stand-in does not, in fields and in bodies.
#[tokio::test(flavor = "multi_thread")]
async fn stand_ins_turn_back_on_bound_origins_alone() {
    let bench = Bench::usual().await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    let real = |bench: &Bench| bench.authority.with(|oauth| oauth.issued.clone());
    bench.api(&client, &login["access_token"]).await.expect(200);
    let own = json!("a-key-of-the-clients-own-0123456789");
    bench.api(&client, &own).await.expect(401);
    let seen = bench.api.last();
    let shown = seen.field("authorization").unwrap();
    assert!(shown.ends_with(own.as_str().unwrap()), "{shown}");
    // It is no rejection of the session's.
    assert_eq!(bench.authority.attempts().len(), 1);

    // Elsewhere it opens nothing, and is passed on as it is.
    let bearer = format!("Bearer {}", login["access_token"].as_str().unwrap());
    let request = Request::get(bench.other.url("/echo")).header("authorization", &bearer);
    client
        .send(request.body(full("")).unwrap())
        .await
        .expect(200);
    assert_eq!(bench.other.last().field("authorization"), Some(&*bearer));
    for token in real(&bench) {
        assert_eq!(find(&bench.other.recorder.everything(), &token), None);
    }

    // The refresh token goes to the token endpoint alone, in its place alone.
    let refresh = login["refresh_token"].as_str().unwrap();
    for (url, body) in [
        (bench.api.url("/echo"), format!("refresh_token={refresh}")),
        (bench.auth.url("/other"), format!("refresh_token={refresh}")),
        (
            bench.auth.url("/token"),
            format!("grant_type=x&other={refresh}"),
        ),
    ] {
        let request = Request::post(&url).header(header::CONTENT_TYPE, FORM);
        client.send(request.body(full(body)).unwrap()).await;
    }
    let newest = real(&bench).swap_remove(0);
    let spent: Vec<_> = bench.authority.attempts();
    assert!(spent.iter().all(|a| !a.form.values().any(|v| *v == newest)));
    assert_eq!(find(&bench.api.recorder.everything(), &newest), None);
}

/// A dead session's requests go without it: what stands in for it goes nowhere, in fields and in bodies.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_session_sends_no_stand_in() {
    let bench = Bench::usual().await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    // Somebody else spends its refresh token: to the server that is a theft.
    bench.authority.with(|oauth| {
        for token in oauth.issued.clone() {
            let _ = oauth.redeem(&token, std::time::Instant::now());
        }
        oauth.revoke_all_access();
    });
    bench.api(&client, &login["access_token"]).await.expect(401);
    let standin = login["access_token"].as_str().unwrap();
    let body = format!("{{\"n\": 1.0, \"token\": \"{standin}\"}}");
    let request = Request::post(bench.api.url("/echo"))
        .header(header::AUTHORIZATION, format!("Bearer {standin}"))
        .header(header::CONTENT_TYPE, "application/json");
    client.send(request.body(full(body)).unwrap()).await;
    let seen = bench.api.recorder.everything();
    assert!(find(&seen, "{\"n\": 1.0, \"token\": \"\"}").is_some());
    assert_eq!(find(&seen, standin), None);
}

/// Other fields of `request`: exchanged where a stand-in stands, at the capture's own place.
#[tokio::test(flavor = "multi_thread")]
async fn other_fields_are_exchanged_where_they_stand() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let more = r#"
[[session.app.capture]]
match = { host = "auth.example.test", path = "/upload/introspect", methods = ["POST"] }
request = { access_token = { form = "token" } }
answer = { scope = { json = "/scope" } }
"#;
    let config = format!("{SESSION}{more}");
    let bench = Bench::new(authority, |proxy| proxy.config(config)).await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    let real = bench.authority.with(|oauth| oauth.issued.clone());
    let ask = async |token: &str| {
        let request = Request::post(bench.auth.url("/upload/introspect"))
            .header(header::CONTENT_TYPE, FORM)
            .body(full(format!("token={token}&x=%20")));
        let answer = client.send(request.unwrap()).await.expect(200).json();
        answer["sha256"].as_str().unwrap().to_owned()
    };
    let hash = |token: &str| {
        let mut hash = Hash::new();
        hash.update(format!("token={token}&x=%20").as_bytes());
        hash.finish()
    };
    let standin = login["access_token"].as_str().unwrap();
    assert_eq!(ask(standin).await, hash(&real[1]));
    // Any other value is the client's own.
    assert_eq!(ask("own").await, hash("own"));
}

/// A stand-in of another field in a capture's place, and one of a session that was ended, go nowhere: they could be of use
/// to nobody but to whoever collects them.
#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_in_the_wrong_place_never_leaves() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let more = r#"
[[session.app.capture]]
match = { host = "auth.example.test", path = "/upload/introspect", methods = ["POST"] }
request = { access_token = { json = "/token" } }
answer = { scope = { json = "/scope" } }
"#;
    let config = format!("{SESSION}{more}");
    let bench = Bench::new(authority, |proxy| proxy.config(config)).await;
    for client in [bench.proxy.client(), bench.proxy.client().h2()] {
        let login = bench.login(&client).await;
        let [access, refresh] =
            ["access_token", "refresh_token"].map(|name| login[name].as_str().unwrap());
        let introspect = format!("{{\"token\": \"{refresh}\"}}");
        let twice = format!("grant_type=refresh_token&refresh_token={access}&refresh_token=own");
        let alone = format!("grant_type=refresh_token&refresh_token={access}");
        for (path, kind, body) in [
            ("/token", FORM, &alone),
            ("/token", FORM, &twice),
            ("/upload/introspect", "application/json", &introspect),
        ] {
            let before = bench.auth.seen().len();
            let request = Request::post(bench.auth.url(path)).header(header::CONTENT_TYPE, kind);
            let answer = client.send(request.body(full(body.clone())).unwrap()).await;
            let answer = answer.expect(400);
            assert_eq!(
                answer.field("proxy-status"),
                Some(
                    "staysigned; error=http_request_error; \
                     details=\"one of the session's tokens stands where another one belongs\""
                )
            );
            assert_eq!(bench.auth.seen().len(), before);
        }
        // The right one renews.
        bench
            .refresh(&client, &login["refresh_token"])
            .await
            .expect(200);
    }

    // Of a session that was ended the client is told what its server would say.
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    let ended = bench.proxy.cli(&["logout", "app", "--yes"]);
    assert!(ended.status.success(), "{ended:?}");
    let before = bench.auth.seen().len();
    let refused = bench.refresh(&client, &login["refresh_token"]).await;
    assert_eq!(refused.expect(400).json()["error"], "invalid_grant");
    assert_eq!(bench.auth.seen().len(), before);
    // Its access token's place is left empty.
    let introspect = json!({ "token": login["access_token"] }).to_string();
    let request = Request::post(bench.auth.url("/upload/introspect"))
        .header(header::CONTENT_TYPE, "application/json");
    client
        .send(request.body(full(introspect)).unwrap())
        .await
        .expect(200);
    let seen = bench.auth.recorder.everything();
    for name in ["access_token", "refresh_token"] {
        let standin = login[name].as_str().unwrap();
        assert_eq!(find(&seen, standin), None, "{name}");
    }
    // A login heals it.
    let login = bench.login(&client).await;
    bench.api(&client, &login["access_token"]).await.expect(200);
}

/// A portal stands before the token endpoint: a client gets its page, and within the pause the same one again, without a
/// call; behind it the refresh goes through. What is to be masked, and is no JSON, is not passed on, as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_place_of_an_answer_is_told_again() {
    for (masks, status, kind) in [(false, 200, "text/html"), (true, 502, "text/plain")] {
        let grace = "grace = \"0s\"\nahead = \"1s\"";
        let mut config = SESSION.replace("ahead = \"1s\"", grace);
        if !masks {
            config = config.replace("mask = true\n", "");
        }
        let authority = Authority::new(Policy::lifetime(600.0).without_grace());
        let bench = Bench::new(authority, |proxy| proxy.config(config)).await;
        let client = bench.proxy.client();
        let login = bench.login(&client).await;
        let before = bench.authority.attempts().len();
        bench.authority.fail_with([Fault::Html]);
        for _ in 0..5 {
            let page = bench.refresh(&client, &login["refresh_token"]).await;
            let page = page.expect(status);
            assert_eq!(page.text().contains("<html>"), !masks, "{}", page.text());
            let of = page.field("content-type").unwrap();
            assert!(of.starts_with(kind), "{of}");
        }
        assert_eq!(bench.authority.attempts().len(), before + 1);
        // What is held serves meanwhile, and a person can have it tried at once.
        bench.api(&client, &login["access_token"]).await.expect(200);
        let tried = bench.proxy.cli(&["refresh", "app"]);
        assert!(tried.status.success(), "{tried:?}");
        let renewed = bench.refresh(&client, &login["refresh_token"]).await;
        let renewed = renewed.expect(200).json();
        bench
            .api(&client, &renewed["access_token"])
            .await
            .expect(200);
        let counts = bench.authority.with(|oauth| oauth.counts);
        assert_eq!((counts.refused, counts.families_revoked), (0, 0));
    }
}

/// Eight at once cause one refresh; who asks again with what was spent is told the same.
#[tokio::test(flavor = "multi_thread")]
async fn clients_share_one_refresh() {
    let bench = Bench::usual().await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    bench.authority.delay(Duration::from_millis(300));
    let all = (0..8).map(|_| bench.refresh(&client, &login["refresh_token"]));
    let all: Vec<_> = join_all(all)
        .await
        .into_iter()
        .map(|answer| answer.expect(200).json())
        .collect();
    assert_eq!(bench.authority.with(|oauth| oauth.counts.granted), 1);
    for other in &all[1..] {
        assert_eq!(other["access_token"], all[0]["access_token"]);
        assert_eq!(other["refresh_token"], all[0]["refresh_token"]);
    }
    let again = bench.refresh(&client, &login["refresh_token"]).await;
    let again = again.expect(200).json();
    assert_eq!(again["refresh_token"], all[0]["refresh_token"]);
    assert_eq!(bench.authority.with(|oauth| oauth.counts.granted), 1);
    bench.assert_apart(&all);
    // The next one is one again.
    bench
        .refresh(&client, &again["refresh_token"])
        .await
        .expect(200);
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!((counts.granted, counts.families_revoked), (2, 0));
}

/// The answer to a client's refresh is lost after the server has rotated: the same token is sent again, within the grace,
/// and no client hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let bench = Bench::new(authority, |proxy| proxy.config(SESSION)).await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    bench.authority.fail_with([Fault::ResetAfterCommit]);
    let renewed = bench.refresh(&client, &login["refresh_token"]).await;
    let renewed = renewed.expect(200).json();
    bench
        .api(&client, &renewed["access_token"])
        .await
        .expect(200);
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!((counts.in_grace, counts.families_revoked), (1, 0));
}

/// What is none of the session's is none of its business; a refusal is the client's to read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_passed_on() {
    let bench = Bench::usual().await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    let theirs = bench.authority.login();
    let answer = bench.refresh(&client, &json!(theirs.refresh)).await;
    // A login of somebody else's: learnt as such, and masked.
    let answer = answer.expect(200).json();
    assert_ne!(answer["refresh_token"], login["refresh_token"]);
    bench.assert_apart(&[answer]);
    let before = bench.authority.attempts().len();
    let refused = bench.refresh(&client, &json!("unknown")).await.expect(400);
    assert_eq!(refused.json()["error"], "invalid_grant");
    assert_eq!(bench.authority.attempts().len(), before + 1);
}

/// Without `mask` the client's own values are real, and its refresh is one with ours all the same.
#[tokio::test(flavor = "multi_thread")]
async fn without_mask_values_are_real() {
    let authority = Authority::new(Policy::lifetime(600.0).without_grace());
    let config = SESSION.replace("mask = true\n", "");
    let bench = Bench::new(authority, |proxy| proxy.config(config)).await;
    let client = bench.proxy.client();
    let login = bench.login(&client).await;
    let issued = bench.authority.with(|oauth| oauth.issued.clone());
    assert!(issued.iter().any(|token| login["access_token"] == *token));
    let all = (0..4).map(|_| bench.refresh(&client, &login["refresh_token"]));
    let all = join_all(all).await;
    let first = all[0].json()["access_token"].clone();
    assert!(
        all.iter()
            .all(|answer| answer.json()["access_token"] == first)
    );
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!((counts.granted, counts.families_revoked), (1, 0));
}
