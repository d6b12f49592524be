//! `export`: a file that follows the session.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    client::eventually,
    origin::{empty, origin},
    proxy::proxy,
    routes, tool,
};

const LIMIT: Duration = Duration::from_secs(20);

fn value(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    assert!(
        text.starts_with("# Netscape HTTP Cookie File\n"),
        "whole, or not there"
    );
    assert!(text.ends_with('\n'), "whole, or not there");
    let line = text.lines().find(|line| line.contains("\tsid\t"))?;
    line.rsplit('\t').next().map(str::to_owned)
}

async fn follows(path: &Path, expected: &str) {
    eventually("the file follows", LIMIT, || {
        (value(path).as_deref() == Some(expected)).then_some(())
    })
    .await;
}

/// It follows rotations, reloads and restarts, can only be read, is loaded by curl and Python, and goes with what is
/// held.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_follows_the_session() {
    let site = origin(&["shop.example.test"])
        .handler(|request| async move {
            let mut reply = routes::reply(http::StatusCode::OK, empty());
            let next = request.uri().path().trim_start_matches('/');
            let cookie = format!("sid={next}; Path=/; Secure; HttpOnly; Max-Age=600");
            reply
                .headers_mut()
                .insert("set-cookie", cookie.parse().unwrap());
            Ok(reply)
        })
        .start()
        .await;
    let config = "[session.shop]\nbind = [{ host = \"shop.example.test\" }]\n\
        [session.shop.cookies]\nrequired = [\"sid\"]\n\
        [session.shop.export]\nto = \"cookies-txt\"\nfile = \"out/cookies.txt\"\n";
    let mut proxy = proxy().site(&site).config(config).prepare();
    let path: PathBuf = proxy.path().join("out/cookies.txt");
    std::fs::create_dir(proxy.path().join("out")).unwrap();
    proxy.start().await;
    let import = [
        "import",
        "shop",
        "--from",
        "header",
        "--domain",
        "shop.example.test",
    ];
    assert!(proxy.cli_with(&import, "sid=zero").status.success());
    follows(&path, "zero").await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    for next in ["one", "two", "three"] {
        let url = format!("https://shop.example.test/{next}");
        proxy.client().get(&url).await.expect(200);
        follows(&path, next).await;
    }

    // Those who read it: curl says what it would send, Python loads it.
    let mut command = tool::clean(&tool::find("curl"), proxy.path());
    let to = format!("shop.example.test:443:{}", site.address);
    command
        .args(["-sS", "--cacert", "roots.pem", "-b", "out/cookies.txt"])
        .args(["--connect-to", &to])
        .arg("https://shop.example.test/direct");
    tool::succeed(command).await;
    assert_eq!(site.last().field("cookie"), Some("sid=three"));
    let mut command = tool::clean(&tool::python(), proxy.path());
    let script = "import http.cookiejar as c; j = c.MozillaCookieJar('out/cookies.txt'); j.load(); print([x.value for x in j])";
    command.args(["-c", script]);
    let output = tool::succeed(command).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "['three']");

    proxy.hangup().await;
    proxy
        .client()
        .get("https://shop.example.test/four")
        .await
        .expect(200);
    follows(&path, "four").await;

    // A restart writes what the store has, whatever became of the file.
    proxy.kill();
    std::fs::remove_file(&path).unwrap();
    proxy.start().await;
    follows(&path, "four").await;
    assert!(proxy.cli(&["logout", "shop", "--yes"]).status.success());
    eventually("the file goes", LIMIT, || (!path.exists()).then_some(())).await;
    let left: Vec<_> = std::fs::read_dir(proxy.path().join("out"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
