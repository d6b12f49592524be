//! Answers over HTTP/2 that would be more than one, or another one, once they are HTTP/1.1 (RFC 9113 §8, §10.3): 502 or an
//! answer that is seen to be broken, or passed on so that only one reading is left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::io::AsyncWriteExt as _;

use crate::support::{
    client::Client,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, OK, frame, greet, heed, literal},
    pki::{TRUSTED, Valid},
    proxy::proxy,
    raw::{Raw, Stream, raw_with},
    wire::{Wire, field, status},
};

const HOST: &str = "app.example.test";

type Fields = &'static [(&'static str, &'static str)];

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The proxy's own 502, or an end that shows.
    Refused,
    /// This body, whole, and nothing that the other side may take for something else.
    Passed(&'static str),
}

use Fate::{Passed, Refused};

const S: (&str, &str) = (":status", "200");

/// Fields, body, trailers. What may reach nobody says "evil".
#[rustfmt::skip]
const ANSWERS: &[(&str, Fields, &str, Fields, Fate)] = &[
    ("nothing special", &[S, ("x-a", "1")], "good", &[], Passed("good")),
    ("a length", &[S, ("content-length", "4")], "good", &[], Passed("good")),
    ("trailers", &[S], "good", &[("x-sum", "1")], Passed("good")),
    // Values and names that end their field.
    ("CR LF in a value", &[S, ("x-a", "b\r\nset-cookie: evil=1")], "evil", &[], Refused),
    ("an answer in a value", &[S, ("x-a", "b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil")], "evil", &[], Refused),
    ("LF in a value", &[S, ("x-a", "b\nx-c: evil")], "evil", &[], Refused),
    ("CR in a value", &[S, ("x-a", "b\rx-c: evil")], "evil", &[], Refused),
    ("NUL in a value", &[S, ("x-a", "b\0evil")], "evil", &[], Refused),
    ("CR LF in a cookie", &[S, ("set-cookie", "a=b\r\nx-c: evil")], "evil", &[], Refused),
    ("CR LF in a name", &[S, ("x-a: b\r\nx-c", "evil")], "evil", &[], Refused),
    ("a colon in a name", &[S, ("x-a:", "evil")], "evil", &[], Refused),
    ("a space in a name", &[S, ("x a", "evil")], "evil", &[], Refused),
    ("a space behind a name", &[S, ("transfer-encoding ", "evil")], "evil", &[], Refused),
    ("capitals in a name", &[S, ("X-A", "evil")], "evil", &[], Refused),
    ("no name", &[S, ("", "evil")], "evil", &[], Refused),
    ("a name not ASCII", &[S, ("x-\u{e9}", "evil")], "evil", &[], Refused),
    // Fields of a connection (§8.2.2).
    ("Connection", &[S, ("connection", "close, x-a"), ("x-a", "evil")], "evil", &[], Refused),
    ("Keep-Alive", &[S, ("keep-alive", "timeout=5")], "evil", &[], Refused),
    ("Proxy-Connection", &[S, ("proxy-connection", "close")], "evil", &[], Refused),
    ("Transfer-Encoding", &[S, ("transfer-encoding", "chunked")], "4\r\nevil\r\n0\r\n\r\n", &[], Refused),
    ("Upgrade", &[S, ("upgrade", "evil")], "evil", &[], Refused),
    // Pseudo-fields (§8.3.2).
    ("no status", &[("x-a", "evil")], "evil", &[], Refused),
    ("two statuses", &[S, (":status", "404")], "evil", &[], Refused),
    ("a status behind a field", &[("x-a", "1"), S], "evil", &[], Refused),
    ("a request's pseudo-field", &[S, (":path", "/evil")], "good", &[], Passed("good")),
    ("a pseudo-field nobody knows", &[S, (":evil", "1")], "evil", &[], Refused),
    ("four digits", &[(":status", "2000")], "evil", &[], Refused),
    ("two digits", &[(":status", "20")], "evil", &[], Refused),
    ("below 100", &[(":status", "099")], "evil", &[], Refused),
    ("no number", &[(":status", "2OO")], "evil", &[], Refused),
    ("a reason", &[(":status", "200 evil")], "evil", &[], Refused),
    ("a status that ends its line", &[(":status", "200\r\nx-a: evil")], "evil", &[], Refused),
    ("another protocol (§8.6)", &[(":status", "101"), ("x-a", "evil")], "evil", &[], Refused),
    // Lengths (§8.1.1).
    ("shorter than it says", &[S, ("content-length", "5")], "evil", &[], Refused),
    ("longer than it says", &[S, ("content-length", "3")], "evil", &[], Refused),
    ("nothing, and says more", &[S, ("content-length", "4")], "", &[], Refused),
    ("two lengths", &[S, ("content-length", "4"), ("content-length", "5")], "evil", &[], Refused),
    ("the same length twice", &[S, ("content-length", "4"), ("content-length", "4")], "good", &[], Passed("good")),
    ("a list of lengths", &[S, ("content-length", "4, 4")], "evil", &[], Refused),
    ("a sign", &[S, ("content-length", "+4")], "evil", &[], Refused),
    ("below zero", &[S, ("content-length", "-4")], "evil", &[], Refused),
    ("no length", &[S, ("content-length", "x")], "evil", &[], Refused),
    ("empty length", &[S, ("content-length", "")], "evil", &[], Refused),
    ("too long a length", &[S, ("content-length", "18446744073709551620")], "evil", &[], Refused),
    ("a body in 204", &[(":status", "204")], "evil", &[], Passed("")),
    ("a length in 204", &[(":status", "204"), ("content-length", "4")], "", &[], Passed("")),
    ("a body in 304", &[(":status", "304")], "evil", &[], Passed("")),
    ("a body in 204, and trailers", &[(":status", "204")], "evil", &[("x-a", "evil")], Passed("")),
    ("a length in 304", &[(":status", "304"), ("content-length", "4")], "", &[], Passed("")),
    // Trailers.
    ("a length in trailers", &[S], "good", &[("content-length", "9"), ("x-sum", "1")], Passed("good")),
    ("a coding in trailers", &[S], "good", &[("transfer-encoding", "evil")], Refused),
    ("a cookie in trailers", &[S], "good", &[("set-cookie", "sid=evil")], Passed("good")),
    ("a status in trailers", &[S], "good", &[(":status", "404"), ("x-a", "1")], Passed("good")),
    ("CR LF in trailers", &[S], "good", &[("x-sum", "1\r\nx-a: evil")], Refused),
];

