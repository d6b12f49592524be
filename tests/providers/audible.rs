//! `audible`: the real library and its command, unmodified, with a file that opens nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeyPair,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use http::Request;
use serde_json::Value;

use super::marketplace::{AUTH, Marketplace, auth};
use crate::support::{
    canary,
    client::eventually,
    origin::{Origin, empty, full, origin},
    proxy::{Proxy, proxy},
    seen,
    tool::{self, Way},
};

pub(super) const SESSION: &str = "[session.audible]\nprovider = \"audible\"\n";
pub(super) const URL: &str = "https://api.audible.com/1.0/library?num_results=5";

pub(super) async fn signed_in(more: &str) -> (Marketplace, [Origin; 2], Proxy) {
    let market = Marketplace::new();
    let site = market.site().start().await;
    let third = origin(&["cdn.third.example.test"]).start().await;
    let proxy = proxy()
        .site(&site)
        .site(&third)
        .config(format!("{SESSION}{more}"))
        .file("auth.json", AUTH)
        .start()
        .await;
    let output = proxy.cli(&["import", "audible", "--from", "audible", "auth.json"]);
    assert!(output.status.success(), "{output:?}");
    (market, [site, third], proxy)
}

pub(super) fn standin(proxy: &Proxy) -> PathBuf {
    let output = proxy.cli(&[
        "export",
        "audible",
        "--to",
        "audible-standin",
        "standin.json",
    ]);
    assert!(output.status.success(), "{output:?}");
    let file = proxy.path().join("standin.json");
    let text = std::fs::read_to_string(&file).expect("read");
    for name in [
        "adp_token",
        "access_token",
        "refresh_token",
        "device_private_key",
    ] {
        assert!(!text.contains(&auth(name)), "{name} is in it");
    }
    file
}

pub(super) fn python(line: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(format!("target/tools/audible-{line}/bin/python"));
    assert!(path.exists(), "{} is missing: run ./test", path.display());
    path
}

/// 2.7.2, 2.7.3, 2.7.4, 2.7.5: three lines of the library; every signature is verified; the third host that a redirect leads to
/// gets nothing that is real.
#[tokio::test(flavor = "multi_thread")]
async fn the_library_lives_on_a_standin() {
    let (market, [_site, third], proxy) = signed_in("").await;
    let file = standin(&proxy);
    for line in ["0.13", "0.10", "0.8"] {
        let script = tool::script("python/audible_client.py");
        let redirected = "https://www.audible.com/library/download?asin=B00";
        let arguments = [script.to_str().unwrap(), file.to_str().unwrap(), redirected];
        let mut command = tool::through(&proxy, Way::Run, &python(line), &arguments);
        command.env("SSL_CERT_FILE", proxy.path().join("roots.pem"));
        let output = tool::succeed(command).await;
        let got: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(got["redirected"], 200, "{line}: {got}");
        assert_eq!(market.faults(), [""; 0], "{line}");
        let version = seen::python(&format!("audible-{line}.txt"), "audible");
        let what = "calls of every kind, every signature verified; a redirect to a third host";
        seen::saw("`audible`", "`audible`", &version, what);
    }
    market.with(|state| {
        assert_eq!(state.asked.len(), 15);
        let bodies: Vec<_> = state
            .bodies
            .iter()
            .filter(|body| !body.is_empty())
            .collect();
        assert!(
            bodies
                .iter()
                .all(|body| String::from_utf8_lossy(body).contains("B00"))
        );
    });
    assert_eq!(third.seen().len(), 3);
    let everything = third.recorder.everything();
    for name in ["adp_token", "access_token", "refresh_token"] {
        assert!(canary::find(&everything, &auth(name)).is_none(), "{name}");
    }
    // The tool's file is as it was made.
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("STAYSIGNED")
    );
}

/// The command of the library, with its own configuration folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_lives_on_a_standin() {
    let (market, _sites, proxy) = signed_in("").await;
    standin(&proxy);
    let config = "title = \"Audible Config File\"\n[APP]\nprimary_profile = \"me\"\n\
                  [profile.me]\nauth_file = \"standin.json\"\ncountry_code = \"us\"\n";
    std::fs::write(proxy.path().join("config.cli"), config).unwrap();
    let folder = proxy.path().join("audible");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), config).unwrap();
    std::fs::copy(
        proxy.path().join("standin.json"),
        folder.join("standin.json"),
    )
    .unwrap();
    let program = python("0.13").with_file_name("audible");
    let arguments = ["api", "-p", "num_results=5", "1.0/library"];
    let mut command = tool::through(&proxy, Way::Run, &program, &arguments);
    command.env("AUDIBLE_CONFIG_DIR", &folder);
    let output = tool::succeed(command).await;
    let got = String::from_utf8_lossy(&output.stdout);
    assert!(got.contains("/1.0/library?num_results=5"), "{got}");
    assert_eq!(market.faults(), [""; 0]);
    let version = seen::python("audible-0.13.txt", "audible-cli");
    seen::saw("`audible`", "`audible-cli`", &version, "a call of the API");
}

