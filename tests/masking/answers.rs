//! Answers that are masked: what stays of them, and those that cannot be.

use std::{collections::HashMap, io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::bench::{Bench, SESSION};
use crate::support::{
    authority::{Authority, Fault},
    canary::assert_none,
    oauth::Policy,
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
