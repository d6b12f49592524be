//! Requests over HTTP/2 that would be more than one, or another one, once they are HTTP/1.1 (RFC 9113 §8, §10.3): refused,
//! or passed on so that only one reading is left.

use crate::support::{
    LIMIT,
    client::{Client, eventually},
    frames::{Came, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, frame},
    strict::Read,
};

use super::requests::{HOST, Speaks, world_on};

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Nothing is passed on, and whoever sent it is told.
    Refused,
    /// It is passed on as this, with an answer of the origin's.
    Passed(&'static str),
    /// It was passed on before its fault was seen: its end never comes.
    Cut,
}

use Fate::{Cut, Passed, Refused};

type Fields = &'static [(&'static str, &'static str)];

/// Stands for the name that the connection is for.
const H: &str = "{H}";

const GET: Fields = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", H),
    (":path", "/a"),
];
const POST: Fields = &[
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", H),
    (":path", "/a"),
];

/// More behind the fields of a GET: what is written is ISO 8859-1.
#[rustfmt::skip]
const BEHIND: &[(&str, Fields, Fate)] = &[
    ("nothing", &[], Passed("GET /a")),
    ("the same Host", &[("host", H)], Passed("GET /a")),
    ("another Host", &[("host", "evil.example")], Refused),
    ("two Hosts", &[("host", H), ("host", H)], Refused),
    ("two Hosts, the second another", &[("host", H), ("host", "evil.example")], Refused),
    ("Connection", &[("connection", "x-a"), ("x-a", "1")], Refused),
    ("Connection: close", &[("connection", "close")], Refused),
    ("Keep-Alive", &[("keep-alive", "timeout=5")], Refused),
    ("Proxy-Connection", &[("proxy-connection", "keep-alive")], Refused),
    ("Transfer-Encoding", &[("transfer-encoding", "chunked")], Refused),
    ("Upgrade", &[("upgrade", "websocket")], Refused),
    ("TE: trailers", &[("te", "trailers")], Passed("GET /a")),
    ("TE: gzip", &[("te", "gzip")], Refused),
    ("a length and no body", &[("content-length", "5")], Refused),
    ("CR LF in a value", &[("x-a", "b\r\nx-c: d")], Refused),
    ("a request in a value", &[("x-a", "b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x")], Refused),
    ("LF in a value", &[("x-a", "b\nx-c: d")], Refused),
    ("CR in a value", &[("x-a", "b\rx-c: d")], Refused),
    ("NUL in a value", &[("x-a", "b\0c")], Refused),
    ("CR LF in a cookie", &[("cookie", "a=b\r\nx-c: d")], Refused),
    ("CR LF in a name", &[("x-a: b\r\nx-c", "d")], Refused),
    ("a colon in a name", &[("x-a:", "b")], Refused),
    ("a colon before a name", &[(":x-a", "b")], Refused),
    ("a space in a name", &[("x a", "b")], Refused),
    ("a space behind a name", &[("transfer-encoding ", "chunked")], Refused),
    ("capitals in a name", &[("Transfer-Encoding", "chunked")], Refused),
    ("no name", &[("", "b")], Refused),
    ("a name not ASCII", &[("x-\u{e9}", "b")], Refused),
    ("a pseudo-field behind a field", &[("x-a", "b"), (":path", "/b")], Refused),
    ("two paths", &[(":path", "/b")], Refused),
    ("two methods", &[(":method", "POST")], Refused),
    ("two authorities", &[(":authority", "evil.example")], Refused),
    ("two schemes", &[(":scheme", "https")], Refused),
    ("an answer's pseudo-field", &[(":status", "200")], Refused),
    (":protocol without CONNECT", &[(":protocol", "websocket")], Refused),
    ("a credential of its own", &[("authorization", "Bearer mine"), ("authorization", "x")], Passed("GET /a")),
    ("hop-by-hop for a proxy", &[("proxy-authorization", "Basic eDp5")], Passed("GET /a")),
];

