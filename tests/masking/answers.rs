//! Answers that are masked: what stays of them, and those that cannot be.

use std::{collections::HashMap, io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::bench::{Bench, SESSION};
use crate::support::{
    authority::{Authority, Fault},
    canary::assert_none,
    client::Parts,
    oauth::Policy,
    within,
};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Shapes that clients look at stay: a JWT has its claims, a vendor's prefix stays.
#[tokio::test(flavor = "multi_thread")]
async fn shapes_stay() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = part(r#"{"sub":"u1","exp":4102444800,"role":"authenticated"}"#);
    let head = part(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signature = "x".repeat(43);
    let jwt = format!("{head}.{claims}.{signature}");
    let bench = Bench::usual().await;
    let client = bench.proxy.client();
    for (token, prefix) in [
        (jwt, format!("{head}.{claims}.")),
        (
            "Atna|EwICIExampleAccessTokenOfManyLetters".to_owned(),
            "Atna|".to_owned(),
        ),
    ] {
        let put = token.clone();
        bench
            .authority
            .fail_with([Fault::Edit(Arc::new(move |answer: &mut Value| {
                answer["access_token"] = put.clone().into()
            }))]);
        let login = bench.login(&client).await;
        let standin = login["access_token"].as_str().unwrap();
        assert!(
            standin.starts_with(&prefix) && standin.len() == token.len(),
            "{standin}"
        );
        assert_ne!(standin, token);
        bench.api(&client, &login["access_token"]).await;
        let sent: Vec<_> = bench.api.seen();
        let sent: Vec<_> = sent
            .iter()
            .filter_map(|seen| seen.field("authorization"))
            .collect();
        assert!(sent.contains(&format!("Bearer {token}").as_str()));
        assert!(!sent.contains(&format!("Bearer {standin}").as_str()));
    }
}

/// An encoded answer is read; what cannot be read, or not to its end, is not passed on.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_masked_is_not_passed_on() {
    let bench = Bench::new(Authority::new(Policy::lifetime(600.0)), |proxy| {
        proxy.config(format!("[limits]\ntoken_answer = \"64KiB\"\n{SESSION}"))
    })
    .await;
    let client = bench.proxy.client();
    let token = "ReallyARealTokenOf32Characters01";
    let answer = |more: &str| format!("{{\"access_token\":\"{token}\",\"more\":\"{more}\"}}");
    let raw = |content_type, encoding, body: Vec<u8>| Fault::Raw {
        content_type,
        encoding,
        body: body.into(),
    };
    let html = "<html>sorry</html>";
    let cases = [
        (
            raw("application/json", Some("gzip"), gzip(&answer(""))),
            200,
        ),
        (raw("text/plain", None, answer("").into()), 200),
        (raw("text/html", None, html.into()), 502),
        // As some token endpoints answer who asks for it.
        (
            raw(
                "application/x-www-form-urlencoded",
                None,
                format!("access_token={token}").into(),
            ),
            502,
        ),
        (
            raw("application/json", Some("zstd"), answer("").into()),
            502,
        ),
        (
            raw("application/json", Some("gzip"), answer("").into()),
            502,
        ),
        (
            raw("application/json", None, answer(&"x".repeat(80_000)).into()),
            502,
        ),
        (
            raw(
                "application/json",
                None,
                format!("{} trailing", answer("")).into(),
            ),
            502,
        ),
    ];
    let mut statuses = HashMap::new();
    for (number, (fault, expected)) in cases.into_iter().enumerate() {
        bench.authority.fail_with([fault]);
        let got = bench.ask(&client, "grant_type=password").await;
        assert_none("an answer", &got.body, &[("the token", token)]);
        assert!(got.field("content-encoding").is_none());
        if got.status == 502 {
            assert!(got.text().contains("cannot be masked"), "{}", got.text());
        }
        statuses.insert(number, (got.status.as_u16(), expected));
    }
    assert!(
        statuses.values().all(|(got, expected)| got == expected),
        "{statuses:?}"
    );
}

/// An answer may be as large as `limits.token_answer`, however well it was compressed: what it says is kept and masked.
/// What is out of proportion needs room among the kept bodies.
#[tokio::test(flavor = "multi_thread")]
async fn packed_answers_are_masked() {
    let answer = |suffix: &str| {
        let rows = ",{\"id\":1,\"name\":\"a row\",\"state\":\"open\"}".repeat(8000);
        let tokens =
            format!("\"access_token\":\"Access{suffix}\",\"refresh_token\":\"Refresh{suffix}\"");
        let text = format!("{{{tokens},\"expires_in\":600,\"rows\":[0{rows}]}}");
        let packed = gzip(&text);
        assert!(text.len() > 300_000 && text.len() > 30 * packed.len());
        Fault::Raw {
            content_type: "application/json",
            encoding: Some("gzip"),
            body: packed.into(),
        }
    };
    let bench = |limits: &'static str| {
        Bench::new(Authority::new(Policy::lifetime(600.0)), move |proxy| {
            proxy.config(format!("{limits}{SESSION}"))
        })
    };
    let ample = bench("").await;
    let client = ample.proxy.client();
    let asked = async |suffix: &str, form: &str| -> Value {
        ample.authority.fail_with([answer(suffix)]);
        let got = ample.ask(&client, form).await.expect(200);
        let [access, refresh] = ["Access", "Refresh"].map(|kind| format!("{kind}{suffix}"));
        assert_none(
            "an answer",
            &got.body,
            &[("one", &access), ("other", &refresh)],
        );
        got.json()
    };
    let login = asked("OfTheLoginWithManyLetters001", "grant_type=password").await;
    let token = login["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let renewed = asked("OfTheRefreshWithManyLetters2", &form).await;
    let attempts = ample.authority.attempts();
    let sent = &attempts.last().unwrap().form["refresh_token"];
    assert_eq!(sent, "RefreshOfTheLoginWithManyLetters001");
    ample.api(&client, &renewed["access_token"]).await;
    let seen = ample.api.seen();
    let sent = seen.first().and_then(|seen| seen.field("authorization"));
    assert_eq!(sent, Some("Bearer AccessOfTheRefreshWithManyLetters2"));

    let scant = bench("[limits]\nreplay_total = \"100 KiB\"\n").await;
    scant
        .authority
        .fail_with([answer("OfAnotherWithManyLetters0003")]);
    let client = scant.proxy.client();
    let refused = scant.ask(&client, "grant_type=password").await.expect(503);
    assert!(
        refused.text().contains("replay_total"),
        "{}",
        refused.text()
    );
}

/// A client on HTTP/2 may take frames of any size (RFC 9113 §4.2): a large answer that was read whole is passed on as it
/// is.
#[tokio::test(flavor = "multi_thread")]
async fn large_frames_are_whole() {
    let bench = Bench::usual().await;
    let rows: Vec<usize> = (0..100_000).collect();
    let token = "ReallyARealTokenOf32Characters01";
    let text = json!({ "access_token": token, "expires_in": 600, "rows": rows }).to_string();
    assert!(text.len() > 4 * 128 * 1024);
    bench.authority.fail_with([Fault::Raw {
        content_type: "application/json",
        encoding: None,
        body: text.into(),
    }]);
    let parts = Parts {
        connect: "auth.example.test:443".to_owned(),
        sni: Some("auth.example.test".to_owned()),
        tls: true,
        h2: true,
    };
    let stream = bench.proxy.client().stream(&parts).await.unwrap();
    let (mut sender, connection) = h2::client::Builder::new()
        .max_frame_size(1 << 20)
        .initial_window_size(4 << 20)
        .initial_connection_window_size(4 << 20)
        .handshake::<_, bytes::Bytes>(stream)
        .await
        .unwrap();
    let _connection = tokio::spawn(connection);
    let request = http::Request::post(bench.auth.url("/token"))
        .header(http::header::CONTENT_TYPE, super::bench::FORM);
    let (answer, mut sending) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let form = "grant_type=password&username=ann&password=x";
    sending.send_data(form.into(), true).unwrap();
    let mut body = within("the answer", answer).await.unwrap().into_body();
    let mut got = Vec::new();
    while let Some(piece) = within("a piece", body.data()).await {
        let piece = piece.expect("all of it");
        body.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    let got: Value = serde_json::from_slice(&got).expect("JSON");
    assert_eq!(got["rows"], json!(rows));
    assert_ne!(got["access_token"], json!(token));
}
