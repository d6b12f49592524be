//! Reads typed values out of the tree; what does not fit is noted and reading goes on, so that one run names
//! every fault. A key that nobody asked for is unknown.

use std::{cell::RefCell, fmt, path::PathBuf, str::FromStr, time::Duration};

use super::{
    diagnose::Faults,
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

/// A number of bytes: `4096` or `"4 KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

/// A list, or a single value for a list of one.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

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

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    pub(super) fn warn(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.warn(self.node.span, &self.path, message, hint);
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

    pub(super) fn list(&self) -> Option<Vec<At<'a>>> {
        let Value::List(items) = &self.node.value else {
            return self.mismatch("a list", "put it in brackets: [ … ]");
        };
        Some(self.items(items))
    }

    /// Returns the values of a list, or the value itself when it is none.
    pub(super) fn one_or_many(&self) -> Vec<At<'a>> {
        match &self.node.value {
            Value::List(items) => self.items(items),
            _ => vec![self.clone()],
        }
    }

    /// Returns the entries of a table whose keys are names of the user's choice.
    pub(super) fn entries(&self) -> Option<Vec<(&'a Entry, At<'a>)>> {
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
            None => "see docs/configuration.md".to_owned(),
        };
        self.fault(format!("expected {}", all.join(", ")), hint);
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
        faults.asked.borrow_mut().insert(pattern.clone());
        let entry = self.table.get(key)?;
        faults.found.borrow_mut().insert(pattern);
        Some(self.at.below(entry, key))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Notes that the value of a key is wrong; the table's, if the key is not there.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        match self.table.get(key) {
            Some(entry) => self.at.below(entry, key).fault(message, hint),
            None => self.at.fault(message, hint),
        }
    }

    /// Reads a table that is not there, below this one.
    pub(super) fn absent<T>(&self, name: &str, read: impl FnOnce(&Keys<'a>) -> T) -> T {
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
        for entry in &self.table.0 {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let below = self.at.below(entry, &entry.key);
            if let Some(key) = unsupported::find(&below.pattern) {
                if !key.is_harmless(&entry.node.value) {
                    below.faults.error(
                        entry.key_span,
                        &below.path,
                        format!("`{}` is not supported yet", entry.key),
                        key.hint,
                    );
                }
                continue;
            }
            let hint = match nearest(&entry.key, asked.iter().copied()) {
                Some(key) => format!("did you mean `{key}`?"),
                None => {
                    let mut known = asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("known here: {}", known.join(", "))
                }
            };
            below
                .faults
                .error(entry.key_span, &below.path, "unknown key", hint);
        }
    }
}

/// Returns the word that `text` was probably meant to be.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let most = (text.chars().count() / 3).clamp(1, 3);
    words
        .map(|word| (distance(text, word), word))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance, a swap of neighbours counted as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let change = usize::from(a[i - 1] != b[j - 1]);
                    let mut least = (rows[i - 1][j] + 1)
                        .min(rows[i][j - 1] + 1)
                        .min(rows[i - 1][j - 1] + change);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

// === impl Read ===

impl Read for String {
    fn read(at: &At<'_>) -> Option<Self> {
        at.text().map(str::to_owned)
    }
}

impl Read for bool {
    fn read(at: &At<'_>) -> Option<Self> {
        match at.node.value {
            Value::Bool(yes) => Some(yes),
            _ => at.mismatch("true or false", "without quotes"),
        }
    }
}

impl Read for u16 {
    /// A port that can be connected to.
    fn read(at: &At<'_>) -> Option<Self> {
        at.number(1, Self::MAX.into())
            .and_then(|number| number.try_into().ok())
    }
}

impl Read for PathBuf {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        if text.is_empty() {
            at.fault(
                "the path is empty",
                "relative paths are relative to the file",
            );
            return None;
        }
        Some(at.faults.folder.borrow().join(text))
    }
}

impl Read for Duration {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str =
            "a duration is a number with its unit: \"500ms\", \"30s\", \"5m\", \"24h\", \"90d\"";
        if !matches!(at.node.value, Value::Text(_)) {
            return at.mismatch("a duration", HINT);
        }
        match humantime::parse_duration(at.text()?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                at.fault(format!("not a duration: {error}"), HINT);
                None
            }
        }
    }
}

impl Read for Bytes {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str =
            "a size is a number of bytes or a text with a unit: 4096, \"256 KiB\", \"4 MiB\"";
        let text = match &at.node.value {
            Value::Integer(_) => {
                return Some(Self(at.number(1, usize::MAX as u64)?.try_into().ok()?));
            }
            Value::Text(text) => text,
            _ => return at.mismatch("a size", HINT),
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: Option<usize> = match unit.trim() {
            "B" | "" => Some(1),
            "KiB" | "K" => Some(1 << 10),
            "MiB" | "M" => Some(1 << 20),
            "GiB" | "G" => Some(1 << 30),
            "KB" | "kB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let size = number
            .parse::<usize>()
            .ok()
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .filter(|size| *size > 0);
        if size.is_none() {
            at.fault("not a size", HINT);
        }
        size.map(Self)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(at: &At<'_>) -> Option<Self> {
        let items = at.list()?;
        Some(items.iter().filter_map(At::get).collect())
    }
}

impl<T: Read> Read for OneOrMany<T> {
    fn read(at: &At<'_>) -> Option<Self> {
        Some(Self(at.one_or_many().iter().filter_map(At::get).collect()))
    }
}
