//! Heads: what stands in them, and how long the message is that they begin (RFC 9112 §6.3).

use bytes::BytesMut;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE},
    uri::PathAndQuery,
};
use httparse::Status;

use super::{
    Spelling,
    span::{Slots, Spans, place, slice},
};

/// How much of a head is taken.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes: usize,
    pub fields: usize,
}

/// Why a head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the head is not valid HTTP/1.1")]
    Malformed,
    #[error("the head has more bytes or fields than are taken")]
    TooLarge,
    #[error("the target is longer than is taken")]
    TargetTooLong,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Exact(u64),
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    pub spelling: Spelling,
    pub length: Length,
    pub keep_alive: bool,
    /// Whether its body waits for "100 Continue" (RFC 9110 §10.1.1).
    pub expects: bool,
    /// Whether it asks for another protocol.
    pub upgrades: bool,
}

/// The head of a response.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub spelling: Spelling,
    pub(super) keep_alive: bool,
}

/// The longest target that is taken; of `http::Uri`.
const TARGET: usize = 65_534;

/// What `Connection` says in all its lines.
#[derive(Clone, Copy, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
}

// === impl Refused ===

impl Refused {
    /// The status that tells the client (RFC 9110 §15.5, RFC 6585 §5).
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }
}

impl From<httparse::Error> for Refused {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            _ => Self::Malformed,
        }
    }
}

// === impl Options ===

impl Options {
    fn add(&mut self, line: &[u8]) {
        for option in line.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Tells whether the connection goes on (RFC 9112 §9.3).
    fn keeps(self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
}

/// Returns how many bytes of empty lines stand at the front: who reads a request passes over them (RFC 9112 §2.2), and
/// before an answer they are as little.
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(behind) = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// Tells whether a head may end in what came behind the first `seen` bytes: what has been looked at is not parsed again
/// for each byte of a slow one.
pub fn may_end(bytes: &[u8], seen: usize) -> bool {
    let fresh = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    let ends = |w: &[u8]| w.starts_with(b"\n\n") || w.starts_with(b"\n\r\n");
    (0..fresh.len()).any(|at| ends(&fresh[at..]))
}

/// Takes a request's head off the front of `inbox`; `None`: there is more to come.
pub(super) fn request(inbox: &mut BytesMut, bounds: Bounds) -> Result<Option<Request>, Refused> {
    let mut spans = Spans::new(bounds.fields);
    let mut slots = Slots::new(bounds.fields);
    let mut parsed = httparse::Request::new(&mut []);
    let Status::Complete(length) = parsed.parse_with_uninit_headers(inbox, slots.get())? else {
        return Ok(None);
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refused::Malformed);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refused::Malformed)?;
    if target.len() > TARGET {
        return Err(Refused::TargetTooLong);
    }
    let target = place(inbox, target.as_bytes());
    let spans = spans.fill(inbox, parsed.headers);
    if length > bounds.bytes {
        return Err(Refused::TooLarge);
    }
    let head = inbox.split_to(length).freeze();
    let version = version(minor);
    let target = slice(&head, target);
    let mut uri = Uri::from_maybe_shared(target.clone()).map_err(|_| Refused::Malformed)?;
    if method == Method::OPTIONS && is_bare(&uri, &target) {
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("*"));
        uri = Uri::from_parts(parts).map_err(|_| Refused::Malformed)?;
    }
    let (mut options, mut framing) = (Options::default(), Framing::default());
    let (mut expects, mut upgrades) = (false, false);
    let mut headers = HeaderMap::with_capacity(spans.len());
    for span in spans {
        let (name, value) = span.field(&head).ok_or(Refused::Malformed)?;
        if name == CONNECTION {
            options.add(value.as_bytes());
        } else if name == CONTENT_LENGTH {
            if !framing.length(&value)? {
                continue;
            }
        } else if name == TRANSFER_ENCODING {
            framing.coding(&value);
            headers.remove(CONTENT_LENGTH);
        } else if name == EXPECT {
            expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else if name == UPGRADE {
            upgrades = version == Version::HTTP_11;
        }
        headers.append(name, value);
    }
    if framing.coded && (version != Version::HTTP_11 || !framing.chunked) {
        // How long such a message is nobody can tell.
        return Err(Refused::Malformed);
    }
    let length = match framing.length {
        _ if framing.coded => Length::Chunked,
        length => Length::Exact(length.unwrap_or(0)),
    };
    Ok(Some(Request {
        method,
        uri,
        version,
        headers,
        spelling: Spelling::of(head),
        length,
        keep_alive: options.keeps(version) && !framing.both(),
        expects: expects && version == Version::HTTP_11,
        upgrades,
    }))
}

/// Tells whether a target is a URL without path and query. In an OPTIONS it means the server as a whole, for which the
/// last proxy writes `*` (RFC 9112 §3.2.4); the type has a slash there.
fn is_bare(uri: &Uri, target: &[u8]) -> bool {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    target.len() == scheme.len() + "://".len() + authority.as_str().len()
}

/// Takes a response's head off the front of `inbox`; `None`: there is more to come.
pub(super) fn response(inbox: &mut BytesMut, bounds: Bounds) -> Result<Option<Response>, Refused> {
    let mut spans = Spans::new(bounds.fields);
    let mut slots = Slots::new(bounds.fields);
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let Status::Complete(length) =
        config.parse_response_with_uninit_headers(&mut parsed, inbox, slots.get())?
    else {
        return Ok(None);
    };
    let (Some(code), Some(reason), Some(minor)) = (parsed.code, parsed.reason, parsed.version)
    else {
        return Err(Refused::Malformed);
    };
    let status = StatusCode::from_u16(code).map_err(|_| Refused::Malformed)?;
    let usual = status.canonical_reason() == Some(reason);
    let reason = place(inbox, reason.as_bytes());
    let spans = spans.fill(inbox, parsed.headers);
    if length > bounds.bytes {
        return Err(Refused::TooLarge);
    }
    let head = inbox.split_to(length).freeze();
    let version = version(minor);
    let mut spelling = Spelling::of(head.clone());
    if !usual {
        spelling = spelling.with_reason(status, reason);
    }
    let mut options = Options::default();
    let mut headers = HeaderMap::with_capacity(spans.len());
    for span in spans {
        let (name, value) = span.field(&head).ok_or(Refused::Malformed)?;
        if name == CONNECTION {
            options.add(value.as_bytes());
        }
        headers.append(name, value);
    }
    Ok(Some(Response {
        status,
        version,
        headers,
        spelling,
        keep_alive: options.keeps(version),
    }))
}

// === impl Response ===

impl Response {
    /// Tells how long the body is, as the answer to a request of this method.
    pub(super) fn length(&self, method: &Method) -> Result<Length, Refused> {
        let nothing = self.status.is_informational()
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED
            || *method == Method::HEAD;
        if nothing {
            return Ok(Length::Exact(0));
        }
        let mut framing = Framing::default();
        for value in self.headers.get_all(TRANSFER_ENCODING) {
            framing.coding(value);
        }
        if framing.coded {
            return match (self.version, framing.chunked) {
                (Version::HTTP_11, true) => Ok(Length::Chunked),
                (Version::HTTP_11, false) => Ok(Length::UntilClose),
                _ => Err(Refused::Malformed),
            };
        }
        for value in self.headers.get_all(CONTENT_LENGTH) {
            framing.length(value)?;
        }
        Ok(framing.length.map_or(Length::UntilClose, Length::Exact))
    }
}

/// What the fields say about the length of a message.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// Whether there is a `Transfer-Encoding`, and whether it ends in `chunked`.
    coded: bool,
    chunked: bool,
    measured: bool,
}

