//! Runs a CGI program (RFC 3875) for each request: how `git http-backend` is served.

use std::{path::PathBuf, process::Stdio};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    origin::{Reply, full},
    within,
};

/// Answers a request by a program; the environment given is all that it gets beside CGI's own.
pub async fn answer(
    request: Request<Incoming>,
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
) -> Reply {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let body = body.collect().await.expect("the request's body").to_bytes();
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("SERVER_PROTOCOL", "HTTP/1.1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", field("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start the CGI program");
    let mut input = child.stdin.take().expect("piped");
    let feed = tokio::spawn(async move {
        // A program that has read enough may be gone.
        let _ = input.write_all(&body).await;
    });
    let output = within("the CGI program's end", child.wait_with_output()).await;
    let output = output.expect("its output").stdout;
    let _ = feed.await;
    parse(&output)
}

fn parse(output: &[u8]) -> Reply {
    let end = output
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a CGI head");
    let head = std::str::from_utf8(&output[..end]).expect("a CGI head in UTF-8");
    let mut reply = Response::new(full(Bytes::copy_from_slice(&output[end + 4..])));
    for line in head.lines() {
        let (name, value) = line.split_once(": ").expect("a field");
        if name.eq_ignore_ascii_case("status") {
            *reply.status_mut() = StatusCode::from_bytes(&value.as_bytes()[..3]).expect("a status");
        } else {
            reply.headers_mut().append(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            );
        }
    }
    reply
}
