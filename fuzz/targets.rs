//! What is fuzzed: each function takes any bytes, and panics if a promise does not hold. `fuzz_targets/` runs them with
//! new inputs (docs/operations.md says how), `tests/fuzz.rs` with those of `corpus/` in every test run.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, Uri, Version, header::HOST};
use staysigned::{
    auth::token,
    ca::{self, Ca},
    config,
    env::Env,
    import,
    jar::{Bounds, Jar},
    limits::Limits,
    message::{decode, target},
    origin::{Authority, Host, Origin, Scheme},
    proxy::{Arrival, Clients, LocalUsers, Proxy, Stop, Unmatched, World},
    rule::{
        Bind, ClientAuth, Encoding, GrantType, HostPattern, Mode, Oauth2, Recipe, Target, Url,
        body::{self, Media, Spot},
        glob::Glob,
        jwt, path,
        template::{Scope, Template},
    },
    secret::Secret,
    session::{Context, Keeping, Sessions},
    store::Store,
    upstream::{self, Total, Upstream, egress::Egress},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A target: its name, which is also that of its corpus, and what is done with an input.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Fuzzed] = &[
    ("body", body),
    ("client", client),
    ("config", config),
    ("cookies", cookies),
    ("decode", decode),
    ("import", import),
    ("path", path),
    ("target", target),
    ("template", template),
    ("token", token),
];

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The first byte chooses, the rest is what it is about.
fn choose<'d, T: Copy>(data: &'d [u8], among: &[T]) -> Option<(T, &'d [u8])> {
    let (first, rest) = data.split_first()?;
    Some((among[usize::from(*first) % among.len()], rest))
}

/// `Set-Cookie`, one a line: a jar within its bounds, whose cookies can stand in a field and are stored again the same.
pub fn cookies(data: &[u8]) {
    let origins = [
        "https://www.example.com",
        "http://a.b.example.co.uk",
        "https://127.0.0.1",
    ];
    let Some((origin, fields)) = choose(data, &origins) else {
        return;
    };
    let origin: Origin = origin.parse().expect("an origin");
    let limits = Limits::default();
    let mut jar = Jar::new(Bounds::from(&limits));
    for field in fields.split(|byte| *byte == b'\n') {
        let _ = jar.store(&origin, "/some/path", field, now());
    }
    assert!(jar.len() <= limits.cookies_per_domain * 4);
    let clean = |bytes: &[u8]| {
        !bytes
            .iter()
            .any(|byte| matches!(byte, b'\r' | b'\n' | 0 | b';'))
    };
    for cookie in jar.iter(now()) {
        assert!(clean(cookie.value.expose()), "{cookie:?}");
        assert!(cookie.value.expose().len() <= limits.cookie_bytes);
    }
    let all: Vec<_> = jar.iter(now()).cloned().collect();
    let again = Jar::restore(Bounds::from(&limits), all);
    assert_eq!(again.len(), jar.iter(now()).count());
    for path in ["/", "/some/path", "/some/pathology"] {
        let (one, other) = (
            jar.cookies_for(&origin, path, now()).len(),
            again.cookies_for(&origin, path, now()).len(),
        );
        assert_eq!(one, other);
    }
}

