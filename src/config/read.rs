//! Reads typed values out of the tree; what does not fit is noted and reading goes on, so that one run names
//! every fault. A key that nobody asked for is unknown.

use std::{cell::RefCell, collections::BTreeSet, fmt, str::FromStr};

use super::{
    diagnose::Faults,
    nearest::nearest,
    tree::{Entry, Node, Span, Table, Value},
    unsupported,
};

/// A value, the way to it, and where faults go.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) faults: &'a Faults,
    pub(super) node: &'a Node,
    /// As shown: `session.app.bind[0].host`.
    pub(super) path: String,
    /// As in tables of keys: `session.*.bind[].host`.
    pub(super) pattern: String,
}

/// A table while it is read.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub(super) at: At<'a>,
    table: &'a Table,
    asked: RefCell<Vec<&'static str>>,
}

/// A type that can be read from one value.
pub(super) trait Read: Sized {
    fn read(at: &At<'_>) -> Option<Self>;
}

// === impl At ===

impl<'a> At<'a> {
    /// Notes that this value is wrong.
    pub(super) fn fault(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.error(self.node.span, &self.path, message, hint);
    }

    /// Notes that something else at this key is wrong, as its name.
    pub(super) fn fault_at(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.error(span, &self.path, message, hint);
    }

    /// Notes that the value of a key of this table is wrong.
    pub(super) fn table_fault(&self, key: &str, message: &str, hint: &str) {
        if let Value::Table(table) = &self.node.value
            && let Some(entry) = table.get(key)
        {
            self.below(entry, key).fault(message, hint);
        }
    }

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    pub(super) fn get<T: Read>(&self) -> Option<T> {
        T::read(self)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.mismatch("a string", "put it in quotes"),
        }
    }

    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            return self.mismatch("a list", "put it in brackets: [ … ]");
        };
        Some(self.items(items))
    }

    /// Returns the values of a list, or the value itself when it is none.
    pub(super) fn one_or_many(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) => self.items(items),
            _ => vec![self.clone()],
        }
    }

    /// Returns the entries of a table whose keys are names of the user's choice.
    pub(super) fn entries(&self) -> Option<Vec<(&'a Entry, Self)>> {
        let Value::Table(table) = &self.node.value else {
            return self.mismatch("a table", "write it as { key = value } or under a [header]");
        };
        let entry = |entry: &'a Entry| (entry, self.below(entry, "*"));
        Some(table.0.iter().map(entry).collect())
    }

    /// Reads a table with known keys; keys that `read` did not ask for are noted.
    pub(super) fn table<T>(&self, read: impl FnOnce(&Keys<'a>) -> T) -> Option<T> {
        let Value::Table(table) = &self.node.value else {
            return self.mismatch("a table", "write it as { key = value } or under a [header]");
        };
        let keys = Keys {
            at: self.clone(),
            table,
            asked: RefCell::default(),
        };
        let result = read(&keys);
        keys.finish();
        Some(result)
    }

    /// Parses the text; `hint` says how one is written.
    pub(super) fn parse<T>(&self, what: &str, hint: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(format!("not {what}: {error}"), hint);
                None
            }
        }
    }

    /// Takes one of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if let Some(hint) = unsupported::value(&self.pattern, text) {
            self.fault(format!("`{text}` is not supported yet"), hint);
            return None;
        }
        let all: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => "write one of them, in quotes".to_owned(),
        };
        let all = match all.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => all.concat(),
        };
        self.fault(format!("expected {all}"), hint);
        None
    }

    /// Takes a whole number within bounds.
    pub(super) fn number(&self, least: u64, most: u64) -> Option<u64> {
        let Value::Integer(number) = self.node.value else {
            return self.mismatch("a whole number", "write it without quotes");
        };
        let fits = u64::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let hint = match most {
                u64::MAX => format!("at least {least}"),
                _ => format!("from {least} to {most}"),
            };
            self.fault("the number is out of range", hint);
        }
        fits
    }

    pub(super) fn mismatch<T>(&self, expected: &str, hint: &str) -> Option<T> {
        let found = self.node.value.kind();
        self.fault(format!("expected {expected}, found {found}"), hint);
        None
    }

    pub(super) fn below(&self, entry: &'a Entry, pattern: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let bare = !entry.key.is_empty()
            && entry
                .key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let name = if bare {
            entry.key.clone()
        } else {
            format!("{:?}", entry.key)
        };
        Self {
            faults: self.faults,
            node: &entry.node,
            path: format!("{}{dot}{name}", self.path),
            pattern: format!("{}{dot}{pattern}", self.pattern),
        }
    }

    fn items(&self, items: &'a [Node]) -> Vec<Self> {
        let item = |(n, node): (usize, &'a Node)| Self {
            faults: self.faults,
            node,
            path: format!("{}[{n}]", self.path),
            pattern: format!("{}[]", self.pattern),
        };
        items.iter().enumerate().map(item).collect()
    }
}

