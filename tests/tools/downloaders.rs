//! yt-dlp and gallery-dl on a session of cookies: no cookie file, no login.

use crate::support::{
    canary::{canary, find},
    content::{Content, sha256},
    origin::origin,
    proxy::proxy,
    routes, seen,
    tool::{Way, downloader, succeed, through},
};

const HOST: &str = "videos.example.test";

#[tokio::test(flavor = "multi_thread")]
async fn downloaders_live_on_cookies() {
    let sid = canary("sid");
    let wanted = format!("sid={sid}");
    let site = origin(&[HOST])
        .gate(move |seen| seen.field("cookie") == Some(&wanted))
        .handler(|request| async move {
            let kind = match request.uri().path() {
                "/film.mp4" => "video/mp4",
                "/film.jpg" => "image/jpeg",
                _ => return Err(request),
            };
            let mut reply = routes::text(Content::new(300_000, 5).bytes());
            let fields = reply.headers_mut();
            fields.insert("content-type", kind.parse().expect("a type"));
            Ok(reply)
        })
        .start()
        .await;
    let mut proxy = proxy()
        .site(&site)
        .config(format!(
            "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n[session.site.cookies]\nrequired = [\"sid\"]\n\
             [session.site.refresh]\nkind = \"none\"\n"
        ))
        .prepare();
    let import = ["import", "site", "--from", "header", "--domain", HOST];
    let output = proxy.cli_with(&import, &format!("Cookie: sid={sid}\n"));
    assert!(output.status.success(), "{output:?}");
    proxy.start().await;
    let expected = Content::new(300_000, 5).sha256();
    for (name, url, file, arguments) in [
        ("yt-dlp", "/film.mp4", "film.mp4", ["-o", "film.mp4"]),
        (
            "gallery-dl",
            "/film.jpg",
            "videos.example.test__film.jpg",
            ["-D", "."],
        ),
    ] {
        let url = site.url(url);
        let arguments = [&["-q"][..], &arguments, &[&url]].concat();
        succeed(through(&proxy, Way::Run, &downloader(name), &arguments)).await;
        let file = proxy.path().join(file);
        let body = std::fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sha256(&body), expected, "{name}");
        assert!(find(&body, &sid).is_none());
        let version = seen::python("downloaders.txt", name);
        let what = "a file behind a login, with `run`";
        seen::saw("any with cookies", name, &version, what);
    }
}