/// Answers of token endpoints: what is granted can stand in a field.
pub fn token(data: &[u8]) {
    let Some((status, body)) = choose(data, &[200u16, 400, 401, 429, 500, 503]) else {
        return;
    };
    let oauth2 = Oauth2 {
        token_url: Url {
            origin: "https://auth.example".parse().expect("an origin"),
            path: "/token".to_owned(),
        },
        grant_type: GrantType::RefreshToken,
        client_auth: ClientAuth::None,
        encoding: Encoding::Form,
        params: Vec::new(),
        headers: Vec::new(),
        answer: ["access_token", "refresh_token", "expires_in"]
            .map(|name| {
                (
                    name.to_owned(),
                    vec![format!("/{name}").parse().expect("a pointer")],
                )
            })
            .to_vec(),
    };
    let received = token::Received {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: &HeaderMap::new(),
        body,
        now: now(),
    };
    if let token::Answer::Granted(granted) = token::read(&oauth2, &[], received) {
        for (name, value) in &granted.fields {
            assert!(
                http::HeaderValue::from_str(value.expose()).is_ok(),
                "{name}"
            );
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = (jwt::payload(text), jwt::times(text));
    }
}

/// Files and pastes of other tools: cookies that can stand in a field, or an error.
pub fn import(data: &[u8]) {
    use import::Kind::{CookiesTxt, Curl, Fernet, Har, Header, Json, StorageState, Supabase};
    // Audible's files are decrypted with a password first, which is slow on purpose.
    let kinds = [
        CookiesTxt,
        Json,
        StorageState,
        Supabase,
        Fernet,
        Header,
        Curl,
        Har,
    ];
    let Some((kind, text)) = choose(data, &kinds) else {
        return;
    };
    let options = import::Options {
        hosts: Vec::new(),
        domain: "example.com".parse().ok(),
        scheme: Scheme::Https,
        bounds: Bounds::from(&Limits::default()),
        now: now(),
        password: None,
        key: Some(Secret::from("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")),
        values: BTreeMap::new(),
    };
    match import::read(kind, text, &options) {
        Ok(material) => {
            for cookie in &material.cookies {
                let value = cookie.value.expose();
                assert!(
                    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
                    "{cookie:?}"
                );
            }
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

/// Templates: parsed, and rendered with and without fields; never an endless loop, never a missing field as nothing.
pub fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(template) = Template::parse(source) else {
        return;
    };
    let values: BTreeMap<String, String> =
        [("a", "text"), ("b", "{\"x\":[1,\"y\"]}"), ("c", "ZGF0YQ==")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let cookie = |name: &str| (name == "sid").then_some(Cow::Borrowed(&b"cookie"[..]));
    let scope = Scope {
        values: &values,
        cookies: &cookie,
        ..Scope::empty(now(), [7; 16])
    };
    let rendered = template.render(&scope);
    assert_eq!(template.source(), source);
    let empty = template.render(&Scope::empty(now(), [7; 16]));
    if template.fields().next().is_some() && rendered.is_ok() {
        assert!(empty.is_err(), "a field that is not there is an error");
    }
}

/// Values in bodies: what is put there is found there, and all else stays.
pub fn body(data: &[u8]) {
    let spots = [
        (Media::Json, Spot::Json("/a".parse().expect("a pointer"))),
        (
            Media::Json,
            Spot::Json("/a/0/b".parse().expect("a pointer")),
        ),
        (Media::Form, Spot::Form("a".to_owned())),
    ];
    let Some((at, bytes)) = choose(data, &[0, 1, 2]) else {
        return;
    };
    let (media, spot) = &spots[at];
    let found = spot.find(*media, bytes);
    for (span, _) in &found {
        assert!(span.start <= span.end && span.end <= bytes.len());
    }
    let value = "new \"value\" & more";
    let edits = spot.put(*media, bytes, &spot.encode(value), Mode::IfPresent);
    if edits.is_empty() {
        return;
    }
    let put = body::splice(bytes, edits).expect("values do not overlap");
    let again = spot.find(*media, &put);
    assert_eq!(again.len(), found.len().max(again.len()));
    assert!(again.iter().all(|(_, text)| text == value), "{again:?}");
}

/// Content codings: no more than the bounds, whatever is claimed.
pub fn decode(data: &[u8]) {
    let codings = ["gzip", "deflate", "br", "", "gzip, br", "gzip, gzip, gzip"];
    let Some((coding, bytes)) = choose(data, &codings) else {
        return;
    };
    let bounds = decode::Bounds {
        max: 256 * 1024,
        ratio: 10,
    };
    if let Ok(decoded) = decode::decode(coding, bytes, bounds) {
        assert!(decoded.len() <= bounds.max);
    }
    if let Ok(prefix) = decode::prefix(coding, bytes, bounds) {
        assert!(prefix.bytes.len() <= bounds.max);
    }
}

/// Targets, authorities and hosts: whatever they are read as says the same when it is written and read again.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(origin) = target::connect(text) {
        let again = target::connect(&format!("{}:{}", origin.host, origin.port));
        assert_eq!(again.as_ref(), Ok(&origin));
    }
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse::<Host>().as_ref(), Ok(&host));
    }
    let _ = text.parse::<Authority>();
    if let Ok(origin) = text.parse::<Origin>() {
        assert_eq!(origin.to_string().parse::<Origin>().as_ref(), Ok(&origin));
    }
    let (line, host) = text.split_once('\n').unwrap_or((text, "www.example.com"));
    if let (Ok(mut uri), Ok(host)) = (line.parse::<Uri>(), host.parse()) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host);
        if let Ok(origin) = target::absolute(Version::HTTP_11, &mut uri, &headers) {
            assert!(uri.authority().is_none() && uri.scheme().is_none());
            let host = headers[HOST].to_str().expect("text");
            let named: Authority = host.parse().expect("an authority");
            assert_eq!(named.host, origin.host);
        }
    }
}

