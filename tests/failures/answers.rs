//! Bad answers of a token endpoint: each has its class, nothing good is overwritten, and the proxy goes on.

use std::{io::Write as _, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    authority::{Authority, Fault, session},
    child::peak_kib,
    oauth::Policy,
    origin::Origin,
    proxy::{Proxy, proxy},
};

const HOST: &str = "api.example.test";

struct World {
    authority: Authority,
    site: Origin,
    proxy: Proxy,
}

impl World {
    async fn new(policy: Policy) -> Self {
        let authority = Authority::new(policy);
        let pair = authority.login();
        let site = authority.site(HOST).start().await;
        let proxy = proxy()
            .site(&site)
            .config(session("app", HOST, "timeout = \"3s\""))
            .env("ACCESS", &pair.access)
            .env("REFRESH", &pair.refresh)
            .start()
            .await;
        Self {
            authority,
            site,
            proxy,
        }
    }

    /// The access token ends, and the next refreshes go wrong; the status of a request then.
    async fn ask_with(&self, faults: Vec<Fault>) -> u16 {
        self.authority.with(|oauth| oauth.revoke_all_access());
        self.authority.fail_with(faults);
        self.ask().await
    }

    async fn ask(&self) -> u16 {
        self.proxy
            .client()
            .get(&self.site.url("/echo"))
            .await
            .status
            .as_u16()
    }

    /// Whatever it was, when the server is well again one refresh by hand mends it.
    async fn mend(&self, what: &str) {
        self.authority.heal();
        let output = tokio::task::block_in_place(|| self.proxy.cli(&["refresh", "app"]));
        assert!(
            output.status.success(),
            "{what}: {output:?}\n{}",
            self.proxy.log()
        );
        assert_eq!(self.ask().await, 200, "{what}");
        assert!(
            self.authority.with(|oauth| oauth.alive()),
            "{what}: the family was revoked"
        );
    }

    fn state(&self) -> Value {
        tokio::task::block_in_place(|| self.proxy.status("app"))
    }
}

fn raw(content_type: &'static str, body: impl Into<Vec<u8>>) -> Fault {
    Fault::Raw {
        content_type,
        encoding: None,
        body: body.into().into(),
    }
}

fn answer(access: &str) -> Value {
    json!({ "access_token": access, "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer" })
}

