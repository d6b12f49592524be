//! The admin side: who is answered, with what, and that no answer has a secret in it.

mod sockets;

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::support::{
    LIMIT,
    authority::{holding, logged_in, session},
    oauth::Policy,
    proxy::{Proxy, proxy},
};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn ask(to: SocketAddr, line: &str, fields: &[&str], body: &str) -> Answer {
    let mut stream = connect(to);
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\n{fields}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{text}"));
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

struct Side<'p> {
    proxy: &'p Proxy,
    host: String,
    bearer: String,
}

impl<'p> Side<'p> {
    fn of(proxy: &'p Proxy) -> Self {
        let token = std::fs::read_to_string(proxy.path().join("admin.token")).unwrap();
        Self {
            host: format!("Host: {}", proxy.admin),
            bearer: format!("Authorization: Bearer {}", token.trim()),
            proxy,
        }
    }

    fn ask(&self, line: &str, body: &str) -> Answer {
        ask(self.proxy.admin, line, &[&self.host, &self.bearer], body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_answered() {
    let mut proxy = proxy().bearer("api", "api.example", "t").prepare();
    proxy.start().await;
    let side = Side::of(&proxy);
    let port = proxy.admin.port();
    let status = |line: &str, fields: &[&str]| ask(proxy.admin, line, fields, "").status;
    let good = [&*side.host, &*side.bearer];
    for (line, fields, expected) in [
        ("GET /api/v1/sessions", &good[..], 200),
        ("GET /api/v1/sessions", &[&side.host], 401),
        (
            "GET /api/v1/sessions",
            &[&side.host, "Authorization: Bearer wrong"],
            401,
        ),
        (
            "GET /api/v1/sessions",
            &[&side.host, "Authorization: Basic dTpw"],
            401,
        ),
        ("GET /metrics", &[&side.host], 401),
        ("GET /api/v1/openapi.json", &[&side.host], 401),
        // A name that was made to lead here.
        (
            "GET /api/v1/sessions",
            &["Host: evil.example", &side.bearer],
            421,
        ),
        ("GET /", &["Host: evil.example"], 421),
        (
            "GET /api/v1/sessions",
            &["Host: 127.0.0.1", &side.bearer],
            421,
        ),
        // Pages of others.
        (
            "POST /api/v1/reload",
            &[good[0], good[1], "Origin: http://evil.example"],
            403,
        ),
        (
            "POST /api/v1/reload",
            &[good[0], good[1], "Sec-Fetch-Site: cross-site"],
            403,
        ),
        (
            "DELETE /api/v1/sessions/api/grant",
            &[good[0], good[1], "Origin: null"],
            403,
        ),
        (
            "POST /api/v1/reload",
            &[good[0], good[1], "Sec-Fetch-Site: same-origin"],
            200,
        ),
        // Open: what has nothing in it.
        ("GET /", &[&side.host], 200),
        ("GET /page.js", &[&side.host], 200),
        ("GET /healthz", &[&side.host], 200),
        ("GET /readyz", &[&side.host], 200),
        ("GET /nothing", &good, 404),
        ("GET /ca.pem", &good, 404),
        ("DELETE /api/v1/sessions", &good, 405),
    ] {
        assert_eq!(status(line, fields), expected, "{line} {fields:?}");
    }
    let host = format!("Host: localhost:{port}");
    assert_eq!(status("GET /api/v1/sessions", &[&host, &side.bearer]), 200);
    let page = ask(proxy.admin, "GET /", &[&side.host], "");
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'"),
        "{}",
        page.head
    );

    // Nobody gets there through the proxy itself.
    let answer = ask(
        proxy.listen,
        &format!("GET http://{}/healthz", proxy.admin),
        &[&side.host],
        "",
    );
    assert_ne!(answer.status, 200, "{}", answer.body);
    // Something that is not HTTP ends in nothing worse than an error.
    let mut stream = connect(proxy.admin);
    stream.write_all(b"\x16\x03\x01\x02\x00\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let kind = ended.err().map(|error| error.kind());
    assert_ne!(kind, Some(ErrorKind::WouldBlock), "it is not ended");
    assert_eq!(side.get("/healthz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_seen_and_changed() {
    let (authority, origin, pair) = logged_in("api.example", Policy::lifetime(3600.0)).await;
    let mut proxy = holding(&origin, &pair, session("api", "api.example", "")).prepare();
    proxy.start().await;
    let side = Side::of(&proxy);
    let about = side.get("/api/v1/proxy").json();
    let config = proxy.path().join("config.toml");
    assert_eq!(about["config"], config.to_str().unwrap());
    assert_eq!(
        (&about["pid"], &about["listen"][0]),
        (&proxy.pid().into(), &proxy.listen.to_string().into())
    );
    let list = side.get("/api/v1/sessions").json();
    let mut one = side.get("/api/v1/sessions/api").json();
    let history = one.as_object_mut().unwrap().remove("history");
    assert_eq!(history, Some(serde_json::json!([])));
    assert_eq!(list["sessions"][0], one);

    let refreshed = side.ask("POST /api/v1/sessions/api/refresh", "");
    assert_eq!(
        (
            refreshed.status,
            &refreshed.json()["last_refresh"]["result"]
        ),
        (200, &"ok".into()),
        "{}",
        refreshed.body
    );
    let put = side.ask(
        "PUT /api/v1/sessions/api/grant",
        "{\"fields\": {\"access_token\": \"put-by-hand\"}}",
    );
    assert_eq!(put.status, 200, "{}", put.body);
    proxy.client().get("https://api.example/").await;
    assert!(
        origin
            .seen()
            .iter()
            .any(|seen| seen.field("authorization") == Some("Bearer put-by-hand"))
    );
    // What was put in was rejected once, and then renewed.
    let metrics = side.get("/metrics").body;
    for line in [
        "staysigned_requests_total{session=\"api\",outcome=\"accepted\"} 1",
        "staysigned_requests_total{session=\"api\",outcome=\"rejected\"} 0",
        "staysigned_replays_total{session=\"api\",result=\"accepted\"} 1",
        "staysigned_added_latency_seconds_count 1",
        "staysigned_refresh_attempts_total{session=\"api\",result=\"ok\"} 2",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert_eq!(
        side.ask("POST /api/v1/sessions/api/restore", "").status,
        200
    );
    let gone = side.ask("DELETE /api/v1/sessions/api/grant", "");
    assert_eq!((gone.status, &gone.json()["valid"]), (200, &false.into()));

    for (line, body, expected, words) in [
        (
            "GET /api/v1/sessions/nothing",
            "",
            404,
            "there is no session nothing",
        ),
        (
            "GET /api/v1/sessions/api/clients/alice",
            "",
            404,
            "there is no client alice",
        ),
        (
            "POST /api/v1/sessions/api/restore",
            "",
            409,
            "no grant before",
        ),
        (
            "PUT /api/v1/sessions/api/grant",
            "canary-put",
            400,
            "line 1",
        ),
        (
            "PUT /api/v1/sessions/api/grant",
            "{\"fields\": {\"a\": 7}}",
            422,
            "/fields/a",
        ),
        (
            "PUT /api/v1/sessions/api/grant",
            "{\"canary-put\": 7}",
            422,
            "unknown key",
        ),
    ] {
        let answer = side.ask(line, body);
        assert_eq!(answer.status, expected, "{line}: {}", answer.body);
        assert!(
            answer.head.contains("application/problem+json"),
            "{}",
            answer.head
        );
        assert!(answer.body.contains(words), "{line}: {}", answer.body);
        assert!(!answer.body.contains("canary-put"), "{}", answer.body);
    }

    // No answer has a token in it.
    let issued = authority.with(|oauth| oauth.issued.clone());
    for path in ["/api/v1/sessions", "/metrics", "/api/v1/proxy", "/"] {
        let body = side.get(path).body;
        assert!(
            !issued.iter().any(|token| body.contains(token)),
            "{path}: {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen_and_through_reloads() {
    let mut proxy = proxy().bearer("api", "api.example", "t").prepare();
    proxy.start().await;
    let side = Side::of(&proxy);
    let mut stream = connect(proxy.admin);
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\n{}\r\n{}\r\n\r\n",
        side.host, side.bearer
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines
        .find(|line| line.starts_with(": from now on"))
        .unwrap();
    for round in 0..2 {
        let put = side.ask(
            "PUT /api/v1/sessions/api/grant",
            "{\"fields\": {\"other\": \"canary-event\"}}",
        );
        assert_eq!(put.status, 200, "{}", put.body);
        lines.find(|line| line == "event: session.rotated").unwrap();
        let data = lines.next().unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            (&event["name"], &event["session"]),
            (&"session.rotated".into(), &"api".into())
        );
        assert!(!data.contains("canary-event"));
        if round == 0 {
            assert_eq!(side.ask("POST /api/v1/reload", "").status, 200);
        }
    }
    // A page that is opened later shows them too; what is said again is said once.
    let mut stream = connect(proxy.admin);
    let head = head.replace("/events ", "/events?past ");
    stream.write_all(head.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let past = lines.take_while(|line| !line.starts_with(": from now on"));
    let rotations = past.filter(|line| line == "event: session.rotated");
    assert_eq!(rotations.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_by_the_api_too() {
    let mut proxy = proxy().bearer("api", "api.example", "t").prepare();
    proxy.start().await;
    let side = Side::of(&proxy);
    let path = proxy.path().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n[nothing]\n")).unwrap();
    let refused = side.ask("POST /api/v1/reload", "");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("nothing"),
        "{}",
        refused.body
    );
    std::fs::write(&path, text.replace("level = \"debug\"", "level = \"info\"")).unwrap();
    let taken = side.ask("POST /api/v1/reload", "");
    assert_eq!(
        (taken.status, &taken.json()["needs_restart"][0]),
        (200, &"log.level".into())
    );
}