/// 2.7.4: whatever way a body or a path is written, the signature is of what arrives.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_of_the_bytes_that_arrive() {
    let (market, _sites, proxy) = signed_in("").await;
    for client in [proxy.client(), proxy.client().h2()] {
        for path in [
            "/1.0/a%20b",
            "/1.0/a+b//c",
            "/1.0/x?",
            "/1.0/%C3%A4?q=%e2%9c%93&r",
            "//1.0/./x",
        ] {
            let url = format!("https://api.audible.com{path}");
            client.get(&url).await.expect(200);
            client.post(&url, vec![0xff, 0x00, b'\n']).await.expect(200);
            client.post(&url, "").await.expect(200);
            let request = Request::post(&url)
                .header("expect", "100-continue")
                .header("x-adp-token", "the client's own")
                .header("x-adp-signature", "the client's own:2026-01-01")
                .body(full("{\"a\":\"\u{e4}\"}"))
                .unwrap();
            client.send(request).await.expect(200);
            let chunked = Request::post(&url)
                .header("transfer-encoding", "chunked")
                .body(full("in chunks"));
            if client.send(chunked.unwrap()).await.status != 200 {
                // HTTP/2 has no such field; its clients send none.
                assert_ne!(path, "/1.0/x?");
            }
        }
    }
    assert_eq!(market.faults(), [""; 0]);
}

/// What is too large to be signed is an error, never unsigned.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_is_refused() {
    let (market, _sites, proxy) = signed_in("[limits]\nwhole_body = \"64 KiB\"\n").await;
    let answer = proxy.client().post(URL, vec![b'x'; 70_000]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("whole_body"), "{}", answer.text());
    proxy
        .client()
        .post(URL, vec![b'x'; 60_000])
        .await
        .expect(200);
    assert_eq!(market.with(|state| state.asked.len()), 1);
}

/// 2.7.6: a client in bearer mode gets the real token in its place, and a signature.
#[tokio::test(flavor = "multi_thread")]
async fn bearers_are_exchanged_where_they_stand() {
    let (market, _sites, proxy) = signed_in("").await;
    let request = Request::get(URL)
        .header("x-amz-access-token", "Atna|DECOY")
        .body(empty())
        .unwrap();
    proxy.client().send(request).await.expect(200);
    let request = Request::get(URL)
        .header("authorization", "Bearer Atna|DECOY")
        .header("client-id", "0")
        .body(empty())
        .unwrap();
    proxy.client().send(request).await.expect(200);
    proxy.client().get(URL).await.expect(200);
    market.with(|state| {
        let token = auth("access_token");
        assert_eq!(state.fields[0]["x-amz-access-token"], token);
        assert!(state.fields[0].get("authorization").is_none());
        assert_eq!(state.fields[1]["authorization"], format!("Bearer {token}"));
        assert_eq!(state.fields[1]["client-id"], "0");
        assert!(state.fields[2].get("x-amz-access-token").is_none());
    });
    assert_eq!(market.faults(), [""; 0]);
}

/// 2.7.8, 2.7.9, 2.7.12: a 403 that says so is cured once; another is not; twenty cause one refresh; and one that stays
/// causes no loop.
#[tokio::test(flavor = "multi_thread")]
async fn only_this_403_is_cured() {
    let (market, _sites, proxy) = signed_in("").await;
    market.with(|state| state.says = vec![(403, "Request could not be authenticated")]);
    proxy.client().post(URL, "{}").await.expect(200);
    market.with(|state| {
        assert_eq!((state.asked.len(), state.forms.len()), (2, 1));
        state.says = vec![(403, "no license for this title")];
    });
    assert_eq!(proxy.client().get(URL).await.status, 403);
    market.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (3, 1)));

    market.with(|state| state.stubborn = true);
    let crowd = (0..20).map(|_| async { proxy.client().get(URL).await.status.as_u16() });
    assert_eq!(join_all(crowd).await, [200; 20]);
    market.with(|state| assert_eq!(state.forms.len(), 2));

    market.with(|state| {
        state.asked.clear();
        state.says = vec![(403, "Request could not be authenticated"); 50];
    });
    for _ in 0..5 {
        assert_eq!(proxy.client().get(URL).await.status, 403);
    }
    market.with(|state| {
        assert!(
            state.asked.len() <= 6 && state.forms.len() <= 3,
            "{}",
            state.asked.len()
        )
    });
    assert_eq!(market.faults(), [""; 0]);
}

