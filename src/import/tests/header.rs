//! Fields of a request.

use super::*;

fn good(text: &str) -> Material {
    read(Kind::Header, text.as_bytes(), &options("example.com")).unwrap()
}

#[test]
fn cookies() {
    let both = ["a=b .example.com / secure", "c=d=e .example.com / secure"];
    for text in [
        "Cookie: a=b; c=d=e",
        "cookie:a=b;c=d=e\r\n",
        "a=b; c=d=e",
        "\u{feff}a = b ; c = d=e;\n",
        "Cookie: a=b\nCookie: c=d=e\n",
    ] {
        let material = good(text);
        assert_eq!(
            (lines(&material), material.warnings.len()),
            (both.map(str::to_owned).to_vec(), 0),
            "{text:?}"
        );
    }
    for (text, expected) in [
        ("a:b=c", "a:b=c .example.com / secure"),
        ("nameless", "=nameless .example.com / secure"),
        ("__Host-a=b", "__Host-a=b example.com / secure"),
        (
            "Set-Cookie: a=b; Path=/x; HttpOnly; Max-Age=60.5",
            "a=b example.com /x http-only 60",
        ),
        (
            "set-cookie: a=1; Domain=example.com\nset-cookie: a=2; Domain=.example.com",
            "a=2 .example.com /",
        ),
    ] {
        assert_eq!(lines(&good(text)), [expected], "{text}");
    }
}

#[test]
fn of_two_cookies_the_first_is_the_nearer_one() {
    let material = good("sid=new; sid=old");
    assert_eq!(lines(&material), ["sid=new .example.com / secure"]);
    assert_eq!(
        material.warnings,
        ["cookie \"sid\" is there twice, with two values; one was taken"]
    );
}

#[test]
fn tokens() {
    for text in [
        "Authorization: Bearer a.b-c",
        "authorization:bearer a.b-c\r\n",
        "Bearer a.b-c",
    ] {
        let material = read(Kind::Header, text.as_bytes(), &options("")).unwrap();
        assert_eq!(fields(&material), [("access_token", "a.b-c")], "{text}");
    }
}

#[test]
fn a_whole_head() {
    let material = good(
        "GET /me HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nCookie: a=b\r\nAuthorization: Bearer t\r\n\r\n",
    );
    assert_eq!(lines(&material), ["a=b .example.com / secure"]);
    assert_eq!(fields(&material), [("access_token", "t")]);
    assert_eq!(
        material.warnings,
        ["left out: the first line, Host, Accept"]
    );
}

#[test]
fn bad_texts() {
    for (text, domain, expected) in [
        ("", "", "it holds no cookie and no token"),
        ("Cookie:", "example.com", "it holds no cookie and no token"),
        (
            "Host: example.com",
            "",
            "it is not in the shape that was expected",
        ),
        ("a=b", "", "it does not say where its cookies belong"),
        (
            "Set-Cookie: a=b",
            "",
            "it does not say where its cookies belong",
        ),
        (
            "Authorization: Basic dTpw",
            "",
            "line 1: its scheme is not Bearer; take user and password as `secrets`",
        ),
        ("\nBearer a\x07b", "", "line 2: it has a control character"),
        (
            "a=b\x07",
            "example.com",
            "line 1: cookie \"a\": a control character or `;` where none may be, a path without `/`, or neither name nor value",
        ),
        (
            "Set-Cookie: a=b; Domain=other.example",
            "example.com",
            "line 1: its domain is not the host's",
        ),
    ] {
        assert_eq!(refused(Kind::Header, text, domain), expected, "{text:?}");
    }
    let error = read(Kind::Header, b"a=b", &options("")).unwrap_err();
    assert!(error.hint().unwrap().contains("--domain"));
}
