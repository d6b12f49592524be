//! What a provider needs from its user: `params`, filled into the session's `values`.

use super::values;
use crate::config::{
    nearest::nearest,
    read::At,
    session,
    tree::{Entry, Node, Table, Value},
};

/// What a parameter may be, with what follows from each choice.
type Choices<'a> = Vec<(String, Vec<&'a Entry>)>;

/// Fills `values` with the defaults of a provider's parameters and with what follows from choices, and returns the
/// required ones that are missing.
pub(super) fn fill(at: &At<'_>, table: &mut Table, params: &Entry) -> Vec<String> {
    let mut missing = Vec::new();
    let params_at = At {
        faults: at.faults,
        node: &params.node,
        path: "params".to_owned(),
        pattern: "params".to_owned(),
    };
    for (entry, param) in params_at.entries().unwrap_or_default() {
        let read = param.table(|keys| {
            let default = keys.at("default").filter(|at| session::plain(at).is_some());
            let required = keys.or("required", false);
            let choices = keys.at("one_of").map(|at| choices(&at));
            (default.map(|at| at.node.clone()), required, choices)
        });
        let Some((default, required, choices)) = read else {
            continue;
        };
        if !values(table).contains_key(&entry.key) {
            if let Some(node) = default {
                let default = Entry {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    node,
                };
                add(table, default);
            } else if required {
                at.fault(
                    format!("the provider needs a value for `{}`", entry.key),
                    format!("values = {{ {} = \"…\" }}", entry.key),
                );
                missing.push(entry.key.clone());
                missing.extend(names(choices.as_ref()));
                continue;
            }
        }
        if let Some(choices) = choices
            && !choose(at, table, &entry.key, &choices)
        {
            missing.extend(names(Some(&choices)));
        }
    }
    missing
}

/// Reads `one_of`: a list of values, or a table from each value to others that follow from it.
fn choices<'a>(at: &At<'a>) -> Choices<'a> {
    if let Value::List(_) = at.node.value {
        let all = at.list().unwrap_or_default();
        let plain = all.iter().filter_map(session::plain);
        return plain.map(|value| (value, Vec::new())).collect();
    }
    let mut choices = Vec::new();
    for (entry, at) in at.entries().unwrap_or_default() {
        let follows = at.entries().unwrap_or_default();
        let follows = follows
            .into_iter()
            .filter(|(_, at)| session::plain(at).is_some());
        choices.push((entry.key.clone(), follows.map(|(entry, _)| entry).collect()));
    }
    choices
}

fn names(choices: Option<&Choices<'_>>) -> Vec<String> {
    let all = choices.into_iter().flatten().flat_map(|(_, all)| all);
    all.map(|entry| entry.key.clone()).collect()
}

/// Puts in what follows from the choice that was made; `false` if there is none such.
fn choose(at: &At<'_>, table: &mut Table, name: &str, choices: &Choices<'_>) -> bool {
    let own = values(table);
    let Some(value) = own.get(name) else {
        return true;
    };
    let Some((_, follows)) = choices.iter().find(|(choice, _)| choice == value) else {
        let all: Vec<_> = choices.iter().map(|(choice, _)| choice.as_str()).collect();
        let hint = match nearest(value, all.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", all.join(", ")),
        };
        at.fault(format!("the provider does not know this `{name}`"), hint);
        return false;
    };
    for entry in follows {
        if !own.contains_key(&entry.key) {
            add(table, (*entry).clone());
        }
    }
    true
}

/// Adds to the `values`.
pub(super) fn add(table: &mut Table, value: Entry) {
    if let Some(entry) = table.0.iter_mut().find(|entry| entry.key == "values") {
        if let Value::Table(values) = &mut entry.node.value {
            values.0.push(value);
        }
        return;
    }
    table.0.push(Entry {
        key: "values".to_owned(),
        key_span: value.key_span,
        node: Node {
            span: value.node.span,
            value: Value::Table(Table(vec![value])),
        },
    });
}
