//! Token endpoints and commands.

use std::{sync::Arc, time::SystemTime};

use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::{
    auth,
    life::Failure,
    rule::{Recipe, RefreshKind},
    secret::Secret,
    session::bench::bearer,
};

fn oauth2(server: &Server) -> Recipe {
    let mut recipe = bearer();
    let RefreshKind::Oauth2(oauth2) = &mut recipe.refresh.kind else {
        unreachable!()
    };
    oauth2.token_url = server.url("/token?x=1");
    // The engine takes seeds out of the secrets.
    recipe.secrets.clear();
    recipe
}

#[tokio::test]
async fn a_token_endpoint_grants() {
    let body = r#"{"access_token":"AT","refresh_token":"RT2","expires_in":"3600"}"#;
    let server = Server::play(vec![says(
        "200 OK",
        "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
        body,
    )])
    .await;
    let renewed = renewed(ask(oauth2(&server), spend(&[("refresh_token", "RT1")])).await);
    let field = |name: &str| {
        let mut fields = renewed.fields.iter();
        fields
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.expose().as_str())
    };
    assert_eq!(
        (field("access_token"), field("refresh_token")),
        (Some("AT"), Some("RT2"))
    );
    let lifetime = renewed
        .expires_at
        .unwrap()
        .duration_since(SystemTime::now())
        .unwrap();
    assert!((3590..=3600).contains(&lifetime.as_secs()));
    assert!(
        renewed.skew.unwrap() < -1_000_000,
        "its clock is years behind"
    );
    let asked = server.asked(0);
    assert!(asked.starts_with("POST /token?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("user-agent: staysigned/") || asked.contains("User-Agent: staysigned/"),
        "{asked}"
    );
    assert!(
        asked.ends_with("grant_type=refresh_token&refresh_token=RT1"),
        "{asked}"
    );
}

