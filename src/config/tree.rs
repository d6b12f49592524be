//! The file as written: a tree in which every key and every value knows its place.
//!
//! Not serde's derived structs, which stop at the first fault and cannot be merged with their places kept: all
//! faults of a file are reported at once, and what a session takes from its provider file points into that file.

use toml::de::{DeTable, DeValue};

/// A range of bytes in one of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Clamped to what fits: no key takes a number that large.
    Integer(i128),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

/// A fault of the TOML itself.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) message: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Parses a whole file; with any fault of syntax the tree is not to be used.
pub(super) fn parse(text: &str, file: usize) -> (Node, Vec<Syntax>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let faults = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            Syntax {
                message: error.message().to_owned(),
                start: span.start,
                end: span.end,
            }
        })
        .collect();
    let span = Span {
        file,
        start: 0,
        end: 0,
    };
    let value = Value::Table(table(root.get_ref(), file));
    (Node { span, value }, faults)
}

fn table(table: &DeTable<'_>, file: usize) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: place(file, key.span()),
            node: node(value.get_ref(), place(file, value.span())),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Table(entries)
}

fn node(value: &DeValue<'_>, span: Span) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Integer(
            i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX),
        ),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node(item.get_ref(), place(span.file, item.span())))
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, span.file)),
    };
    Node { span, value }
}

fn place(file: usize, range: std::ops::Range<usize>) -> Span {
    Span {
        file,
        start: range.start,
        end: range.end,
    }
}

// === impl Value ===

impl Value {
    pub(super) fn is_text(&self, word: &str) -> bool {
        matches!(self, Self::Text(text) if text == word)
    }

    /// Returns what a message calls a value of this type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Returns the value as JSON; a date has none.
    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Integer(number) => Json::from(i64::try_from(*number).ok()?),
            Self::Float(number) => Json::from(*number),
            Self::Bool(yes) => Json::from(*yes),
            Self::Date => return None,
            Self::List(items) => Json::Array(
                items
                    .iter()
                    .map(|item| item.value.to_json())
                    .collect::<Option<_>>()?,
            ),
            Self::Table(table) => Json::Object(
                table
                    .0
                    .iter()
                    .map(|e| Some((e.key.clone(), e.node.value.to_json()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

// === impl Table ===

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.0.iter().position(|entry| entry.key == key)?;
        Some(self.0.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place() {
        let text = "[a.b]\nx = [1, { y = \"z\" }]\n[[c]]\n";
        let (root, faults) = parse(text, 3);
        assert!(faults.is_empty());
        let Value::Table(root) = root.value else {
            panic!("the root is a table")
        };
        let mut seen = Vec::new();
        fn walk(table: &Table, text: &str, seen: &mut Vec<String>) {
            for entry in &table.0 {
                let at = |s: Span| text[s.start..s.end].to_owned();
                seen.push(format!("{}={}", at(entry.key_span), at(entry.node.span)));
                if let Value::Table(inner) = &entry.node.value {
                    walk(inner, text, seen);
                }
            }
        }
        walk(&root, text, &mut seen);
        assert_eq!(seen, ["a=a", "b=[a.b]", "x=[1, { y = \"z\" }]", "c=[[c]]"]);
    }

    #[test]
    fn all_faults_of_syntax_are_found() {
        let (_, faults) = parse("a = \nb = 1\nb = 2\nc = \"x\n", 0);
        assert!(faults.len() >= 3, "{faults:?}");
    }
}