// === impl Keys ===

impl<'a> Keys<'a> {
    /// Returns the value of a key, if it is there.
    pub(super) fn at(&self, key: &'static str) -> Option<At<'a>> {
        self.asked.borrow_mut().push(key);
        let dot = if self.at.pattern.is_empty() { "" } else { "." };
        let pattern = format!("{}{dot}{key}", self.at.pattern);
        let faults = self.at.faults;
        if let Some(unsupported) = unsupported::find(&pattern) {
            let entry = self.table.get(key)?;
            let below = self.at.below(entry, key);
            let message = format!("`{key}` is not supported yet");
            faults.error(entry.key_span, &below.path, message, unsupported.hint);
            return None;
        }
        faults.asked.borrow_mut().insert(pattern.clone());
        let entry = self.table.get(key)?;
        faults.found.borrow_mut().insert(pattern);
        Some(self.at.below(entry, key))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    pub(super) fn span(&self, key: &str) -> Option<Span> {
        self.table.get(key).map(|entry| entry.node.span)
    }

    /// Notes that the value of a key is wrong; the table's, if the key is not there.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        match self.table.get(key) {
            Some(entry) => self.at.below(entry, key).fault(message, hint),
            None => self.at.fault(message, hint),
        }
    }

    /// Reads a table that is not there, below this one.
    pub(super) fn absent<T>(&self, name: &str, read: impl FnOnce(&Self) -> T) -> T {
        let at = At {
            pattern: name.to_owned(),
            path: name.to_owned(),
            ..self.at.clone()
        };
        read(&Keys {
            at,
            table: const { &Table(Vec::new()) },
            asked: RefCell::default(),
        })
    }

    pub(super) fn get<T: Read>(&self, key: &'static str) -> Option<T> {
        self.at(key)?.get()
    }

    pub(super) fn or<T: Read>(&self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    pub(super) fn choice<T: Copy + Default>(&self, key: &'static str, words: &[(&str, T)]) -> T {
        self.at(key)
            .and_then(|at| at.choice(words))
            .unwrap_or_default()
    }

    /// As [`at`](Self::at), and a missing key is a fault.
    pub(super) fn need(&self, key: &'static str, hint: &str) -> Option<At<'a>> {
        let at = self.at(key);
        if at.is_none() {
            self.at.fault(format!("`{key}` is missing"), hint);
        }
        at
    }

    fn finish(self) {
        let asked = self.asked.into_inner();
        let dot = if self.at.pattern.is_empty() { "" } else { "." };
        let supported =
            |key: &&str| unsupported::find(&format!("{}{dot}{key}", self.at.pattern)).is_none();
        let known: BTreeSet<&str> = asked.iter().copied().filter(supported).collect();
        for entry in &self.table.0 {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let below = self.at.below(entry, &entry.key);
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(key) => format!("did you mean `{key}`?"),
                None => {
                    let known: Vec<_> = known.iter().copied().collect();
                    format!("known here: {}", known.join(", "))
                }
            };
            below
                .faults
                .error(entry.key_span, &below.path, "unknown key", hint);
        }
    }
}
