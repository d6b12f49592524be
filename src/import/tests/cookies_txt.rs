//! `cookies.txt`.

use super::*;

fn good(text: &str, domain: &str) -> Material {
    read(Kind::CookiesTxt, text.as_bytes(), &options(domain)).unwrap()
}

#[test]
fn dialects() {
    let end = NOW + 60;
    for (what, text, expected) in [
        (
            "curl",
            format!(
                "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n#HttpOnly_.example.com\tTRUE\t/a\tTRUE\t{end}\tsid\tv\n"
            ),
            "sid=v .example.com /a secure http-only 60",
        ),
        (
            "no header, no newline",
            "www.example.com\tFALSE\t/\tFALSE\t0\tsid\tv".to_owned(),
            "sid=v www.example.com /",
        ),
        (
            "wget",
            format!("# HTTP Cookie File\nexample.com\tTRUE\t/\tFALSE\t{end}\tsid\tv\n"),
            "sid=v .example.com / 60",
        ),
        (
            "CRLF and a byte order mark",
            format!(
                "\u{feff}# Netscape HTTP Cookie File\r\n\r\n.example.com\tTRUE\t/\tTRUE\t{end}\tsid\tv\r\n"
            ),
            "sid=v .example.com / secure 60",
        ),
        (
            "fraction",
            format!(".example.com\tTRUE\t/\tTRUE\t{end}.987\tsid\tv"),
            "sid=v .example.com / secure 60",
        ),
        (
            "milliseconds",
            format!(".example.com\tTRUE\t/\tTRUE\t{end}000\tsid\tv"),
            "sid=v .example.com / secure 60",
        ),
        (
            "empty expiry",
            ".example.com\tTRUE\t/\tTRUE\t\tsid\tv".to_owned(),
            "sid=v .example.com / secure",
        ),
        (
            "negative expiry",
            ".example.com\tTRUE\t/\tTRUE\t-1\tsid\tv".to_owned(),
            "sid=v .example.com / secure",
        ),
        (
            "our own session cookie",
            ".example.com\tTRUE\t/\tTRUE\t2147483647\tsid\tv".to_owned(),
            "sid=v .example.com / secure",
        ),
        (
            "six fields",
            ".example.com\tTRUE\t/\tTRUE\t0\tsid".to_owned(),
            "sid= .example.com / secure",
        ),
        (
            "no path",
            ".example.com\tTRUE\tTRUE\t0\tsid\tv".to_owned(),
            "sid=v .example.com / secure",
        ),
        (
            "tab at the end",
            ".example.com\tTRUE\t/\tTRUE\t0\tsid\tv\t".to_owned(),
            "sid=v .example.com / secure",
        ),
        (
            "no name",
            ".example.com\tTRUE\t/\tTRUE\t0\t\tv".to_owned(),
            "=v .example.com / secure",
        ),
        (
            "case",
            ".Example.COM\ttrue\t/A\tfalse\t0\tSid\tV".to_owned(),
            "Sid=V .example.com /A",
        ),
        (
            "quotes, equals signs and spaces",
            ".example.com\tTRUE\t/\tTRUE\t0\tsid\t\"a b\"==".to_owned(),
            "sid=\"a b\"== .example.com / secure",
        ),
        (
            "address",
            "127.0.0.1\tTRUE\t/\tFALSE\t0\tsid\tv".to_owned(),
            "sid=v 127.0.0.1 /",
        ),
        (
            "lone name",
            "localhost\tTRUE\t/\tFALSE\t0\tsid\tv".to_owned(),
            "sid=v localhost /",
        ),
        (
            "a suffix for itself",
            "github.io\tFALSE\t/\tTRUE\t0\tsid\tv".to_owned(),
            "sid=v github.io / secure",
        ),
    ] {
        let material = good(&text, "");
        assert_eq!(
            (lines(&material), material.warnings.len()),
            (vec![expected.to_owned()], 0),
            "{what}"
        );
    }
}

#[test]
fn values_are_bytes() {
    let material = read(
        Kind::CookiesTxt,
        b"example.com\tFALSE\t/\tTRUE\t0\ts\xff\tv\xfe",
        &options(""),
    );
    let cookie = &material.unwrap().cookies[0];
    assert_eq!(
        (&*cookie.name, cookie.value.expose().as_slice()),
        (&b"s\xff"[..], &b"v\xfe"[..])
    );
}

#[test]
fn spaces_for_tabs_are_told() {
    let material = good(
        "# Netscape HTTP Cookie File\n.example.com  TRUE  /  TRUE  0  a  x y z\n.example.com TRUE / TRUE 0 b\n",
        "",
    );
    assert_eq!(
        lines(&material),
        ["a=x y z .example.com / secure", "b= .example.com / secure"]
    );
    assert_eq!(material.warnings, ["spaces were read as tabs in line 2, 3"]);
}

