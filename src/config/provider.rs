//! A session's provider: found, read, and merged under what the session says itself.
//!
//! Tables merge key by key, `rejected` and `block` add to the provider's, other lists replace. Values that stand in
//! hosts and URLs are put in here, once, at load: never anything that a session holds.

mod params;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    clients,
    diagnose::Diagnostic,
    find::{self, Trust},
    nearest::nearest,
    read::At,
    tree::{Entry, Node, Span, Table, Value},
};
use crate::{origin::Host, provider};

/// A session as its file and its provider's say it together.
pub(super) struct Prepared {
    pub(super) node: Node,
    pub(super) provider: Option<String>,
}

/// Lists that add to the provider's.
const ADDING: &[&str] = &["rejected", "block"];

/// Stands for a value that is missing, so that only this is named.
const PLACEHOLDER: &str = "missing";

/// Keys that only the user's own file has.
const NOT_A_PROVIDERS: &[(&str, &str)] = &[
    ("secrets", "secrets stand in the configuration, as sources"),
    (
        "clients",
        "who may use a session stands in the configuration",
    ),
    ("provider", "a provider has no provider"),
    ("inherit", "a provider has no provider"),
];

/// Merges a session with its provider and puts values into hosts and URLs.
pub(super) fn prepare(at: &At<'_>) -> Option<Prepared> {
    let Value::Table(written) = &at.node.value else {
        return at.mismatch("a table", "write it under [session.NAME]");
    };
    let mut table = written.clone();
    let mut provider = None;
    let mut missing = Vec::new();
    if let Some(entry) = written.get("provider") {
        let at = at.below(entry, "provider");
        let name = at.text()?;
        let mut under = read(&at, name)?;
        let params = under.take("params");
        let inherit = written.get("inherit").map(|entry| &entry.node.value);
        if matches!(inherit, Some(Value::Bool(false))) {
            under
                .0
                .retain(|entry| !ADDING.contains(&entry.key.as_str()));
        }
        merge(&mut table, under, true);
        if let Some(params) = params {
            missing = params::fill(&at, &mut table, &params);
        }
        provider = Some(name.to_owned());
    }
    for name in missing {
        // So that nothing else says that it is missing.
        params::add(&mut table, placeholder(name, at.node.span));
    }
    let places = Places {
        at,
        values: values(&table),
        secrets: names(&table, "secrets"),
        spans: spans(&table),
        no_host: RefCell::default(),
    };
    places.session(&mut table);
    let node = Node {
        span: at.node.span,
        value: Value::Table(table),
    };
    Some(Prepared { node, provider })
}

/// Finds a provider's file, the user's own before a built-in one.
fn read(at: &At<'_>, name: &str) -> Option<Table> {
    if !clients::is_name(name) {
        at.fault("not the name of a provider", clients::NAME);
        return None;
    }
    let file = format!("providers/{name}.toml");
    let path = at.faults.folder.borrow().join(&file);
    let shown = at.faults.shown.borrow().join(&file);
    let root = if path.exists() {
        let trust = match at.faults.programs.get() {
            true => Trust::Anybodys,
            false => Trust::Own,
        };
        match find::read(&path, trust) {
            Ok(text) => at.faults.parse(&shown, &text)?,
            Err(error) => {
                for Diagnostic { message, hint, .. } in error.0 {
                    at.fault(message, hint);
                }
                return None;
            }
        }
    } else if let Some(text) = provider::builtin(name) {
        let shown = format!("provider {name} (built in)");
        let root = at.faults.parse(Path::new(&shown), text)?;
        at.faults.built_in.borrow_mut().insert(root.span.file);
        root
    } else {
        let hint = match nearest(name, provider::names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("write {}, or leave the key out", shown.display()),
        };
        at.fault("there is no such provider", hint);
        return None;
    };
    let Value::Table(table) = root.value else {
        return None;
    };
    if let Some(entry) = table.get("session") {
        let hint = "its keys stand as they are: bind = […], [[inject]], [refresh]";
        let message = "the keys of a provider have no [session.NAME] before them";
        at.faults.error(entry.key_span, "session", message, hint);
        return None;
    }
    for (key, hint) in NOT_A_PROVIDERS {
        if let Some(entry) = table.get(key) {
            let message = "not a key of a provider";
            at.faults.error(entry.key_span, key, message, *hint);
        }
    }
    Some(table)
}

/// Puts a provider's table under a session's.
fn merge(over: &mut Table, under: Table, top: bool) {
    for entry in under.0 {
        let Some(own) = over.0.iter_mut().find(|own| own.key == entry.key) else {
            over.0.push(entry);
            continue;
        };
        match (&mut own.node.value, entry.node.value) {
            (Value::Table(own), Value::Table(under)) => merge(own, under, false),
            (Value::List(own), Value::List(under))
                if top && ADDING.contains(&entry.key.as_str()) =>
            {
                own.extend(under);
            }
            _ => {}
        }
    }
}

