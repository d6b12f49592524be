use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn values<'b>(body: &'b str, pointer: &str) -> Result<Vec<&'b str>, NotJson> {
    let found = find(body.as_bytes(), pointer)?;
    Ok(found.values.into_iter().map(|span| &body[span]).collect())
}

#[test]
fn values_where_they_stand() {
    let cases: [(&str, &str, &[&str]); 17] = [
        (r#"{"a":"x"}"#, "/a", &[r#""x""#]),
        (r#"{"a":"x","a":"y"}"#, "/a", &[r#""x""#, r#""y""#]),
        (r#"{"\u0061":"x"}"#, "/a", &[r#""x""#]),
        (" {\n\t\"a\" : \"x\"\r\n} ", "/a", &[r#""x""#]),
        ("\u{feff}{\"a\":1.50e+3}", "/a", &["1.50e+3"]),
        (r#"{"a":{"b":[0,{"c":"x"}]}}"#, "/a/b/1/c", &[r#""x""#]),
        (r#"{"a/b":{"~":1}}"#, "/a~1b/~0", &["1"]),
        (r#"{"":1}"#, "/", &["1"]),
        (r#"{"a":1}"#, "", &[r#"{"a":1}"#]),
        (r#"[1,2]"#, "/1", &["2"]),
        (r#"[1,2]"#, "/01", &[]),
        (r#"[1,2]"#, "/-", &[]),
        (r#"{"1":2}"#, "/1", &["2"]),
        (r#"{"a":"b"}"#, "/b", &[]),
        (r#"{"a":"\"b\":\"c\""}"#, "/b", &[]),
        (r#"{"a":{"a":1},"a":[true,null]}"#, "/a/a", &["1"]),
        (r#"{"a":"\ud800","b":"é"}"#, "/b", &[r#""é""#]),
    ];
    for (body, pointer, expected) in cases {
        assert_eq!(
            values(body, pointer).as_deref(),
            Ok(expected),
            "{body} {pointer}"
        );
    }
}

#[test]
fn what_is_no_json() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for body in [
        "",
        "{",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[1 2]",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        "-",
        "1e",
        "nul",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a",
        "{} {}",
        "a=b",
        &deep,
    ] {
        assert_eq!(values(body, "/a"), Err(NotJson), "{body}");
    }
    assert_eq!(find(b"\"\xff\"", ""), Err(NotJson));
}

#[test]
fn texts_are_read_and_written() {
    for value in ["", "x", "a\"b\\c", "é\u{1f600}\n\u{7f}", "</script>"] {
        let quoted = quote(value);
        assert!(quoted.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(text(quoted.as_bytes()).as_deref(), Some(value));
    }
    assert_eq!(text(b"1"), None);
    assert_eq!(text(b"\"\\ud800\""), None);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab/~\"é]{0,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// All pointers of a value, with what is there.
fn pointers(value: &Value, at: &str, all: &mut Vec<(String, Value)>) {
    all.push((at.to_owned(), value.clone()));
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), all);
            }
        }
        Value::Object(members) => {
            for (key, item) in members {
                let token = key.replace('~', "~0").replace('/', "~1");
                pointers(item, &format!("{at}/{token}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn it_finds_what_serde_finds(value in json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        for (pointer, expected) in all {
            let found = find(text.as_bytes(), &pointer).unwrap();
            prop_assert_eq!(found.values.len(), 1);
            let there: Value = serde_json::from_str(&text[found.values[0].clone()]).unwrap();
            prop_assert_eq!(there, expected);
        }
    }

    #[test]
    fn it_takes_what_serde_takes(text in "[\\[\\]{}\",:0-9a-e\\\\ntrulfs. -]{0,12}") {
        // serde refuses numbers out of range and lone surrogates, which are JSON all the same.
        if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(find(text.as_bytes(), "/a").is_ok());
        }
        if find(text.as_bytes(), "/a").is_err() {
            prop_assert!(serde_json::from_str::<Value>(&text).is_err());
        }
    }
}
