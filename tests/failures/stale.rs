//! Kept HTTP/1.1 connections that the origin ends as the next request comes (RFC 9112 §9.3.1): what may be done twice is
//! sent again, once; what may have been done is not (RFC 9110 §9.2.2).

use http::Request;
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    origin::{empty, full},
    proxy::{bearer, proxy},
    raw::{Raw, raw, reset},
};

const HOST: &str = "app.example.test";

/// An origin that answers the first request on each connection and resets the connection behind the head of the second;
/// `/never` it answers nowhere.
async fn site() -> Raw {
    raw(HOST, |mut stream, heads| async move {
        let mut is_first = true;
        while let Some(head) = heads.read(&mut stream).await {
            if !is_first || head.contains(" /never ") {
                return reset(stream);
            }
            is_first = false;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.flush().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_done_twice_is_sent_again_once() {
    // Method, path, body, the status that the client sees, and how often the origin was asked.
    let cases: [(&str, &str, &'static str, u16, usize); 12] = [
        ("GET", "/a", "", 200, 2),
        ("HEAD", "/a", "", 200, 2),
        ("OPTIONS", "/a", "", 200, 2),
        ("PUT", "/a", "", 200, 2),
        ("DELETE", "/a", "", 200, 2),
        ("GET", "/never", "", 502, 2),
        ("POST", "/a", "", 502, 1),
        ("PATCH", "/a", "", 502, 1),
        ("PURGE", "/a", "", 502, 1),
        ("POST", "/a", "hello", 502, 1),
        // Some of it was sent.
        ("PUT", "/a", "hello", 502, 1),
        ("GET", "/a", "hello", 502, 1),
    ];
    // With a session, which keeps bodies in case that they are needed again, and without.
    for path in ["/*", "/other"] {
        let site = site().await;
        let bind = format!("{{ host = \"{HOST}\", path = \"{path}\" }}");
        let proxy = proxy().raw(&site).env("T", "t1");
        let proxy = proxy.config(bearer("app", &bind, "T")).start().await;
        for (client, (method, path, body, status, times)) in [proxy.client(), proxy.client().h2()]
            .iter()
            .flat_map(|client| cases.map(|case| (client, case)))
        {
            let what = format!("{method} {path} {body:?}");
            // The connection that is kept.
            client
                .get(&format!("https://{HOST}/first"))
                .await
                .expect(200);
            let before = site.heads.all().len();
            let body = if body.is_empty() { empty() } else { full(body) };
            let request = Request::builder().method(method);
            let request = request.uri(format!("https://{HOST}{path}")).body(body);
            let answer = client.send(request.unwrap()).await;
            let asked = site.heads.all().len() - before;
            assert_eq!((answer.status.as_u16(), asked), (status, times), "{what}");
        }
    }
}
