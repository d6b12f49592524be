//! What the engine adds to a request when there is nothing new to learn: its session found, its turn, what it is sent
//! with, the injection, and the news that it was accepted.
//!
//! `cargo bench --bench engine`; `STAYSIGNED_CALLS=N` makes so many requests and nothing else, for counts of
//! instructions (docs/benchmarks.md).

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, header::AUTHORIZATION, request::Parts};
use rustls::RootCertStore;
use staysigned::{
    env::Env,
    limits::Limits,
    origin::Origin,
    rule::{
        Bind, HostPattern, Inject, Mode, Place, Recipe, Target,
        inject::{self, Attempt, Params},
        template::Template,
    },
    session::{About, Answer, Context, Keeping, Sessions},
    store::Store,
    upstream::{self, Upstream, egress::Egress},
};
use tokio::runtime::Runtime;

const TOKEN: &str = "access_token";

/// The engine with sessions of bearer tokens, and a request of the first.
struct Engine {
    runtime: Runtime,
    sessions: Arc<Sessions>,
    origin: Origin,
    request: Parts,
    answer: HeaderMap,
}

fn recipe(index: usize) -> Arc<Recipe> {
    let origin = origin(index);
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
        value: Template::parse("Bearer {{ access_token }}").expect("a template"),
        mode: Mode::Replace,
    }];
    recipe.secrets = [(TOKEN.to_owned(), "abcdefghijklmnop".into())].into();
    recipe.seeds = [TOKEN.to_owned()].into();
    Arc::new(recipe)
}

fn origin(index: usize) -> Origin {
    let origin = format!("https://host{index}.example.com");
    origin.parse().expect("an origin")
}

// === impl Engine ===

impl Engine {
    fn new(sessions: usize) -> Self {
        let upstream = Upstream::new(upstream::Config {
            roots: RootCertStore::empty(),
            resolve: Default::default(),
            egress: Egress::direct(),
            ours: Vec::new(),
            limits: Limits::default(),
        });
        let context = Context {
            store: Store::memory(),
            upstream: upstream.expect("no roots are roots too"),
            env: Env::real(),
            limits: Limits::default(),
            before: None,
            keeping: Keeping::Kept,
        };
        let recipes = (0..sessions).map(recipe).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sessions = runtime.block_on(Sessions::open(recipes, context));
        let request = Request::get("/v1/things?page=2").header(AUTHORIZATION, "Bearer none");
        let (request, ()) = request.body(()).expect("a request").into_parts();
        let mut answer = HeaderMap::new();
        answer.insert("content-type", HeaderValue::from_static("text/plain"));
        Self {
            runtime,
            sessions: sessions.expect("an empty store"),
            origin: origin(0),
            request,
            answer,
        }
    }

    /// What the data path asks of the engine for one request, in its order.
    fn request(&self, parts: &mut Parts) {
        let path = "/v1/things?page=2";
        let matcher = self.sessions.matcher();
        let found = matcher.find(None, &self.origin, &Method::GET, path, &parts.headers);
        let bound = found.bound.expect("it is bound");
        let session = self.sessions.session(bound.recipe(), None);
        let turn = session.turn().now_or_never().expect("a parallel session");
        let about = About {
            method: &Method::GET,
            origin: &self.origin,
            path,
            client: None,
        };
        let current = session.current_for(about).now_or_never();
        let current = current.expect("nothing to wait for");
        let current = current.expect("it is held");
        let recipe = session.recipe();
        let jar = current.cookie_string(recipe, &self.origin, path);
        let params = Params {
            recipe,
            ready: &current.ready,
            jar: jar.as_ref(),
            attempt: Attempt::First,
            standin: None,
            user_agent: None,
            render: &|template| current.render(recipe, template),
        };
        inject::apply(parts, &bound, params).expect("it is injected");
        session.injected();
        let answer = Answer {
            seen: current.generation,
            about,
            headers: black_box(&self.answer),
            rejected: false,
            fields: Vec::new(),
        };
        let learnt = session.learn(answer).now_or_never();
        learnt.expect("nothing is new").expect("nothing is stored");
        session.accepted(current.generation, about);
        drop(turn);
    }
}

fn main() {
    if let Some(calls) = std::env::var_os("STAYSIGNED_CALLS") {
        let calls = calls.to_str().and_then(|calls| calls.parse().ok());
        let engine = Engine::new(1);
        let _inside = engine.runtime.enter();
        let mut parts = engine.request.clone();
        for _ in 0..calls.expect("a number") {
            engine.request(&mut parts);
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for sessions in [1, 1000] {
        let engine = Engine::new(sessions);
        let _inside = engine.runtime.enter();
        let mut parts = engine.request.clone();
        let name = format!("a request, nothing new, {sessions} sessions");
        criterion.bench_function(&name, |b| b.iter(|| engine.request(black_box(&mut parts))));
    }
    criterion.final_summary();
}
