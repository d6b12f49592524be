use http::HeaderValue;

use super::*;
use crate::rule::sample::{bind, capture, recipe, target};

fn matcher(recipes: Vec<Recipe>) -> Matcher {
    let recipes: Vec<Arc<Recipe>> = recipes.into_iter().map(Arc::new).collect();
    Matcher::new(&recipes).unwrap()
}

/// Asks for `METHOD url`, and returns the name of the session it is bound to.
fn bound(matcher: &Matcher, client: Option<&str>, request: &str) -> Option<String> {
    found(matcher, client, request, &HeaderMap::new()).0
}

/// Returns the bound session, those that learn from it, and the one that blocks it.
fn found(
    matcher: &Matcher,
    client: Option<&str>,
    request: &str,
    headers: &HeaderMap,
) -> (Option<String>, Vec<String>, Option<String>) {
    let (method, url) = request.split_once(' ').unwrap();
    let origin: Origin = url.parse().unwrap();
    let after = url.find("://").unwrap() + 3;
    let path = url[after..].find('/').map_or("/", |at| &url[after + at..]);
    let method: Method = method.parse().unwrap();
    let found = matcher.find(client, &origin, &method, path, headers);
    let name = |recipe: usize| matcher.recipe(recipe).name.to_string();
    if let Some(bound) = &found.bound {
        assert_eq!(bound.origin(), &origin);
    }
    (
        found.bound.map(|bound| name(bound.recipe())),
        found.captures.iter().map(|c| name(c.recipe)).collect(),
        found.blocked.map(|blocked| name(blocked.recipe)),
    )
}

#[test]
fn the_most_specific_wins() {
    let matcher = matcher(vec![
        recipe("below", &[], &["https://*.example.com"]),
        recipe("deeper", &[], &["https://*.api.example.com"]),
        recipe("exact", &[], &["https://www.example.com"]),
        recipe("path", &[], &["https://www.example.com/v1/*"]),
        recipe("longer", &[], &["https://www.example.com/v1/items/*"]),
        recipe("post", &[], &["POST https://www.example.com/v1/*"]),
        recipe("port", &[], &["https://www.example.com:8443"]),
        recipe("plain", &[], &["http://127.0.0.1:9000"]),
    ]);
    let cases = [
        ("GET https://example.com/", None),
        ("GET https://a.example.com/", Some("below")),
        ("GET https://a.b.example.com/", Some("below")),
        ("GET https://a.api.example.com/", Some("deeper")),
        ("GET https://api.example.com/", Some("below")),
        ("GET https://www.example.com/", Some("exact")),
        ("GET https://WWW.Example.COM./", Some("exact")),
        (
            "GET https://www.example.com/v1/x?y=/v1/items/1",
            Some("path"),
        ),
        ("GET https://www.example.com/v1/items/1", Some("longer")),
        ("POST https://www.example.com/v1/items/1", Some("longer")),
        ("POST https://www.example.com/v1/x", Some("post")),
        ("GET https://www.example.com:8443/", Some("port")),
        ("GET https://www.example.com:8444/", None),
        ("GET http://www.example.com/", None),
        ("GET http://www.example.com:443/", None),
        ("GET https://evilexample.com/", None),
        ("GET https://www.example.com.evil.test/", None),
        ("GET http://127.0.0.1:9000/", Some("plain")),
        ("GET http://127.0.0.2:9000/", None),
        ("GET https://127.0.0.1:9000/", None),
    ];
    for (request, expected) in cases {
        assert_eq!(
            bound(&matcher, None, request).as_deref(),
            expected,
            "{request}"
        );
    }
}

#[test]
fn a_binding_must_match_both_readings_of_a_path_and_a_block_one() {
    let matcher = matcher(vec![Recipe {
        blocks: vec![target("https://h.example/auth/deregister")],
        ..recipe("s", &[], &["https://h.example/v1/*"])
    }]);
    let cases = [
        ("/v1/x", true, false),
        ("/v1/%2e%2e/admin", false, false),
        ("/v1/../admin", false, false),
        ("/admin/../v1/x", false, false),
        ("/v1/a/../b", true, false),
        ("/%76%31/x", false, false),
        ("/v1%2fx", false, false),
        ("/auth/deregister", false, true),
        ("/auth/deregister?a=b", false, true),
        ("/auth/%64eregister", false, true),
        ("/auth/./deregister", false, true),
        ("/v1/../auth/deregister", false, true),
        ("/auth/deregister/..", false, false),
    ];
    for (path, is_bound, is_blocked) in cases {
        let request = format!("POST https://h.example{path}");
        let (bound, _, blocked) = found(&matcher, None, &request, &HeaderMap::new());
        assert_eq!(
            (bound.is_some(), blocked.is_some()),
            (is_bound, is_blocked),
            "{path}"
        );
    }
}