// === impl Framing ===

impl Framing {
    /// Takes a `Content-Length`; tells whether it says something new.
    fn length(&mut self, value: &HeaderValue) -> Result<bool, Refused> {
        let digits = value.to_str().map_err(|_| Refused::Malformed)?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let length = digits.parse().ok().filter(|_| plain);
        let length = length.filter(|length| *length < u64::MAX - 1);
        let length: u64 = length.ok_or(Refused::Malformed)?;
        self.measured = true;
        if self.length.is_some_and(|own| own != length) {
            return Err(Refused::Malformed);
        }
        let new = self.length.replace(length).is_none();
        Ok(new && !self.coded)
    }

    fn coding(&mut self, value: &HeaderValue) {
        let last = value.as_bytes().rsplit(|b| *b == b',').next();
        self.chunked = last.is_some_and(|c| c.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        self.coded = true;
    }

    fn both(&self) -> bool {
        self.coded && self.measured
    }
}

fn version(minor: u8) -> Version {
    match minor {
        1 => Version::HTTP_11,
        _ => Version::HTTP_10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_may_end_where_an_empty_line_ends() {
        let head = b"GET / HTTP/1.1\r\nHost: a\n\r\n";
        for seen in 1..head.len() {
            for length in seen..=head.len() {
                let expected = length == head.len() && seen < length;
                let told = may_end(&head[..length], seen);
                assert!(told || !expected, "{seen} {length}");
                assert!(!told || length == head.len(), "{seen} {length}");
            }
        }
        for (bytes, expected) in [
            (&b"\r\n\n\r\nG"[..], 5),
            (b"\r", 0),
            (b"\r\r\n", 0),
            (b"\n\r", 1),
            (b"G\r\n", 0),
        ] {
            assert_eq!(empty_lines(bytes), expected);
        }
    }
}
