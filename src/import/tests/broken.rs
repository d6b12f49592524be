//! What can be wrong with a file of any kind: cut off anywhere, a byte flipped, another kind, marks and line ends of
//! Windows. There is one error that says what to do, or the whole material; never a part of it.

use super::*;

/// A kind, a good file of it, and the domain that it needs.
fn good() -> Vec<(Kind, String, &'static str)> {
    let header = "# Netscape HTTP Cookie File";
    vec![
        (
            Kind::CookiesTxt,
            format!("{header}\n.a.test\tTRUE\t/\tTRUE\t0\tsid\tone\na.test\tFALSE\t/\tTRUE\t0\tt\ttwo\n"),
            "",
        ),
        (
            Kind::Json,
            "[{\"domain\":\"a.test\",\"name\":\"sid\",\"value\":\"one\"},\n{\"domain\":\"a.test\",\"name\":\"t\",\"value\":\"two\"}]".to_owned(),
            "",
        ),
        (
            Kind::StorageState,
            "{\"cookies\":[{\"domain\":\"a.test\",\"path\":\"/\",\"name\":\"sid\",\"value\":\"one\"},\n{\"domain\":\"a.test\",\"path\":\"/\",\"name\":\"t\",\"value\":\"two\"}],\"origins\":[]}".to_owned(),
            "",
        ),
        (Kind::Header, "Cookie: sid=one; t=two\nAccept: */*\n".to_owned(), "a.test"),
        (Kind::Curl, "curl 'https://a.test/' \\\n  -b 'sid=one; t=two'\n".to_owned(), ""),
        (
            Kind::Har,
            "{\"log\":{\"entries\":[{\"request\":{\"url\":\"https://a.test/\",\"headers\":[\n{\"name\":\"Cookie\",\"value\":\"sid=one; t=two\"}]}}]}}".to_owned(),
            "",
        ),
    ]
}

fn values(material: &Material) -> Vec<String> {
    let value = |cookie: &Cookie| String::from_utf8_lossy(cookie.value.expose()).into_owned();
    material.cookies.iter().map(value).collect()
}

#[test]
fn marks_and_line_ends_of_windows() {
    for (kind, text, domain) in good() {
        for text in [
            text.clone(),
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{}\r\n\r\n", text.replace('\n', "\r\n")),
        ] {
            let material = read(kind, text.as_bytes(), &options(domain)).unwrap();
            assert_eq!(values(&material), ["one", "two"], "{kind:?}: {text:?}");
        }
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let wide = [&b"\xff\xfe"[..], &wide].concat();
        assert_eq!(
            read(kind, &wide, &options(domain)),
            Err(Error::Encoding),
            "{kind:?}"
        );
    }
}

/// JSON that is cut off is none; of lines that are cut off the last one may still be a line.
#[test]
fn cut_off_anywhere() {
    for (kind, text, domain) in good() {
        let json = matches!(kind, Kind::Json | Kind::StorageState | Kind::Har);
        for end in 0..text.trim_end().len() {
            match read(kind, &text.as_bytes()[..end], &options(domain)) {
                Ok(material) => assert!(!json, "{kind:?} at {end}: {material:?}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!said.contains("one") || !said.contains("two"), "{said}");
                    let has_place = matches!(error, Error::Entry { .. });
                    assert!(
                        has_place || error.hint().is_some(),
                        "{kind:?} at {end}: {said}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_file_of_another_kind() {
    for (kind, _, _) in good() {
        for (other, text, domain) in good() {
            let cookies = matches!(kind, Kind::Json | Kind::StorageState)
                && matches!(other, Kind::Json | Kind::StorageState);
            // A header may be any text with `=`: what it is not is said where it can be known.
            if kind == other || kind == Kind::Header || cookies {
                continue;
            }
            let error = match read(kind, text.as_bytes(), &options(domain)) {
                Err(error) => error,
                Ok(material) => panic!("{kind:?} of {other:?}: {material:?}"),
            };
            assert!(!error.to_string().is_empty());
        }
    }
}
