//! Command lines as browsers copy them.

use super::*;

fn good(text: &str) -> Material {
    read(Kind::Curl, text.as_bytes(), &options("")).unwrap()
}

#[test]
fn dialects() {
    let expected = ["sid=a'b example.com / secure", "t=1 example.com / secure"];
    for text in [
        // Chrome and Edge, for bash.
        "curl 'https://example.com/api?x=1' \\\n  -H 'accept: */*' \\\n  -b 'sid=a'\\''b; t=1' \\\n  -H 'user-agent: X' \\\n  --data-raw '{\"b\":2}' \\\n  --compressed",
        "curl 'https://example.com/' \\\r\n  -b $'sid=a\\'b; t=1'\r\n",
        "curl 'https://example.com/' -b $'sid=a\\u0027b; t=\\x31' --insecure",
        "curl 'https://example.com/' -b $'sid=a\\47b; t=1'",
        // For cmd.
        "curl ^\"https://example.com/api^\" ^\r\n  -H ^\"accept: */*^\" ^\r\n  -b ^\"sid=a'b; t=1^\" ^\r\n  --data-raw ^\"^{^\\^\"b^\\^\":2^}^\"",
        // Firefox and Safari.
        "curl 'https://example.com/api' --compressed -X POST -H 'Cookie: sid=a'\"'\"'b; t=1' -H 'DNT: 1'",
        "curl -sSLb \"sid=a'b; t=1\" -o out -XPOST --url https://example.com:8443/x",
        "/usr/bin/curl --cookie=sid=a\\'b\\;\\ t=1 https://user:pass@EXAMPLE.com",
        "curl.exe --max-time 5 -H \"cookie: sid=a'b\" -H 'Cookie: t=1' example.com -d 'x=1'",
        "\u{feff}curl https://example.com/ -A 'a b' -e https://other.test/ -b \"sid=a'b;t=1\"",
    ] {
        assert_eq!(lines(&good(text)), expected, "{text}");
    }
    let parent = read(
        Kind::Curl,
        b"curl https://www.example.com/ -b a=b",
        &options("example.com"),
    );
    assert_eq!(lines(&parent.unwrap()), ["a=b .example.com / secure"]);
}

#[test]
fn tokens() {
    for text in [
        "curl https://a.test/ -H 'Authorization: Bearer abc'",
        "curl https://a.test/ --oauth2-bearer abc",
        "curl -H 'authorization:bearer abc' a.test",
    ] {
        assert_eq!(fields(&good(text)), [("access_token", "abc")], "{text}");
    }
    let both = good("curl https://a.test/ -b s=1 -H 'Authorization: Basic eDp5' -u me:hunter2");
    assert_eq!(lines(&both), ["s=1 a.test / secure"]);
    assert_eq!(
        both.warnings,
        [
            "left out: its Authorization, which is no Bearer",
            "left out: the user and password of -u (take them as `secrets`)"
        ]
    );
}

#[test]
fn what_is_none() {
    for (text, says) in [
        ("", "it holds no cookie and no token"),
        ("curl", "it does not say where its cookies belong"),
        (
            "wget https://a.test/",
            "it is not in the shape that was expected",
        ),
        (
            "curl https://a.test/ -H 'accept: */*'",
            "it holds no cookie and no token",
        ),
        (
            "curl https://a.test/ -b 'hunter2=",
            "the command: a quote is not closed: it may be cut off",
        ),
        (
            "curl https://a.test/ -b $'hunter2=\\",
            "the command: a quote is not closed: it may be cut off",
        ),
        (
            "curl https://a.test/ -b \"hunter2=",
            "the command: a quote is not closed: it may be cut off",
        ),
        (
            "curl https://a.test/ -b",
            "its last option: its value is missing",
        ),
        (
            "curl https://a.test/ -b cookies.txt",
            "-b: it names a file: import that one, with --from cookies-txt",
        ),
        (
            "curl 'https://a b/' -b a=b",
            "its URL: the host has a character that no host name has",
        ),
        (
            "curl https://a.test/ -b $'a=hun\\nter2'",
            "its cookies: cookie \"a\": a control character or `;` where none may be, a path without `/`, or neither name nor value",
        ),
        (
            "curl https://a.test/ --oauth2-bearer $'hun\\rter2'",
            "its token: it has a control character",
        ),
    ] {
        assert_eq!(refused(Kind::Curl, text, ""), says, "{text}");
    }
}