/// Paths: normalised once is normalised, and nothing leads above the root.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (one, two) = text.split_once('\n').unwrap_or((text, "*/login*"));
    let once = path::normalise(one).into_owned();
    assert_eq!(path::normalise(&once), once);
    if one.starts_with('/') {
        assert!(once.starts_with('/'), "{once}");
        assert!(
            !once
                .split('/')
                .any(|segment| segment == ".." || segment == "."),
            "{once}"
        );
    }
    let _ = path::resolve(one, two);
    let glob = Glob::new(two);
    let _ = (glob.matches(one), glob.matches(&once), glob.weight());
    assert!(glob.overlaps(&glob));
}

/// Configurations: read or refused, with a message; no value of an unknown key is shown.
pub fn config(data: &[u8]) {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        tempfile::tempdir_in(if cfg!(target_os = "linux") {
            "/dev/shm"
        } else {
            "."
        })
        .expect("a folder")
    });
    let path = FOLDER
        .path()
        .join(format!("{:?}.toml", std::thread::current().id()));
    std::fs::write(&path, data).expect("written");
    let place = config::Place {
        path,
        found: config::Found::Option,
        notes: Vec::new(),
    };
    if let Err(faults) = config::load(&place, &config::Variables::default()) {
        assert!(!faults.to_string().is_empty());
    }
}

/// A client's bytes from the first to the last: CONNECT, SOCKS5, TLS and HTTP, in whatever form.
pub fn client(data: &[u8]) {
    static PROXY: LazyLock<(tokio::runtime::Runtime, Arc<Proxy>, tempfile::TempDir)> =
        LazyLock::new(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let folder = tempfile::tempdir().expect("a folder");
            let proxy = runtime.block_on(proxy(folder.path()));
            (runtime, proxy, folder)
        });
    let (runtime, proxy, _) = &*PROXY;
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client
            .write_all(&data[..data.len().min(1 << 16)])
            .await
            .expect("there is room");
        client.shutdown().await.expect("it ends");
        let arrival = Arrival {
            peer: None,
            local: None,
            uid: Some(u32::MAX),
            listener: None,
        };
        let serving = tokio::spawn(proxy.clone().serve(server, arrival));
        let mut said = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut said)).await;
        read.expect("it ends with its client")
            .expect("a stream in memory");
        drop(client);
        serving.await.expect("no panic");
    });
}

/// A proxy with a session whose origin is not there; other hosts are refused.
async fn proxy(folder: &std::path::Path) -> Arc<Proxy> {
    let limits = Limits {
        connect: Duration::from_secs(1),
        handshake: Duration::from_secs(1),
        request_head: Duration::from_secs(1),
        ..Limits::default()
    };
    let nowhere = |port| {
        (
            ("a.test".parse().expect("a host"), port),
            "127.0.0.1:1".parse().expect("an address"),
        )
    };
    let upstream = Upstream::new(upstream::Config {
        roots: rustls::RootCertStore::empty(),
        resolve: HashMap::from([nowhere(80), nowhere(443)]),
        egress: Egress::direct(),
        ours: Vec::new(),
        limits: limits.clone(),
    })
    .expect("an upstream side");
    let bind = |scheme: Scheme| Bind {
        target: Target {
            scheme,
            host: HostPattern::Exact("a.test".parse().expect("a host")),
            port: scheme.default_port(),
            path: None,
            methods: None,
        },
        when: None,
    };
    let recipe = Recipe {
        bind: vec![bind(Scheme::Http), bind(Scheme::Https)],
        ..Recipe::new(Arc::<str>::from("app"))
    };
    let context = Context {
        store: Store::memory(),
        upstream: upstream.clone(),
        env: Env::real(),
        limits: limits.clone(),
        before: None,
        keeping: Keeping::AtRest,
    };
    let world = World {
        sessions: Sessions::open(vec![Arc::new(recipe)], context)
            .await
            .expect("sessions"),
        clients: Clients {
            named: Vec::new(),
            local_users: LocalUsers::Any,
        },
        unmatched: Unmatched::Deny,
    };
    let params = ca::Params {
        folder,
        constrain: None,
        leaves: 16,
    };
    Arc::new(Proxy {
        world: arc_swap::ArcSwap::from_pointee(world),
        ca: arc_swap::ArcSwap::from_pointee(Ca::open(&params, Env::real()).expect("a CA")),
        upstream,
        kept: Total::new(limits.replay_total),
        limits,
        added: Default::default(),
        stop: Stop::default(),
    })
}
