use std::{borrow::Cow, collections::BTreeMap, time::Duration, time::SystemTime};

use proptest::prelude::*;

use super::*;
use crate::{rule::encoding::percent_encode, secret::Secret};

/// `{"userId":7,"sessionId":"S/+","deep":{"a":[1,2.5,true,null]}}` and its relatives, as sites write them.
const SESSION: &str = r#"{"user_id":7,"token":"T/+","deep":{"z":1,"a":[1,2.5,true,null]}}"#;

struct World {
    values: BTreeMap<String, String>,
    grant: BTreeMap<String, Secret>,
    derive: Vec<(String, Template)>,
}

fn world() -> World {
    let values = [("client_id", "id 1"), ("session", SESSION), ("empty", "")];
    let grant = [
        ("access_token", "Atza|x"),
        // {"exp":1700000000,"sub":"u"}
        ("jwt", "e30.eyJleHAiOjE3MDAwMDAwMDAsInN1YiI6InUifQ.c2ln"),
        ("seed", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
    ];
    let derive = [
        (
            "who",
            "{{ cookies['sid'] | url_decode | base64_decode | json('/user_id') }}",
        ),
        ("twice", "{{ who }}{{ who }}"),
        ("broken", "{{ access_token | base64_decode }}"),
        ("self", "{{ self }}"),
        ("early", "{{ late }}"),
        ("late", "{{ now() }}"),
    ];
    World {
        values: values.map(|(n, v)| (n.into(), v.into())).into(),
        grant: grant.map(|(n, v)| (n.into(), v.into())).into(),
        derive: derive
            .map(|(n, t)| (n.to_owned(), Template::parse(t).unwrap()))
            .into(),
    }
}

fn render(text: &str) -> Result<String, Error> {
    let world = world();
    // %-encoded base64 of SESSION, as a browser keeps it.
    let sid = percent_encode(
        b"eyJ1c2VyX2lkIjo3LCJ0b2tlbiI6IlQvKyIsImRlZXAiOnsieiI6MSwiYSI6WzEsMi41LHRydWUsbnVsbF19fQ==",
    );
    let cookies = move |name: &str| match name {
        "sid" => Some(Cow::Owned(sid.clone().into_bytes())),
        "odd-name" => Some(Cow::Borrowed(&b"odd"[..])),
        "raw" => Some(Cow::Borrowed(&b"\xff\xfe"[..])),
        _ => None,
    };
    let scope = Scope {
        values: &world.values,
        grant: &world.grant,
        derive: &world.derive,
        cookies: &cookies,
        ..Scope::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(59), [0xab; 16])
    };
    Template::parse(text)?.render(&scope)
}

