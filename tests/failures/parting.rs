//! What an origin says as it leaves is for nobody.

use std::time::Duration;

use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::over_http2;
use crate::support::{
    canary::assert_none,
    client::eventually,
    frames::{GOAWAY, SETTINGS, frame},
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::raw_with,
};

const HOST: &str = "app.example.test";

const SOON: Duration = Duration::from_secs(30);

/// An origin may repeat what it was sent in the words of its GOAWAY (RFC 9113 §6.8).
#[tokio::test(flavor = "multi_thread")]
async fn last_words_are_not_logged() {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    let site = raw_with(HOST, config, |mut stream, _| async move {
        let settings = frame(SETTINGS, 0, 0, &[]);
        let trouble = u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes();
        let words = b"too many calls of Bearer TheTokenOfManyLetters01";
        let last = [&0u32.to_be_bytes()[..], &trouble, words].concat();
        let goodbye = [settings, frame(GOAWAY, 0, 0, &last)].concat();
        let mut preface = [0; 24];
        if stream.read_exact(&mut preface).await.is_err() {
            return;
        }
        // Behind the request.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let _ = stream.write_all(&goodbye).await;
        let _ = stream.shutdown().await;
    })
    .await;
    let proxy = proxy()
        .raw(&site)
        .level("trace")
        .bearer("app", HOST, "TheTokenOfManyLetters01")
        .start()
        .await;
    let answer = proxy
        .client()
        .h2()
        .send(over_http2(HOST, "/a"))
        .await
        .expect(502);
    let secret = [("the token", "TheTokenOfManyLetters01")];
    assert_none("the answer", &answer.body, &secret);
    let said = || proxy.log().contains("exchange failed").then_some(());
    eventually("the log", SOON, said).await;
    assert_none("the log", proxy.log().as_bytes(), &secret);
}
