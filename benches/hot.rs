//! The pieces that run on every request of a session: match, inject, jar, and the head's hop-by-hop fields.
//!
//! `cargo bench --bench hot`

use std::{hint::black_box, sync::Arc, time::SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, Request, header::AUTHORIZATION};
use staysigned::{
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
};

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
                let params = Params {
                    recipe: &recipes[0],
                    ready: &ready,
                    jar: None,
                    attempt: Attempt::First,
                    standin: None,
                    user_agent: None,
                    render: &|_| unreachable!("nothing is rendered"),
                };
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

criterion_group!(benches, matching, injecting, jar, hops);
criterion_main!(benches);