/// One pseudo-field with another value.
#[rustfmt::skip]
const INSTEAD: &[(&str, &str, Fate)] = &[
    (":path", "/a?b=\"<>`{}|\\^", Passed("GET /a?b=\"<>`{}|\\^")),
    (":path", "//evil.example/a", Passed("GET //evil.example/a")),
    (":path", "/a b", Refused),
    (":path", "/a HTTP/1.1\r\nHost: evil.example\r\nX: ", Refused),
    (":path", "/a\r\nx-c: d", Refused),
    (":path", "/a\nb", Refused),
    (":path", "/a\tb", Refused),
    (":path", "/a\0", Refused),
    (":path", "/\u{e9}", Refused),
    (":path", "", Refused),
    (":path", "a", Refused),
    (":path", "?x", Passed("GET /?x")),
    (":path", "*", Refused),
    (":path", "@evil.example/a", Refused),
    (":path", ".evil.example/a", Refused),
    (":path", ":443@evil.example/a", Refused),
    (":path", "http://evil.example/a", Refused),
    (":path", "https://{H}/a", Refused),
    (":path", "/a#b", Passed("GET /a")),
    (":method", "get", Passed("get /a")),
    (":method", "G@T", Refused),
    (":method", "GET /smuggled", Refused),
    (":method", "GET /b HTTP/1.1\r\nx: ", Refused),
    (":method", "", Refused),
    (":method", "CONNECT", Refused),
    (":scheme", "http", Refused),
    (":scheme", "ftp", Refused),
    (":scheme", "", Refused),
    (":scheme", "https://{H}/b?", Refused),
    (":scheme", "https\r\nx-c: d", Refused),
    (":authority", "{H}:443", Passed("GET /a")),
    (":authority", "{H}:444", Refused),
    (":authority", "evil.example", Refused),
    (":authority", "x@{H}", Refused),
    (":authority", "{H}@evil.example", Refused),
    (":authority", "{H}/b", Refused),
    (":authority", "{H}\r\nx-c: d", Refused),
    (":authority", "{H} ", Refused),
    (":authority", "", Refused),
    (":authority", "{H},evil.example", Refused),
];

/// More behind the fields of a POST, its body, and its trailers.
#[rustfmt::skip]
const BODIES: &[(&str, Fields, &str, Fields, Fate)] = &[
    ("no length", &[], "hello", &[], Passed("POST /a hello")),
    ("its length", &[("content-length", "5")], "hello", &[], Passed("POST /a hello")),
    ("zeros before", &[("content-length", "0005")], "hello", &[], Passed("POST /a hello")),
    ("too short a length", &[("content-length", "3")], "hello", &[], Cut),
    ("no length and a request behind", &[("content-length", "0")], "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", &[], Cut),
    ("too great a length", &[("content-length", "50")], "hello", &[], Cut),
    ("two lengths", &[("content-length", "5"), ("content-length", "6")], "hello", &[], Refused),
    ("a list of lengths", &[("content-length", "5, 5")], "hello", &[], Refused),
    ("a sign", &[("content-length", "+5")], "hello", &[], Refused),
    ("hexadecimal", &[("content-length", "0x5")], "hello", &[], Refused),
    ("too long a length", &[("content-length", "18446744073709551621")], "hello", &[], Refused),
    ("an empty length", &[("content-length", "")], "hello", &[], Refused),
    ("chunks within", &[], "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", &[], Passed("POST /a 0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")),
    ("chunked", &[("transfer-encoding", "chunked")], "0\r\n\r\n", &[], Refused),
    ("trailers", &[], "hello", &[("x-sum", "1")], Passed("POST /a hello")),
    ("trailers that name framing", &[], "hello", &[("content-length", "3"), ("host", "evil"), ("authorization", "x"), ("x-sum", "1")], Passed("POST /a hello")),
    ("trailers that are for the hop", &[], "hello", &[("transfer-encoding", "chunked")], Cut),
    // The library takes it for nothing, as it may (RFC 9110 §6.5.1: trailers may be ignored).
    ("trailers with a pseudo-field", &[], "hello", &[(":path", "/b")], Passed("POST /a hello")),
    ("trailers with CR LF", &[], "hello", &[("x-sum", "1\r\n\r\nGET /smuggled HTTP/1.1\r\n")], Cut),
];

