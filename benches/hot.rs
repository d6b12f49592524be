//! The pieces that run on every request of a session: match, inject, jar, the head's hop-by-hop fields, a whole head on
//! its way through; and the mint, which runs on the first connection to each host.
//!
//! `cargo bench --bench hot`

use std::{
    hint::black_box,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, Request, header::AUTHORIZATION};
use staysigned::{
    ca::{self, Ca},
    env::Env,
    http1::{self, client, server},
    jar::{Bounds, Jar},
    limits::Limits,
    message::hop,
    origin::Origin,
    rule::{
        Bind, HostPattern, Inject, Mode, Place, Recipe, Target,
        inject::{self, Attempt, Params, Ready, Value},
        matcher::Matcher,
        template::Template,
    },
    upstream::Body,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fn recipe(index: usize) -> Arc<Recipe> {
    let origin: Origin = format!("https://host{index}.example.com")
        .parse()
        .expect("an origin");
    let mut recipe = Recipe::new(format!("session{index}"));
    recipe.bind = vec![Bind {
        target: Target {
            scheme: origin.scheme,
            host: HostPattern::Exact(origin.host),
            port: origin.port,
            path: None,
            methods: None,
        },
        when: None,
    }];
    recipe.inject = vec![Inject {
        place: Place::Header(AUTHORIZATION),
        value: Template::parse("Bearer x").expect("a template"),
        mode: Mode::Replace,
    }];
    Arc::new(recipe)
}

/// A first attempt with nothing but fixed values.
fn params<'a>(recipe: &'a Recipe, ready: &'a [Ready]) -> Params<'a> {
    Params {
        recipe,
        ready,
        jar: None,
        attempt: Attempt::First,
        standin: None,
        user_agent: None,
        render: &|_| unreachable!("nothing is rendered"),
    }
}

fn matching(c: &mut Criterion) {
    for sessions in [1, 10_000] {
        let recipes: Vec<_> = (0..sessions).map(recipe).collect();
        let matcher = Matcher::new(&recipes).expect("no conflict");
        let origin: Origin = "https://host0.example.com".parse().expect("an origin");
        let headers = HeaderMap::new();
        c.bench_function(&format!("match among {sessions} sessions"), |b| {
            b.iter(|| {
                matcher.find(
                    None,
                    black_box(&origin),
                    &Method::GET,
                    "/v1/things?page=2",
                    &headers,
                )
            });
        });
    }
}

fn injecting(c: &mut Criterion) {
    let recipes = [recipe(0)];
    let matcher = Matcher::new(&recipes).expect("no conflict");
    let origin: Origin = "https://host0.example.com".parse().expect("an origin");
    let bound = matcher
        .find(None, &origin, &Method::GET, "/", &HeaderMap::new())
        .bound
        .expect("bound");
    let ready = [Ready {
        place: Place::Header(AUTHORIZATION),
        mode: Mode::Replace,
        value: Value::Fixed(HeaderValue::from_static("Bearer abcdefghijklmnop")),
    }];
    let request = Request::get("/")
        .header(AUTHORIZATION, "Bearer none")
        .body(())
        .expect("a request");
    let (parts, ()) = request.into_parts();
    c.bench_function("inject a header", |b| {
        b.iter_batched(
            || parts.clone(),
            |mut parts| {
                let params = params(&recipes[0], &ready);
                inject::apply(&mut parts, &bound, params).expect("applied");
                parts
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

fn jar(c: &mut Criterion) {
    let origin: Origin = "https://host0.example.com".parse().expect("an origin");
    let now = SystemTime::now();
    let mut jar = Jar::new(Bounds::from(&Limits::default()));
    for n in 0..10 {
        let line = format!("name{n}=value{n}; Path=/; Max-Age=3600; Secure; HttpOnly");
        drop(jar.store(&origin, "/", line.as_bytes(), now));
    }
    c.bench_function("cookie string of 10", |b| {
        b.iter(|| jar.cookie_string(black_box(&origin), "/a/b", now))
    });
    let other: Origin = "https://other.test".parse().expect("an origin");
    c.bench_function("cookie string of none", |b| {
        b.iter(|| jar.cookie_string(black_box(&other), "/", now))
    });
    let line =
        b"name5=rotated; Path=/; Domain=example.com; Max-Age=899.5; Secure; HttpOnly; SameSite=Lax";
    c.bench_function("store a Set-Cookie", |b| {
        b.iter_batched(
            || jar.clone(),
            |mut jar| {
                drop(jar.store(&origin, "/", black_box(line), now));
                jar
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

fn hops(c: &mut Criterion) {
    let plain: HeaderMap = [
        ("host", "a"),
        ("user-agent", "b"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
    ]
    .into_iter()
    .map(|(n, v)| {
        (
            http::HeaderName::from_static(n),
            HeaderValue::from_static(v),
        )
    })
    .collect();
    let mut hop = plain.clone();
    hop.insert("connection", HeaderValue::from_static("keep-alive"));
    for (name, headers) in [("strip nothing", plain), ("strip Connection", hop)] {
        c.bench_function(name, |b| {
            b.iter_batched(
                || headers.clone(),
                |mut headers| {
                    hop::strip(&mut headers);
                    headers
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

/// A head as a browser sends it.
const HEAD: &[u8] = b"GET /v1/things?page=2 HTTP/1.1\r\nHost: host0.example.com\r\nConnection: keep-alive\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: a=1; b=2\r\n\
Authorization: Bearer none\r\n\r\n";

/// Says a few bytes and nothing more; what is written to it is gone.
struct Canned(&'static [u8]);

impl AsyncRead for Canned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Canned {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A head from the client's bytes to the upstream's: read, without its hop-by-hop fields, with the credential, written.
fn rewriting(c: &mut Criterion) {
    let limits = Limits::default();
    let bounds = http1::Bounds {
        bytes: limits.head_bytes,
        fields: limits.fields,
    };
    let recipes = [recipe(0)];
    let matcher = Matcher::new(&recipes).expect("no conflict");
    let origin: Origin = "https://host0.example.com".parse().expect("an origin");
    let ready = [Ready {
        place: Place::Header(AUTHORIZATION),
        mode: Mode::Replace,
        value: Value::Fixed(HeaderValue::from_static("Bearer abcdefghijklmnop")),
    }];
    let mut cx = Context::from_waker(Waker::noop());
    c.bench_function("rewrite a head", |b| {
        b.iter(|| {
            let from = server::Connection::new(Canned(HEAD), bounds, server::OnConnect::Serve);
            let Poll::Ready(Ok(Some(request))) = from.poll_request(&mut cx) else {
                unreachable!("a whole head");
            };
            let (mut parts, body) = request.into_parts();
            hop::strip(&mut parts.headers);
            let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let bound = matcher
                .find(None, &origin, &parts.method, target, &parts.headers)
                .bound
                .expect("bound");
            let params = params(&recipes[0], &ready);
            inject::apply(&mut parts, &bound, params).expect("applied");
            let mut to = client::Connection::new(Canned(b""), bounds);
            let head = client::Request {
                method: &parts.method,
                target: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
                headers: &parts.headers,
                spelling: body.spelling(),
                authority: "host0.example.com",
            };
            to.begin(head, Body::Empty);
            assert!(to.poll_head(&mut cx, &mut |_, _, _| true).is_pending());
            assert!(to.is_sent());
        });
    });
}

/// A leaf for a host that nobody has visited, and one that is there.
fn minting(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let params = ca::Params {
        folder: folder.path(),
        constrain: None,
        leaves: 4096,
    };
    let ca = Ca::open(&params, Env::real()).expect("a CA");
    let mut number = 0;
    c.bench_function("mint a leaf", |b| {
        b.iter(|| {
            number += 1;
            let host = format!("host{number}.example.com");
            ca.resolve(&host.parse().expect("a host")).expect("a leaf")
        });
    });
    let host = "host0.example.com".parse().expect("a host");
    c.bench_function("find a leaf", |b| {
        b.iter(|| ca.resolve(black_box(&host)).expect("a leaf"))
    });
}

criterion_group!(benches, matching, injecting, jar, hops, rewriting, minting);
criterion_main!(benches);
