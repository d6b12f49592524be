//! `supabase`: a client's own refresh, however it is written, and whatever becomes of the proxy meanwhile.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::Value;

use super::supabase::Bench;
use crate::support::{
    client::{Answer, Client, eventually},
    origin::{Body, full},
    project::{APIKEY, Fault},
};

async fn ask(
    bench: &Bench,
    client: &Client,
    grant: &str,
    fields: &[(&str, &str)],
    body: Body,
) -> Answer {
    let url = bench
        .site
        .url(&format!("/auth/v1/token?grant_type={grant}"));
    let mut request = Request::post(url).header("apikey", APIKEY);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.send(request.body(body).unwrap()).await
}

async fn login(bench: &Bench) -> Value {
    let json = [("content-type", "application/json")];
    let body = full(r#"{"email":"ann@example.test","password":"x"}"#);
    let answer = ask(bench, &bench.client, "password", &json, body).await;
    answer.expect(200).json()
}

/// 3.4.2, 3.4.9: gzip, chunked, without a media type: the token is exchanged and all else stays to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_refresh_however_it_is_written() {
    const JSON: (&str, &str) = ("content-type", "application/json;charset=UTF-8");
    let bench = Bench::usual().await;
    let mut session = login(&bench).await;
    let text =
        |token: &str| format!("{{ \"meta\":{{\"n\":1.0}},\n\"refresh_token\" : \"{token}\" }}");
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let chunked = |text: &str| -> Body {
        let (one, two) = text.split_at(30);
        let frames = [one, two].map(|part| Ok(Frame::data(Bytes::from(part.to_owned()))));
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    };
    for (number, h2) in [(0, false), (1, false), (2, false), (3, true), (4, false)] {
        let held = bench.project.with(|state| {
            let chain = &state.rules.sessions.last().unwrap().chain;
            chain.last().unwrap().0.clone()
        });
        let body = text(session["refresh_token"].as_str().unwrap());
        let (fields, body) = match number {
            0 => (vec![JSON], full(body)),
            1 => (vec![JSON, ("content-encoding", "gzip")], full(gzip(&body))),
            2 | 3 => (vec![JSON], chunked(&body)),
            _ => (vec![], full(body)),
        };
        let client = bench.proxy.client();
        let client = if h2 { client.h2() } else { client };
        let answer = ask(&bench, &client, "refresh_token", &fields, body).await;
        session = answer.expect(200).json();
        let asked = bench.project.asked("/auth/v1/token").pop().unwrap();
        assert_eq!(asked.body, text(&held), "{number}");
        let length = asked.headers["content-length"].to_str().unwrap();
        assert_eq!(length, asked.body.len().to_string());
        assert!(!asked.headers.contains_key("content-encoding"));
        assert_eq!(asked.headers["apikey"], APIKEY);
    }
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.granted, counts.reused, counts.refused), (5, 0, 0));
}

/// 3.4.8 for a client's own refresh: killed when the server has rotated and nobody has heard of it; the client asks again
/// with what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_a_clients_refresh_loses_nothing() {
    let mut bench = Bench::usual().await;
    let session = login(&bench).await;
    let json = [("content-type", "application/json")];
    let body = serde_json::json!({ "refresh_token": session["refresh_token"] }).to_string();
    let silence = Fault::SilenceAfterCommit(Duration::from_secs(60));
    bench.project.with(|state| {
        state.rules.interval = Duration::ZERO;
        state.faults.push_back(silence);
    });
    let request = Request::post(bench.site.url("/auth/v1/token?grant_type=refresh_token"))
        .header("apikey", APIKEY)
        .header("content-type", "application/json")
        .body(full(body.clone()))
        .unwrap();
    let client = bench.proxy.client();
    let waiting = tokio::spawn(async move { client.try_send(request).await.is_ok() });
    eventually("the server commits", Duration::from_secs(30), || {
        bench
            .project
            .with(|state| (state.rules.counts.granted == 1).then_some(()))
    })
    .await;
    bench.proxy.kill();
    assert!(!waiting.await.unwrap());
    bench.proxy.start().await;
    bench.client = bench.proxy.client();
    for _ in 0..2 {
        let answer = ask(
            &bench,
            &bench.client,
            "refresh_token",
            &json,
            full(body.clone()),
        )
        .await;
        answer.expect(200);
    }
    bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.refused, counts.families_revoked), (0, 0));
}
