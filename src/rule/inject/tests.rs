mod without;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use http::{Method, Request};
use proptest::prelude::*;

use super::*;
use crate::{
    rule::{UserAgent, matcher::Matcher, sample},
    secret::Secret,
};

fn inject(place: &str, value: &str, mode: Mode) -> Inject {
    let (kind, name) = place.split_once(' ').unwrap();
    Inject {
        place: match kind {
            "header" => Place::Header(name.parse().unwrap()),
            "query" => Place::Query(name.to_owned()),
            _ => Place::Cookie(name.to_owned()),
        },
        value: Template::parse(value).unwrap(),
        mode,
    }
}

fn session(injects: Vec<Inject>) -> Recipe {
    Recipe {
        inject: injects,
        ..sample::recipe("s", &[], &["https://h.example"])
    }
}

fn bound() -> Bound {
    let matcher = Matcher::new(&[Arc::new(session(Vec::new()))]).unwrap();
    let origin = "https://h.example".parse().unwrap();
    let found = matcher.find(None, &origin, &Method::GET, "/", &HeaderMap::new());
    found.bound.unwrap()
}

fn request(target: &str, fields: &[(&'static str, &str)]) -> request::Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// Puts a session with these fields and this jar on a request.
fn put(
    parts: &mut request::Parts,
    recipe: &Recipe,
    jar: Option<&'static str>,
    attempt: Attempt,
) -> Result<Applied, Error> {
    let grant: BTreeMap<String, Secret> = [
        ("token".to_owned(), "T".into()),
        ("odd".to_owned(), "a b&c=d/é".into()),
        ("split".to_owned(), "a\r\nx-evil: 1".into()),
        ("nul".to_owned(), "a\0b".into()),
    ]
    .into();
    let scope = Scope {
        grant: &grant,
        ..Scope::empty(SystemTime::UNIX_EPOCH, [7; 16])
    };
    let ready = prepare(recipe, &scope)?;
    let jar = jar.map(HeaderValue::from_static);
    let params = Params {
        recipe,
        ready: &ready,
        jar: jar.as_ref(),
        attempt,
        standin: None,
        user_agent: recipe
            .user_agent
            .as_ref()
            .and_then(|user_agent| user_agent.of(&Default::default())),
        render: &|template| template.render(&scope),
    };
    apply(parts, &bound(), params)
}

fn lines(parts: &request::Parts) -> Vec<String> {
    let fields = parts.headers.iter();
    fields
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

#[test]
fn modes_of_a_field() {
    use {Applied::*, Attempt::*, Mode::*};
    let none: &[&str] = &[];
    let cases = [
        (Replace, First, none, Sent, &["T"][..]),
        (Replace, First, &["a", "b"], Sent, &["T"]),
        (IfMissing, First, none, Sent, &["T"]),
        (IfMissing, First, &["a", "b"], Nothing, &["a", "b"]),
        (IfPresent, First, none, Nothing, none),
        (IfPresent, First, &["a", "b"], Sent, &["T"]),
        (OnChallenge, First, &["a"], Withheld, &["a"]),
        (OnChallenge, Again, &["a"], Sent, &["T"]),
        (OnChallenge, Again, none, Sent, &["T"]),
    ];
    for (mode, attempt, before, applied, after) in cases {
        let recipe = session(vec![inject("header X-Key", "{{ token }}", mode)]);
        let fields: Vec<_> = before.iter().map(|value| ("X-KEY", *value)).collect();
        let mut parts = request("/", &fields);
        let name = format!("{mode:?} {attempt:?} {before:?}");
        assert_eq!(
            put(&mut parts, &recipe, None, attempt),
            Ok(applied),
            "{name}"
        );
        let got: Vec<_> = parts.headers.get_all("x-key").iter().collect();
        assert_eq!(got, after, "{name}");
        let ours = parts.headers.get("x-key").filter(|value| *value == "T");
        assert!(ours.is_none_or(HeaderValue::is_sensitive), "{name}");
    }
}

#[test]
fn fields_keep_their_order() {
    let recipe = Recipe {
        user_agent: Some(UserAgent::Set(HeaderValue::from_static("Ours/1"))),
        ..session(vec![
            inject("header b", "B", Mode::Replace),
            inject("header e", "E", Mode::Replace),
        ])
    };
    let mut parts = request(
        "/",
        &[
            ("a", "1"),
            ("b", "2"),
            ("user-agent", "x"),
            ("b", "3"),
            ("c", "4"),
            ("d", "5"),
        ],
    );
    put(&mut parts, &recipe, None, Attempt::First).unwrap();
    assert_eq!(
        lines(&parts),
        ["a: 1", "b: B", "user-agent: Ours/1", "c: 4", "d: 5", "e: E"]
    );
    strip(&mut parts, &recipe, None).unwrap();
    assert_eq!(
        lines(&parts),
        ["a: 1", "user-agent: Ours/1", "c: 4", "d: 5"]
    );
}

#[test]
fn parameters_of_a_query() {
    use Mode::*;
    let cases = [
        (Replace, "/p", "/p?key=T"),
        (Replace, "/p?", "/p?key=T"),
        (Replace, "/p?a=%2F+x&&b", "/p?a=%2F+x&&b&key=T"),
        (Replace, "/p?a=1&key=x&b=2&key=y", "/p?a=1&key=T&b=2"),
        (Replace, "/p?k%65y=x&Key=1&key", "/p?key=T&Key=1"),
        (Replace, "/p?xkey=key", "/p?xkey=key&key=T"),
        (IfMissing, "/p?key=x", "/p?key=x"),
        (IfMissing, "/p?a", "/p?a&key=T"),
        (IfPresent, "/p?a", "/p?a"),
        (IfPresent, "/p?key", "/p?key=T"),
        (OnChallenge, "/p?key=x", "/p?key=x"),
    ];
    for (mode, before, after) in cases {
        let recipe = session(vec![inject("query key", "{{ token }}", mode)]);
        let mut parts = request(before, &[]);
        put(&mut parts, &recipe, None, Attempt::First).unwrap();
        assert_eq!(parts.uri, after, "{mode:?} {before}");
    }
}

#[test]
fn a_value_is_encoded_for_its_place() {
    let recipe = session(vec![
        inject("header x-odd", "{{ odd }}", Mode::Replace),
        inject("query odd key", "{{ odd }}", Mode::Replace),
        inject("cookie odd", "{{ odd }}", Mode::Replace),
    ]);
    let mut parts = request("https://h.example/p?odd+key=1&odd%20key=2#", &[]);
    put(&mut parts, &recipe, None, Attempt::First).unwrap();
    assert_eq!(
        parts.uri,
        "https://h.example/p?odd%20key=a%20b%26c%3Dd%2F%C3%A9"
    );
    assert_eq!(lines(&parts), ["x-odd: a b&c=d/é", "cookie: odd=a b&c=d/é"]);
}

#[test]
fn cookies_of_jar_and_client() {
    use Merge::*;
    let none: &[&str] = &[];
    let cases = [
        (Jar, Some("s=1; t=2"), none, Some("s=1; t=2"), true),
        (
            Jar,
            Some("s=1"),
            &["a=b; s=old", "s=older;c"][..],
            Some("s=1; a=b; c"),
            true,
        ),
        (Jar, Some("s=1; s=2"), &["s=old"], Some("s=1; s=2"), true),
        (Jar, Some("s=1"), &["S=x; s =y"], Some("s=1; S=x"), true),
        (Jar, None, &["a=b"], Some("a=b"), false),
        (Jar, None, &["a=b", "c=d"], Some("a=b; c=d"), false),
        (Jar, None, none, None, false),
        (Only, Some("s=1"), &["a=b", "s=2"], Some("s=1"), true),
        (Only, None, &["a=b", "s=2"], None, false),
        (
            Client,
            Some("s=1; t=2"),
            &["s=mine; a=b"],
            Some("s=mine; a=b; t=2"),
            true,
        ),
        (Client, Some("s=1"), &["s=mine"], Some("s=mine"), false),
    ];
    for (merge, jar, client, expected, sent) in cases {
        let mut recipe = session(Vec::new());
        recipe.cookies.merge = merge;
        recipe.cookies.enabled = true;
        let mut fields: Vec<_> = client.iter().map(|value| ("cookie", *value)).collect();
        fields.insert(0, ("x-first", "1"));
        fields.push(("x-last", "2"));
        let mut parts = request("/", &fields);
        let name = format!("{merge:?} {jar:?} {client:?}");
        let applied = put(&mut parts, &recipe, jar, Attempt::First).unwrap();
        let got: Vec<_> = parts.headers.get_all(COOKIE).iter().collect();
        assert_eq!(got, Vec::from_iter(expected), "{name}");
        assert_eq!(applied == Applied::Sent, sent, "{name}");
        let order = lines(&parts);
        assert!(order[0].starts_with("x-first"), "{name}");
        if !client.is_empty() {
            assert!(order[order.len() - 1].starts_with("x-last"), "{name}");
        }
    }
}

#[test]
fn injected_cookies_take_the_place_of_all_of_their_name() {
    use Mode::*;
    let cases = [
        (
            Replace,
            Some("k=jar; s=1"),
            "k=client; a=b",
            "s=1; a=b; k=T",
        ),
        (Replace, None, "a=b", "a=b; k=T"),
        (IfMissing, None, "k=client", "k=client"),
        (IfMissing, None, "a=b", "a=b; k=T"),
        (IfPresent, None, "a=b", "a=b"),
        (IfPresent, None, "k=x; k=y", "k=T"),
    ];
    for (mode, jar, client, expected) in cases {
        let recipe = session(vec![inject("cookie k", "{{ token }}", mode)]);
        let mut parts = request("/", &[("cookie", client)]);
        put(&mut parts, &recipe, jar, Attempt::First).unwrap();
        assert_eq!(parts.headers[COOKIE], expected, "{mode:?} {jar:?} {client}");
        assert!(mode != Replace || parts.headers[COOKIE].is_sensitive());
    }
}

#[test]
fn a_value_that_could_end_its_field_goes_nowhere() {
    for (place, field) in [
        ("header authorization", "split"),
        ("header authorization", "nul"),
        ("cookie k", "split"),
    ] {
        let recipe = session(vec![
            inject("header x-other", "1", Mode::Replace),
            inject(place, &format!("{{{{ {field} }}}}"), Mode::Replace),
        ]);
        let mut parts = request("/", &[]);
        let error = put(&mut parts, &recipe, None, Attempt::First).unwrap_err();
        assert_eq!(error, Error::Character(place.to_owned()));
        assert!(parts.headers.is_empty());
    }
    let recipe = session(vec![inject("cookie k", "a; b=c", Mode::Replace)]);
    let error = put(&mut request("/", &[]), &recipe, None, Attempt::First);
    assert_eq!(error, Err(Error::Character("cookie k".to_owned())));
    // In a query they are encoded.
    let recipe = session(vec![inject("query k", "{{ split }}", Mode::Replace)]);
    let mut parts = request("/", &[]);
    put(&mut parts, &recipe, None, Attempt::First).unwrap();
    assert_eq!(parts.uri, "/?k=a%0D%0Ax-evil%3A%201");
}

#[test]
fn an_error_names_the_place_and_the_field_and_leaves_the_request_alone() {
    let recipe = session(vec![
        inject("query k", "1", Mode::Replace),
        inject("header x-a", "{{ uuid() }}{{ nothing }}", Mode::Replace),
    ]);
    let mut parts = request("/p", &[("a", "b")]);
    let error = put(&mut parts, &recipe, None, Attempt::First).unwrap_err();
    assert_eq!(error.to_string(), "the value for header x-a cannot be made");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "nothing is not defined");
    assert_eq!(
        (parts.uri.to_string().as_str(), lines(&parts).len()),
        ("/p", 1)
    );
}

#[test]
fn what_asks_for_the_time_or_randomness_is_rendered_each_time() {
    let mut recipe = session(vec![
        inject("header x-fixed", "{{ token }}", Mode::Replace),
        inject("header x-id", "{{ uuid() }}", Mode::Replace),
        inject("header x-by-derived", "{{ stamp }}", Mode::Replace),
    ]);
    recipe.derive = vec![("stamp".to_owned(), Template::parse("{{ now() }}").unwrap())];
    let grant = [("token".to_owned(), "T".into())].into();
    let scope = |seconds, random| Scope {
        grant: &grant,
        derive: &recipe.derive,
        ..Scope::empty(
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds),
            [random; 16],
        )
    };
    let ready = prepare(&recipe, &scope(0, 0)).unwrap();
    let send = |seconds, random| {
        let mut parts = request("/", &[]);
        let scope = scope(seconds, random);
        let params = Params {
            recipe: &recipe,
            ready: &ready,
            jar: None,
            attempt: Attempt::First,
            standin: None,
            user_agent: None,
            render: &|template| template.render(&scope),
        };
        apply(&mut parts, &bound(), params).unwrap();
        lines(&parts)
    };
    let (one, two) = (send(1, 1), send(2, 2));
    assert_eq!(one[0], two[0]);
    assert_ne!(one[1], two[1]);
    assert_eq!((&*one[2], &*two[2]), ("x-by-derived: 1", "x-by-derived: 2"));
}

proptest! {
    #[test]
    fn whatever_the_client_sends_ours_is_there_once(
        query in "[a-zA-Z0-9=&%+]{0,40}",
        cookies in proptest::collection::vec("[a-zA-Z0-9=;% ]{0,20}", 0..4),
    ) {
        let recipe = session(vec![
            inject("query key", "T", Mode::Replace),
            inject("cookie k", "T", Mode::Replace),
        ]);
        let fields: Vec<_> = cookies.iter().map(|value| ("cookie", value.as_str())).collect();
        let mut parts = request(&format!("/p?{query}"), &fields);
        prop_assume!(!is_presigned(&parts.uri));
        put(&mut parts, &recipe, Some("s=1"), Attempt::First).unwrap();
        let read = form_urlencoded::parse(parts.uri.query().unwrap().as_bytes());
        let ours: Vec<_> = read.filter(|(name, _)| name == "key").collect();
        prop_assert_eq!(ours, [("key".into(), "T".into())]);
        let cookie = parts.headers[COOKIE].to_str().unwrap();
        let ours: Vec<_> = cookie.split("; ").filter(|c| c.starts_with("k=")).collect();
        prop_assert_eq!(ours, ["k=T"]);
    }
}
