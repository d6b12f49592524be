//! Real tools that keep tokens of their own, unmodified: what they keep are stand-ins.

use std::process::Command;

use serde_json::Value;

use super::bench::Bench;
use crate::support::tool::{self, Way};

async fn json(command: Command) -> Value {
    let output = tool::succeed(command).await;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// curl in a script: a form for the login, a form for the refresh, a bearer for the API.
#[tokio::test(flavor = "multi_thread")]
async fn curl_lives_on_stand_ins() {
    let bench = Bench::usual().await;
    let curl = tool::find("curl");
    let token_url = bench.auth.url("/token");
    let ask = |form: String| {
        let arguments = ["-sS", "--fail", "--compressed", "-d", &form, &token_url];
        json(tool::through(
            &bench.proxy,
            Way::Variables,
            &curl,
            &arguments,
        ))
    };
    let mut given = vec![ask("grant_type=password&username=ann&password=x".to_owned()).await];
    for _ in 0..3 {
        let token = given.last().unwrap()["refresh_token"].as_str().unwrap();
        given.push(ask(format!("grant_type=refresh_token&refresh_token={token}")).await);
        let token = given.last().unwrap()["access_token"].as_str().unwrap();
        let bearer = format!("Authorization: Bearer {token}");
        let url = bench.api.url("/echo");
        let arguments = ["-sS", "--fail", "-o", "answer", "-H", &bearer, &url];
        tool::succeed(tool::through(
            &bench.proxy,
            Way::Variables,
            &curl,
            &arguments,
        ))
        .await;
    }
    bench.assert_apart(&given);
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!(
        (counts.granted, counts.refused, counts.families_revoked),
        (3, 0, 0)
    );
}

/// Python's requests, one session for all; and two such programs one after the other, each with a login of its own.
#[tokio::test(flavor = "multi_thread")]
async fn requests_lives_on_stand_ins() {
    let bench = Bench::usual().await;
    let script = tool::script("python/token_client.py");
    let (token, api) = (bench.auth.url("/token"), bench.api.url("/echo"));
    for way in [Way::Variables, Way::Run] {
        let arguments = [script.to_str().unwrap(), &token, &api, "5"];
        let python = tool::python();
        let given = json(tool::through(&bench.proxy, way, &python, &arguments)).await;
        bench.assert_apart(given.as_array().unwrap());
    }
    let counts = bench.authority.with(|oauth| oauth.counts);
    assert_eq!(
        (counts.granted, counts.refused, counts.families_revoked),
        (10, 0, 0)
    );
}
