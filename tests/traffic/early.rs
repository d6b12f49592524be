//! Answers before the end of an upload: heard while it is sent, and behind them the connection ends or goes on as they say.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::support::{
    origin::{full, origin},
    proxy::{bearer, proxy},
    raw::raw,
    tool,
    wire::{Wire, field, status},
};

use super::pressure::{COMBINATIONS, HOST, MIB, client};

/// An origin that refuses an upload without reading it: the client has the answer while it still sends.
#[tokio::test(flavor = "multi_thread")]
async fn early_answers_are_heard() {
    for (alpn, h2) in COMBINATIONS {
        let site = origin(&[HOST])
            .alpn(alpn)
            .handler(|request| async move {
                if request.method() == http::Method::GET {
                    return Err(request);
                }
                let refusal = Response::builder().status(413).body(full("too much"));
                Ok(refusal.unwrap())
            })
            .start()
            .await;
        let proxy = proxy()
            .site(&site)
            .level("info")
            .bearer("app", HOST, "t1")
            .start()
            .await;
        let client = client(&proxy, h2);
        for round in 0..5 {
            // It never ends by itself.
            let endless = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024]))), ()))
            });
            let request = Request::post(site.url("/upload"))
                .body(StreamBody::new(endless).boxed_unsync())
                .unwrap();
            let answer = timeout(Duration::from_secs(20), client.start(request)).await;
            let answer = answer
                .expect("while it is sent")
                .unwrap_or_else(|error| panic!("{alpn:?}, {h2}, {round}: {error}"));
            assert_eq!(answer.status(), 413, "{alpn:?}, {h2}");
            drop(answer);
            client.get(&site.url("/echo")).await.expect(200);
        }
    }
}

/// Who is still sending is told that the connection ends behind the answer (RFC 9112 §9.6), if it does.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_says_whether_the_connection_ends() {
    let site = raw(HOST, |mut stream, heads| async move {
        while let Some(head) = heads.read(&mut stream).await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let mut body = vec![0; 4];
            let answer = match path {
                // Nothing of the body is read.
                "/refused" => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno".to_owned(),
                // It begins before the body has ended, and says what it was.
                "/echo" => {
                    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
                    stream.write_all(begun).await.unwrap();
                    stream.flush().await.unwrap();
                    stream.read_exact(&mut body).await.unwrap();
                    String::from_utf8(body).unwrap()
                }
                _ => {
                    stream.read_exact(&mut body).await.unwrap();
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned()
                }
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            let _ = stream.flush().await;
        }
    })
    .await;
    // Without a session, and with one that keeps the body.
    for bound in [false, true] {
        let path = if bound { "/*" } else { "/other" };
        let bind = format!("{{ host = \"{HOST}\", path = \"{path}\" }}");
        let proxy = proxy().raw(&site).env("T", "t1");
        let proxy = proxy.config(bearer("app", &bind, "T")).start().await;
        let post = |path: &str, length: usize| {
            format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n")
        };
        let mut wire = Wire::https(&proxy.client(), HOST).await;
        wire.send(post("/small", 4) + "body").await;
        let (head, _) = wire.message().await;
        assert_eq!(
            (status(&head), field(&head, "connection")),
            (403, None),
            "{head}"
        );
        wire.send(post("/echo", 4)).await;
        let head = wire.head().await;
        assert_eq!(
            (status(&head), field(&head, "connection")),
            (200, None),
            "{head}"
        );
        wire.send("body").await;
        assert_eq!(wire.bytes(4).await, b"body");
        wire.send(post("/refused", 50_000_000) + "only its beginning")
            .await;
        let (head, _) = wire.message().await;
        let said = (status(&head), field(&head, "connection"));
        assert_eq!(said, (401, Some("close")), "{head}");
        assert_eq!(wire.rest().await, "");
        // Ours, to a body that was never asked for.
        let mut wire = Wire::https(&proxy.client(), HOST).await;
        let expects = "POST /small HTTP/1.1\r\nHost: another.example\r\nExpect: 100-continue\r\n";
        wire.send(format!("{expects}Content-Length: 4\r\n\r\n"))
            .await;
        let (head, _) = wire.message().await;
        let said = (status(&head), field(&head, "connection"));
        assert_eq!(said, (421, Some("close")), "{head}");
    }
}

/// The same with curl, which fails if its stream is gone before it has looked at the answer.
#[tokio::test(flavor = "multi_thread")]
async fn curl_hears_an_early_answer_over_http2() {
    let site = origin(&[HOST]).alpn(&["http/1.1"]);
    let refuse = |_| async {
        // Until the upload is under way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Response::builder()
            .status(413)
            .body(full("too much"))
            .unwrap())
    };
    let site = site.handler(refuse).start().await;
    let proxy = proxy().site(&site).bearer("app", HOST, "t1").start().await;
    let upload = proxy.path().join("upload");
    std::fs::File::create(&upload)
        .and_then(|file| file.set_len(64 * MIB))
        .unwrap();
    for round in 0..5 {
        let mut curl = tool::clean(&tool::find("curl"), proxy.path());
        curl.args(["-s", "--http2", "-w", "%{http_version} %{http_code}", "-T"])
            .arg(&upload)
            .arg("--cacert")
            .arg(proxy.ca_path())
            .args(["-x", &format!("http://{}", proxy.listen)])
            .arg(site.url("/upload"));
        let output = tool::run(curl).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "too much2 413", "{round}: {output:?}");
    }
}
