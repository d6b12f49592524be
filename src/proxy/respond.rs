//! The only maker of answers that are the proxy's own: a status, `Proxy-Status`, and a short plain body.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER},
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

/// Writes an answer to CONNECT, which no HTTP library stands behind.
pub fn to_connect(error: &Error) -> Vec<u8> {
    let response = self::error(error);
    let reason = response.status().canonical_reason().unwrap_or("");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status().as_u16()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-length: {}\r\n", response.body().len()).as_bytes());
    if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(response.body());
    head
}
