//! `Max-Forwards` (RFC 9110 §7.6.2): how far a TRACE or an OPTIONS goes.

use http::{Method, Request};

use super::requests::{PLACES, statuses, world};
use crate::support::{
    origin::{empty, origin},
    proxy::proxy,
};

const HOST: &str = "app.example.test";

#[tokio::test(flavor = "multi_thread")]
async fn hops_are_counted_where_they_count() {
    let site = origin(&[HOST]).start().await;
    let proxy = proxy().site(&site).bearer("app", HOST, "t1").start().await;
    for client in [proxy.client(), proxy.client().h2()] {
        let ask = |method: Method, hops: &str| {
            let request = Request::builder()
                .method(method)
                .uri(site.url("/echo"))
                .header("max-forwards", hops)
                .header("x-a", "b")
                .header("cookie", "mine=hidden")
                .header("authorization", "Bearer hidden");
            client.send(request.body(empty()).unwrap())
        };
        for (method, sent, arrived) in [
            (Method::OPTIONS, "1", "0"),
            (Method::TRACE, "10", "9"),
            (Method::OPTIONS, "many", "many"),
            (Method::GET, "0", "0"),
        ] {
            let before = site.seen().len();
            ask(method.clone(), sent).await.expect(200);
            assert_eq!(site.seen().len(), before + 1, "{method} {sent}");
            assert_eq!(site.last().field("max-forwards"), Some(arrived));
        }
        let before = site.seen().len();
        let answer = ask(Method::OPTIONS, "0").await.expect(200);
        assert_eq!(answer.text(), "");
        let answer = ask(Method::TRACE, "0").await.expect(200);
        assert_eq!(answer.field("content-type"), Some("message/http"));
        let text = answer.text();
        assert!(text.starts_with("TRACE /echo HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nx-a: b\r\n"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(site.seen().len(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_hop_is_here_in_every_place() {
    let (site, proxy) = world().await;
    for place in PLACES {
        for method in ["OPTIONS", "TRACE"] {
            let head =
                format!("{method} {{T}}/a HTTP/1.1\r\nHost: {{H}}\r\nMax-Forwards: 0\r\n\r\n");
            assert_eq!(statuses(place, &proxy.client(), &head).await, [200, 200]);
            let read = format!("{:?}", site.take());
            assert!(read.contains("/end") && !read.contains("/a"), "{read}");
        }
    }
}
