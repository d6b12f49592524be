//! Each end of a connection before bytes that are written by hand.

use std::{future::poll_fn, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::timeout,
};

use super::{
    super::{Error, PLAIN, client, server},
    BOUNDS, Client, Server, answer, begin, empty, full, head, rest,
};

/// Sends bytes to a server, which answers each request with `status` and what `reads` says of its body.
async fn by_hand(sent: &[u8], reads: bool) -> String {
    let (mut near, far) = duplex(64 * 1024);
    near.write_all(sent).await.unwrap();
    near.flush().await.unwrap();
    let server = Server::new(Box::new(far), BOUNDS, server::OnConnect::Serve);
    let serving = tokio::spawn(async move {
        loop {
            let read = poll_fn(|cx| server.poll_request(cx)).await;
            let Ok(Some(request)) = read else {
                return read.err();
            };
            let path = request.uri().path().to_owned();
            let body = match reads {
                true => request
                    .into_body()
                    .collect()
                    .await
                    .map(|body| body.to_bytes()),
                false => {
                    drop(request);
                    Ok(Bytes::new())
                }
            };
            let said = match body {
                Ok(body) => format!("{path} {};", String::from_utf8_lossy(&body)),
                Err(error) => return Some(error),
            };
            if !answer(&server, 200, full(said)).await.unwrap() {
                return None;
            }
        }
    });
    let mut got = Vec::new();
    let mut read = pin!(near.read_to_end(&mut got));
    // Where the server waits for more, nothing more comes.
    let whole = timeout(Duration::from_secs(1), read.as_mut()).await.is_ok();
    serving.abort();
    let got = String::from_utf8(got).unwrap();
    let got = got.replace("HTTP/1.1 200 OK\r\ncontent-length: ", "<");
    format!(
        "{}{}",
        got.replace("\r\n\r\n", ">"),
        if whole { "|" } else { "" }
    )
}

#[tokio::test(start_paused = true)]
async fn what_clients_send_is_answered_in_turn() {
    let long = format!(
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999\r\n\r\n{}",
        "x".repeat(9)
    );
    let cases: [(&str, bool, &str); 8] = [
        // Pipelined, and an empty line before a request (RFC 9112 §2.2).
        (
            "GET /a HTTP/1.1\r\nhost: a\r\n\r\n\r\nPOST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
            true,
            "<4>/a ;<6>/b hi;",
        ),
        (
            "GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
            true,
            "<4\r\nconnection: close>/a ;|",
        ),
        // A body that nobody wanted is passed over if it is there.
        (
            "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
            false,
            "<4>/a ;<4>/b ;",
        ),
        (&long, false, "<4\r\nconnection: close>/a ;|"),
        // RFC 9110 §10.1.1: the body is asked for when somebody wants it.
        (
            "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
            true,
            "HTTP/1.1 100 Continue>",
        ),
        (
            "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
            false,
            "<4\r\nconnection: close>/a ;|",
        ),
        (
            "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nhi",
            true,
            "",
        ),
        ("GET /a HTTP/1.1\r\nhost", true, ""),
    ];
    for (sent, reads, expected) in cases {
        assert_eq!(by_hand(sent.as_bytes(), reads).await, expected, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lengths_that_lie_fail() {
    let (near, mut far) = duplex(64 * 1024);
    let mut client = Client::new(Box::new(near), BOUNDS);
    begin(&mut client, empty());
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
        .await
        .unwrap();
    assert_eq!(head(&mut client).await.unwrap(), 200);
    drop(far);
    let got = rest(&mut client).await;
    assert!(matches!(got, Err(Error::Incomplete)), "{got:?}");
    // One that is declared, and not kept.
    let (near, _far) = duplex(64 * 1024);
    let mut client = Client::new(Box::new(near), BOUNDS);
    let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("5"))]);
    let request = client::Request {
        method: &Method::POST,
        target: "/",
        headers: &headers,
        spelling: &PLAIN,
        authority: "origin.test",
    };
    client.begin(request, full("abcdefg"));
    assert!(matches!(head(&mut client).await, Err(Error::Sending(_))));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_speaks_http2_is_known_by_its_first_frame() {
    for (said, known) in [
        (&b"\0\0\x06\x04\0\0\0\0\0"[..], true),
        (b"\0\0\x06\x07\0\0\0\0\0", false),
        (b"\0\0\x06\x04\0\0\0\0\x01", false),
        (b"\0\0", false),
    ] {
        let (near, mut far) = duplex(1);
        let mut client = Client::new(Box::new(near), BOUNDS);
        begin(&mut client, empty());
        let says = async {
            let mut asked = [0; 64];
            while !asked.ends_with(b"\r\n\r\n") {
                asked.rotate_left(1);
                asked[63] = far.read_u8().await.unwrap();
            }
            far.write_all(said).await.unwrap();
            drop(far);
        };
        let (answered, ()) = tokio::join!(head(&mut client), says);
        let is_http2 = matches!(answered, Err(Error::Http2));
        assert!(
            answered.is_err() && is_http2 == known,
            "{said:?}: {answered:?}"
        );
    }
}
