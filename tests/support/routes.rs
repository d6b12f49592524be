//! What every origin answers: echoes, big bodies with ranges, uploads, events, trailers, upgrades, odd statuses.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
};

use super::{
    BoxError,
    content::{Content, Hash},
    origin::{Body, Reply, Seen, empty, full},
};

/// The answer of a standard route.
pub async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Reply {
    let path = seen.path.clone();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["echo", ..] => echo(&seen),
        ["bytes", size, seed] => bytes(&request, Content::new(number(size), number(seed))),
        ["upload", ..] => upload(request.into_body()).await,
        ["events", count, gap] => events(number(count), Duration::from_millis(number(gap))),
        ["slow", pieces, gap] => slow(number(pieces), Duration::from_millis(number(gap))),
        ["late", delay] => {
            tokio::time::sleep(Duration::from_millis(number(delay))).await;
            echo(&seen)
        }
        ["trailers"] => trailers(request.into_body()).await,
        ["ws"] => websocket(request),
        ["status", code] => status(code),
        ["redirect", code] => redirect(code, &seen),
        ["html"] => html("<html><body>please sign in</body></html>"),
        ["gate", ..] | [""] => text("welcome"),
        _ => reply(StatusCode::NOT_FOUND, full("no such thing")),
    }
}

pub fn reply(status: StatusCode, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}

pub fn text(body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(full(body));
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    reply
}

pub fn html(body: &'static str) -> Reply {
    let mut reply = Response::new(full(body));
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        "text/html; charset=utf-8".parse().unwrap(),
    );
    reply
}

pub fn json(status: u16, body: &serde_json::Value) -> Reply {
    let mut reply = reply(
        StatusCode::from_u16(status).unwrap(),
        full(body.to_string()),
    );
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    reply
        .headers_mut()
        .insert(header::CACHE_CONTROL, "no-store".parse().unwrap());
    reply
}

pub fn unauthorized() -> Reply {
    let mut reply = reply(StatusCode::UNAUTHORIZED, full("who are you?"));
    reply.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        "Bearer realm=\"test\"".parse().unwrap(),
    );
    reply
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("not a number in a test's path: {text:?}"))
}

/// What arrived, as JSON: the fields as pairs in their order.
fn echo(seen: &Seen) -> Reply {
    let fields: Vec<_> = seen
        .fields
        .iter()
        .map(|(name, value)| {
            serde_json::json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
        })
        .collect();
    json(
        200,
        &serde_json::json!({
            "method": seen.method, "target": seen.target, "version": format!("{:?}", seen.version), "fields": fields,
        }),
    )
}

fn bytes(request: &Request<Incoming>, content: Content) -> Reply {
    let whole = 0..content.size;
    let wanted = request
        .headers()
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    let (status, range) = match wanted.map(|value| parse_range(value, content.size)) {
        None => (StatusCode::OK, whole),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => {
            let mut reply = reply(StatusCode::RANGE_NOT_SATISFIABLE, empty());
            let all = format!("bytes */{}", content.size);
            reply
                .headers_mut()
                .insert(header::CONTENT_RANGE, all.parse().unwrap());
            return reply;
        }
    };
    let body = if request.method() == Method::HEAD {
        empty()
    } else {
        let chunks = content
            .chunks(range.clone())
            .map(|chunk| Ok(Frame::data(chunk)));
        StreamBody::new(stream::iter(chunks)).boxed_unsync()
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, "\"one\"")
        .header(header::LAST_MODIFIED, "Sat, 01 Aug 2026 00:00:00 GMT")
        .header(header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {}-{}/{}", range.start, range.end - 1, content.size);
        response = response.header(header::CONTENT_RANGE, place);
    }
    response.body(body).unwrap()
}

fn parse_range(value: &str, size: u64) -> Option<Range<u64>> {
    let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = from.parse().ok()?;
    let to = if to.is_empty() {
        size
    } else {
        to.parse::<u64>().ok()? + 1
    };
    (from < size).then(|| from..to.min(size))
}