fn values(table: &Table) -> BTreeMap<String, String> {
    let Some(Value::Table(values)) = table.get("values").map(|entry| &entry.node.value) else {
        return BTreeMap::new();
    };
    let text = |entry: &Entry| match &entry.node.value {
        Value::Text(text) => Some((entry.key.clone(), text.clone())),
        Value::Integer(number) => Some((entry.key.clone(), number.to_string())),
        _ => None,
    };
    values.0.iter().filter_map(text).collect()
}

fn placeholder(name: String, span: Span) -> Entry {
    Entry {
        key: name,
        key_span: span,
        node: Node {
            span,
            value: Value::Text(PLACEHOLDER.to_owned()),
        },
    }
}

/// Where each of the `values` stands.
fn spans(table: &Table) -> BTreeMap<String, Span> {
    match table.get("values").map(|entry| &entry.node.value) {
        Some(Value::Table(values)) => values
            .0
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.span))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn names(table: &Table, key: &str) -> Vec<String> {
    match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Table(names)) => names.0.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Visits the table, or the tables of the list, under a key.
fn each(table: &mut Table, path: &str, key: &str, visit: &mut dyn FnMut(&mut Table, &str)) {
    let Some(entry) = table.0.iter_mut().find(|entry| entry.key == key) else {
        return;
    };
    let path = format!("{path}.{key}");
    match &mut entry.node.value {
        Value::Table(table) => visit(table, &path),
        Value::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                if let Value::Table(table) = &mut item.value {
                    visit(table, &format!("{path}[{n}]"));
                }
            }
        }
        _ => {}
    }
}

/// The places of a session in which `{{ name }}` is put in at load.
struct Places<'a> {
    at: &'a At<'a>,
    values: BTreeMap<String, String>,
    secrets: Vec<String>,
    spans: BTreeMap<String, Span>,
    /// Values that should be hosts and are none: said once, at the value, and not at each place.
    no_host: RefCell<BTreeSet<String>>,
}

// === impl Places ===

impl Places<'_> {
    fn session(&self, table: &mut Table) {
        let path = self.at.path.as_str();
        each(table, path, "bind", &mut |bind, path| {
            self.text(bind, path, "host")
        });
        for list in ["capture", "block"] {
            each(table, path, list, &mut |entry, path| {
                each(entry, path, "match", &mut |target, path| {
                    self.text(target, path, "host")
                });
            });
        }
        each(table, path, "heartbeat", &mut |entry, path| {
            self.text(entry, path, "url")
        });
        each(table, path, "login", &mut |login, path| {
            let urls = [
                "authorization_endpoint",
                "device_authorization_endpoint",
                "redirect_uri",
                "issuer",
            ];
            for key in urls {
                self.text(login, path, key);
            }
        });
        each(table, path, "refresh", &mut |refresh, path| {
            self.text(refresh, path, "token_url");
            self.text(refresh, path, "url");
            each(refresh, path, "verify", &mut |verify, path| {
                self.text(verify, path, "url")
            });
            each(refresh, path, "steps", &mut |step, path| {
                each(step, path, "request", &mut |request, path| {
                    self.text(request, path, "url")
                });
            });
        });
    }

    fn text(&self, table: &mut Table, path: &str, key: &str) {
        let Some(entry) = table.0.iter_mut().find(|entry| entry.key == key) else {
            return;
        };
        if let Value::Text(text) = &mut entry.node.value
            && text.contains("{{")
        {
            if key == "host" {
                self.host(text);
            }
            *text = self.substitute(text, entry.node.span, &format!("{path}.{key}"));
        }
    }

    /// Looks at a value that is a whole host.
    fn host(&self, text: &str) {
        let name = text
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let name = name.unwrap_or_default().trim();
        let (Some(value), Some(span)) = (self.values.get(name), self.spans.get(name)) else {
            return;
        };
        let bare = value.strip_prefix("*.").unwrap_or(value);
        if let Err(error) = bare.parse::<Host>()
            && self.no_host.borrow_mut().insert(name.to_owned())
        {
            let path = format!("{}.values.{name}", self.at.path);
            let message = format!("not a host: {error}");
            let hint = "the host alone: no scheme, no port, no path";
            self.at.faults.error(*span, &path, message, hint);
        }
    }

    fn substitute(&self, text: &str, span: Span, path: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            result.push_str(before);
            let Some((name, after)) = after.split_once("}}") else {
                let hint = "close it with }}";
                self.at
                    .faults
                    .error(span, path, "`{{` without its `}}`", hint);
                return result;
            };
            let name = name.trim();
            match self.values.get(name) {
                Some(_) if self.no_host.borrow().contains(name) => result.push_str(PLACEHOLDER),
                Some(value) => result.push_str(value),
                None => {
                    let message = format!("there is no value `{name}` to put in here");
                    self.at.faults.error(span, path, message, self.hint(name));
                    result.push_str(PLACEHOLDER);
                }
            }
            rest = after;
        }
        result.push_str(rest);
        result
    }

    fn hint(&self, name: &str) -> String {
        if self.secrets.iter().any(|secret| secret == name) {
            return "hosts and URLs are made of `values` alone, never of secrets".to_owned();
        }
        match nearest(name, self.values.keys().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!(
                "values = {{ {name} = \"…\" }}; only plain values may stand here, without filters"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
