//! What `docs/providers.md` has its reader do, done: its files as they stand, its commands, and a session that lives on
//! them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use super::{pages::examples, read};
use crate::support::{
    canary::canary,
    origin::{Origin, Reply, empty, full, origin},
    proxy::{Builder, Proxy, proxy},
    routes,
    tool::succeed,
};

const PAGE: &str = "docs/providers.md";
const DEMO: &str = "demo.duendesoftware.com";
const FORUM: &str = "forum.example.org";

/// A folder with a provider of the page's and the configuration that follows it there.
fn written(builder: Builder, provider: &str) -> Proxy {
    let mut blocks = examples(PAGE)
        .into_iter()
        .skip_while(|(name, _)| name != provider);
    let (_, text) = blocks.next().unwrap_or_else(|| panic!("no {provider}"));
    let (name, config) = blocks.next().expect("its configuration");
    assert_eq!(name, "config.toml");
    // The test has a section of this name already.
    let proxy = builder.config(config.replace("[proxy]\n", "")).prepare();
    let place = proxy.path().join(provider);
    fs::create_dir(place.parent().expect("a folder")).expect("a folder");
    fs::write(place, text).expect("write the provider");
    proxy
}

fn text(fields: &HeaderMap, name: header::HeaderName) -> String {
    let value = fields.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn form(request: Request<Incoming>) -> BTreeMap<String, String> {
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a form")
        .to_bytes();
    form_urlencoded::parse(&body).into_owned().collect()
}

/// The test server of OAuth: whoever names this client gets a token of 75 seconds.
async fn demo(given: Arc<Mutex<Vec<String>>>) -> Origin {
    let site = origin(&[DEMO]).handler(move |request: Request<Incoming>| {
        let given = given.clone();
        async move {
            if request.uri().path() == "/connect/token" {
                let basic = text(request.headers(), header::AUTHORIZATION);
                let form = form(request).await;
                // `m2m.short:secret`
                assert_eq!(basic, "Basic bTJtLnNob3J0OnNlY3JldA==");
                assert_eq!(form["grant_type"], "client_credentials");
                assert_eq!(form["scope"], "api");
                let token = canary("demo");
                given.lock().unwrap().push(token.clone());
                let answer =
                    json!({ "access_token": token, "expires_in": 75, "token_type": "Bearer" });
                return Ok(routes::json(200, &answer));
            }
            let bearer = text(request.headers(), header::AUTHORIZATION);
            let newest = given.lock().unwrap().last().cloned();
            let newest = newest.filter(|token| !token.is_empty());
            Ok(
                match newest.is_some_and(|token| bearer == format!("Bearer {token}")) {
                    true => routes::text("it is you"),
                    false => routes::unauthorized(),
                },
            )
        }
    });
    site.start().await
}

/// The first example: `check` says what the page says, and curl is signed in, also once the token was renewed.
#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes() {
    let given = Arc::new(Mutex::new(Vec::new()));
    let site = demo(given.clone()).await;
    let page = read(PAGE);
    let (_, page) = page
        .split_once("Try it, from the folder")
        .expect("a section");
    let (lines, _) = page.split_once("Ask again").expect("its end");
    let lines = lines.lines().filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<&str> = lines.collect();
    let (variable, value) = lines[0]
        .trim_start_matches("export ")
        .split_once('=')
        .expect("a value");
    let builder = proxy().site(&site).env(variable, value);
    let mut proxy = written(builder, "providers/duende-demo.toml");
    let (mut checked, mut asked) = (0, Vec::new());
    for line in &lines[1..] {
        let (command, says) = line.split_once("  ").unwrap_or((line, ""));
        let mut words = command.split(' ');
        assert_eq!(words.next(), Some("staysigned"), "{line}");
        let words: Vec<&str> = words.collect();
        if words[0] == "run" {
            asked = words;
            continue;
        }
        let output = proxy.cli(&words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {output:?}");
        let mut claims = says.trim().split("; ");
        assert!(claims.all(|claim| said.contains(claim)), "{line}: {said}");
        checked += 1;
    }
    assert_eq!((checked, asked.first()), (3, Some(&"run")));

    proxy.start().await;
    for renewals in 1..=2 {
        let output = succeed(proxy.command(&asked)).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it is you");
        let mut given = given.lock().unwrap();
        assert_eq!(given.len(), renewals);
        // It has come to its end, as after 75 seconds.
        given.last_mut().expect("a token").clear();
    }
    proxy.client().get(&site.url("/")).await.expect(401);
}

#[derive(Default)]
struct Board {
    csrf: Vec<String>,
    sid: Option<String>,
    logins: usize,
}

impl Board {
    fn enter(&mut self, cookies: &str, form: &BTreeMap<String, String>) -> Reply {
        self.logins += 1;
        let known = self
            .csrf
            .iter()
            .any(|csrf| form["csrf"] == *csrf && cookies.contains(&format!("csrf={csrf}")));
        if !known || form["user"] != "me" || form["password"] != "pass & word" {
            return to("/login?again");
        }
        let sid = canary("sid");
        let mut reply = to("/home");
        let cookie = format!("sid={sid}; Path=/; Secure; HttpOnly");
        reply
            .headers_mut()
            .insert(header::SET_COOKIE, cookie.parse().unwrap());
        self.sid = Some(sid);
        reply
    }

    fn form(&mut self) -> Reply {
        let csrf = canary("csrf");
        let page = format!(
            "<form method=\"post\" action=\"/login\"><input name=\"csrf\" value=\"{csrf}\"></form>"
        );
        let mut reply = routes::reply(StatusCode::OK, full(page));
        let kind = "text/html; charset=utf-8".parse().unwrap();
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        let cookie = format!("csrf={csrf}; Path=/; Secure");
        reply
            .headers_mut()
            .insert(header::SET_COOKIE, cookie.parse().unwrap());
        self.csrf.push(csrf);
        reply
    }

    /// Whether it is who has signed in, with the field that repeats the cookie's hash.
    fn knows(&self, cookies: &str, field: &str) -> bool {
        let hash = |sid: &String| {
            let hash = digest::digest(&digest::SHA256, sid.as_bytes());
            hash.as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let sid = self.sid.as_ref();
        sid.is_some_and(|sid| cookies.contains(&format!("sid={sid}")) && field == hash(sid))
    }
}

fn to(place: &str) -> Reply {
    let mut reply = routes::reply(StatusCode::FOUND, empty());
    reply
        .headers_mut()
        .insert(header::LOCATION, place.parse().unwrap());
    reply
}

/// A forum whose pages lead to its login, and whose downloads are it.
async fn board(state: Arc<Mutex<Board>>) -> Origin {
    let site = origin(&[FORUM]).handler(move |request: Request<Incoming>| {
        let state = state.clone();
        async move {
            let cookies = text(request.headers(), header::COOKIE);
            let field = text(
                request.headers(),
                header::HeaderName::from_static("x-csrf-token"),
            );
            let path = request.uri().path().to_owned();
            if request.method() == "POST" {
                let form = form(request).await;
                return Ok(state.lock().unwrap().enter(&cookies, &form));
            }
            let mut state = state.lock().unwrap();
            Ok(match &*path {
                "/login" => state.form(),
                _ if state.knows(&cookies, &field) => routes::text("welcome"),
                "/file.pdf" => state.form(),
                _ => to("/login?next=/"),
            })
        }
    });
    site.start().await
}

/// The second example, a form with a password from the keyring: signed in from nothing, and again when the site has
/// forgotten it, whichever way it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_form() {
    let state = Arc::new(Mutex::new(Board::default()));
    let site = board(state.clone()).await;
    let mut proxy = written(proxy().site(&site), "providers/forum.toml");
    let bin = proxy.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let tool = bin.join("secret-tool");
    let script =
        format!("#!/bin/sh\n[ \"$*\" = 'lookup staysigned {FORUM}' ] && printf 'pass & word'\n");
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", bin.display());
    proxy.environment.push(("PATH".to_owned(), path));

    for (path, says) in [
        ("/thread", "sent with session forum"),
        ("/logout?all", "refused (403): session forum blocks it"),
    ] {
        let output = proxy.cli(&["check", &site.url(path)]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(says), "{said}");
    }
    proxy.start().await;
    for (logins, path) in ["/thread", "/file.pdf", "/thread"].into_iter().enumerate() {
        let answer = proxy.client().get(&site.url(path)).await.expect(200);
        assert_eq!(answer.text(), "welcome", "{path}");
        assert_eq!(state.lock().unwrap().logins, logins + 1);
        state.lock().unwrap().sid = None;
    }
    proxy.client().get(&site.url("/logout")).await.expect(403);
}
