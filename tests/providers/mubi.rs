//! `mubi`: headers made of a browser's cookie, read from the browser whenever it is needed, and kept in memory alone.

use std::sync::{Arc, Mutex};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http::Request;
use serde_json::json;

use super::profiles::Firefox;
use crate::support::{
    canary::{self, canary},
    client::{Answer, Client},
    origin::{Origin, empty, full, origin},
    proxy::{Proxy, proxy},
    routes,
};

const API: &str = "https://api.mubi.com/v3/films/1";
pub(super) const COOKIE: &str = "_mubi_session";
const SESSION: &str = "[session.films]\nprovider = \"mubi\"\n";

/// The API, which takes one bearer at a time.
pub(super) struct Site {
    pub origin: Origin,
    accepted: Arc<Mutex<String>>,
}

impl Site {
    pub(super) async fn start() -> Self {
        let accepted = Arc::new(Mutex::new("T".to_owned()));
        let expected = accepted.clone();
        let origin = origin(&["api.mubi.com", "mubi.com"])
            .handler(move |request| {
                let bearer = format!("Bearer {}", expected.lock().unwrap());
                async move {
                    let sent = request.headers().get("authorization");
                    let good = sent.is_some_and(|sent| sent.as_bytes() == bearer.as_bytes());
                    match good {
                        true => Ok(routes::text("a film")),
                        false => Ok(routes::unauthorized()),
                    }
                }
            })
            .start()
            .await;
        Self { origin, accepted }
    }

    pub(super) fn accept(&self, token: &str) {
        *self.accepted.lock().unwrap() = token.to_owned();
    }

    fn hits(&self) -> usize {
        self.origin.seen().len()
    }

    /// What the last request bore: authorization and dt-custom-data.
    fn borne(&self) -> (Option<String>, Option<String>) {
        let last = self.origin.last();
        let field = |name| last.field(name).map(str::to_owned);
        (field("authorization"), field("dt-custom-data"))
    }
}

pub(super) async fn started(site: &Site, more: &str) -> (Proxy, Firefox) {
    let proxy = proxy()
        .site(&site.origin)
        .config(format!("{SESSION}{more}"))
        .start()
        .await;
    let firefox = Firefox::in_home(proxy.path());
    (proxy, firefox)
}

/// What the site keeps in its cookie.
pub(super) fn session(token: &str) -> String {
    STANDARD.encode(json!({ "token": token, "user_id": 7, "id": "S" }).to_string())
}

/// A tool with the two headers as its author left them.
pub(super) async fn ask(client: &Client) -> Answer {
    let request = Request::get(API)
        .header("authorization", "Bearer ADDHERE")
        .body(empty())
        .unwrap();
    client.send(request).await
}

fn custom(user: &str, session: &str) -> String {
    let json = format!("{{\"userId\":{user},\"sessionId\":\"{session}\",\"merchant\":\"mubi\"}}");
    STANDARD.encode(json)
}

