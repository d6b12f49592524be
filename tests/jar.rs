//! The jar against other people's vectors: the http-state working group's and the public suffix list's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use staysigned::{
    jar::{Bounds, Jar, Stored, domain},
    limits::Limits,
    origin::Origin,
};

/// 2010: the suite's cookies expire in 2019 and later, and are over before 2007.
const NOW: u64 = 1_262_304_000;

const NAMELESS: &str =
    "§5.6 step 3: without a name before `=` it is a value without a name, not nothing";
const CONTROL: &str = "§5.6 step 1: a control character refuses the field, it does not end it";
const EMPTY_DOMAIN: &str =
    "§5.7 step 7: the last Domain counts, also when it is empty (the suite calls it optional)";
const DISABLED: &str = "§5.1.4: paths are compared as sent; the suite disables the case";

/// Cases whose expectation is RFC 6265's, or that the suite itself disables, where RFC 6265bis says otherwise: the
/// case, what is sent instead, and why.
#[rustfmt::skip]
const DEVIATIONS: [(&str, &str, &str); 27] = [
    ("0004", "foo", NAMELESS),
    ("0021", "a=b; x; c=d", NAMELESS),
    ("0023", "foo", NAMELESS),
    ("0024", "foo", NAMELESS),
    ("0025", "foo", NAMELESS),
    ("0026", "foo", NAMELESS),
    ("0027", "bar", NAMELESS),
    ("0028", "foo", NAMELESS),
    ("CHROMIUM0009", "BLAHHH", NAMELESS),
    ("CHROMIUM0010", r#""BLA\"HHH""#, NAMELESS),
    ("CHROMIUM0012", "ABC", NAMELESS),
    ("MOZILLA0012", r#"test="fubar! = foo; five"#, NAMELESS),
    ("MOZILLA0014", "six", NAMELESS),
    ("MOZILLA0015", "seven", NAMELESS),
    ("MOZILLA0016", "eight", NAMELESS),
    ("MOZILLA0017", "eight; test=six", NAMELESS),
    ("NAME0017", "a=bar", NAMELESS),
    ("NAME0023", "foo", NAMELESS),
    ("NAME0025", "==a=bar", NAMELESS),
    ("NAME0028", "a", NAMELESS),
    ("NAME0031", r#""foo"#, NAMELESS),
    ("NAME0032", r#""foo\"bar"#, NAMELESS),
    ("NAME0033", "aaa", NAMELESS),
    ("DISABLED_CHROMIUM0022", "", CONTROL),
    ("DISABLED_CHROMIUM0023", "", CONTROL),
    ("DISABLED_PATH0029", "", DISABLED),
    ("OPTIONAL_DOMAIN0042", "foo=bar", EMPTY_DOMAIN),
];

#[derive(Deserialize)]
struct Case {
    test: String,
    received: Vec<String>,
    sent: Vec<Pair>,
    #[serde(rename = "sent-to")]
    sent_to: Option<String>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Dated {
    test: String,
    expected: Option<String>,
}

fn jar() -> Jar {
    Jar::new(Bounds::from(&Limits::default()))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn http_state_parser_cases() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("data/http-state/parser.json")).unwrap();
    assert_eq!(cases.len(), 222);
    let base = "http://home.example.org:8888";
    let (mut deviating, mut wrong) = (0, Vec::new());
    for case in cases {
        let query = case.test.to_lowercase().replace('_', "-");
        let mut jar = jar();
        let origin: Origin = base.parse().unwrap();
        for field in &case.received {
            let path = format!("/cookie-parser?{query}");
            let _ = jar.store(&origin, &path, field.as_bytes(), at(NOW));
        }
        let to = case
            .sent_to
            .unwrap_or_else(|| format!("/cookie-parser-result?{query}"));
        let url = if to.starts_with('/') {
            format!("{base}{to}")
        } else {
            to
        };
        let origin: Origin = url.parse().unwrap();
        let path = &url[url[8..].find('/').unwrap() + 8..];
        let field = jar.cookie_string(&origin, path, at(NOW));
        let sent = field.map_or(String::new(), |f| {
            String::from_utf8(f.as_bytes().to_vec()).unwrap()
        });
        let pairs = case.sent.iter();
        let mut expected = pairs
            .map(|pair| format!("{}={}", pair.name, pair.value))
            .collect::<Vec<_>>()
            .join("; ");
        if let Some((_, ours, why)) = DEVIATIONS.iter().find(|(name, ..)| *name == case.test) {
            assert_ne!(expected, *ours, "{} is no deviation ({why})", case.test);
            expected = (*ours).to_owned();
            deviating += 1;
        }
        if sent != expected {
            let Case { test, received, .. } = case;
            wrong.push(format!(
                "{test}: {received:?} sends {sent:?}, not {expected:?}"
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(deviating, DEVIATIONS.len());
}

#[test]
fn http_state_dates() {
    let plain = include_str!("data/http-state/dates/examples.json");
    let bsd = include_str!("data/http-state/dates/bsd-examples.json");
    // The licence before the array is no JSON.
    let bsd = &bsd[bsd.find('[').unwrap()..];
    let mut cases: Vec<Dated> = serde_json::from_str(plain).unwrap();
    cases.extend(serde_json::from_str::<Vec<Dated>>(bsd).unwrap());
    assert_eq!(cases.len(), 70);
    let origin: Origin = "https://example.org".parse().unwrap();
    for Dated { test, expected } in cases {
        let expected = expected.map(|date| httpdate::parse_http_date(&date).unwrap());
        // A day earlier: nothing is over yet, and no limit of age cuts the date.
        let now = expected.map_or(at(NOW), |end| end - Duration::from_secs(86_400));
        let mut jar = jar();
        let field = format!("x=1; Expires={test}");
        let outcome = jar.store(&origin, "/", field.as_bytes(), now);
        assert!(matches!(outcome.stored, Stored::Changed(_)), "{test}");
        assert_eq!(jar.named("x", now).unwrap().expires, expected, "{test}");
    }
}

#[test]
fn public_suffix_vectors() {
    let script = include_str!("data/psl/test_psl.txt")
        .lines()
        .filter_map(|line| {
            let call = line
                .strip_prefix("checkPublicSuffix(")?
                .strip_suffix(");")?;
            let (host, expected) = call.split_once(", ")?;
            Some((host.trim_matches('\''), expected.trim_matches('\'')))
        });
    let table = include_str!("data/psl/tests.txt")
        .lines()
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split_once(' '));
    let (mut checked, mut null) = (0, 0);
    for (host, expected) in script.chain(table) {
        if host == "null" {
            null += 1;
            continue;
        }
        let host = host.to_lowercase();
        let registrable = domain::registrable(&host).unwrap_or("null");
        assert_eq!(registrable, expected.to_lowercase(), "{host}");
        checked += 1;
    }
    assert_eq!((checked, null), (2 * 77, 2));
}