/// A header block of literals that nobody keeps (RFC 7541 §6.2.2).
fn block(fields: impl IntoIterator<Item = (&'static str, &'static str)>) -> Vec<u8> {
    let text = |text: &str| {
        let bytes: Vec<u8> = text.replace(H, HOST).chars().map(|c| c as u8).collect();
        let length = u8::try_from(bytes.len())
            .ok()
            .filter(|length| *length < 127);
        [vec![length.expect("a short text")], bytes].concat()
    };
    fields
        .into_iter()
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}

/// How the proxy answers on a stream: whether with the status 200.
async fn answer(frames: &Frames, stream: u32) -> bool {
    let says = |came: &Came| match came.kind {
        // 8 in the static table is `:status: 200`.
        HEADERS if came.stream == stream => Some(came.payload.first() == Some(&0x88)),
        RST_STREAM if came.stream == stream => Some(false),
        GOAWAY => Some(false),
        _ => None,
    };
    eventually("an answer", LIMIT, || {
        let ended = frames.ended().then_some(false);
        frames.came().iter().find_map(says).or(ended)
    })
    .await
}

/// Sends the first request of a connection, and another behind it if the connection goes on; returns whether they were
/// answered with 200.
async fn sends(client: &Client, request: &[u8]) -> (bool, Option<bool>) {
    let mut frames = Frames::open(client, HOST, &[]).await;
    if !frames.send(request).await {
        return (false, None);
    }
    let first = answer(&frames, 1).await;
    let fields = GET.iter().map(|&(name, value)| match name {
        ":path" => (name, "/end"),
        _ => (name, value),
    });
    let end = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(fields));
    let over = frames.came().iter().any(|came| came.kind == GOAWAY);
    if over || !frames.send(end).await {
        return (first, None);
    }
    (first, Some(answer(&frames, 3).await))
}

fn cases() -> Vec<(String, Vec<u8>, Fate)> {
    let get = |fields: Vec<_>| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let mut cases = Vec::new();
    for (name, fields, fate) in BEHIND {
        let fields = [GET, fields].concat();
        cases.push((name.to_string(), get(fields), *fate));
    }
    for &(pseudo, value, fate) in INSTEAD {
        let instead = |&(name, old)| (name, if name == pseudo { value } else { old });
        let fields = GET.iter().map(instead).collect();
        cases.push((format!("{pseudo} {value:?}"), get(fields), fate));
    }
    for missing in [":method", ":scheme", ":authority", ":path"] {
        let fields = GET.iter().filter(|(name, _)| *name != missing);
        cases.push((
            format!("no {missing}"),
            get(fields.copied().collect()),
            Refused,
        ));
    }
    let host = GET.iter().filter(|(name, _)| *name != ":authority");
    let host = host.copied().chain([("host", H)]).collect();
    cases.push(("Host alone".to_owned(), get(host), Passed("GET /a")));
    for (name, fields, body, trailers, fate) in BODIES {
        let last = if trailers.is_empty() { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block([POST, fields].concat()));
        bytes.extend(frame(DATA, last, 1, body.as_bytes()));
        if !trailers.is_empty() {
            let block = block(trailers.iter().copied());
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
        }
        cases.push((name.to_string(), bytes, *fate));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_requests_have_one_reading() {
    let mut wrong = Vec::new();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        wrong.extend(hold(speaks).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn hold(speaks: Speaks) -> Vec<String> {
    let (site, proxy) = world_on(speaks).await;
    let client = proxy.client();
    let mut wrong = Vec::new();
    for (name, bytes, fate) in cases() {
        let (first, second) = sends(&client, &bytes).await;
        let mut seen = site.take();
        if fate == Cut || speaks == Speaks::Http2 {
            seen.retain(|read| *read != Read::Cut);
        }
        let passed = match fate {
            Passed(request) => Some(Read::Request(request.to_owned())),
            Refused | Cut => None,
        };
        let fine = first == passed.is_some() && second != Some(false);
        let end = second.map(|_| Read::Request("GET /end".to_owned()));
        let expected: Vec<Read> = passed.into_iter().chain(end).collect();
        if !fine || seen != expected {
            wrong.push(format!(
                "{name}, {speaks:?}: {fate:?}, but answered {first}, then {second:?}; the origin saw {seen:?}"
            ));
        }
    }
    wrong
}
