//! The small values of a session: templates, JSON pointers, patterns of text, places in an answer, names of fields.

use regex::bytes::Regex;

use crate::{
    config::{
        nearest::nearest,
        read::{At, Keys, Read},
        tree::{Span, Value},
    },
    rule::{
        Source,
        pointer::Pointer,
        template::{self, Template},
    },
};

/// A template and where it stands: its names are checked when the session is whole.
#[derive(Clone, Debug)]
pub(in crate::config) struct Use {
    pub(super) span: Span,
    pub(super) path: String,
    pub(super) template: Template,
}

/// Reads a table of fields; the order is the file's.
pub(super) fn fields<T>(at: &At<'_>, read: impl Fn(&At<'_>) -> Option<T>) -> Vec<(String, T)> {
    let mut fields = Vec::new();
    for (entry, at) in at.entries().unwrap_or_default() {
        field_name(&at, &entry.key, entry.key_span);
        if let Some(value) = read(&at) {
            fields.push((entry.key.clone(), value));
        }
    }
    fields
}

/// Notes a name that no template could use.
pub(super) fn field_name(at: &At<'_>, name: &str, span: Span) {
    const HINT: &str = "letters, digits and `_`, beginning with a letter: access_token";
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.len() > 64 {
        at.fault_at(span, "not the name of a field", HINT);
    } else if template::RESERVED.contains(&name) {
        at.fault_at(
            span,
            "the name is taken by the language of templates",
            "choose another",
        );
    }
}

/// Reads where a value stands in an answer.
pub(super) fn source(at: &At<'_>) -> Option<Source> {
    const HINT: &str = "{ json = \"/pointer\" }, { header = \"name\" }, { cookie = \"name\" } or { regex = '…(…)…' }";
    at.table(|keys| {
        let json = keys.get("json").map(Source::Json);
        let header = keys.get("header").map(Source::Header);
        let cookie = keys
            .at("cookie")
            .and_then(|at| cookie_name(&at))
            .map(Source::Cookie);
        let regex = keys.at("regex").and_then(|at| {
            let regex: Regex = at.get()?;
            if regex.captures_len() < 2 {
                at.fault(
                    "the pattern has no group",
                    "put what is to be taken into ( )",
                );
                return None;
            }
            Some(Source::Regex(regex))
        });
        one_of(keys, &["json", "header", "cookie", "regex"], HINT);
        json.or(header).or(cookie).or(regex)
    })?
}

/// Notes when not exactly one of the keys is there.
pub(super) fn one_of(keys: &Keys<'_>, names: &[&str], hint: &str) {
    let there: Vec<_> = names.iter().filter(|name| keys.has(name)).collect();
    match there.as_slice() {
        [] => keys
            .at
            .fault(format!("one of {} is needed", names.join(", ")), hint),
        [_] => {}
        [first, second, ..] => {
            keys.fault(second, format!("`{first}` and `{second}` together"), hint);
        }
    }
}

/// Reads the name of a cookie (RFC 6265 §4.1.1).
pub(super) fn cookie_name(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'=' | b';' | b',' | b'"');
    if text.is_empty() || !text.bytes().all(fits) {
        at.fault(
            "not the name of a cookie",
            "without spaces, `=`, `;` and `,`",
        );
        return None;
    }
    Some(text.to_owned())
}

// === impl Read ===

impl Read for Template {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        match Self::parse(text) {
            Ok(template) => {
                at.faults.uses.borrow_mut().push(Use {
                    span: at.node.span,
                    path: at.path.clone(),
                    template: template.clone(),
                });
                Some(template)
            }
            Err(error) => {
                let hint = match &error {
                    template::Error::Filter(name) => {
                        match nearest(name, template::FILTERS.into_iter()) {
                            Some(filter) => format!("did you mean `{filter}`?"),
                            None => format!("filters: {}", template::FILTERS.join(", ")),
                        }
                    }
                    template::Error::Function(_) => {
                        "functions: totp(seed), now(), uuid()".to_owned()
                    }
                    template::Error::Cookie => "cookies['sid']".to_owned(),
                    template::Error::Unclosed => "close it with }}".to_owned(),
                    _ => {
                        "a field and filters: {{ access_token }}, {{ sid | url_decode }}".to_owned()
                    }
                };
                at.fault(format!("not a template: {error}"), hint);
                None
            }
        }
    }
}

impl Read for Pointer {
    fn read(at: &At<'_>) -> Option<Self> {
        at.parse(
            "a JSON pointer",
            "as \"/data/token\"; \"\" is the whole document",
        )
    }
}

impl Read for Regex {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str = "the syntax is that of Rust's regex crate; quote it in '…' so that \\ needs no doubling";
        match Self::new(at.text()?) {
            Ok(regex) => Some(regex),
            Err(error) => {
                at.fault(
                    format!("not a regular expression: {}", reason(&error)),
                    HINT,
                );
                None
            }
        }
    }
}

/// Says what is wrong and where, on one line: the crate draws the pattern with a caret below.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let what = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    let caret = text
        .lines()
        .find(|line| line.contains('^') && line.trim_matches([' ', '^']).is_empty())
        .and_then(|line| line.find('^'))
        .and_then(|at| at.checked_sub(4));
    match (what, caret) {
        (Some(what), Some(at)) => format!("{what}, at character {}", at + 1),
        (Some(what), None) => what.to_owned(),
        (None, _) => "it is too large".to_owned(),
    }
}

/// Reads a plain value: a text, or a number as it would be written.
pub(in crate::config) fn plain(at: &At<'_>) -> Option<String> {
    let text = match &at.node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => return at.mismatch("a string", "put it in quotes"),
    };
    if text.contains(['\r', '\n', '\0']) {
        at.fault(
            "a line end or a NUL inside",
            "no field of a request can carry it",
        );
        return None;
    }
    Some(text)
}
