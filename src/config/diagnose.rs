//! What is wrong with a configuration, for the person who wrote it: file, line, column, the key, what was
//! expected, and a hint; all of it at once, and never a secret.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    mask,
    session::Use,
    tree::{self, Node, Span},
};

/// Faults that are told of those that are alike: each of ten thousand sessions may have the same.
const ALIKE: usize = 5;

/// One fault, or one warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file as it was named; none when no file is at fault.
    pub file: Option<PathBuf>,
    /// Line and column, in characters, both from 1.
    pub line: usize,
    pub column: usize,
    /// The key, as `session.app.bind[0].host`; empty for a fault of the TOML itself.
    pub key: String,
    pub message: String,
    pub hint: String,
    #[serde(skip)]
    excerpt: Option<Excerpt>,
    #[serde(skip)]
    warning: bool,
}

/// A line of the file, masked, and what to underline in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Excerpt {
    line: String,
    before: usize,
    marked: usize,
}

/// All that is wrong, in the order of the files.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// A list as a person reads it: of what is alike the first ones, and how many more there are.
#[derive(Clone, Copy, Debug)]
pub struct Told<'d>(pub &'d [Diagnostic]);

/// The files that were read, and what was found wrong in them so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    files: RefCell<Vec<File>>,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
    /// Every key that was asked for, for the tests that hold the example to the code.
    pub(super) asked: RefCell<BTreeSet<String>>,
    /// As `asked`, for the keys that were there.
    pub(super) found: RefCell<BTreeSet<String>>,
    /// Whether the file may name programs to run.
    pub(super) programs: Cell<bool>,
    /// The built-in providers among the files.
    pub(super) built_in: RefCell<BTreeSet<usize>>,
    /// What relative paths are relative to.
    pub(super) folder: RefCell<PathBuf>,
    /// The same folder, as a message names it.
    pub(super) shown: RefCell<PathBuf>,
    /// The templates of the session that is being read.
    pub(super) uses: RefCell<Vec<Use>>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    hidden: Vec<Range<usize>>,
}

// === impl Diagnostic ===

impl Diagnostic {
    /// Makes a fault that stands in no file.
    pub(super) fn without_place(key: &str, message: String, hint: String) -> Self {
        Self {
            file: None,
            line: 0,
            column: 0,
            key: key.to_owned(),
            message,
            hint,
            excerpt: None,
            warning: false,
        }
    }

    /// Returns what is the same in every session, client and element of a list that has this fault.
    fn kind(&self) -> (Option<&Path>, String, &str, String) {
        let (table, rest) = self.key.split_once('.').unwrap_or((&self.key, ""));
        let (name, rest) = match table {
            "session" | "clients" => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            _ => ("", rest),
        };
        let mut key = format!("{table}..");
        key.extend(rest.chars().filter(|c| !c.is_ascii_digit()));
        let hint = self.hint.replace(&format!("[{table}.{name}"), "[NAME");
        (self.file.as_deref(), key, &self.message, hint)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if self.line > 0 {
                write!(f, "{}:{}:", self.line, self.column)?;
            }
            f.write_str(" ")?;
        }
        if self.warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let number = self.line.to_string();
            write!(f, "\n  {number} | {}", excerpt.line)?;
            let (gutter, before) = (" ".repeat(number.len()), " ".repeat(excerpt.before));
            let carets = "^".repeat(excerpt.marked.max(1));
            write!(f, "\n  {gutter} | {before}{carets}")?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Makes a fault of what was asked about a configuration, not of the configuration.
    pub fn of_question(message: String, hint: String) -> Self {
        Diagnostic::without_place("", message, hint).into()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Told(&self.0).fmt(f)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

// === impl Told ===

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut alike = HashMap::<_, (usize, usize)>::new();
        let kinds: Vec<_> = self.0.iter().map(Diagnostic::kind).collect();
        for kind in &kinds {
            alike.entry(kind).or_default().0 += 1;
        }
        for (n, (diagnostic, kind)) in self.0.iter().zip(&kinds).enumerate() {
            let (all, told) = alike.get_mut(kind).expect("all are counted");
            *told += 1;
            if *told > ALIKE {
                continue;
            }
            if n > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
            if *told == ALIKE && *all > ALIKE {
                write!(f, "\n\nand {} more like this", *all - ALIKE)?;
            }
        }
        Ok(())
    }
}

// === impl Faults ===

