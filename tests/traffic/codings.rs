//! Content codings are the two ends' own affair (RFC 9110 §8.4): what a rule has looked into goes on as it came, packed, and
//! what only seems to be packed does too.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use http::{Request, Response, header};

use crate::support::{
    content::Content,
    origin::{empty, full, origin},
    proxy::proxy,
};

use super::pressure::{COMBINATIONS, HOST, client};

/// Text of so many bytes, some of which are no letters.
fn text(size: u64) -> Vec<u8> {
    let noise = Content::new(size / 2, 9).bytes();
    let words = b"nobody has to sign out here. ".iter().cycle();
    let pairs = noise.iter().zip(words);
    pairs.flat_map(|(noise, word)| [*word, *noise]).collect()
}

/// A coding, and bytes that say to be in it.
fn packed() -> Vec<(&'static str, Bytes)> {
    let mut all = Vec::new();
    // Less and more than is looked into (`limits.inspect_body`).
    for size in [20, 10_000, 600_000] {
        let text = text(size);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(&text).unwrap();
        let (gzip, zlib) = (gzip.finish().unwrap(), zlib.finish().unwrap());
        all.extend([
            ("gzip", [&gzip[..], &gzip].concat()),
            ("gzip", gzip[..gzip.len() - 9].to_vec()),
            ("GZIP", gzip.clone()),
            ("gzip, gzip", gzip),
            ("deflate", zlib),
            ("deflate", deflate.finish().unwrap()),
            ("br", text.clone()),
            ("zstd", text.clone()),
            ("x-of-its-own", text.clone()),
            ("identity", text),
        ]);
    }
    let all = all.into_iter();
    all.map(|(coding, bytes)| (coding, bytes.into())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_into_goes_on_as_it_came() {
    let session = format!(
        "[session.app]\nbind = [{{ host = \"{HOST}\" }}]\nsecrets = {{ token = \"env:T\" }}\n\
         [[session.app.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n\
         [[session.app.rejected]]\nstatus = [200]\nbody = \"please sign in\"\n\
         [session.app.refresh]\nkind = \"none\"\n"
    );
    let packed = packed();
    for (alpn, h2) in COMBINATIONS {
        let answers = packed.clone();
        let site = origin(&[HOST]).alpn(alpn).handler(move |request| {
            let number: usize = request.uri().path()[1..].parse().unwrap();
            let (coding, bytes) = answers[number].clone();
            async move {
                let answer = Response::builder()
                    .header(header::CONTENT_TYPE, "text/html")
                    .header(header::CONTENT_ENCODING, coding)
                    .header(header::ETAG, "\"one\"")
                    .header(header::VARY, "accept-encoding");
                Ok(answer.body(full(bytes)).unwrap())
            }
        });
        let site = site.start().await;
        let proxy = proxy().site(&site).config(&session).env("T", "t1");
        let proxy = proxy.level("info").start().await;
        let client = client(&proxy, h2);
        for (number, (coding, bytes)) in packed.iter().enumerate() {
            let request = Request::get(site.url(&format!("/{number}")))
                .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
                .body(empty())
                .unwrap();
            let answer = client.send(request).await.expect(200);
            let what = format!("{coding}, {} bytes, {alpn:?}, {h2}", bytes.len());
            assert!(answer.body == *bytes, "{what}: {}", answer.body.len());
            assert_eq!(answer.field("content-encoding"), Some(*coding), "{what}");
            assert_eq!(answer.field("etag"), Some("\"one\""), "{what}");
            assert_eq!(answer.field("vary"), Some("accept-encoding"), "{what}");
            let length = answer.field("content-length").map(|l| l.parse().unwrap());
            assert_eq!(length, Some(bytes.len()), "{what}");
        }
    }
}
