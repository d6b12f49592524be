//! `oreilly`'s cookies.json: one object of names and values, in and out.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use super::{
    library::{HOST, Library},
    oreilly::{downloader, signed_in, whole},
};
use crate::support::{
    client::{Client, eventually},
    proxy::proxy,
    tool,
};

const LIMIT: Duration = Duration::from_secs(20);

/// 1.3.12: cookies.json in and out: a downloader lives on what comes out, alone. (What is refused is held by the
/// importer's own tests.)
#[tokio::test(flavor = "multi_thread")]
async fn cookies_json_in_and_out() {
    let library = Library::new();
    let kept = "export = { to = \"cookies-json\", file = \"kept.json\" }\n";
    let (site, held) = signed_in(&library, kept).await;
    held.client().get(&site.url("/profile/")).await.expect(200);
    let out = held.cli(&["export", "books", "--to", "cookies-json", "out.json"]);
    assert!(out.status.success(), "{out:?}");
    let path = held.path().join("out.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        serde_json::from_str::<serde_json::Value>(&library.cookies_json()).unwrap(),
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = eventually("the file that is kept", LIMIT, || {
        let kept = std::fs::read_to_string(held.path().join("kept.json")).ok()?;
        (kept == text).then_some(kept)
    })
    .await;
    // This one knows no session: it passes on what the tool itself sends.
    let plain = proxy().site(&site).start().await;
    tool::succeed(downloader(&plain, "alone", &kept, ["1", "10"], "shared")).await;
    whole(&plain.path().join("alone"), 1..=10);
    library.with(|state| {
        assert!(state.reused.is_empty(), "{:?}", state.reused);
        assert!(state.faults.is_empty(), "{:?}", state.faults);
        assert_eq!(state.renewed, 0);
    });
}

/// 1.3.12, its first half: what is no cookies.json costs nothing that was held.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_cookies_json_costs_nothing() {
    let library = Library::new();
    let (site, proxy) = signed_in(&library, "").await;
    for (text, says) in [
        ("{}", "no cookie"),
        ("{\"a\":1}", "\"a\""),
        ("[1]", "[0]"),
        ("{\"a\":", "too early"),
        ("{\"a\":\"1\",\"a\":\"2\"}", "twice"),
    ] {
        let output = proxy.cli_with(
            &[
                "import",
                "books",
                "--from",
                "json",
                "--domain",
                "oreilly.com",
            ],
            text,
        );
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(says),
            "{text}: {error}"
        );
    }
    // None of these has cost what was held.
    proxy.client().get(&site.url("/profile/")).await.expect(200);
    let marked = format!("\u{feff}{}", library.cookies_json());
    let output = proxy.cli_with(
        &[
            "import",
            "books",
            "--from",
            "json",
            "--domain",
            "oreilly.com",
        ],
        &marked,
    );
    assert!(output.status.success(), "{output:?}");
    let direct = Client::direct(&site);
    assert_eq!(
        direct.get(&format!("https://{HOST}/profile/")).await.status,
        401
    );
}
