//! What is fuzzed: each function takes any bytes, and panics if a promise does not hold. `fuzz_targets/` runs them with
//! new inputs (docs/operations.md says how), `tests/fuzz.rs` with those of `corpus/` in every test run.

pub mod files;
pub mod judged;
pub mod wire;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, Uri, Version, header::HOST};
use staysigned::{
    auth::token,
    jar::{Bounds, Jar},
    limits::Limits,
    message::{decode, target},
    origin::{Authority, Host, Origin},
    rule::{
        ClientAuth, Encoding, GrantType, Mode, Oauth2, Url,
        body::{self, Media, Spot},
        glob::Glob,
        jwt, path,
        template::{Scope, Template},
    },
};

/// A target: its name, which is also that of its corpus, and what is done with an input.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Fuzzed] = &[
    ("answer", wire::answer),
    ("body", body),
    ("browser", files::browser),
    ("client", wire::client),
    ("config", files::config),
    ("cookies", cookies),
    ("decode", decode),
    ("import", files::import),
    ("judged", judged::judged),
    ("path", path),
    ("provider", files::provider),
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