/// The hash of what was sent, its length, and the trailers that came behind it.
async fn upload(mut body: Incoming) -> Reply {
    let mut hash = Hash::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return reply(StatusCode::BAD_REQUEST, full("broken body"));
        };
        match frame.into_data() {
            Ok(data) => hash.update(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let length = hash.1;
    let trailers: Vec<_> = trailers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    json(
        200,
        &serde_json::json!({ "sha256": hash.finish(), "length": length, "trailers": trailers }),
    )
}

fn paced(pieces: u64, gap: Duration, piece: impl Fn(u64) -> Bytes + Send + 'static) -> Body {
    let pieces = stream::iter(0..pieces).then(move |index| {
        let piece = piece(index);
        async move {
            if index > 0 {
                tokio::time::sleep(gap).await;
            }
            Ok::<_, BoxError>(Frame::data(piece))
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A body whose first piece comes at once, and the second when the gate is opened: whoever has the first one before
/// that was not made to wait for more.
pub fn gated(content_type: &'static str, first: Bytes, gate: Arc<Semaphore>) -> Reply {
    let last = stream::once(async move {
        gate.acquire().await.expect("never closed").forget();
        Ok(Frame::data(Bytes::from_static(b"the end")))
    });
    let body = stream::once(async { Ok::<_, BoxError>(Frame::data(first)) }).chain(last);
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .body(StreamBody::new(body).boxed_unsync())
        .unwrap()
}

/// Reads the first piece of a gated body, opens the gate, and reads the rest.
pub async fn ungate(mut body: Incoming, gate: &Semaphore) {
    let limit = Duration::from_secs(30);
    let first = tokio::time::timeout(limit, body.frame()).await;
    let first = first.unwrap_or_else(|_| panic!("the first piece was held back"));
    let first = first.unwrap().unwrap().into_data().unwrap();
    assert!(!first.is_empty());
    gate.add_permits(1);
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"the end"), "{rest:?}");
}

fn events(count: u64, gap: Duration) -> Reply {
    let body = paced(count, gap, |index| {
        Bytes::from(format!("data: {index}\n\n"))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(body)
        .unwrap()
}

/// Text of unknown length, a line now and then.
fn slow(pieces: u64, gap: Duration) -> Reply {
    let body = paced(pieces, gap, |index| Bytes::from(format!("line {index}\n")));
    Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .body(body)
        .unwrap()
}

async fn trailers(body: Incoming) -> Reply {
    let _ = body.collect().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "42".parse().unwrap());
    // No client is to see it there (RFC 9110 §6.5.1).
    trailers.insert("set-cookie", "late=1".parse().unwrap());
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"with trailers"))),
        Ok(Frame::trailers(trailers)),
    ];
    Response::builder()
        .header(header::TRAILER, "x-checksum, set-cookie")
        .header(header::CONTENT_TYPE, "text/plain")
        .body(StreamBody::new(stream::iter(frames)).boxed_unsync())
        .unwrap()
}

/// Takes a WebSocket handshake (RFC 6455 §4.2.2, or RFC 8441 in HTTP/2) and sends back every byte.
fn websocket(mut request: Request<Incoming>) -> Reply {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    let h2 = request.version() == http::Version::HTTP_2;
    if key.is_none() && !h2 {
        return reply(StatusCode::BAD_REQUEST, full("no WebSocket handshake"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut io = TokioIo::new(upgraded);
        let mut buffer = vec![0; 8192];
        while let Ok(read @ 1..) = io.read(&mut buffer).await {
            if io.write_all(&buffer[..read]).await.is_err() || io.flush().await.is_err() {
                return;
            }
        }
    });
    let Some(key) = key.filter(|_| !h2) else {
        return Response::new(empty());
    };
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(
            header::SEC_WEBSOCKET_ACCEPT,
            websocket_accept(key.as_bytes()),
        )
        .body(empty())
        .unwrap()
}

pub fn websocket_accept(key: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

fn status(code: &str) -> Reply {
    let status = StatusCode::from_bytes(code.as_bytes()).expect("a status");
    let bodiless = matches!(status.as_u16(), 204 | 304);
    let mut reply = reply(
        status,
        if bodiless {
            empty()
        } else {
            full(format!("status {code}"))
        },
    );
    if status == StatusCode::NOT_MODIFIED {
        reply
            .headers_mut()
            .insert(header::ETAG, "\"one\"".parse().unwrap());
    }
    reply
}

/// To the URL in the query.
fn redirect(code: &str, seen: &Seen) -> Reply {
    let to = seen
        .target
        .split_once('?')
        .map(|(_, query)| query)
        .expect("a target in the query");
    let mut reply = reply(
        StatusCode::from_bytes(code.as_bytes()).expect("a status"),
        full("elsewhere"),
    );
    reply
        .headers_mut()
        .insert(header::LOCATION, to.parse().unwrap());
    reply
}
