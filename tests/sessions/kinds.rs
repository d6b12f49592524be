//! Every kind of refresh, by what the servers receive and what the origin is then shown.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header;
use http_body_util::BodyExt as _;

use crate::support::{
    authority::{Attempt, Authority},
    oauth::Policy,
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    routes,
};

const HOST: &str = "api.example.test";

const INJECT: &str = r#"
[[session.app.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
"#;

/// A session whose access token has ended, and whose refresh is configured so.
async fn refreshed(refresh: &str) -> (Attempt, Origin, Proxy) {
    let authority = Authority::new(Policy::lifetime(600.0));
    let pair = authority.login();
    let site = authority.site(HOST).start().await;
    let proxy = proxy()
        .site(&site)
        .config(format!(
            "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\nvalues = {{ client_id = \"tests\" }}\n\
             secrets = {{ access_token = \"env:ACCESS\", refresh_token = \"env:REFRESH\", client_secret = \"env:SECRET\", \
             username = \"env:USER\", password = \"env:PASSWORD\", assertion = \"env:ASSERTION\" }}\n{INJECT}\n\
             [session.app.refresh]\nkind = \"oauth2\"\ntoken_url = \"https://{HOST}/token\"\n{refresh}\n"
        ))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .env("SECRET", "s3:cr et")
        .env("USER", "ann")
        .env("PASSWORD", "p&ss=w rd")
        .env("ASSERTION", "e30.e30.c2ln")
        .start()
        .await;
    authority.with(|oauth| oauth.revoke_all_access());
    proxy.client().get(&site.url("/echo")).await.expect(200);
    let mut attempts = authority.attempts();
    assert_eq!(attempts.len(), 1, "{refresh}");
    let mut attempt = attempts.remove(0);
    attempt.form.insert("(old)".to_owned(), pair.refresh);
    (attempt, site, proxy)
}

fn basic(attempt: &Attempt) -> Option<String> {
    let value = attempt.fields.get(header::AUTHORIZATION)?.to_str().ok()?;
    String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()
}

/// How the client shows itself at the token endpoint (RFC 6749 §2.3.1: the parts of Basic are form-encoded first).
#[tokio::test(flavor = "multi_thread")]
async fn the_client_shows_itself_as_configured() {
    let (attempt, ..) = refreshed("client_auth = \"basic\"").await;
    assert_eq!(basic(&attempt).as_deref(), Some("tests:s3%3Acr+et"));
    assert_eq!(attempt.form["refresh_token"], attempt.form["(old)"]);
    assert_eq!(attempt.form["grant_type"], "refresh_token");
    assert!(!attempt.form.contains_key("client_secret"));

    let (attempt, ..) = refreshed("client_auth = \"post\"").await;
    assert_eq!(basic(&attempt), None);
    assert_eq!(
        (
            attempt.form["client_id"].as_str(),
            attempt.form["client_secret"].as_str()
        ),
        ("tests", "s3:cr et")
    );

    let (attempt, ..) = refreshed("client_auth = \"none\"").await;
    assert_eq!(basic(&attempt), None);
    assert_eq!(attempt.form["client_id"], "tests");
    assert!(!attempt.form.contains_key("client_secret"));

    let more = "client_auth = \"none\"\nencoding = \"json\"\nheaders = { apikey = \"{{ client_secret }}\" }\n\
                params = { audience = \"x y\", client_id = \"\" }";
    let (attempt, ..) = refreshed(more).await;
    assert_eq!(attempt.fields[header::CONTENT_TYPE], "application/json");
    assert_eq!(attempt.fields["apikey"], "s3:cr et");
    assert_eq!(attempt.form["audience"], "x y");
    assert!(!attempt.form.contains_key("client_id"));
}

/// Grants that need no refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn grants_without_a_refresh_token() {
    let (attempt, ..) = refreshed("grant_type = \"client_credentials\"").await;
    assert_eq!(attempt.form["grant_type"], "client_credentials");
    assert!(!attempt.form.contains_key("refresh_token"));

    let (attempt, ..) = refreshed("grant_type = \"password\"\nclient_auth = \"none\"").await;
    assert_eq!(attempt.form["grant_type"], "password");
    assert_eq!(
        (
            attempt.form["username"].as_str(),
            attempt.form["password"].as_str()
        ),
        ("ann", "p&ss=w rd")
    );

    let more = "grant_type = \"jwt_bearer\"\nclient_auth = \"none\"\nparams = { scope = \"read\" }";
    let (attempt, ..) = refreshed(more).await;
    assert_eq!(
        attempt.form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert_eq!(
        (
            attempt.form["assertion"].as_str(),
            attempt.form["scope"].as_str()
        ),
        ("e30.e30.c2ln", "read")
    );
    assert!(!attempt.form.contains_key("refresh_token"));
}

/// `touch`: a page that rotates the cookie is asked with the cookie, once for each time that it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_touched() {
    // Pages are for the newest cookie alone, `/keep` gives whoever had one the next.
    let newest = Arc::new(AtomicU64::new(1));
    let state = newest.clone();
    let site = origin(&["forum.example.test"])
        .handler(move |request| {
            let newest = state.clone();
            async move {
                let cookie = request.headers().get(header::COOKIE);
                let sid = cookie
                    .and_then(|value| value.to_str().ok()?.strip_prefix("sid="))
                    .and_then(|sid| sid.parse::<u64>().ok());
                let now = newest.load(Ordering::SeqCst);
                Ok(match (request.uri().path(), sid) {
                    ("/keep", Some(sid)) if sid <= now => {
                        let mut reply = routes::text("kept");
                        let cookie = format!("sid={now}; Path=/; Secure");
                        let fields = reply.headers_mut();
                        fields.insert(header::SET_COOKIE, cookie.parse().unwrap());
                        reply
                    }
                    ("/page", Some(sid)) if sid == now => routes::text("in"),
                    _ => routes::unauthorized(),
                })
            }
        })
        .start()
        .await;
    let mut proxy = proxy()
        .site(&site)
        .config(
            "[session.forum]\nbind = [{ host = \"forum.example.test\" }]\n[session.forum.cookies]\nrequired = [\"sid\"]\n\
             [session.forum.refresh]\nkind = \"touch\"\nurl = \"https://forum.example.test/keep\"\n",
        )
        .prepare();
    let file = "forum.example.test\tFALSE\t/\tTRUE\t4102444800\tsid\t1\n";
    let output = proxy.cli_with(&["import", "forum", "--from", "cookies-txt"], file);
    assert!(output.status.success(), "{output:?}");
    proxy.start().await;
    for round in 1..=3 {
        newest.fetch_add(1, Ordering::SeqCst);
        for client in [proxy.client(), proxy.client().h2()] {
            let answer = client.get(&site.url("/page")).await.expect(200);
            assert_eq!(answer.text(), "in");
        }
        let seen = site.seen();
        let touches = seen.iter().filter(|seen| seen.path == "/keep");
        let touches: Vec<_> = touches
            .map(|seen| (&*seen.method, seen.field("cookie")))
            .collect();
        let cookies = ["sid=1", "sid=2", "sid=3"].map(|cookie| ("GET", Some(cookie)));
        assert_eq!(touches, cookies[..round]);
    }
    // One that is not let in there either is not signed in any more, and nothing is asked in a loop.
    newest.store(0, Ordering::SeqCst);
    for _ in 0..5 {
        proxy.client().get(&site.url("/page")).await.expect(401);
    }
    let seen = site.seen();
    let touches = seen.iter().filter(|seen| seen.path == "/keep").count();
    assert!(touches <= 3 + 2, "{touches} touches");
    assert_ne!(proxy.status("forum")["last_error"], serde_json::Value::Null);
}

/// `http`: a form login with a CSRF field, by its steps; the cookie it sets is the session's.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_login_with_a_csrf_field() {
    let site = origin(&["form.example.test"])
        .alpn(&["http/1.1"])
        .handler(|request| async move {
            let cookies = request
                .headers()
                .get("cookie")
                .map(|value| value.to_str().unwrap().to_owned());
            let cookies = cookies.unwrap_or_default();
            match (request.method().as_str(), request.uri().path()) {
                ("GET", "/login") => {
                    let mut page =
                        routes::html("<form><input name=\"csrf\" value=\"c-42&amp\"></form>");
                    page.headers_mut().insert(
                        header::SET_COOKIE,
                        "pre=1; Path=/; HttpOnly".parse().unwrap(),
                    );
                    Ok(page)
                }
                ("POST", "/login") => {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let form: std::collections::HashMap<_, _> =
                        form_urlencoded::parse(&body).into_owned().collect();
                    let right = form.len() == 2
                        && form
                            .get("password")
                            .is_some_and(|value| value == "p&ss=w rd")
                        && form.get("csrf").is_some_and(|value| value == "c-42&amp")
                        && cookies.contains("pre=1");
                    let mut reply =
                        routes::reply(http::StatusCode::FOUND, crate::support::origin::empty());
                    let to = if right { "/home" } else { "/login?failed" };
                    reply
                        .headers_mut()
                        .insert(header::LOCATION, to.parse().unwrap());
                    if right {
                        reply.headers_mut().append(
                            header::SET_COOKIE,
                            "sid=good; Path=/; Secure".parse().unwrap(),
                        );
                    }
                    Ok(reply)
                }
                _ if cookies.contains("sid=good") => Ok(routes::text("in")),
                _ => {
                    let mut reply =
                        routes::reply(http::StatusCode::FOUND, crate::support::origin::empty());
                    reply
                        .headers_mut()
                        .insert(header::LOCATION, "/login?next=/home".parse().unwrap());
                    Ok(reply)
                }
            }
        })
        .start()
        .await;
    let proxy = proxy()
        .site(&site)
        .config(
            r#"
[session.form]
bind = [{ host = "form.example.test" }]
secrets = { password = "env:PASSWORD" }
[session.form.cookies]
required = ["sid"]
[[session.form.rejected]]
status = [302]
location = "*/login*"
[session.form.refresh]
kind = "http"
[[session.form.refresh.steps]]
request = { method = "GET", url = "https://form.example.test/login" }
capture = { csrf = { regex = 'name="csrf" value="([^"]+)"' } }
[[session.form.refresh.steps]]
request = { method = "POST", url = "https://form.example.test/login", form = { password = "{{ password }}", csrf = "{{ csrf }}" } }
expect = { status = [302], location_not = "*/login*" }
"#,
        )
        .env("PASSWORD", "p&ss=w rd")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(
            proxy
                .client()
                .get(&site.url("/home"))
                .await
                .expect(200)
                .text(),
            "in"
        );
    }
    let posts = site
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST")
        .count();
    assert_eq!(posts, 1, "one login");
}

/// `command`: what it prints is the credential: text, AWS `credential_process` JSON, ExecCredential JSON.
#[tokio::test(flavor = "multi_thread")]
async fn commands_print_the_credential() {
    let site = origin(&[HOST]).bearer("printed").start().await;
    for (script, value) in [
        ("echo printed", "Bearer {{ access_token }}"),
        (
            r#"echo '{"Version":1,"AccessKeyId":"id","SecretAccessKey":"key","SessionToken":"printed","Expiration":"2099-01-01T00:00:00Z"}'"#,
            "Bearer {{ session_token }}",
        ),
        (
            r#"echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"printed","expirationTimestamp":"2099-01-01T00:00:00Z"}}'"#,
            "Bearer {{ access_token }}",
        ),
    ] {
        let proxy = proxy()
            .site(&site)
            .file("print.sh", script)
            .config(format!(
                "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\n\
                 [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"{value}\"\n\
                 [session.app.refresh]\nkind = \"command\"\ncommand = [\"sh\", \"print.sh\"]\n"
            ))
            .start()
            .await;
        proxy.client().get(&site.url("/echo")).await.expect(200);
    }
}