#[tokio::test]
async fn what_a_token_endpoint_may_say_is_sorted() {
    let big = "x".repeat(10_000);
    let cases = [
        (
            says("400 Bad Request", "", r#"{"error":"invalid_grant"}"#),
            "terminal",
        ),
        (
            says("401 Unauthorized", "", r#"{"error":"invalid_client"}"#),
            "misconfigured",
        ),
        (
            says("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            "throttled",
        ),
        (
            says("503 Service Unavailable", "Retry-After: 7\r\n", ""),
            "throttled",
        ),
        (says("502 Bad Gateway", "", "<html>"), "in_doubt"),
        (
            says("200 OK", "Content-Type: text/html\r\n", "<html>"),
            "not_an_answer",
        ),
        (
            says("200 OK", "", r#"{"access_token":""}"#),
            "not_an_answer",
        ),
        (
            says("200 OK", "", "{\"access_token\":\"a\\r\\nb\"}"),
            "not_an_answer",
        ),
        (says("200 OK", "", &big), "not_an_answer"),
        (
            says("200 OK", "Content-Encoding: gzip\r\n", "no gzip"),
            "not_an_answer",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
            "in_doubt",
        ),
        ("garbage\r\n\r\n".to_owned(), "in_doubt"),
        (String::new(), "in_doubt"),
    ];
    for (answer, expected) in cases {
        let server = Server::play(vec![answer.clone()]).await;
        let failure = failure(ask(oauth2(&server), spend(&[("refresh_token", "RT1")])).await);
        assert_eq!(failure.name(), expected, "{answer}: {failure}");
        assert!(!failure.to_string().contains("RT1"));
        if let Failure::Throttled { until, .. } = failure {
            let wait = until.duration_since(SystemTime::now()).unwrap();
            assert!((6..=7).contains(&wait.as_secs()));
        }
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_was_sent_nothing() {
    // Nobody listens at a port that is taken, and nobody else can take it meanwhile.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let origin = format!("http://{}", taken.local_addr().unwrap());
    let server = Server {
        origin: origin.parse().unwrap(),
        asked: Arc::default(),
    };
    let recipe = oauth2(&server);
    let failure = failure(ask(recipe.clone(), spend(&[("refresh_token", "RT1")])).await);
    assert_eq!(failure.name(), "unsent");
    assert!(!make(recipe).probe().await);
    let there = Server::play(vec![String::new()]).await;
    assert!(make(oauth2(&there)).probe().await);
    // What cannot be asked at all is nobody's fault but the configuration's.
    let missing = self::failure(ask(oauth2(&there), spend(&[])).await);
    assert_eq!(missing.name(), "misconfigured");
    assert!(
        missing.to_string().contains("refresh_token is not defined"),
        "{missing}"
    );
}

/// What a server looks like from here that is away: its name unknown, or its SYNs unanswered; nothing was sent to either.
/// (That it refuses, says 502 or HTML is in the cases above.)
#[tokio::test]
async fn what_cannot_be_connected_was_sent_nothing() {
    // Its queue is full, and nobody empties it: what comes now is dropped.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = silent.listen(1).unwrap();
    let address = silent.local_addr().unwrap();
    let mut queue = Vec::new();
    let short = Duration::from_millis(300);
    while let Ok(next) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        queue.push(next.unwrap());
        assert!(queue.len() < 100);
    }
    for origin in [format!("http://{address}"), "http://no.invalid".to_owned()] {
        let server = Server {
            origin: origin.parse().unwrap(),
            asked: Arc::default(),
        };
        let recipe = oauth2(&server);
        let failure = failure(ask(recipe.clone(), spend(&[("refresh_token", "RT1")])).await);
        assert_eq!(failure.name(), "unsent", "{origin}: {failure}");
        assert!(!make(recipe).probe().await, "{origin}");
    }
}

#[tokio::test]
async fn a_command_prints_a_credential() {
    let past = r#"{"access_token":"x","expires_at":"2001-01-01T00:00:00Z"}"#;
    let command = |script: &str| {
        let mut recipe = bearer();
        let argv = ["sh", "-c", script].map(str::to_owned);
        recipe.refresh.kind = RefreshKind::Command(argv.to_vec());
        recipe
    };
    let renewed = renewed(ask(command("cat; echo token-1"), spend(&[])).await);
    assert_eq!(renewed.fields[0].1.expose(), "token-1");
    let cases = [
        (command("echo token-1; exit 3"), "not_an_answer"),
        (command("true"), "not_an_answer"),
        (command("yes | head -c 100000"), "not_an_answer"),
        (command(&format!("echo '{past}'")), "not_an_answer"),
    ];
    for (recipe, expected) in cases {
        let failure = failure(ask(recipe, spend(&[])).await);
        assert_eq!(failure.name(), expected);
        assert!(!failure.to_string().contains("token-1"));
    }
    let mut missing = bearer();
    missing.refresh.kind = RefreshKind::Command(vec!["/no/such/program".to_owned()]);
    assert_eq!(
        failure(ask(missing, spend(&[])).await).name(),
        "misconfigured"
    );
}

/// The lease is looked at when the connection is there, and not a byte is written if it was taken away.
#[tokio::test]
async fn nothing_is_sent_without_the_permit() {
    for ours in [true, false] {
        let server = Server::play(vec![says("200 OK", "", "{}")]).await;
        let recipe = oauth2(&server);
        let refresh = make(recipe);
        let spend = spend(&[("refresh_token", "RT1")]);
        assert!(spend.permit.revoke());
        let failure = if ours {
            failure(refresh.refresh(spend).await)
        } else {
            let request = auth::Request {
                method: http::Method::POST,
                url: server.url("/token"),
                headers: http::HeaderMap::new(),
                body: Secret::new(b"refresh_token=RT1".to_vec()),
            };
            refresh.relay(request, spend.permit).await.unwrap_err()
        };
        assert!(matches!(failure, Failure::Unsent(_)), "{failure}");
        let arrived = tokio::time::timeout(Duration::from_secs(5), async {
            while server.asked.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        arrived.await.expect("the connection ends");
        assert_eq!(server.asked(0), "", "connected, and nothing said");
    }
}