#[test]
fn clients_have_their_own_sessions() {
    let matcher = matcher(vec![
        recipe("hers", &["alice"], &["https://h.example"]),
        recipe("his", &["bob"], &["https://h.example"]),
        recipe("all", &["*"], &["https://*.example"]),
        recipe("open", &[], &["https://h.example/open/*"]),
    ]);
    let cases = [
        (Some("alice"), "/", Some("hers")),
        (Some("bob"), "/", Some("his")),
        (Some("eve"), "/", Some("all")),
        (None, "/", Some("all")),
        (Some("alice"), "/open/x", Some("open")),
        (None, "/open/x", Some("open")),
    ];
    for (client, path, expected) in cases {
        let got = bound(&matcher, client, &format!("GET https://h.example{path}"));
        assert_eq!(got.as_deref(), expected, "{client:?} {path}");
    }
}

#[test]
fn a_field_tells_two_sessions_apart() {
    let with = |name, when| Recipe {
        bind: vec![bind("https://h.example", when)],
        ..recipe(name, &[], &[])
    };
    let matcher = matcher(vec![
        with("a", Some("x-team=a")),
        with("b", Some("x-team=b")),
        with("other", None),
    ]);
    for (team, expected) in [
        (Some("a"), "a"),
        (Some("b"), "b"),
        (Some("c"), "other"),
        (None, "other"),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(team) = team {
            headers.append("x-team", HeaderValue::from_static("z"));
            headers.append("x-team", HeaderValue::from_static(team));
        }
        let (bound, ..) = found(&matcher, None, "GET https://h.example/", &headers);
        assert_eq!(bound.as_deref(), Some(expected), "{team:?}");
    }
}

#[test]
fn captures_and_blocks_are_found_on_every_level() {
    let matcher = matcher(vec![
        Recipe {
            captures: vec![capture("POST https://auth.example/token")],
            ..recipe("a", &[], &["https://api.example"])
        },
        Recipe {
            captures: vec![capture("POST https://*.example/token")],
            blocks: vec![target("https://*.example/logout")],
            ..recipe("b", &[], &[])
        },
    ]);
    let none = HeaderMap::new();
    let (bound, captures, blocked) =
        found(&matcher, None, "POST https://auth.example/token?x", &none);
    assert_eq!((bound, blocked), (None, None));
    assert_eq!(captures, ["a", "b"]);
    let (_, captures, blocked) = found(&matcher, None, "GET https://auth.example/logout", &none);
    assert_eq!((captures.len(), blocked.as_deref()), (0, Some("b")));
}

#[test]
fn a_host_is_seen_only_if_something_of_this_client_is_there() {
    let matcher = matcher(vec![
        recipe("bound", &["alice"], &["https://bound.example/v1/*"]),
        Recipe {
            captures: vec![capture("https://*.learn.example")],
            blocks: vec![target("https://block.example")],
            ..recipe("rest", &[], &["http://plain.example"])
        },
    ]);
    let cases = [
        (Some("alice"), Scheme::Https, "bound.example", 443, true),
        (Some("bob"), Scheme::Https, "bound.example", 443, false),
        (None, Scheme::Https, "bound.example", 443, false),
        (Some("alice"), Scheme::Https, "bound.example", 444, false),
        (Some("alice"), Scheme::Http, "bound.example", 443, false),
        (None, Scheme::Https, "a.learn.example", 443, true),
        (None, Scheme::Https, "learn.example", 443, false),
        (None, Scheme::Https, "block.example", 443, true),
        (None, Scheme::Http, "plain.example", 80, true),
        (None, Scheme::Https, "plain.example", 80, false),
    ];
    for (client, scheme, host, port, expected) in cases {
        let host = host.parse().unwrap();
        let got = matcher.decides_for(client, scheme, &host, port);
        assert_eq!(got, expected, "{client:?} {scheme} {host} {port}");
        if scheme == Scheme::Https {
            assert_eq!(matcher.decides(client, &host, port), expected);
        }
    }
    let mut hosts: Vec<String> = matcher.hosts().map(|host| host.to_string()).collect();
    hosts.sort();
    assert_eq!(
        hosts,
        [
            "*.learn.example",
            "block.example",
            "bound.example",
            "plain.example"
        ]
    );
}