fn bomb(megabytes: usize) -> Fault {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(br#"{"access_token":"x","padding":""#)
        .unwrap();
    for _ in 0..megabytes {
        out.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    out.write_all(b"\"}").unwrap();
    let body = out.finish().unwrap().into();
    Fault::Raw {
        content_type: "application/json",
        encoding: Some("gzip"),
        body,
    }
}

/// Not a token answer: the client gets the origin's own 401, nothing is overwritten, and a later refresh works.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_answer_is_transient() {
    let big = format!(
        r#"{{"access_token":"x","padding":"{}"}}"#,
        "y".repeat(10 << 20)
    );
    for (what, fault) in [
        ("a page", Fault::Html),
        ("nothing", raw("application/json", "")),
        (
            "half of it",
            raw("application/json", &br#"{"access_token":"abc","refr"#[..]),
        ),
        ("a list", raw("application/json", "[]")),
        (
            "no token",
            raw(
                "application/json",
                r#"{"token_type":"Bearer","expires_in":3600}"#,
            ),
        ),
        (
            "an empty token",
            raw("application/json", answer("").to_string()),
        ),
        (
            "a number for a token",
            raw("application/json", r#"{"access_token":12345}"#),
        ),
        ("10 MB", raw("application/json", big)),
        ("a gzip bomb", bomb(200)),
        (
            "CR LF in a token",
            raw("application/json", answer("x\r\nx-injected: 1").to_string()),
        ),
        (
            "NUL in a token",
            raw("application/json", answer("x\0y").to_string()),
        ),
    ] {
        let world = World::new(Policy::lifetime(600.0)).await;
        // As often as it is tried again: a slow look at the state must not find it mended.
        assert_eq!(world.ask_with(vec![fault; 50]).await, 401, "{what}");
        let state = world.state();
        assert_eq!(state["requires_login"], false, "{what}: {state}");
        assert_ne!(state["last_error"], Value::Null, "{what}: {state}");
        assert!(
            world
                .site
                .seen()
                .iter()
                .all(|seen| seen.field("x-injected").is_none()),
            "{what}"
        );
        world.mend(what).await;
        assert!(
            peak_kib(world.proxy.pid()) < 200 * 1024,
            "{what}: {} KiB",
            peak_kib(world.proxy.pid())
        );
    }
}

/// Odd expiries: the token is used, whatever the server says of its life.
#[tokio::test(flavor = "multi_thread")]
async fn odd_expiries() {
    for expires in [
        json!(-1),
        json!("3600"),
        json!(1e12),
        json!(0),
        json!(3599.7),
        json!("soon"),
        Value::Null,
    ] {
        let world = World::new(Policy::lifetime(600.0)).await;
        let value = expires.clone();
        let edit = Fault::Edit(Arc::new(move |answer: &mut Value| {
            answer["expires_in"] = value.clone()
        }));
        assert_eq!(world.ask_with(vec![edit]).await, 200, "{expires}");
        for _ in 0..5 {
            assert_eq!(world.ask().await, 200, "{expires}");
        }
        let counts = world.authority.with(|oauth| oauth.counts);
        assert_eq!(counts.families_revoked, 0, "{expires}");
        // A token said to have ended already may cost a refresh of its own, not one for each request.
        assert!(
            counts.granted <= 2,
            "{expires}: {} refreshes",
            counts.granted
        );
        let state = world.state();
        assert_eq!(state["requires_login"], false, "{expires}: {state}");
    }
    let world = World::new(Policy::lifetime(600.0)).await;
    let missing = Fault::Edit(Arc::new(|answer: &mut Value| {
        answer
            .as_object_mut()
            .expect("an object")
            .remove("expires_in");
    }));
    assert_eq!(world.ask_with(vec![missing]).await, 200, "missing");
}

/// An answer without a refresh token keeps the old one.
#[tokio::test(flavor = "multi_thread")]
async fn no_new_refresh_token_keeps_the_old() {
    let world = World::new(Policy {
        rotate: false,
        ..Policy::lifetime(600.0)
    })
    .await;
    let without = || {
        Fault::Edit(Arc::new(|answer: &mut Value| {
            answer
                .as_object_mut()
                .expect("an object")
                .remove("refresh_token");
        }))
    };
    for round in 1..=3 {
        assert_eq!(world.ask_with(vec![without()]).await, 200);
        assert_eq!(world.authority.with(|oauth| oauth.counts.granted), round);
    }
}

/// In doubt: the same token again within the grace, and no client sees a 401.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_asked_for_again() {
    for (what, faults) in [
        ("reset", vec![Fault::Reset]),
        ("reset after the commit", vec![Fault::ResetAfterCommit]),
        ("twice", vec![Fault::ResetAfterCommit, Fault::Status(503)]),
        (
            "late",
            vec![Fault::StallAfterCommit(Duration::from_secs(20))],
        ),
        ("500", vec![Fault::Status(500)]),
        ("502", vec![Fault::Status(502)]),
    ] {
        let world = World::new(Policy::lifetime(600.0)).await;
        assert_eq!(
            world.ask_with(faults).await,
            200,
            "{what}: {}",
            world.proxy.log()
        );
        let counts = world.authority.with(|oauth| oauth.counts);
        assert_eq!(counts.families_revoked, 0, "{what}");
        let attempts = world.authority.attempts();
        assert!(attempts.len() <= 4, "{what}: {} attempts", attempts.len());
        let token = &attempts[0].form["refresh_token"];
        assert!(
            attempts
                .iter()
                .all(|attempt| &attempt.form["refresh_token"] == token),
            "{what}: the same token"
        );
    }
}

/// Terminal: an end that names the command that repairs it, and no attempt after it.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_grant_is_an_end() {
    let world = World::new(Policy::lifetime(600.0)).await;
    assert_eq!(
        world
            .ask_with(vec![Fault::Error(400, "invalid_grant")])
            .await,
        401
    );
    let state = world.state();
    assert_eq!(
        (&state["state"], &state["requires_login"]),
        (&json!("needs_login"), &json!(true)),
        "{state}"
    );
    let message = state["message"].as_str().expect("a message");
    assert!(
        message.contains("staysigned "),
        "names a command: {message}"
    );
    for _ in 0..5 {
        assert_eq!(world.ask().await, 401);
    }
    assert_eq!(world.authority.attempts().len(), 1, "no further attempt");
}

/// The client's own registration is wrong: stop, and delete nothing.
#[tokio::test(flavor = "multi_thread")]
async fn client_errors_delete_nothing() {
    for error in [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
    ] {
        let world = World::new(Policy::lifetime(600.0)).await;
        assert_eq!(
            world.ask_with(vec![Fault::Error(401, error)]).await,
            401,
            "{error}"
        );
        for _ in 0..3 {
            assert_eq!(world.ask().await, 401, "{error}");
        }
        assert_eq!(
            world.authority.attempts().len(),
            1,
            "{error}: no further attempt"
        );
        world.mend(error).await;
    }
}

/// Throttled: `Retry-After` is kept.
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_kept() {
    for code in [429, 503] {
        let world = World::new(Policy::lifetime(600.0)).await;
        let asked = world.ask_with(vec![Fault::RetryAfter(code, 600); 20]).await;
        assert_eq!(asked, 401, "{code}");
        let before = world.authority.attempts().len();
        for _ in 0..5 {
            world.ask().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            world.authority.attempts().len(),
            before,
            "{code}: asked again before its time"
        );
        assert!(before <= 1, "{code}: {before} attempts");
    }
}