#[test]
fn values() {
    let cases = [
        ("", ""),
        (
            "plain } text }} { with % braces",
            "plain } text }} { with % braces",
        ),
        ("Bearer {{ access_token }}", "Bearer Atza|x"),
        ("{{access_token}}{{ access_token }}", "Atza|xAtza|x"),
        ("a\n{{ client_id }}\n", "a\nid 1\n"),
        ("{{ empty }}", ""),
        ("{{ client_id | url_encode }}", "id%201"),
        ("{{ 'a%20b+c' | url_decode }}", "a b+c"),
        ("{{ client_id | base64_encode }}", "aWQgMQ=="),
        ("{{ client_id | base64url_encode }}", "aWQgMQ"),
        ("{{ 'aWQgMQ' | base64_decode }}", "id 1"),
        ("{{ 'aWQgMQ==' | base64url_decode }}", "id 1"),
        (
            "{{ (client_id ~ ':' ~ access_token) | base64_encode }}",
            "aWQgMTpBdHphfHg=",
        ),
        ("{{ session | json('/user_id') }}", "7"),
        ("{{ session | json('/token') }}", "T/+"),
        (
            "{{ session | json('/deep') }}",
            r#"{"z":1,"a":[1,2.5,true,null]}"#,
        ),
        ("{{ session | json('/deep') | json('/a/1') }}", "2.5"),
        ("{{ session | json('/deep/a/2') }}", "true"),
        ("{{ session | json('/token') | json_encode }}", r#""T/+""#),
        ("{{ session | json('/user_id') | json_encode }}", "7"),
        ("{{ '<a & \"b\">' | json_encode }}", r#""<a & \"b\">""#),
        (
            r#"{"userId":{{ session | json('/user_id') }}}"#,
            r#"{"userId":7}"#,
        ),
        ("{{ jwt | jwt('/exp') }}", "1700000000"),
        ("{{ jwt | jwt('/sub') }}", "u"),
        (
            "{{ 'abc' | sha256 | hex }}",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        // RFC 4231, test case 2.
        (
            "{{ 'what do ya want for nothing?' | hmac('Jefe') | hex }}",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("{{ cookies['odd-name'] }}", "odd"),
        ("{{ cookies.raw | hex }}", "fffe"),
        ("{{ who }}", "7"),
        ("{{ twice }}", "77"),
        ("{{ totp(seed) }}", "287082"),
        ("{{ now() }}", "59"),
        ("{{ uuid() }}", "abababab-abab-4bab-abab-abababababab"),
        ("{{ '}}' }}", "}}"),
    ];
    for (text, expected) in cases {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_template() {
    let word = |word: &str| Error::Word(word.to_owned());
    let cases = [
        ("{{ access_token", Error::Unclosed),
        ("{{ 'a }}", Error::Unclosed),
        ("{% if x %}", Error::Statement("{%")),
        ("a {# b #}", Error::Statement("{#")),
        ("{{ x | upper }}", Error::Filter("upper".into())),
        ("{{ range(3) }}", Error::Function("range".into())),
        ("{{ a if b else c }}", word("`if`")),
        ("{{ a or 'x' }}", word("`or`")),
        ("{{ x is defined }}", word("`is`")),
        ("{{ a + b }}", word("`+`")),
        ("{{- a }}", word("`-`")),
        ("{{ a.b }}", word("`.`")),
        ("{{ {'a': 1} }}", word("`{`")),
        ("{{ [a] }}", word("`[…]` after anything but cookies")),
        ("{{ a['b'] }}", word("`[…]` after anything but cookies")),
        (r"{{ 'a\'b' }}", word(r"`\` in a quoted text")),
        ("{{ cookies }}", Error::Cookie),
        ("{{ cookies[name] }}", Error::Cookie),
        ("{{ }}", Error::Syntax),
        ("{{ a b }}", Error::Syntax),
        ("{{ a | }}", Error::Syntax),
        ("{{ (a }}", Error::Syntax),
    ];
    for (text, error) in cases {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
}

#[test]
fn errors_name_the_step_and_the_field() {
    let cases = [
        ("{{ nothing }}", "nothing is not defined"),
        ("{{ access_token ~ nothing }}", "nothing is not defined"),
        (
            "{{ cookies['nothing'] }}",
            "cookies['nothing'] is not defined",
        ),
        (
            "{{ access_token | base64_decode }}",
            "base64_decode of access_token failed: it is not base64",
        ),
        (
            "{{ access_token | json('/a') }}",
            "json of access_token failed: it is not JSON",
        ),
        (
            "{{ session | json('/nothing') }}",
            "json of session failed: nothing is at its pointer",
        ),
        (
            "{{ session | json('/deep/a/3') }}",
            "json of session failed: nothing is at its pointer",
        ),
        (
            "{{ session | json(7) }}",
            "json of session failed: its pointer is not a text",
        ),
        (
            "{{ access_token | jwt('/exp') }}",
            "jwt of access_token failed: it is no JWT",
        ),
        (
            "{{ totp(access_token) }}",
            "totp of access_token failed: its seed is neither base32 nor an otpauth URI",
        ),
        (
            "{{ client_id | json }}",
            "the expression of client_id failed: a filter or function has the wrong arguments",
        ),
        (
            "{{ access_token | sha256 }}",
            "the result of access_token is not text (hex and base64_encode make text)",
        ),
        (
            "{{ cookies['raw'] }}",
            "the result of cookies['raw'] is not text (hex and base64_encode make text)",
        ),
        ("{{ now }}", "now is not defined"),
        ("{{ broken }}", "the derived field broken has no value"),
        ("{{ self }}", "the derived field self has no value"),
        ("{{ early }}", "the derived field early has no value"),
    ];
    for (text, message) in cases {
        let error = render(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert!(!format!("{error:?}").contains("Atza"), "{text}");
    }
}

#[test]
fn names_and_dynamics() {
    let template =
        Template::parse("{{ a }} {{ a ~ b | hmac(key) | hex }} {{ cookies['x'] }}{{ cookies.y }}")
            .unwrap();
    assert_eq!(template.fields().collect::<Vec<_>>(), ["a", "b", "key"]);
    assert_eq!(template.cookies().collect::<Vec<_>>(), ["x", "y"]);
    assert!(!template.is_dynamic());
    for text in ["{{ now() }}", "a {{ uuid() }}", "{{ totp(seed) }}"] {
        assert!(Template::parse(text).unwrap().is_dynamic(), "{text}");
    }
    let derive = [
        ("a".to_owned(), Template::parse("{{ now() }}").unwrap()),
        ("b".to_owned(), Template::parse("{{ a }}").unwrap()),
    ];
    let b = Template::parse("{{ b }}").unwrap();
    assert!(!b.is_dynamic() && b.is_dynamic_with(&derive));
    assert_eq!(Template::parse("x").unwrap().as_literal(), Some("x"));
    assert_eq!(Template::parse("").unwrap().as_literal(), Some(""));
    assert_eq!(b.as_literal(), None);
}

#[test]
fn templates_go_everywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    anywhere::<Template>();
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*", inside in "[a-z'\"|(),~\\[\\]. {}0-9]*") {
        let _ = render(&text);
        let _ = render(&format!("{{{{{inside}}}}}"));
        let _ = render(&format!("{{{{ '{inside}' | base64_decode | json('/a') }}}}"));
    }
}
