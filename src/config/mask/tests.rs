use super::*;
use crate::config::tree;

/// Returns the text as a message would show it.
fn shown(text: &str) -> String {
    let (root, faults) = tree::parse(text, 0);
    assert!(faults.is_empty(), "{text}: {faults:?}");
    let mut shown = String::new();
    let mut at = 0;
    for range in hidden(text, &root) {
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push('…');
        }
        at = at.max(range.end);
    }
    shown.push_str(&text[at..]);
    shown
}

#[test]
fn only_what_is_known_to_be_harmless_is_shown() {
    let cases = [
        ("[proxy]\nlisten = 'a'", "[proxy]\nlisten = 'a'"),
        ("[proxy]\nlisten = 'a' # b", "[proxy]\nlisten = 'a' …"),
        ("[proxy]\nlisten = 'a#b'", "[proxy]\nlisten = 'a#b'"),
        ("[proxy]\nunknown = 'a'", "[proxy]\nunknown = …"),
        ("[proxy]\npassword = 12345", "[proxy]\npassword = …"),
        ("[x.secrets]\na = 'env:A'", "[x.secrets]\na = 'env:A'"),
        ("[x.secrets]\na = 'cmd:a'", "[x.secrets]\na = …"),
        ("[x.secrets]\na = 'abc'", "[x.secrets]\na = …"),
        (
            "[x.secrets]\na = ['abc', { b = 'c' }]",
            "[x.secrets]\na = […, { b = … }]",
        ),
        ("[x.secrets]\nhost = 'abc'", "[x.secrets]\nhost = …"),
        ("[x.values]\nhost = 'abc'", "[x.values]\nhost = …"),
        ("[store]\nkey = 'abc'", "[store]\nkey = …"),
        (
            "[clients.a]\npassword = 'file:a'",
            "[clients.a]\npassword = 'file:a'",
        ),
        ("url = 'https://a:b@h/p?q=s'", "url = 'https://…@h/p?…'"),
        ("url = 'https://h/p'", "url = 'https://h/p'"),
        ("path = '/p?key=abc'", "path = '/p?…'"),
        ("value = 'Bearer {{ a }}'", "value = 'Bearer {{ a }}'"),
        (
            "value = 'Bearer eyJhbGciOi {{ a }}'",
            "value = 'Bearer … {{ a }}'",
        ),
        (
            "value = \"{{ cookies['sid'] | json('/a') }}\"",
            "value = \"{{ cookies['sid'] | json('/a') }}\"",
        ),
        (
            "value = \"{{ a | hmac('abc') }}\"",
            "value = \"{{ a | hmac('…') }}\"",
        ),
        (
            "[refresh.params]\na = 'abcdefghij'",
            "[refresh.params]\na = '…'",
        ),
        (
            "request = { form = { a = 'abcdefghij' } }",
            "request = { form = { a = '…' } }",
        ),
        ("command = ['a', '--b=c']", "command = […, …]"),
        ("a = \"\"\"\nb\nc\"\"\"", "a = …"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn a_line_that_cannot_be_parsed_is_shown_only_if_all_its_keys_are_harmless() {
    let cases = [
        ("listen = 127.0.0.1:8080", "listen = 127.0.0.1:8080"),
        ("[proxy", "[proxy"),
        ("refresh_token = \"abc", "refresh_token = …"),
        ("listen = \"a\" refresh_token = \"b\"", "listen = …"),
        ("listen = \"a # abc", "listen = …"),
        ("abc", "…"),
        ("[x.secrets] \"abc", "…"),
        ("key = \"abc", "key = …"),
    ];
    for (line, expected) in cases {
        assert_eq!(unparsed(line).0, expected, "{line}");
    }
}

/// What a broken file has in the place of a text need not begin with a quote, nor with a single byte.
#[test]
fn a_broken_text_is_cut_between_characters() {
    for value in [
        "🔒\"x\"",
        "'🔒",
        "\"https://a:b@🔒",
        "🔒?🔒",
        "é://é@é?é",
        "\"",
        "'",
    ] {
        for key in ["url", "path", "value", "unknown"] {
            let text = format!("{key} = {value}");
            let (root, _) = tree::parse(&text, 0);
            for range in hidden(&text, &root) {
                assert!(text.get(range).is_some(), "{text}");
            }
        }
    }
}