#[test]
fn equal_claims_of_one_client_are_a_conflict() {
    let cases: [(Recipe, Recipe, bool); 11] = {
        let one = |name, text| recipe(name, &[], &[text]);
        let of = |name, client, text| recipe(name, &[client], &[text]);
        let when = |name, when| Recipe {
            bind: vec![bind("https://h.example", Some(when))],
            ..recipe(name, &[], &[])
        };
        [
            (
                one("a", "https://h.example"),
                one("b", "https://h.example"),
                true,
            ),
            (
                one("a", "https://*.h.example"),
                one("b", "https://*.h.example"),
                true,
            ),
            (
                one("a", "https://h.example"),
                one("b", "https://h.example:444"),
                false,
            ),
            (
                one("a", "https://h.example/a/*"),
                one("b", "https://h.example/b/*"),
                false,
            ),
            (
                one("a", "https://h.example/a/*"),
                one("b", "https://h.example/*/a"),
                true,
            ),
            (
                one("a", "GET https://h.example"),
                one("b", "POST https://h.example"),
                false,
            ),
            (
                one("a", "GET,PUT https://h.example"),
                one("b", "POST,PUT https://h.example"),
                true,
            ),
            (
                of("a", "x", "https://h.example"),
                of("b", "y", "https://h.example"),
                false,
            ),
            (
                of("a", "x", "https://h.example"),
                one("b", "https://h.example"),
                true,
            ),
            (when("a", "x-team=a"), when("b", "x-team=b"), false),
            (when("a", "x-team=a"), when("b", "x-user=a"), true),
        ]
    };
    for (a, b, expected) in cases {
        let name = format!("{:?} {:?}", a.bind, b.bind);
        let got = Matcher::new(&[Arc::new(a), Arc::new(b)]);
        let Err(conflict) = got else {
            assert!(!expected, "{name}");
            continue;
        };
        assert!(expected, "{name}");
        assert_eq!((&*conflict.first, &*conflict.second), ("a", "b"));
    }
    let conflict = Matcher::new(&[
        Arc::new(recipe("a", &[], &["https://h.example/v1/*"])),
        Arc::new(recipe("b", &[], &["https://h.example/v1/*"])),
    ]);
    assert_eq!(
        conflict.unwrap_err().to_string(),
        "sessions a and b are bound to https://h.example:443/v1/* equally specifically"
    );
}

/// Whichever of two sessions is every client's.
#[test]
fn a_conflict_names_the_later_sessions_binding() {
    for clients in [["alice", "*"], ["*", "alice"]] {
        let [a, b] = clients.map(|client| [client]);
        let recipes = [
            recipe("a", &a, &["https://g.example", "https://h.example/a*"]),
            recipe("b", &b, &["https://h.example/*a"]),
        ];
        let conflicts = Matcher::check(&recipes.map(Arc::new));
        let told: Vec<_> = conflicts.iter().map(|c| (&*c.bind, c.at)).collect();
        assert_eq!(told, [("https://h.example:443/*a", (1, 0))], "{clients:?}");
    }
}

/// However the clients lie in memory.
#[test]
fn conflicts_are_the_same_each_time() {
    let told = || {
        let recipes = [
            recipe("a", &["alice"], &["https://h.example"]),
            recipe("b", &["alice", "bob"], &["https://h.example"]),
            recipe("c", &["bob"], &["https://h.example"]),
        ];
        let conflicts = Matcher::check(&recipes.map(Arc::new));
        conflicts.iter().map(|c| c.at).collect::<Vec<_>>()
    };
    // What alice's list has refused is compared with nothing in bob's.
    assert!((0..20).all(|_| told() == [(1, 0)]));
}

#[test]
fn ten_thousand_that_want_the_same_are_no_square() {
    let same = |n| Arc::new(recipe(&format!("s{n}"), &[], &["https://h.example/v1/*"]));
    let recipes: Vec<_> = (0..10_000).map(same).collect();
    let conflicts = Matcher::check(&recipes);
    assert_eq!(conflicts.len(), 9_999);
    assert!(conflicts.iter().all(|c| &*c.first == "s0"));
    assert!(Matcher::new(&recipes).is_err());
}

#[test]
fn one_sessions_own_equals_are_no_conflict() {
    let both = ["https://h.example/a*", "https://h.example/*a"];
    let matcher = matcher(vec![recipe("a", &[], &both)]);
    assert_eq!(
        bound(&matcher, None, "GET https://h.example/a").as_deref(),
        Some("a")
    );
}

#[test]
fn ten_thousand_sessions_are_no_square() {
    let names: Vec<String> = (0..10_000).map(|n| format!("c{n}")).collect();
    let one_host = names
        .iter()
        .map(|name| recipe(name, &[name], &["https://h.example"]));
    let many_hosts = names.iter().map(|name| {
        let host = format!("https://*.{name}.example/v1/*");
        recipe(&format!("host-{name}"), &[], &[&host])
    });
    let matcher = matcher(one_host.chain(many_hosts).collect());
    let got = bound(&matcher, Some("c9999"), "GET https://h.example/");
    assert_eq!(got.as_deref(), Some("c9999"));
    let got = bound(&matcher, None, "GET https://a.c77.example/v1/x");
    assert_eq!(got.as_deref(), Some("host-c77"));
}