/// An origin that gives this answer once, and good ones behind it.
async fn bad_once(fields: Fields, body: &'static str, trailers: Fields) -> Raw {
    let first = Arc::new(AtomicBool::new(true));
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    raw_with(HOST, config, move |stream, _| {
        let first = first.clone();
        async move {
            // How it ends is the test's affair.
            let _ = converse(stream, &first, fields, body, trailers).await;
        }
    })
    .await
}

async fn converse(
    mut io: Stream,
    first: &AtomicBool,
    fields: Fields,
    body: &str,
    trailers: Fields,
) -> std::io::Result<()> {
    let block = |fields: Fields| fields.iter().flat_map(|(n, v)| literal(n, v)).collect();
    greet(&mut io).await?;
    loop {
        let came = heed(&mut io).await?;
        if came.kind != HEADERS {
            continue;
        }
        let is_bad = first.swap(false, Ordering::SeqCst);
        let head: Vec<u8> = if is_bad { block(fields) } else { OK.to_vec() };
        let body = if is_bad { body } else { "good" };
        let trailers: Vec<u8> = if is_bad { block(trailers) } else { Vec::new() };
        let parts = [(HEADERS, head), (DATA, body.into()), (HEADERS, trailers)];
        let mut parts = parts
            .into_iter()
            .filter(|(_, part)| !part.is_empty())
            .peekable();
        let mut said = Vec::new();
        while let Some((kind, part)) = parts.next() {
            let end = if parts.peek().is_none() {
                END_STREAM
            } else {
                0
            };
            let whole = if kind == HEADERS { END_HEADERS } else { 0 };
            said.extend(frame(kind, end | whole, came.stream, &part));
        }
        io.write_all(&said).await?;
        io.flush().await?;
    }
}

/// The body of an answer that is whole; what it is instead.
async fn over_http1(client: &Client) -> Result<String, String> {
    let mut wire = Wire::https(client, HOST).await;
    let fields = "TE: trailers\r\nConnection: te, close";
    wire.send(format!(
        "GET /a HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n"
    ))
    .await;
    let all = wire.rest().await;
    let Some((head, body)) = all.split_once("\r\n\r\n") else {
        return Err(all);
    };
    let lengths = head.to_ascii_lowercase();
    let lengths =
        lengths.matches("content-length:").count() + lengths.matches("transfer-encoding:").count();
    if lengths > 1 || all.contains("evil") {
        return Ok(format!("what nobody may see: {all}"));
    }
    match (status(head), field(head, "content-length")) {
        (204 | 304, _) if body.is_empty() => Ok(String::new()),
        (200, Some(length)) if length.parse() == Ok(body.len()) => Ok(body.to_owned()),
        (200, None) => {
            let chunks = body.split_once("\r\n0\r\n").map(|(chunks, _)| chunks);
            let chunks = chunks.filter(|_| body.ends_with("\r\n\r\n")).ok_or(&all)?;
            Ok(chunks.split("\r\n").skip(1).step_by(2).collect())
        }
        _ => Err(all),
    }
}

async fn over_http2(client: &Client) -> Result<String, String> {
    let request = http::Request::get(format!("https://{HOST}/a")).header("te", "trailers");
    let request = request.body(crate::support::origin::empty()).unwrap();
    let answer = client.clone().h2().try_send(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if format!("{answer:?}").contains("evil") {
        return Ok(format!("what nobody may see: {answer:?}"));
    }
    match answer.status.as_u16() {
        502 => Err(format!("{answer:?}")),
        _ => Ok(answer.text().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_answers_have_one_reading() {
    let mut wrong = Vec::new();
    for &(name, fields, body, trailers, fate) in ANSWERS {
        for h2 in [false, true] {
            let site = bad_once(fields, body, trailers).await;
            let proxy = proxy().raw(&site).memory().bearer("app", HOST, "t1");
            let proxy = proxy.start().await;
            let client = proxy.client();
            let got = match h2 {
                false => over_http1(&client).await,
                true => over_http2(&client).await,
            };
            let fine = match fate {
                Refused => got.is_err(),
                Passed(body) => got.as_deref() == Ok(body),
            };
            if !fine {
                wrong.push(format!("{name}, {h2}: {fate:?}, but {got:?}"));
            }
            let after = over_http1(&client).await;
            if after.as_deref() != Ok("good") {
                wrong.push(format!("{name}, {h2}: then {after:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
