//! `supabase` in bad times: the authorization server is away, the session is gone, the app is restarted.

use std::time::{Duration, Instant};

use super::supabase::Bench;
use crate::support::{
    project::{Fault, Project},
    proxy::proxy,
};

fn fail(project: &Project, faults: &[Fault]) {
    project.with(|state| state.faults.extend(faults));
}

/// 3.4.10: while GoTrue is away the answer that was rejected is passed on, and it is asked again after a wait; the wait
/// that it names is kept, and a request waits for it if it is short.
#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_server_is_away() {
    for fault in [Fault::Status(503, None), Fault::Html, Fault::Reset] {
        let bench = Bench::usual().await;
        fail(&bench.project, &vec![fault; 200]);
        bench.revoke();
        let answer = bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
        assert_eq!(answer.json()["code"], "PGRST301", "{fault:?}");
        let before = bench.project.refreshes();
        let begun = Instant::now();
        for _ in 0..20 {
            bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
        }
        // Twice a second at most, in the beginning: a busy machine takes its time for twenty requests.
        let most = before + 2 + 2 * begun.elapsed().as_secs() as usize;
        assert!(bench.project.refreshes() <= most, "{fault:?}");
        let status = loop {
            let status = bench.proxy.status("app");
            if status["state"] != "refreshing" {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(status["state"], "degraded", "{fault:?}: {status}");
        assert!(status["next_refresh_at"].is_string(), "{status}");
    }

    let bench = Bench::usual().await;
    fail(&bench.project, &[Fault::Status(429, Some(4))]);
    bench.revoke();
    let begun = Instant::now();
    bench.get(&bench.site, "/rest/v1/todos").await.expect(200);
    assert!(begun.elapsed() >= Duration::from_secs(4));
    assert_eq!(bench.project.refreshes(), 2);
}

/// 3.4.10, a server that says nothing: the answer that was rejected is passed on, and no token is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_server_is_silent() {
    let bench = Bench::new(Project::new(), "timeout = \"1s\"").await;
    fail(
        &bench.project,
        &[Fault::Silence(Duration::from_secs(600)); 50],
    );
    bench.revoke();
    let answer = bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
    assert_eq!(answer.json()["code"], "PGRST301");
    let status = bench.proxy.status("app");
    assert_eq!(status["requires_login"], false, "{status}");
    bench.project.with(|state| state.faults.clear());
    let begun = Instant::now();
    while bench.get(&bench.site, "/rest/v1/todos").await.status != 200 {
        let status = bench.proxy.status("app");
        assert!(begun.elapsed() < Duration::from_secs(120), "{status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.granted, counts.families_revoked), (1, 0));
}

/// 3.4.7: a token that was used twice over ends the session, once, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_used_is_the_end() {
    let project = Project::new();
    project.with(|state| state.rules.interval = Duration::ZERO);
    let bench = Bench::new(project, "").await;
    for _ in 0..2 {
        let token = bench.newest();
        bench
            .project
            .with(|state| state.rules.redeem(&token).unwrap());
    }
    bench.revoke();
    for _ in 0..5 {
        bench.get(&bench.site, "/rest/v1/todos").await.expect(401);
    }
    let status = bench.proxy.status("app");
    assert_eq!(status["state"], "needs_login", "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("staysigned import app"), "{message}");
    assert_eq!(bench.project.refreshes(), 1);
}

/// 3.4.11: a session that is gone ends once: what follows goes through as it comes, and `status` says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_session_ends_once() {
    let bench = Bench::usual().await;
    bench
        .project
        .with(|state| state.rules.sessions[0].ended = true);
    let user = || bench.get(&bench.site, "/auth/v1/user");
    let answer = user().await.expect(403);
    assert_eq!(answer.json()["error_code"], "session_not_found");
    for _ in 0..10 {
        // Without a credential: the one that is held is dead.
        assert_eq!(
            user().await.expect(401).json()["error_code"],
            "no_authorization"
        );
    }
    let status = bench.proxy.status("app");
    assert_eq!(status["state"], "needs_login", "{status}");
    assert_eq!(status["requires_login"], true);
    assert_eq!(bench.project.refreshes(), 1);
}

/// 3.4.13: a server that was restarted has closed the connection that is kept: asked again on a new one, and no sign of a
/// bad session.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_app_is_asked_once_more() {
    let bench = Bench::usual().await;
    for _ in 0..3 {
        bench
            .get(&bench.app, "/api/users/credits")
            .await
            .expect(200);
        bench.project.with(|state| state.drop_next = true);
        bench
            .get(&bench.app, "/api/users/credits")
            .await
            .expect(200);
    }
    assert_eq!(bench.project.refreshes(), 0);
    let status = bench.proxy.status("app");
    assert_eq!(status["counters"]["rejected"], 0, "{status}");
}

/// 3.4.14: what browsers keep starts the session, by way of the command; half of it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_session_is_imported() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let project = Project::new();
    let site = project.site().start().await;
    let config = super::supabase::session("");
    let config = config.replace(
        "secrets = { access_token = \"env:ACCESS\", refresh_token = \"env:REFRESH\" }\n",
        "",
    );
    let proxy = proxy().site(&site).config(config).start().await;
    let stored = || project.with(|state| state.rules.login()).to_string();
    let cookies = |parts: &[(&str, &str)]| {
        let name = "sb-abcdefghijklmnopqrst-auth-token";
        let parts = parts
            .iter()
            .map(|(end, value)| format!("{name}{end}={value}"));
        parts.collect::<Vec<_>>().join("; ")
    };
    let import = |text: &str| proxy.cli_with(&["import", "app", "--from", "supabase"], text);
    let encoded = || format!("base64-{}", URL_SAFE_NO_PAD.encode(stored()));
    let whole = encoded();
    let (one, two) = whole.split_at(300);
    let (two, three) = two.split_at(200);
    for text in [
        stored(),
        cookies(&[("", &encoded())]),
        cookies(&[(".0", one), (".1", two), (".2", three)]),
    ] {
        let output = import(&text);
        assert!(output.status.success(), "{output:?}");
        let request = http::Request::get(site.url("/rest/v1/todos"));
        let request = request.header("apikey", crate::support::project::APIKEY);
        let request = request.body(crate::support::origin::full("")).unwrap();
        proxy.client().send(request).await.expect(200);
    }
    let before = proxy.status("app")["generation"].clone();
    for (text, says) in [
        (cookies(&[(".0", one), (".2", three)]), ".1"),
        (cookies(&[("", "base64-!!!")]), "base64"),
    ] {
        let output = import(&text);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{error}");
    }
    assert_eq!(proxy.status("app")["generation"], before);
}
