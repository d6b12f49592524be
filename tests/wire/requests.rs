//! Requests with more than one reading: refused, or passed on so that only one is left. One request in, one request
//! out, in whatever form it came to the proxy.

use crate::support::{
    client::{Client, Parts},
    proxy::{Proxy, bearer, proxy},
    strict::{Read, Strict, strict},
    wire::{Wire, field, status},
};

pub const HOST: &str = "app.example.test";

/// Where a request can stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// In TLS inside a CONNECT.
    Https,
    /// In a CONNECT, without TLS.
    Plain,
    /// With an absolute target, to the proxy itself.
    Absolute,
}

pub const PLACES: [Place; 3] = [Place::Https, Place::Plain, Place::Absolute];

/// What the origin speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speaks {
    Http1,
    /// In TLS; elsewhere HTTP/1.1.
    Http2,
}

/// A proxy with a session for the strict origin in every place.
pub async fn world() -> (Strict, Proxy) {
    world_on(Speaks::Http1).await
}

pub async fn world_on(speaks: Speaks) -> (Strict, Proxy) {
    let site = strict(HOST).await;
    let secure = match speaks {
        Speaks::Http1 => site.tls,
        Speaks::Http2 => site.http2,
    };
    let plain = format!("{{ scheme = \"http\", host = \"{HOST}\" }}");
    let proxy = proxy()
        .resolve(&format!("{HOST}:443"), secure)
        .resolve(&format!("{HOST}:80"), site.plain)
        .bearer("app", HOST, "t1")
        .config(bearer("plain", &plain, "TOKEN_APP"))
        .config("[limits]\nsilence = \"3s\"\nrequest_head = \"3s\"")
        .start()
        .await;
    (site, proxy)
}

impl Place {
    pub async fn open(self, client: &Client) -> Wire {
        match self {
            Self::Https => Wire::https(client, HOST).await,
            Self::Plain => {
                let parts = Parts {
                    connect: format!("{HOST}:80"),
                    sni: None,
                    tls: false,
                    h2: false,
                };
                Wire::open(client, &parts).await
            }
            Self::Absolute => Wire::proxy(client).await,
        }
    }

    /// Puts the place's own words for `{T}` (what stands before the path) and `{H}` (the host).
    pub fn fill(self, message: &str) -> Vec<u8> {
        let before = match self {
            Self::Absolute => format!("http://{HOST}"),
            Self::Https | Self::Plain => String::new(),
        };
        let filled = message.replace("{T}", &before).replace("{H}", HOST);
        // What cannot stand in a string is written as in ISO 8859-1.
        filled.chars().map(|c| c as u8).collect()
    }
}

/// The last request on every connection; its answer tells that those before were read as a whole.
const END: &str = "GET {T}/end HTTP/1.1\r\nHost: {H}\r\nConnection: close\r\n\r\n";

/// Sends all of it and the end, and returns the statuses that came back.
pub async fn statuses(place: Place, client: &Client, message: &str) -> Vec<u16> {
    let mut wire = place.open(client).await;
    wire.send([place.fill(message), place.fill(END)].concat())
        .await;
    let all = wire.rest().await;
    let (mut rest, mut statuses) = (all.as_str(), Vec::new());
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        statuses.push(status(head));
        let length = field(head, "content-length").and_then(|l| l.parse::<usize>().ok());
        rest = after.get(length.unwrap_or(0)..).unwrap_or_default();
    }
    statuses
}

/// What comes of a message.
enum Fate {
    /// 400 and the end, and nothing is passed on.
    Refused,
    /// 421, and the connection goes on.
    Misdirected,
    /// A client error of whichever kind fits the place.
    Never,
    /// These requests, and the connection goes on.
    Passed(&'static [&'static str]),
    /// These requests, and the connection ends.
    Last(&'static [&'static str]),
    /// It was passed on before its fault was seen: its end never comes, and the client gets 400.
    Cut,
}

