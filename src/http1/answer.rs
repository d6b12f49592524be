//! The head of an answer to a client, and how its body is framed.

use http::{
    HeaderMap, Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::{Spelling, head::Length};

/// The head of an answer.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: StatusCode,
    /// Without hop-by-hop fields, but for `Connection: close` and those of a change to another protocol.
    pub headers: &'a HeaderMap,
    /// How the upstream wrote it.
    pub spelling: &'a Spelling,
    /// Bytes of the body, where they are known.
    pub length: Option<u64>,
    /// Whether the connection ends behind it.
    pub last: bool,
}

/// The request that is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub version: Version,
}

// === impl Answer ===

impl Answer<'_> {
    /// Writes the head, and tells how the body is framed (RFC 9112 §6.3); takes `keep_alive` away if the connection ends
    /// behind it.
    pub(super) fn write(
        &self,
        asked: Asked<'_>,
        keep_alive: &mut bool,
        out: &mut Vec<u8>,
    ) -> Length {
        let Answer {
            status,
            headers,
            spelling,
            ..
        } = *self;
        let old = asked.version == Version::HTTP_10;
        let upgrades = status == StatusCode::SWITCHING_PROTOCOLS;
        out.reserve(256 + 32 * headers.len());
        out.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        status_and_reason(status, spelling, out);
        let bodiless = upgrades || status == StatusCode::NO_CONTENT;
        let mut declared = None;
        for (name, value) in headers {
            if *name == TRANSFER_ENCODING || *name == CONNECTION && !upgrades {
                continue;
            }
            if *name == CONTENT_LENGTH {
                if bodiless || declared.is_some() {
                    continue;
                }
                declared = value.to_str().ok().and_then(|length| length.parse().ok());
            }
            spelling.write(name, value, out);
        }
        let nothing =
            bodiless || status == StatusCode::NOT_MODIFIED || *asked.method == Method::HEAD;
        let length = match (declared, self.length) {
            _ if nothing => Length::Exact(0),
            (Some(length), _) => Length::Exact(length),
            (None, Some(length)) => {
                out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
                Length::Exact(length)
            }
            (None, None) if old => Length::UntilClose,
            (None, None) => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Length::Chunked
            }
        };
        *keep_alive &= !self.last && !says_close(headers) && length != Length::UntilClose;
        match (*keep_alive, old) {
            _ if upgrades => {}
            (false, false) => out.extend_from_slice(b"connection: close\r\n"),
            (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        length
    }
}

/// Writes an informational answer (RFC 9110 §15.2).
pub fn informational(
    status: StatusCode,
    headers: &HeaderMap,
    spelling: &Spelling,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    status_and_reason(status, spelling, out);
    for (name, value) in headers {
        spelling.write(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn status_and_reason(status: StatusCode, spelling: &Spelling, out: &mut Vec<u8>) {
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(spelling.reason(status));
    out.extend_from_slice(b"\r\n");
}

fn says_close(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONNECTION).iter();
    lines.any(|line| line.as_bytes().eq_ignore_ascii_case(b"close"))
}