/// 2.7.10: nobody deregisters the device; that somebody wanted to is logged, and no token.
#[tokio::test(flavor = "multi_thread")]
async fn the_device_stays_registered() {
    let (market, _sites, proxy) = signed_in("").await;
    let own = canary::canary("held");
    for host in ["api.amazon.com", "api.audible.com"] {
        let before = proxy.log().len();
        let request = Request::post(format!("https://{host}/auth/deregister?token={own}"))
            .header("x-amz-access-token", format!("Atna|{own}"))
            .header("x-adp-token", format!("{{enc:{own}}}"))
            .body(full(format!("{{\"source_token\": \"{own}\"}}")));
        let answer = proxy.client().send(request.unwrap()).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("destroy"), "{}", answer.text());
        let line = || {
            let log = proxy.log().split_off(before);
            let mut lines = log.lines();
            let found = lines.find(|line| line.contains("/auth/deregister"));
            found.map(str::to_owned)
        };
        let line = eventually("it is logged", Duration::from_secs(20), line).await;
        assert!(line.contains(host) && line.contains("403"), "{line}");
        assert!(line.contains(" INFO "), "whoever logs only that: {line}");
    }
    assert!(market.with(|state| state.asked.is_empty()));
    let log = proxy.log().into_bytes();
    assert!(canary::find(&log, &own).is_none(), "the client's own");
    for name in ["adp_token", "access_token", "refresh_token"] {
        assert!(canary::find(&log, &auth(name)).is_none(), "{name}");
    }
}

/// What repairs a session without material is the import that it wants; a file for another marketplace is refused.
#[tokio::test(flavor = "multi_thread")]
async fn needs_login_names_the_import() {
    let proxy = proxy()
        .config(format!("{SESSION}values = {{ tld = \"co.uk\" }}\n"))
        .file("auth.json", AUTH)
        .start()
        .await;
    let status = proxy.status("audible");
    let message = status["message"].as_str().expect("a message");
    assert!(
        message.contains("staysigned import audible --from audible"),
        "{status}"
    );
    let output = proxy.cli(&["import", "audible", "--from", "audible", "auth.json"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("values = { tld = \"com\" }"), "{error}");
    assert_eq!(proxy.status("audible")["state"], "empty");
}

/// 2.7.1: a file whose key is in the newer form (PKCS#8) signs as the other does.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_pkcs8_signs() {
    let market = Marketplace::new();
    let site = market.site().start().await;
    let key = auth("device_private_key");
    let der: String = key.lines().filter(|line| !line.contains("-----")).collect();
    let key = KeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let lines = STANDARD.encode(der.as_ref());
    let lines = lines.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body = lines.collect::<Vec<_>>().join("\n");
    let mut file: Value = serde_json::from_str(AUTH).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    file["device_private_key"] = pem.into();
    let proxy = proxy()
        .site(&site)
        .config(SESSION)
        .file("auth.json", &file.to_string())
        .start()
        .await;
    let output = proxy.cli(&["import", "audible", "--from", "audible", "auth.json"]);
    assert!(output.status.success(), "{output:?}");
    proxy.client().get(URL).await.expect(200);
    proxy.client().post(URL, "{}").await.expect(200);
    assert_eq!(market.faults(), [""; 0]);
}

/// 2.7.1: an encrypted file by way of the command, its password from the environment.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_files_are_imported() {
    let bytes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors/auth_bytes.enc");
    let proxy = proxy()
        .config(SESSION)
        .env("PASSWORD", "correct horse")
        .env("WRONG", "wrong")
        .start()
        .await;
    let import = |source: &str| {
        let file = bytes.to_str().unwrap();
        proxy.cli(&[
            "import",
            "audible",
            "--from",
            "audible",
            file,
            "--password",
            source,
        ])
    };
    assert!(!import("env:WRONG").status.success());
    assert_eq!(proxy.status("audible")["generation"], 0);
    let bare = import("correct horse");
    assert_eq!(bare.status.code(), Some(2), "{bare:?}");
    assert!(import("env:PASSWORD").status.success());
    assert_eq!(proxy.status("audible")["state"], "fresh");
}