use Fate::{Cut, Last, Misdirected, Never, Passed, Refused};

const POST: &str = "POST {T}/a HTTP/1.1\r\nHost: {H}\r\n";

#[rustfmt::skip]
const FRAMING: &[(&str, &str, Fate)] = &[
    ("a length", "Content-Length: 5\r\n\r\nhello", Passed(&["POST /a hello"])),
    ("chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", Passed(&["POST /a hello"])),
    ("chunked in other letters", "TRANSFER-ENCODING: \t cHuNkEd \r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(&["POST /a hello"])),
    // Both lengths: the chunks count, and the connection ends (RFC 9112 §6.1).
    ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", Last(&["POST /a"])),
    ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST /smuggled HTTP/1.1\r\nHost: {H}\r\nContent-Length: 15\r\n\r\nx=1aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n", Cut),
    ("CL.TE, two lengths", "Content-Length: 6\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Last(&["POST /a hello"])),
    ("CL.TE, broken length after", "Transfer-Encoding: chunked\r\nContent-Length: abc\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("CL.TE, smuggled behind", "Content-Length: 49\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n", Last(&["POST /a"])),
    // Codings that are not just "chunked".
    ("TE.TE, then identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", Refused),
    ("TE.TE, first identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("TE.TE, twice chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("a list", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused),
    ("a list, chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused),
    ("a list, not chunked last", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Refused),
    ("a list, empty element", "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", Refused),
    ("xchunked", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refused),
    ("chunkedx", "Transfer-Encoding: chunkedx\r\nContent-Length: 5\r\n\r\nhello", Refused),
    ("quoted", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refused),
    ("with a parameter", "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refused),
    ("empty coding", "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", Refused),
    ("identity", "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", Refused),
    ("space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused),
    ("tab before the colon", "Content-Length: 5\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("vertical tab", "Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n", Refused),
    ("NUL", "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", Refused),
    ("space before the name", "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("obs-fold", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused),
    ("obs-fold elsewhere", "X: a\r\n\tb\r\nContent-Length: 5\r\n\r\nhello", Refused),
    ("bare CR before the name", "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("NEL in the value", "Transfer-Encoding: \u{85}chunked\r\n\r\n0\r\n\r\n", Refused),
    ("an underscore is another name", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", Passed(&["POST /a hello"])),
    // Lengths.
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Refused),
    ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", Passed(&["POST /a hello"])),
    ("a list of lengths", "Content-Length: 5, 5\r\n\r\nhello", Refused),
    ("a sign", "Content-Length: +5\r\n\r\nhello", Refused),
    ("below zero", "Content-Length: -5\r\n\r\nhello", Refused),
    ("hexadecimal", "Content-Length: 0x5\r\n\r\nhello", Refused),
    ("no number", "Content-Length: five\r\n\r\nhello", Refused),
    ("empty length", "Content-Length:\r\n\r\nhello", Refused),
    ("a space inside", "Content-Length: 1 5\r\n\r\nhello", Refused),
    ("a fraction", "Content-Length: 5.0\r\n\r\nhello", Refused),
    ("too long a length", "Content-Length: 18446744073709551621\r\n\r\nhello", Refused),
    ("zeros before", "Content-Length: 0005\r\n\r\nhello", Passed(&["POST /a hello"])),
    ("spaces around", "Content-Length:   5  \t\r\n\r\nhello", Passed(&["POST /a hello"])),
    // Chunks.
    ("an extension", "Transfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", Passed(&["POST /a hello"])),
    ("zeros before the size", "Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n", Passed(&["POST /a hello"])),
    ("a space behind the size", "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", Passed(&["POST /a hello"])),
    ("bare LF in an extension", "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", Cut),
    ("bare CR in an extension", "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", Cut),
    ("bare LF behind the size", "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Cut),
    ("bare CR behind the size", "Transfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", Cut),
    ("0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Cut),
    ("a sign before the size", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Cut),
    ("a space before the size", "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", Cut),
    ("an underscore in the size", "Transfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\n", Cut),
    ("no size", "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", Cut),
    ("too long a size", "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", Cut),
    ("data longer than its size", "Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", Cut),
    ("data ended by LF", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", Cut),
    ("trailers", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Passed(&["POST /a hello"])),
    ("trailers that name framing", "Transfer-Encoding: chunked\r\nTrailer: Content-Length, Host, Transfer-Encoding, Authorization, X-Sum\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 30\r\nTransfer-Encoding: x\r\nHost: evil\r\nAuthorization: x\r\nX-Sum: 1\r\n\r\n", Passed(&["POST /a hello"])),
    ("a trailer folded", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n", Cut),
    // What a Connection field cannot take away.
    ("Connection names the framing", "Connection: content-length, host, authorization\r\nContent-Length: 5\r\n\r\nhello", Passed(&["POST /a hello"])),
    ("Connection names the coding", "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(&["POST /a hello"])),
    // Field syntax.
    ("no colon", "Content-Length 5\r\n\r\nhello", Refused),
    ("no name", ": 5\r\n\r\n", Refused),
    ("NUL in a name", "X\0: 5\r\n\r\n", Refused),
    ("NUL in a value", "X: a\0b\r\n\r\n", Refused),
    ("a name not ASCII", "X\u{ff}: a\r\n\r\n", Refused),
    ("DEL in a value", "X: a\u{7f}b\r\n\r\n", Refused),
    ("bare CR in a value", "X: a\rb\r\n\r\n", Refused),
    ("bare CR at the end", "X: a\r\r\n\r\n", Refused),
    ("another Host behind", "Host: evil.example\r\n\r\n", Refused),
    ("the same Host behind", "Host: {H}\r\n\r\n", Refused),
];

#[rustfmt::skip]
const HEADS: &[(&str, &str, Fate)] = &[
    ("several at once", "GET {T}/1 HTTP/1.1\r\nHost: {H}\r\n\r\nPOST {T}/2 HTTP/1.1\r\nHost: {H}\r\nContent-Length: 3\r\n\r\nabcHEAD {T}/3 HTTP/1.1\r\nHost: {H}\r\n\r\n", Passed(&["GET /1", "POST /2 abc", "HEAD /3"])),
    ("a body on GET", "GET {T}/a HTTP/1.1\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello", Passed(&["GET /a hello"])),
    ("an asterisk for other than OPTIONS", "PRI * HTTP/1.1\r\nHost: {H}\r\n\r\n", Never),
    ("chunks on GET", "GET {T}/a HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(&["GET /a hello"])),
    ("lines ended by LF", "GET {T}/a HTTP/1.1\nHost: {H}\nX: 1\n\n", Passed(&["GET /a"])),
    ("an empty line by LF ends the head", "POST {T}/a HTTP/1.1\r\nHost: {H}\r\nX: 1\n\nGET {T}/b HTTP/1.1\r\nHost: {H}\r\n\r\n", Passed(&["POST /a", "GET /b"])),
    ("empty lines before", "\r\n\r\nGET {T}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Passed(&["GET /a"])),
    ("HTTP/1.0", "GET {T}/a HTTP/1.0\r\nHost: {H}\r\nConnection: keep-alive\r\n\r\n", Passed(&["GET /a"])),
    ("chunks in HTTP/1.0", "POST {T}/a HTTP/1.0\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("HTTP/0.9", "GET {T}/a\r\n", Refused),
    ("HTTP/1.2", "GET {T}/a HTTP/1.2\r\nHost: {H}\r\n\r\n", Refused),
    ("HTTP/2.0", "GET {T}/a HTTP/2.0\r\nHost: {H}\r\n\r\n", Refused),
    ("http in small letters", "GET {T}/a http/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("more behind the version", "GET {T}/a HTTP/1.1 x\r\nHost: {H}\r\n\r\n", Refused),
    ("a space behind the version", "GET {T}/a HTTP/1.1 \r\nHost: {H}\r\n\r\n", Refused),
    ("two spaces", "GET  {T}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("a space in the target", "GET {T}/a b HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("tabs", "GET\t{T}/a\tHTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("bare CR in the request line", "GET {T}/a\rHTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("NUL in the target", "GET {T}/a\0b HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("no method", " {T}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("a method that is no token", "G@T {T}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("a space before the first field", "GET {T}/a HTTP/1.1\r\n Host: {H}\r\n\r\n", Refused),
    ("a fragment", "GET {T}/a#b HTTP/1.1\r\nHost: {H}\r\n\r\n", Passed(&["GET /a"])),
    ("an authority alone", "GET {H} HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("an authority and a port alone", "GET {H}:80 HTTP/1.1\r\nHost: {H}\r\n\r\n", Refused),
    ("no Host", "GET {T}/a HTTP/1.1\r\nX: 1\r\n\r\n", Refused),
    ("another Host", "GET {T}/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", Misdirected),
    ("a Host with userinfo", "GET {T}/a HTTP/1.1\r\nHost: x@{H}\r\n\r\n", Refused),
    ("a Host with a path", "GET {T}/a HTTP/1.1\r\nHost: {H}/x\r\n\r\n", Refused),
    ("a Host with a space", "GET {T}/a HTTP/1.1\r\nHost: {H} evil\r\n\r\n", Refused),
    ("a list of Hosts", "GET {T}/a HTTP/1.1\r\nHost: {H}, evil.example\r\n\r\n", Refused),
    ("absolute, another host", "GET http://evil.example/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Misdirected),
    ("absolute, with userinfo", "GET http://x@{H}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Never),
    ("absolute, another scheme", "GET ftp://{H}/a HTTP/1.1\r\nHost: {H}\r\n\r\n", Never),
    ("a body that is hidden in an upgrade", "GET {T}/a HTTP/1.1\r\nHost: {H}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET {T}/b HTTP/1.1\r\nHost: {H}\r\n\r\n", Passed(&["GET /a", "GET /b"])),
    ("CONNECT inside", "CONNECT evil.example:443 HTTP/1.1\r\nHost: {H}\r\n\r\n", Never),
];

async fn hold(cases: impl Iterator<Item = (String, String, &'static Fate)> + Clone) {
    let mut wrong = hold_on(Speaks::Http1, &PLACES, cases.clone()).await;
    wrong.extend(hold_on(Speaks::Http2, &[Place::Https], cases).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn hold_on(
    speaks: Speaks,
    places: &[Place],
    cases: impl Iterator<Item = (String, String, &'static Fate)>,
) -> Vec<String> {
    let (site, proxy) = world_on(speaks).await;
    let client = proxy.client();
    let mut wrong = Vec::new();
    for (name, message, fate) in cases {
        for &place in places {
            if place == Place::Plain
                && !message.starts_with(|first: char| first.is_ascii_alphabetic())
            {
                // The first byte in a CONNECT says that this is not HTTP: it is tunnelled, without a credential.
                continue;
            }
            let got = statuses(place, &client, &message).await;
            // What was cut short is seen by the origin a moment after the client's answer.
            let mut seen = site.take();
            if matches!(fate, Cut) || speaks == Speaks::Http2 {
                seen.retain(|read| *read != Read::Cut);
            }
            let pass = |requests: &[&str], end: bool| {
                let mut all: Vec<_> = requests
                    .iter()
                    .map(|r| Read::Request(r.to_string()))
                    .collect();
                all.extend(end.then(|| Read::Request("GET /end".to_owned())));
                all
            };
            let (expected, requests) = match fate {
                Refused => (vec![400], pass(&[], false)),
                Misdirected => (vec![421, 200], pass(&[], true)),
                Never => {
                    let end = got.len() > 1;
                    let refused = got.first().filter(|status| **status >= 400);
                    let all = refused.copied().into_iter().chain(end.then_some(200));
                    (all.collect(), pass(&[], end))
                }
                Passed(requests) => (vec![200; requests.len() + 1], pass(requests, true)),
                Last(requests) => (vec![200; requests.len()], pass(requests, false)),
                Cut => (vec![400], pass(&[], false)),
            };
            if got != expected || seen != requests {
                wrong.push(format!(
                    "{name}, {place:?}, {speaks:?}: {got:?} and not {expected:?}; the origin saw {seen:?}"
                ));
            }
        }
    }
    wrong
}

/// RFC 9112 §6 and §7, RFC 9110 §5: how long a message is.
#[tokio::test(flavor = "multi_thread")]
async fn framing_has_one_reading() {
    let cases = FRAMING.iter();
    hold(cases.map(|(name, rest, fate)| (name.to_string(), format!("{POST}{rest}"), fate))).await;
}

/// RFC 9112 §2, §3 and §5: request lines, fields, targets.
#[tokio::test(flavor = "multi_thread")]
async fn heads_have_one_reading() {
    let cases = HEADS.iter();
    hold(cases.map(|(name, message, fate)| (name.to_string(), message.to_string(), fate))).await;
}

/// A path that is not there is sent as a slash (RFC 9112 §3.2.1); elsewhere than behind a host it has to be there.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_path_is_a_slash() {
    let (site, proxy) = world().await;
    for place in PLACES {
        for (target, sent) in [("", "/"), ("?", "/?"), ("?x=1", "/?x=1"), ("?/a", "/?/a")] {
            let message = format!("GET {{T}}{target} HTTP/1.1\r\nHost: {{H}}\r\n\r\n");
            let got = statuses(place, &proxy.client(), &message).await;
            if place == Place::Absolute {
                let expected = [sent, "/end"].map(|path| Read::Request(format!("GET {path}")));
                assert_eq!(
                    (got, site.take()),
                    (vec![200, 200], expected.into()),
                    "{target}"
                );
            } else {
                assert_eq!(
                    (got, site.take()),
                    (vec![400], vec![]),
                    "{place:?} {target}"
                );
            }
        }
    }
}

/// TRACE is answered with the request as it came: it takes no credential along (RFC 9110 §9.3.8).
#[tokio::test(flavor = "multi_thread")]
async fn trace_takes_no_credential_along() {
    let (site, proxy) = world().await;
    for place in PLACES {
        let message = "TRACE {T}/a HTTP/1.1\r\nHost: {H}\r\n\r\n";
        let mut wire = place.open(&proxy.client()).await;
        wire.send(place.fill(message)).await;
        wire.head().await;
        // The origin says what is missing.
        assert_eq!(
            site.take(),
            [Read::Hazard("credentials []".to_owned())],
            "{place:?}"
        );
    }
}

/// The target of CONNECT is a host and a port, and nothing else (RFC 9110 §9.3.6).
#[tokio::test(flavor = "multi_thread")]
async fn connect_names_a_host_and_a_port() {
    let (site, proxy) = world().await;
    for target in [
        "user@app.example.test:443",
        "user:pw@app.example.test:443",
        "app.example.test:443/path",
        "app.example.test:443?q",
        "app.example.test:443#f",
        "https://app.example.test:443",
        "app.example.test",
        "app.example.test:",
        "app.example.test:0",
        "app.example.test:65536",
        "app.example.test:443:443",
        "app.example.test:+443",
        ":443",
        "/",
        "*",
        "app.example.test:443,evil.example:443",
        "app\\.example.test:443",
    ] {
        let mut wire = Wire::proxy(&proxy.client()).await;
        wire.send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: app.example.test:443\r\n\r\n"
        ))
        .await;
        assert_eq!(status(&wire.head().await), 400, "{target}");
    }
    assert_eq!(site.take(), []);
}
