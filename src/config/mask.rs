//! Which parts of a configuration file may be shown in a message.
//!
//! A value is shown only under a key that is known to hold nothing secret; what stands under any other key, a
//! misspelt one included, is masked, and so are comments. Where the file cannot be parsed the same rule is applied
//! to the line's text.

use std::ops::Range;

use super::tree::{Node, Value};

/// What stands in the place of what is not shown.
pub(super) const MASK: &str = "…";

/// Keys whose values hold nothing secret.
const PUBLIC: &[&str] = &[
    "accept",
    "again",
    "body",
    "ahead",
    "admin",
    "cert",
    "client_auth",
    "clients",
    "concurrency",
    "confirm",
    "constrain",
    "container",
    "content_type",
    "content_type_not",
    "cookie",
    "cooldown",
    "default",
    "dir",
    "domain",
    "encoding",
    "every",
    "extra_roots",
    "file",
    "form",
    "format",
    "from",
    "grace",
    "grant_type",
    "header",
    "health",
    "idle",
    "inherit",
    "json",
    "key",
    "kind",
    "level",
    "listen",
    "local_users",
    "merge",
    "method",
    "methods",
    "mode",
    "name",
    "on_dead",
    "per_client",
    "persist",
    "port",
    "presigned",
    "profile",
    "provider",
    "query",
    "regex",
    "required",
    "rotate",
    "scheme",
    "scope",
    "set_cookie",
    "state",
    "status",
    "status_not",
    "terminal",
    "timeout",
    "to",
    "uid",
    "unmatched",
    "pace",
];

/// Tables all of whose values hold nothing secret.
const PUBLIC_TABLES: &[&str] = &["answer", "limits", "resolve"];

/// Keys whose value is a template: the names in it are shown, the text around them only if it is short.
const TEMPLATES: &[&str] = &["value", "expires"];
const TEMPLATE_TABLES: &[&str] = &["derive", "headers", "params"];

/// Keys whose value is a URL or a part of one, shown without user information and query.
const URLS: &[&str] = &[
    "authorization_endpoint",
    "device_authorization_endpoint",
    "host",
    "issuer",
    "location",
    "location_not",
    "path",
    "redirect_uri",
    "token_url",
    "upstream_proxy",
    "url",
    "webhook",
];

#[derive(Clone, Copy, PartialEq)]
enum Policy {
    Show,
    Hide,
    Template,
    Url,
    /// `env:NAME` and the like; anything else is a secret that stands where its source should.
    Source,
}

/// Returns the ranges of `text` that are not to be shown, in ascending order.
pub(super) fn hidden(text: &str, root: &Node) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut values = Vec::new();
    walk(text, root, &[], &mut ranges, &mut values);
    comments(text, &values, &mut ranges);
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Returns a line of a file that could not be parsed, with everything after the first `=` masked unless all keys
/// on it are public.
pub(super) fn unparsed(line: &str) -> (String, bool) {
    let header = line.trim_start().starts_with('[') && !line.contains(['=', '"', '\'']);
    let public = line.match_indices('=').all(|(at, _)| {
        let before = line[..at].trim_end();
        let key = before
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .next()
            .unwrap_or_default();
        PUBLIC.contains(&key) && !matches!(key, "key" | "json" | "form" | "cookie" | "default")
    });
    match line.find('=') {
        _ if header => (line.to_owned(), true),
        Some(_) if public && !line.contains('#') => (line.to_owned(), true),
        Some(at) => (format!("{} {MASK}", &line[..=at]), false),
        None => (MASK.to_owned(), false),
    }
}

fn walk(
    text: &str,
    node: &Node,
    path: &[&str],
    hide: &mut Vec<Range<usize>>,
    values: &mut Vec<Range<usize>>,
) {
    match &node.value {
        Value::Table(table) => {
            for entry in &table.0 {
                values.push(entry.key_span.start..entry.key_span.end);
                let mut path = path.to_vec();
                path.push(&entry.key);
                walk(text, &entry.node, &path, hide, values);
            }
        }
        Value::List(items) => {
            for item in items {
                walk(text, item, path, hide, values);
            }
        }
        scalar => {
            let range = node.span.start..node.span.end;
            values.push(range.clone());
            let shown = match scalar {
                Value::Text(shown) => shown.as_str(),
                _ => "",
            };
            match policy(path) {
                Policy::Show => {}
                Policy::Source if is_source(shown) => {}
                Policy::Hide | Policy::Source => hide.push(range),
                Policy::Url => url(text, range, hide),
                Policy::Template => template(text, range, hide),
            }
        }
    }
}