/// 4.3.2: both headers, byte for byte, in place of what the tool has; 4.3.1: nothing of a look-alike.
#[tokio::test(flavor = "multi_thread")]
async fn both_headers_from_the_browser() {
    let site = Site::start().await;
    let (proxy, firefox) = started(&site, "").await;
    firefox.set("evilmubi.com", COOKIE, &session("EVIL"));
    firefox.set("mubi.com", COOKIE, &session("T"));
    ask(&proxy.client()).await.expect(200);
    let expected = (Some("Bearer T".to_owned()), Some(custom("7", "S")));
    assert_eq!(site.borne(), expected);
    assert_eq!(
        site.borne().1.unwrap(),
        STANDARD.encode(r#"{"userId":7,"sessionId":"S","merchant":"mubi"}"#)
    );
    // The cookie itself is for the site alone.
    assert_eq!(site.origin.last().field("cookie"), None);
    proxy.client().get("https://mubi.com/").await.expect(200);
    let cookie = format!("{COOKIE}={}", session("T"));
    assert_eq!(site.origin.last().field("cookie"), Some(&*cookie));
    let status = proxy.status("films");
    assert_eq!(
        (&status["state"], &status["cookies"]["stored"]),
        (&json!("fresh"), &json!(1))
    );
}

/// 4.3.3: every dialect of the cookie makes the same headers.
#[tokio::test(flavor = "multi_thread")]
async fn dialects_of_the_cookie() {
    let text = json!({ "token": "T?>", "user_id": 7, "id": "S" }).to_string();
    let other = json!({ "more": [1], "user_id": "7", "id": "S", "token": "T?>" }).to_string();
    let padded = STANDARD.encode(format!("{text} "));
    assert!(padded.ends_with("=="));
    let signature = "0123456789abcdef0123456789abcdef01234567";
    let site = Site::start().await;
    site.accept("T?>");
    let (proxy, firefox) = started(&site, "").await;
    let client = proxy.client();
    for value in [
        STANDARD.encode(&text),
        STANDARD_NO_PAD.encode(&text),
        URL_SAFE_NO_PAD.encode(&text),
        padded.replace('=', "%3D"),
        format!("{padded}--{signature}"),
        format!("{}--{signature}", padded.replace('=', "%3D")),
        STANDARD.encode(&other),
    ] {
        firefox.set("mubi.com", COOKIE, &value);
        let output = proxy.cli(&["refresh", "films"]);
        assert!(output.status.success(), "{value}: {output:?}");
        ask(&client).await.expect(200);
        let expected = (Some("Bearer T?>".to_owned()), Some(custom("7", "S")));
        assert_eq!(site.borne(), expected, "{value}");
    }
    // What is not ASCII stays as it is.
    let value = json!({ "token": "T?>", "user_id": 8, "id": "Zoë" }).to_string();
    firefox.set("mubi.com", COOKIE, &STANDARD.encode(value));
    assert!(proxy.cli(&["refresh", "films"]).status.success());
    ask(&client).await.expect(200);
    assert_eq!(site.borne().1, Some(custom("8", "Zoë")));
}

/// 4.3.3, its second half: a cookie that makes no headers; the request goes out without, and the step that failed is
/// named, the value never.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_make_no_headers() {
    let secret = canary("bad");
    for (value, says) in [
        (format!("{secret}!"), "base64_decode: it is not base64"),
        (STANDARD.encode(&secret), "json: it is not JSON"),
        (
            STANDARD.encode(json!([secret]).to_string()),
            "json: nothing is at its pointer",
        ),
        (
            STANDARD.encode(json!({ "id": secret, "user_id": 7 }).to_string()),
            "json: nothing is at its pointer",
        ),
        (
            STANDARD.encode(json!({ "token": null, "id": secret, "user_id": 7 }).to_string()),
            "json: nothing is at its pointer",
        ),
        (String::new(), "json: it is not JSON"),
    ] {
        let site = Site::start().await;
        let (proxy, firefox) = started(&site, "").await;
        firefox.set("mubi.com", COOKIE, &value);
        ask(&proxy.client()).await.expect(401);
        assert_eq!(site.borne(), (None, None), "{value}");
        let status = proxy.status("films");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(
            says.split(": ").all(|part| message.contains(part)) && message.contains("access_token"),
            "{value}: {message}"
        );
        canary::assert_none(
            "the log",
            proxy.log().as_bytes(),
            &[("the cookie", &secret)],
        );
    }
    // A megabyte is no cookie: it is left out, and the browser has none for us.
    let site = Site::start().await;
    let (proxy, firefox) = started(&site, "").await;
    firefox.set("mubi.com", COOKIE, &STANDARD.encode(secret.repeat(1 << 15)));
    ask(&proxy.client()).await.expect(401);
    assert_eq!(site.borne(), (None, None));
    let status = proxy.status("films");
    assert_eq!(status["state"], "needs_login");
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("limits.cookie_bytes"), "{message}");
}

/// 4.3.4: one of two required cookies is not enough, and the other one is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_required_cookie_is_missing() {
    let both = "[session.films.cookies]\nrequired = [\"_mubi_session\", \"remember_token\"]\n";
    let site = Site::start().await;
    let (proxy, firefox) = started(&site, both).await;
    firefox.set("mubi.com", COOKIE, &session("T"));
    let output = proxy.cli(&["import", "films", "--from", "firefox", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let status = proxy.status("films");
    assert_eq!(status["state"], "incomplete", "{status}");
    assert_eq!(status["cookies"]["missing"], json!(["remember_token"]));
    // The browser is asked once more, and has no more to say.
    ask(&proxy.client()).await.expect(401);
    assert_eq!(site.borne(), (None, None));
    let status = proxy.status("films");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("firefox has no cookie remember_token"),
        "{message}"
    );
    firefox.set("mubi.com", "remember_token", "R");
    assert!(proxy.cli(&["refresh", "films"]).status.success());
    ask(&proxy.client()).await.expect(200);
}

/// 4.3.5: what a tool sends to others stays as it is, be it a placeholder or not.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_for_third_parties() {
    let site = Site::start().await;
    let third = origin(&["keys.example.test", "evilmubi.com"]).start().await;
    let proxy = proxy()
        .site(&site.origin)
        .site(&third)
        .config(SESSION)
        .start()
        .await;
    let secret = canary("token");
    site.accept(&secret);
    Firefox::in_home(proxy.path()).set("mubi.com", COOKIE, &session(&secret));
    ask(&proxy.client()).await.expect(200);
    let body = r#"{"license":"https://lic.example/","headers":"dt-custom-data: ADDHERE"}"#;
    for host in ["keys.example.test", "evilmubi.com"] {
        let request = Request::post(format!("https://{host}/upload"))
            .header("authorization", "Bearer ADDHERE")
            .header("dt-custom-data", "ADDHERE")
            .body(full(body))
            .unwrap();
        let client = Client::proxied(proxy.listen, &crate::support::pki::TRUSTED.pem());
        client.send(request).await.expect(200);
        let last = third.last();
        assert_eq!(last.field("authorization"), Some("Bearer ADDHERE"));
        assert_eq!(last.field("dt-custom-data"), Some("ADDHERE"));
    }
    let all = third.recorder.everything();
    assert!(
        String::from_utf8_lossy(&all).contains(body),
        "as it was sent"
    );
    canary::assert_none("the third host", &all, &[("the token", &secret)]);
}

