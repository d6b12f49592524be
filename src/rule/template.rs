//! Templates: text in which `{{ … }}` stands for a field of a session, put through a closed list of filters.
//!
//! Expressions are minijinja's, compiled once at load; statements, operators, tests and its own filters are not
//! part of the language. It is strict: a field that is not there is an error that names it, never an empty
//! string. Errors name the failed step and the field, never a value.

mod filters;
mod scope;
#[cfg(test)]
mod tests;
mod words;

use std::{fmt, sync::Arc};

use minijinja::{Expression, Value};

use self::words::Words;
pub use self::{scope::Scope, words::FILTERS};

/// Names that no field may have: the functions, and the word for the jar.
pub const RESERVED: [&str; 4] = ["cookies", "now", "uuid", "totp"];

/// A parsed template. Clones share one parsed form.
#[derive(Clone)]
pub struct Template(Arc<Parsed>);

struct Parsed {
    source: String,
    parts: Vec<Part>,
    fields: Vec<String>,
    cookies: Vec<String>,
    dynamic: bool,
}

enum Part {
    Literal(String),
    /// A field alone needs no engine.
    Field(String),
    Expression(Compiled),
}

struct Compiled {
    expression: Expression<'static, 'static>,
    words: Words,
}

/// Why a text is no template, or why one has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{{{{` without its `}}}}`")]
    Unclosed,
    #[error("`{0}` is not part of a template: only `{{{{ … }}}}` is")]
    Statement(&'static str),
    #[error("{0} is not part of an expression: fields, filters and functions are")]
    Word(String),
    #[error("there is no filter {0}")]
    Filter(String),
    #[error("there is no function {0}")]
    Function(String),
    #[error("a cookie is written cookies['name']")]
    Cookie,
    #[error("the expression cannot be read")]
    Syntax,
    #[error("{0} is not defined")]
    Undefined(String),
    #[error("{step} of {of} failed: {why}")]
    Step {
        step: &'static str,
        /// The fields that the expression uses.
        of: String,
        why: &'static str,
    },
    #[error("the result of {0} is not text (hex and base64_encode make text)")]
    NotText(String),
    #[error("the derived field {field} has no value")]
    Derived {
        field: String,
        #[source]
        source: Box<Self>,
    },
}

// === impl Template ===

impl Template {
    /// Parses a template; a text without `{{` is one that always has the same value.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let mut parsed = Parsed {
            source: source.to_owned(),
            parts: Vec::new(),
            fields: Vec::new(),
            cookies: Vec::new(),
            dynamic: false,
        };
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            parsed.literal(&rest[..open])?;
            let inside = &rest[open + 2..];
            let close = words::end(inside).ok_or(Error::Unclosed)?;
            parsed.expression(&inside[..close])?;
            rest = &inside[close + 2..];
        }
        parsed.literal(rest)?;
        Ok(Self(Arc::new(parsed)))
    }

    /// Returns the text with every expression replaced by its value.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, Error> {
        scope::render(self, scope)
    }

    /// Returns the template as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Returns the fields that the template uses, each once.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.fields.iter().map(String::as_str)
    }

    /// Returns the cookies that the template uses (`cookies['name']`), each once.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        self.0.cookies.iter().map(String::as_str)
    }

    /// Tells whether the value is another each time: the template asks for the time or for randomness.
    pub fn is_dynamic(&self) -> bool {
        self.0.dynamic
    }

    /// As [`is_dynamic`](Self::is_dynamic), also by way of a derived field.
    pub fn is_dynamic_with(&self, derive: &[(String, Self)]) -> bool {
        self.is_dynamic()
            || derive.iter().enumerate().any(|(at, (name, template))| {
                self.fields().any(|field| field == name) && template.is_dynamic_with(&derive[..at])
            })
    }

    /// Returns the text if it has no expression.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn parts(&self) -> &[Part] {
        &self.0.parts
    }
}

impl std::str::FromStr for Template {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Self::parse(s)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    /// Shows the source, which is configuration: what it stands for is not in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.source).finish()
    }
}

// === impl Parsed ===

impl Parsed {
    fn literal(&mut self, text: &str) -> Result<(), Error> {
        for mark in ["{%", "{#"] {
            if text.contains(mark) {
                return Err(Error::Statement(mark));
            }
        }
        if !text.is_empty() {
            self.parts.push(Part::Literal(text.to_owned()));
        }
        Ok(())
    }

    fn expression(&mut self, text: &str) -> Result<(), Error> {
        let text = text.trim();
        let words = Words::read(text)?;
        self.dynamic |= words.dynamic;
        for field in &words.fields {
            if !self.fields.contains(field) {
                self.fields.push(field.clone());
            }
        }
        for cookie in &words.cookies {
            if !self.cookies.contains(cookie) {
                self.cookies.push(cookie.clone());
            }
        }
        if words.fields.first().is_some_and(|field| field == text) {
            self.parts.push(Part::Field(text.to_owned()));
            return Ok(());
        }
        let expression = filters::ENGINE
            .compile_expression_owned(text.to_owned())
            .map_err(|_| Error::Syntax)?;
        self.parts
            .push(Part::Expression(Compiled { expression, words }));
        Ok(())
    }
}

// === impl Compiled ===

impl Compiled {
    fn eval(&self, context: Value) -> Result<Value, Error> {
        self.expression.eval(context).map_err(|error| {
            let failed = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<filters::Failed>());
            match failed {
                Some(failed) => Error::Step {
                    step: failed.step,
                    of: self.words.names(),
                    why: failed.why,
                },
                None => Error::Step {
                    step: "the expression",
                    of: self.words.names(),
                    why: "a filter or function has the wrong arguments",
                },
            }
        })
    }
}
