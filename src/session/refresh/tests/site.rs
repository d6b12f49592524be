//! Sites: form logins, touches, checks of what was obtained.

use std::{sync::Arc, time::SystemTime};

use super::*;
use crate::{
    jar::Jar,
    life::Failure,
    rule::{
        Expect, Recipe, RefreshKind, Rejected, Source, Step, StepBody, Verify, glob::Glob, sample,
        template::Template,
    },
    session::bench::bearer,
};

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

/// A form login with a CSRF field.
fn login(server: &Server) -> Recipe {
    let mut recipe = sample::recipe("site", &[], &[&server.origin.to_string()]);
    recipe.cookies.enabled = true;
    recipe.cookies.required = vec!["sid".to_owned()];
    recipe.secrets = [("password".to_owned(), "p&ss".into())].into();
    let regex = regex::bytes::Regex::new(r#"name="csrf" value="([^"]+)""#).unwrap();
    let form = [("password", "{{ password }}"), ("csrf", "{{ csrf }}")];
    let step = |method, path, body, expect, capture| Step {
        method,
        url: server.url(path),
        headers: Vec::new(),
        body,
        expect,
        capture,
    };
    recipe.refresh.kind = RefreshKind::Steps(vec![
        step(
            http::Method::GET,
            "/login",
            StepBody::Empty,
            Expect::default(),
            vec![("csrf".to_owned(), Source::Regex(regex))],
        ),
        step(
            http::Method::POST,
            "/login",
            StepBody::Form(
                form.map(|(name, text)| (name.to_owned(), template(text)))
                    .to_vec(),
            ),
            Expect {
                status: Some(vec![302]),
                location: None,
                location_not: Some(Glob::new("*/login*")),
            },
            vec![("user".to_owned(), Source::Header("x-user".parse().unwrap()))],
        ),
    ]);
    recipe
}

#[tokio::test]
async fn a_form_login_with_a_csrf_field() {
    let page = r#"<input name="csrf" value="C=1">"#;
    let server = Server::play(vec![
        says("200 OK", "Set-Cookie: pre=1; Path=/\r\n", page),
        says("302 Found", "Location: /home\r\nX-User: me\r\nSet-Cookie: sid=S; Path=/; HttpOnly\r\nSet-Cookie: pre=; Max-Age=0; Path=/\r\n", ""),
    ])
    .await;
    let renewed = renewed(ask(login(&server), spend(&[])).await);
    let cookies: Vec<_> = renewed.cookies.iter().map(|c| c.name.clone()).collect();
    assert_eq!(cookies, [b"sid".to_vec()]);
    let fields: Vec<_> = renewed
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(fields, ["user"], "the CSRF field was for the next step");
    let asked = server.asked(1);
    assert!(
        asked.ends_with("\r\n\r\npassword=p%26ss&csrf=C%3D1"),
        "{asked}"
    );
    assert!(asked.contains("pre=1"), "{asked}");
}

#[tokio::test]
async fn a_login_that_is_refused_is_not_repeated() {
    let page = r#"<input name="csrf" value="C">"#;
    let cases = [
        (
            says("302 Found", "Location: /login?e=1\r\n", ""),
            "terminal",
        ),
        (says("200 OK", "", "wrong password"), "terminal"),
        (says("403 Forbidden", "", ""), "terminal"),
        (says("500 Oops", "", ""), "in_doubt"),
        (says("429 Slow", "", ""), "throttled"),
    ];
    for (answer, expected) in cases {
        let server = Server::play(vec![says("200 OK", "", page), answer.clone()]).await;
        let failure = failure(ask(login(&server), spend(&[])).await);
        assert_eq!(failure.name(), expected, "{answer}");
        assert!(!failure.to_string().contains("p&ss"));
    }
    // A page without the field says nothing about the password.
    let server = Server::play(vec![says("200 OK", "", "maintenance")]).await;
    let failure = failure(ask(login(&server), spend(&[])).await);
    assert_eq!(
        failure,
        Failure::NotAnAnswer("step 1: csrf is not in the answer".to_owned())
    );
}

fn touched(server: &Server) -> Recipe {
    let mut recipe = sample::recipe("site", &[], &[&server.origin.to_string()]);
    recipe.cookies.enabled = true;
    recipe.inject = bearer().inject;
    recipe.refresh.kind = RefreshKind::Touch(server.url("/touch"));
    recipe.captures = vec![capture_of(server)];
    recipe
}

fn capture_of(server: &Server) -> crate::rule::Capture {
    let mut capture = sample::capture(&format!("GET {}/touch", server.origin));
    let pointer = "/token".parse().unwrap();
    capture.answer = vec![("access_token".to_owned(), Source::Json(pointer))];
    capture
}

#[tokio::test]
async fn a_touch_makes_the_site_rotate() {
    let server = Server::play(vec![says(
        "200 OK",
        "Set-Cookie: sid=2\r\nContent-Type: application/json\r\n",
        r#"{"token":"T2"}"#,
    )])
    .await;
    let mut held = spend(&[("access_token", "T1")]);
    let mut jar = Jar::clone(&held.jar);
    let _ = jar.store(&server.origin, "/", b"sid=1", SystemTime::now());
    held.jar = Arc::new(jar);
    let renewed = renewed(ask(touched(&server), held).await);
    assert_eq!(renewed.cookies[0].value.expose(), b"2");
    assert_eq!(renewed.fields[0].1.expose(), "T2");
    let asked = server.asked(0).to_ascii_lowercase();
    assert!(
        asked.contains("authorization: bearer t1") && asked.contains("cookie: sid=1"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_touch_hears_that_the_session_has_ended() {
    let quiet = Rejected {
        status: Some(vec![200]),
        body: Some(regex::bytes::Regex::new("please sign in").unwrap()),
        ..Rejected::default()
    };
    let cases = [
        (says("401 Unauthorized", "", ""), "terminal"),
        (
            says("200 OK", "Content-Type: text/html\r\n", "<p>please sign in"),
            "terminal",
        ),
        (says("404 Not Found", "", ""), "not_an_answer"),
        (says("500 Oops", "", ""), "in_doubt"),
    ];
    for (answer, expected) in cases {
        let server = Server::play(vec![answer.clone()]).await;
        let mut recipe = touched(&server);
        recipe.rejected = vec![quiet.clone()];
        let failure = failure(ask(recipe, spend(&[("access_token", "T1")])).await);
        assert_eq!(failure.name(), expected, "{answer}: {failure}");
    }
    // The credential goes nowhere that it is not bound to.
    let server = Server::play(Vec::new()).await;
    let mut recipe = touched(&server);
    recipe.bind = vec![sample::bind("https://elsewhere.example/", None)];
    let failure = failure(ask(recipe, spend(&[("access_token", "T1")])).await);
    assert_eq!(failure.name(), "misconfigured");
}

#[tokio::test]
async fn a_new_credential_is_verified_where_it_is_bound() {
    let server = Server::play(vec![says("200 OK", "", ""), says("403 No", "", "")]).await;
    let mut recipe = touched(&server);
    recipe.refresh.verify = Some(Verify {
        url: server.url("/me"),
        ok: Expect::default(),
    });
    let new = spend(&[("access_token", "T2")]);
    let refresh = make(recipe);
    assert_eq!(Arc::clone(&refresh).verify(new.clone()).await, Ok(()));
    let refused = refresh.verify(new).await.unwrap_err();
    assert!(refused.contains("403"), "{refused}");
    assert!(server.asked(0).starts_with("GET /me "));
}