impl Faults {
    /// Parses a file and keeps its text; faults of syntax are noted, and then there is no tree.
    pub(super) fn parse(&self, path: &Path, text: &str) -> Option<Node> {
        let file = self.files.borrow().len();
        let (root, faults) = tree::parse(text, file);
        self.files.borrow_mut().push(File {
            path: path.to_owned(),
            text: text.to_owned(),
            lines: lines(text),
            hidden: mask::hidden(text, &root),
        });
        for fault in &faults {
            let mut diagnostic = self.diagnostic(
                Span {
                    file,
                    start: fault.start,
                    end: fault.end,
                },
                "",
                format!("not valid TOML: {}", fault.message),
                syntax_hint(&fault.message).to_owned(),
            );
            let start = fault.start.min(text.len());
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line_start..].lines().next().unwrap_or_default();
            let (shown, whole) = mask::unparsed(line);
            diagnostic.excerpt = Some(Excerpt {
                before: if whole { diagnostic.column - 1 } else { 0 },
                marked: if whole {
                    let end = fault.end.min(line_start + line.len());
                    text.get(start..end)
                        .map_or(1, |marked| marked.chars().count())
                } else {
                    shown.chars().count()
                },
                line: shown,
            });
            self.errors.borrow_mut().push(diagnostic);
        }
        faults.is_empty().then_some(root)
    }

    pub(super) fn error(
        &self,
        span: Span,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let diagnostic = self.diagnostic(span, key, message.into(), hint.into());
        self.errors.borrow_mut().push(diagnostic);
    }

    pub(super) fn warn(
        &self,
        span: Span,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let mut diagnostic = self.diagnostic(span, key, message.into(), hint.into());
        diagnostic.warning = true;
        self.warnings.borrow_mut().push(diagnostic);
    }

    /// Adds a fault that stands in no file.
    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.errors.borrow_mut().push(diagnostic);
    }

    pub(super) fn any(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Takes the errors, in the order of the files; a fault in a provider that several sessions use is named once.
    pub(super) fn errors(&self) -> Diagnostics {
        Diagnostics(in_order(self.errors.take()))
    }

    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        in_order(self.warnings.take())
    }

    fn diagnostic(&self, span: Span, key: &str, message: String, hint: String) -> Diagnostic {
        let files = self.files.borrow();
        let Some(file) = files.get(span.file) else {
            return Diagnostic::without_place(key, message, hint);
        };
        let (line, column, excerpt) = file.excerpt(span);
        // Hints speak of the session that is meant.
        let session = key
            .strip_prefix("session.")
            .and_then(|rest| rest.split('.').next());
        let hint = match session {
            Some(name) => hint.replace("[session.NAME", &format!("[session.{name}")),
            None => hint,
        };
        Diagnostic {
            file: Some(file.path.clone()),
            line,
            column,
            key: key.to_owned(),
            message,
            hint,
            excerpt: Some(excerpt),
            warning: false,
        }
    }
}

fn in_order(mut list: Vec<Diagnostic>) -> Vec<Diagnostic> {
    list.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    list.dedup_by(|b, a| {
        a.file.is_some()
            && (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message)
    });
    list
}

fn syntax_hint(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "a key and a `[table]` stand once in a file; put both parts under the first"
    } else if ["quote", "string", "float", "integer", "literal"]
        .iter()
        .any(|word| message.contains(word))
    {
        "text stands in quotes: key = \"text\""
    } else {
        "a line is `key = value`, `[table]` or `[[list of tables]]`; text stands in quotes"
    }
}

// === impl File ===

impl File {
    /// Returns line and column of a span and the masked first line of it.
    fn excerpt(&self, span: Span) -> (usize, usize, Excerpt) {
        let text = &self.text;
        let start = floor(text, span.start);
        let line = self.lines.partition_point(|begins| *begins <= start);
        let line_start = self.lines[line - 1];
        let line_end = self.lines.get(line).map_or(text.len(), |next| next - 1);
        let end = floor(text, span.end).clamp(start, line_end.max(start));
        let column = text[line_start..start].chars().count() + 1;

        let before = self.masked(line_start..start);
        let marked = self.masked(start..end);
        let after = self.masked(end..line_end);
        let count = |s: &str| s.chars().count();
        let excerpt = Excerpt {
            before: count(&before),
            marked: count(marked.trim_end()),
            line: format!("{before}{marked}{after}").trim_end().to_owned(),
        };
        (line, column, excerpt)
    }

    /// Returns a part of the text with what must not be seen replaced; tabs become single spaces.
    fn masked(&self, range: Range<usize>) -> String {
        let mut shown = String::new();
        let mut at = range.start;
        for hidden in &self.hidden {
            if hidden.end <= at || hidden.start >= range.end {
                continue;
            }
            if hidden.start > at {
                shown.push_str(&self.text[at..hidden.start]);
            }
            // A comment is left out; a value is marked as left out.
            if !self.text[hidden.start..].starts_with('#') {
                shown.push_str(mask::MASK);
            }
            at = hidden.end.min(range.end);
        }
        if at < range.end {
            shown.push_str(&self.text[at..range.end]);
        }
        shown.replace(['\t', '\r'], " ")
    }
}

fn lines(text: &str) -> Vec<usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
