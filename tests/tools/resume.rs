//! Downloads that break and go on with a Range, across the end of the credential they began with.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::support::{
    authority::{Authority, session},
    content::{Content, sha256_file},
    oauth::Policy,
    origin::Origin,
    proxy::{Proxy, proxy},
    tool::{Way, run, succeed},
};

use super::{Tool, WAYS};

const SIZE: u64 = 4_000_000;

/// A site that sends the first half of whatever is asked for whole, ends all access tokens, and hangs up.
async fn breaking() -> (Authority, Origin, Proxy) {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let ends = authority.clone();
    let site = authority
        .site("app.example.test")
        .handler(move |request| {
            let ends = ends.clone();
            async move {
                if request.headers().contains_key(header::RANGE)
                    || request.method() == http::Method::HEAD
                {
                    return Err(request);
                }
                let content = Content::new(SIZE, 5);
                let half = content
                    .chunks(0..SIZE / 2)
                    .map(|chunk| Ok(Frame::data(chunk)));
                let half = stream::iter(half).chain(stream::once(async move {
                    // What is underway arrives before the end does.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    ends.with(|oauth| oauth.revoke_all_access());
                    Err("cut".into())
                }));
                Ok(Response::builder()
                    .header(header::CONTENT_LENGTH, SIZE)
                    .header(header::ACCEPT_RANGES, "bytes")
                    .header(header::ETAG, "\"one\"")
                    .header(header::LAST_MODIFIED, "Sat, 01 Aug 2026 00:00:00 GMT")
                    .body(StreamBody::new(half).boxed_unsync())
                    .unwrap())
            }
        })
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .config(session("app", "app.example.test", "cooldown = \"0s\""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .start()
        .await;
    (authority, site, proxy)
}

/// Promises 3 and 4 seen by downloaders: each resumes behind the expiry by its own means, and ends with the whole file.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_resume_across_an_expiry() {
    let (authority, site, proxy) = breaking().await;
    let expected = Content::new(SIZE, 5).sha256();
    let url = site.url(&format!("/bytes/{SIZE}/5"));
    let mut refreshes = 0;
    for way in WAYS {
        for (tool, options) in [
            (Tool::Curl, &["-C", "-"][..]),
            (Tool::Wget, &["-c", "--tries=5", "--waitretry=1"]),
            (
                Tool::Aria2,
                &["-c", "--max-tries=5", "--retry-wait=1", "--split=1"],
            ),
        ] {
            let file = format!("{tool:?}-{way:?}-resumed");
            let attempt = || {
                let mut command = tool.fetch(&proxy, way, &url, &file);
                command.args(options);
                command
            };
            if tool == Tool::Curl {
                // curl leaves it to its user to ask again.
                let broken = run(attempt()).await;
                assert!(
                    matches!(broken.status.code(), Some(18 | 56 | 92)),
                    "{broken:?}"
                );
            }
            succeed(attempt()).await;
            assert_eq!(
                sha256_file(&proxy.path().join(&file)),
                expected,
                "{tool:?} {way:?}"
            );
            let counts = authority.with(|oauth| oauth.counts);
            assert_eq!(
                counts.granted,
                refreshes + 1,
                "one refresh for one expiry: {tool:?} {way:?}"
            );
            refreshes = counts.granted;
        }
    }
    assert!(authority.with(|oauth| oauth.alive()));
    let partial = site
        .seen()
        .iter()
        .filter(|seen| seen.fields.contains_key(header::RANGE))
        .count();
    assert!(partial >= 6, "{partial} range requests");
}

/// A download in parts, each of which may meet the expiry, is whole.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_parts_share_one_refresh() {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site("app.example.test").start().await;
    let proxy = proxy()
        .site(&site)
        .config(session("app", "app.example.test", ""))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .start()
        .await;
    authority.with(|oauth| oauth.revoke_all_access());
    let mut command = Tool::Aria2.fetch(&proxy, Way::Run, &site.url("/bytes/8000000/5"), "parts");
    command.args(["-x", "8", "--min-split-size=1M"]);
    succeed(command).await;
    assert_eq!(
        sha256_file(&proxy.path().join("parts")),
        Content::new(8_000_000, 5).sha256()
    );
    let counts = authority.with(|oauth| oauth.counts);
    assert_eq!((counts.granted, counts.families_revoked), (1, 0));
}