/// 4.3.6: a rejection is cured by what the browser has meanwhile, once; if that is the same, a person is asked.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_then_read_again() {
    let site = Site::start().await;
    let (proxy, firefox) = started(&site, "").await;
    let client = proxy.client();
    firefox.set("mubi.com", COOKIE, &session("T"));
    ask(&client).await.expect(200);

    firefox.set("mubi.com", COOKIE, &session("T2"));
    site.accept("T2");
    let before = site.hits();
    ask(&client).await.expect(200);
    assert_eq!(site.hits() - before, 2, "rejected, and once more");

    site.accept("nothing that the browser has");
    let before = site.hits();
    ask(&client).await.expect(401);
    assert_eq!(site.hits() - before, 1, "not again with the same");
    let status = proxy.status("films");
    assert_eq!(status["state"], "needs_login", "{status}");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("sign in with firefox, then staysigned refresh films"),
        "{message}"
    );
    // Nobody has signed in: it stays so, and the browser's old cookie does not make it fresh.
    let output = proxy.cli(&["refresh", "films"]);
    assert_eq!(proxy.status("films")["state"], "needs_login", "{output:?}");

    firefox.clear();
    firefox.set("mubi.com", COOKIE, &session("T3"));
    site.accept("T3");
    assert!(proxy.cli(&["refresh", "films"]).status.success());
    ask(&client).await.expect(200);
    assert_eq!(proxy.status("films")["state"], "fresh");
}

/// 4.3.8: no trace but in the browser's own files.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind() {
    let site = Site::start().await;
    let (mut proxy, firefox) = started(&site, "").await;
    let (first, second) = (canary("first"), canary("second"));
    for token in [&first, &second] {
        firefox.set("mubi.com", COOKIE, &session(token));
        site.accept(token);
        ask(&proxy.client()).await.expect(200);
    }
    let secrets = [
        ("the first token", first.as_str()),
        ("the second token", second.as_str()),
        ("the first cookie", &session(&first)),
        ("the second cookie", &session(&second)),
    ];
    let search = |proxy: &Proxy| {
        canary::assert_none_below(proxy.path(), &[".mozilla"], &secrets);
        canary::assert_none("the log", proxy.log().as_bytes(), &secrets);
        for place in ["/tmp", "/dev/shm"] {
            let entries = std::fs::read_dir(place).unwrap().flatten();
            // Copies are in folders of this form; others' are gone in a moment.
            let copies = entries.filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let random = name.strip_prefix("staysigned-").unwrap_or_default();
                random.len() == 32 && entry.path().join("copy").exists()
            });
            for copy in copies {
                for name in ["copy", "copy-wal"] {
                    let bytes = std::fs::read(copy.path().join(name)).unwrap_or_default();
                    canary::assert_none("a copy", &bytes, &secrets);
                }
            }
        }
    };
    search(&proxy);
    canary::assert_none_in_process(proxy.pid(), &[], &secrets);
    proxy.signal(rustix::process::Signal::TERM);
    proxy.wait(std::time::Duration::from_secs(20)).await;
    search(&proxy);
}

/// 4.3.10: by hand, on standard input.
#[tokio::test(flavor = "multi_thread")]
async fn by_hand() {
    let site = Site::start().await;
    let (proxy, _firefox) = started(&site, "").await;
    let import = [
        "import", "films", "--from", "header", "--domain", "mubi.com",
    ];
    let cookie = format!("Cookie: {COOKIE}={}\n", session("T"));
    let output = proxy.cli_with(&import, &cookie);
    assert!(output.status.success(), "{output:?}");
    ask(&proxy.client()).await.expect(200);
    assert_eq!(site.borne().1, Some(custom("7", "S")));
    // A bearer of one's own goes before what the cookie says.
    site.accept("mine");
    let output = proxy.cli_with(&import, &format!("{cookie}Authorization: Bearer mine\n"));
    assert!(output.status.success(), "{output:?}");
    ask(&proxy.client()).await.expect(200);
    assert_eq!(
        site.borne(),
        (Some("Bearer mine".to_owned()), Some(custom("7", "S")))
    );
}

/// What is held in memory alone has nowhere to go while no proxy runs.
#[test]
fn by_hand_into_nothing() {
    let proxy = proxy().config(SESSION).prepare();
    let cookie = format!("Cookie: {COOKIE}={}\n", session("T"));
    let import = [
        "import", "films", "--from", "header", "--domain", "mubi.com",
    ];
    let output = proxy.cli_with(&import, &cookie);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        said.contains("none runs") && said.contains("start it first"),
        "{said}"
    );
}