#[test]
fn what_is_left_out_is_told() {
    let text = format!(
        "example.com\tFALSE\t/\tTRUE\t{}\told\tv\n.example.com\tTRUE\t/\tTRUE\t0\ta\t1\n.example.com\tTRUE\t/\tTRUE\t0\ta\t2\nexample.com\tTRUE\t/\tTRUE\t0\t__Host-b\tv\n",
        NOW - 1
    );
    let material = good(&text, "");
    assert_eq!(
        lines(&material),
        [
            "a=2 .example.com / secure",
            "__Host-b=v example.com / secure"
        ]
    );
    assert_eq!(
        material.warnings,
        [
            "1 cookie that is over was left out",
            "cookie \"a\" is there twice, with two values; one was taken",
            "cookie \"__Host-b\" can only be for the host itself, and is",
        ]
    );
}

#[test]
fn a_domain_picks_its_cookies() {
    let text = [
        "www.example.com\tFALSE",
        ".example.com\tTRUE",
        "example.com\tFALSE",
        "a.www.example.com\tFALSE",
        ".other.example\tTRUE",
        "other.example.com\tFALSE",
    ]
    .iter()
    .enumerate()
    .map(|(n, start)| format!("{start}\t/\tTRUE\t0\tn{n}\tv\n"))
    .collect::<String>();
    let material = good(&text, "www.example.com");
    let names: Vec<_> = material.cookies.iter().map(|c| c.name.as_slice()).collect();
    assert_eq!(names, [b"n0", b"n1", b"n3"]);
    assert_eq!(
        material.warnings,
        ["3 cookies for another host than --domain were left out"]
    );
}

#[test]
fn cookies_keep_their_order() {
    let material = good(
        "example.com\tFALSE\t/\tTRUE\t0\tb\t1\nexample.com\tFALSE\t/\tTRUE\t0\ta\t1\n",
        "",
    );
    let mut jar = crate::jar::Jar::new(options("").bounds);
    for cookie in material.cookies {
        let _ = jar.insert(cookie, at(NOW));
    }
    let sent = jar.cookie_string(&"https://example.com".parse().unwrap(), "/", at(NOW));
    assert_eq!(sent.unwrap().as_bytes(), b"b=1; a=1");
}

#[test]
fn bad_files() {
    let many = "nonsense\n".repeat(10);
    for (text, expected) in [
        ("", "it holds no cookie and no token"),
        (
            "# Netscape HTTP Cookie File\n\n",
            "it holds no cookie and no token",
        ),
        ("\n {\"a\": 1}", "it is JSON"),
        ("[{}]", "it is JSON"),
        ("a\tb", "line 1: 2 fields, not 7"),
        (
            "# c\nexample.com\tYES\t/\tTRUE\t0\ta\tsecret\n\nexample.com\tTRUE\t/\tx\t0\ta\tsecret\n.example.com\tTRUE\t/\tTRUE\tsoon\ta\tsecret",
            "line 2: field 2 is neither TRUE nor FALSE; line 4: field 4 is neither TRUE nor FALSE; line 5: field 5, the expiry, is no number",
        ),
        (
            "example.com\tTRUE\t/\tTRUE\tinf\ta\tv",
            "line 1: field 5, the expiry, is no number",
        ),
        (
            "example.com\tTRUE\t/\tTRUE\t0\ta\tv\tw",
            "line 1: 8 fields, not 7",
        ),
        (
            "co.uk\tTRUE\t/\tTRUE\t0\ta\tv",
            "line 1: its domain is a public suffix",
        ),
        (
            "exa mple\tTRUE\t/\tTRUE\t0\ta\tv",
            "line 1: its domain is none: the host has a character that no host name has",
        ),
        (
            "example.com\tTRUE\t/\tFALSE\t0\t__Secure-a\tv",
            "line 1: the prefix of its name asks for Secure (and `__Host-` for the path `/`)",
        ),
        (
            "example.com\tTRUE\t/\tFALSE\t0\ta\tb;c",
            "line 1: a control character or `;` where none may be, a path without `/`, or neither name nor value",
        ),
        (
            "example.com\tTRUE\t/\tFALSE\t0\ta\tb\0c",
            "line 1: a control character or `;` where none may be, a path without `/`, or neither name nor value",
        ),
        (
            &many,
            "line 1: 1 fields, not 7; line 2: 1 fields, not 7; line 3: 1 fields, not 7; line 4: 1 fields, not 7; line 5: 1 fields, not 7; line 6: 1 fields, not 7; line 7: 1 fields, not 7; line 8: 1 fields, not 7; and 2 more lines",
        ),
        (
            "example.com\tTRUE\t/\tFALSE\t1000\ta\tv",
            "every cookie in it is over or for another host: 1 cookie that is over was left out",
        ),
    ] {
        assert_eq!(refused(Kind::CookiesTxt, text, ""), expected, "{text:?}");
    }
    let long = format!("example.com\tTRUE\t/\tFALSE\t0\ta\t{}", "v".repeat(4096));
    assert_eq!(
        refused(Kind::CookiesTxt, &long, ""),
        "line 1: name and value are longer than limits.cookie_bytes (4096)"
    );
}
