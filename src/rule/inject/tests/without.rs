//! Requests that go without the credential: presigned ones, and those of a dead session.

use super::*;

#[test]
fn presigned_requests_are_left_alone() {
    let cases = [
        ("/o?X-Amz-Signature=a", true),
        ("/o?x=1&x-goog-signature=a", true),
        ("/o?X-Oss-Signature=a", true),
        ("/o?sv=1&sig=a", true),
        ("/o?Signature=a&Key-Pair-Id=b", true),
        ("/o?Expires=1&Signature=a&AWSAccessKeyId=k", true),
        ("/o?Signature=a", false),
        ("/o?design=1&q=sig", false),
        ("/o?é=1&-signature=1", false),
        ("/o", false),
    ];
    for (target, presigned) in cases {
        let mut recipe = session(vec![inject("header authorization", "x", Mode::Replace)]);
        recipe.cookies.merge = Merge::Only;
        recipe.cookies.enabled = true;
        let fields = [("authorization", "mine"), ("cookie", "a=b")];
        let mut parts = request(target, &fields);
        let applied = put(&mut parts, &recipe, Some("s=1"), Attempt::First).unwrap();
        assert_eq!(applied == Applied::Presigned, presigned, "{target}");
        assert_eq!(
            lines(&parts)[0] == "authorization: mine",
            presigned,
            "{target}"
        );
        recipe.presigned = Presigned::Inject;
        let mut parts = request(target, &fields);
        let applied = put(&mut parts, &recipe, Some("s=1"), Attempt::First).unwrap();
        assert_eq!(applied, Applied::Sent, "{target}");
        recipe.presigned = Presigned::Skip;
        let mut parts = request(target, &fields);
        strip(&mut parts, &recipe, None).unwrap();
        assert_eq!(
            parts.headers.len(),
            if presigned { 2 } else { 0 },
            "{target}"
        );
    }
}

#[test]
fn a_dead_session_takes_what_it_would_replace_and_nothing_else() {
    let mut recipe = session(vec![
        inject("header authorization", "{{ token }}", Mode::Replace),
        inject("header x-mine", "{{ token }}", Mode::IfMissing),
        inject("header x-late", "{{ token }}", Mode::OnChallenge),
        inject("query key", "{{ token }}", Mode::Replace),
        inject("query other", "{{ token }}", Mode::IfPresent),
        inject("cookie k", "{{ token }}", Mode::Replace),
    ]);
    let fields = [
        ("a", "1"),
        ("authorization", "x"),
        ("Authorization", "y"),
        ("x-mine", "m"),
        ("cookie", "k=1; c=2"),
        ("cookie", "k=3"),
        ("x-late", "l"),
    ];
    let mut parts = request("/p?key=1&other=2&key=3", &fields);
    strip(&mut parts, &recipe, None).unwrap();
    assert_eq!(parts.uri, "/p?other=2");
    assert_eq!(
        lines(&parts),
        ["a: 1", "x-mine: m", "cookie: c=2", "x-late: l"]
    );
    let mut parts = request("/p?key=1", &[("cookie", "k=1")]);
    strip(&mut parts, &recipe, None).unwrap();
    assert_eq!(
        (parts.uri.to_string().as_str(), lines(&parts).len()),
        ("/p", 0)
    );
    recipe.cookies.enabled = true;
    recipe.cookies.merge = Merge::Only;
    let mut parts = request("/p", &fields);
    strip(&mut parts, &recipe, None).unwrap();
    assert_eq!(lines(&parts), ["a: 1", "x-mine: m", "x-late: l"]);
}
