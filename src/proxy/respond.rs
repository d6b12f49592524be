//! The only maker of answers that are the proxy's own: a status, `Proxy-Status`, and a short plain body.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER,
    },
    request::Parts,
};

use super::{
    answer::Answer,
    error::{Error, Kind},
};
use crate::message::status;

pub static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The challenge of a proxy that wants to know its clients (RFC 7617 §2).
const CHALLENGE: &str = "Basic realm=\"staysigned\", charset=\"UTF-8\"";

/// Makes the answer to an exchange that failed.
pub fn error(error: &Error) -> Response<Bytes> {
    let Answer {
        status,
        error: kind,
        message,
        hint,
        retry_after,
        side: _,
    } = error.kind().answer();
    let mut body = match error.detail() {
        Some(detail) => format!("staysigned: {message}: {detail}\n"),
        None => format!("staysigned: {message}\n"),
    };
    if let Some(hint) = hint {
        body.push_str(&format!("hint: {hint}\n"));
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(PROXY_STATUS.clone(), status::field(Some(kind), &message));
    if *error.kind() == Kind::ClientUnknown {
        headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    if let Some(after) = retry_after {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64),
        );
    }
    response
}

/// Makes the answer to OPTIONS or TRACE that was to come no further than here (RFC 9110 §7.6.2). TRACE is told what has
/// come, without what is secret in it (§9.3.8).
pub fn last_hop(request: &Parts) -> Response<Bytes> {
    if request.method != Method::TRACE {
        return Response::default();
    }
    let Parts { method, uri, .. } = request;
    let mut body = format!("{method} {uri} HTTP/1.1\r\n").into_bytes();
    let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    for (name, value) in &request.headers {
        if !secret.contains(name) {
            write_field(&mut body, name, value);
        }
    }
    body.extend_from_slice(b"\r\n");
    let mut response = Response::new(Bytes::from(body));
    let kind = HeaderValue::from_static("message/http");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn write_field(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// Writes an answer to CONNECT, which no HTTP library stands behind.
pub fn to_connect(error: &Error) -> Vec<u8> {
    let response = self::error(error);
    let reason = response.status().canonical_reason().unwrap_or("");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status().as_u16()).into_bytes();
    for (name, value) in response.headers() {
        write_field(&mut head, name, value);
    }
    head.extend_from_slice(format!("content-length: {}\r\n", response.body().len()).as_bytes());
    if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(response.body());
    head
}