fn policy(path: &[&str]) -> Policy {
    let last = path.last().copied().unwrap_or_default();
    let parent = path
        .len()
        .checked_sub(2)
        .and_then(|at| path.get(at))
        .copied();
    let under = |names: &[&str]| parent.is_some_and(|parent| names.contains(&parent));
    match path {
        ["store", "key"] | ["clients", _, "password"] => return Policy::Source,
        ["store", "url"] => return Policy::Url,
        ["proxy", "listen_tls", "key"] => return Policy::Show,
        _ => {}
    }
    if under(&["secrets"]) {
        Policy::Source
    } else if path.contains(&"values") {
        Policy::Hide
    } else if under(TEMPLATE_TABLES) || under(&["form"]) {
        Policy::Template
    } else if path.iter().any(|key| PUBLIC_TABLES.contains(key)) {
        Policy::Show
    } else if TEMPLATES.contains(&last) || (path.contains(&"json") && last != "json") {
        Policy::Template
    } else if URLS.contains(&last) {
        Policy::Url
    } else if PUBLIC.contains(&last) && last != "key" && last != "default" {
        Policy::Show
    } else {
        Policy::Hide
    }
}

fn is_source(text: &str) -> bool {
    // A command line may hold a secret of its own.
    ["env:", "file:", "keyring:"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

fn url(text: &str, range: Range<usize>, hide: &mut Vec<Range<usize>>) {
    let url = &text[range.clone()];
    // A broken text may stand without quotes, or with one.
    let quote = ['"', '\''];
    let inside =
        usize::from(url.starts_with(quote))..url.strip_suffix(quote).map_or(url.len(), str::len);
    let authority = url.find("://").map_or(inside.start, |at| at + 3);
    let end = url[authority..]
        .find(['/', '?'])
        .map_or(url.len(), |at| authority + at);
    if let Some(at) = url[authority..end].rfind('@') {
        hide.push(range.start + authority..range.start + authority + at);
    }
    if let Some(query) = url.find('?') {
        let end = inside.end.max(query + 1);
        hide.push(range.start + query + 1..range.start + end);
    }
}

/// Hides words of eight bytes and more outside `{{ }}`, and quoted texts inside that are no name or pointer.
fn template(text: &str, range: Range<usize>, hide: &mut Vec<Range<usize>>) {
    const LONG: usize = 8;
    let bytes = text.as_bytes();
    let mut at = range.start;
    while at < range.end {
        if text[at..range.end].starts_with("{{") {
            let end = text[at..range.end]
                .find("}}")
                .map_or(range.end, |n| at + n + 2);
            quoted(text, at..end, hide);
            at = end;
            continue;
        }
        let word = bytes[at..range.end]
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b'{' | b'"' | b'\''))
            .unwrap_or(range.end - at);
        if word >= LONG {
            hide.push(at..at + word);
        }
        // The byte that ended the word is ASCII: a boundary.
        at += word.max(1);
    }
}

fn quoted(text: &str, range: Range<usize>, hide: &mut Vec<Range<usize>>) {
    let mut at = range.start;
    while let Some(open) = text[at..range.end].find(['\'', '"']) {
        let open = at + open;
        let quote = text.as_bytes()[open] as char;
        let close = text[open + 1..range.end]
            .find(quote)
            .map_or(range.end, |n| open + 1 + n);
        let name = text[..open].ends_with('[') || text[open + 1..close].starts_with('/');
        if !name && close > open + 1 {
            hide.push(open + 1..close);
        }
        at = (close + 1).min(range.end);
    }
}

fn comments(text: &str, values: &[Range<usize>], hide: &mut Vec<Range<usize>>) {
    let mut inside: Vec<_> = values.to_vec();
    inside.sort_by_key(|range| range.start);
    let mut next = 0;
    let mut line_end_of_comment = 0;
    for (at, _) in text.match_indices('#') {
        if at < line_end_of_comment {
            continue;
        }
        while inside.get(next).is_some_and(|range| range.end <= at) {
            next += 1;
        }
        if inside.get(next).is_some_and(|range| range.start <= at) {
            continue;
        }
        let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        hide.push(at..end);
        line_end_of_comment = end;
    }
}

#[cfg(test)]
mod tests;
