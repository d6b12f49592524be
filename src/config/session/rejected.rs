//! What says that a credential is no longer good, what is learnt from answers, and what is kept from a session.

use super::{
    inject::spot,
    target::{methods, path, status, target},
    values::{fields, source},
};
use crate::{
    config::{
        read::{At, Keys},
        scalar::OneOrMany,
        tree::Value,
    },
    rule::{Again, Capture, Rejected, Target, pointer::Pointer},
};

/// The keys that say something about an answer.
const CONDITIONS: &[&str] = &[
    "status",
    "status_not",
    "path",
    "location",
    "content_type",
    "content_type_not",
    "json",
    "body",
];

/// Reads `rejected`.
pub(super) fn rejected(at: &At<'_>) -> Vec<Rejected> {
    let rules = at.one_or_many();
    rules.iter().filter_map(|at| at.table(rule)).collect()
}

fn rule(keys: &Keys<'_>) -> Rejected {
    if !CONDITIONS.iter().any(|key| keys.has(key)) {
        keys.at.fault(
            "the rule would match every answer",
            "say what a rejection looks like: status = [302], location = \"*/login*\"",
        );
    }
    let media_types = |key| {
        let types: OneOrMany<String> = keys.get(key)?;
        for media_type in &types.0 {
            if media_type.contains(';') || !media_type.contains('/') {
                keys.fault(
                    key,
                    "not a media type",
                    "without parameters: \"application/json\"",
                );
            }
        }
        Some(types.0.iter().map(|one| one.to_ascii_lowercase()).collect())
    };
    Rejected {
        status: status(keys, "status"),
        status_not: status(keys, "status_not"),
        path: keys.at("path").and_then(|at| path(&at)),
        methods: keys
            .at("methods")
            .map(|at| methods(&at))
            .unwrap_or_default(),
        location: keys.at("location").and_then(|at| path(&at)),
        content_type: media_types("content_type"),
        content_type_not: media_types("content_type_not"),
        json: keys.at("json").map(|at| json(&at)).unwrap_or_default(),
        body: keys.get("body"),
        confirm: keys.or("confirm", false),
        again: keys.choice("again", &[("pass", Again::Pass), ("fail", Again::Fail)]),
    }
}

fn json(at: &At<'_>) -> Vec<(Pointer, serde_json::Value)> {
    let mut conditions = Vec::new();
    for (entry, at) in at.entries().unwrap_or_default() {
        let Ok(pointer) = entry.key.parse::<Pointer>() else {
            at.fault_at(
                entry.key_span,
                "not a JSON pointer",
                "json = { \"/error/code\" = 401 }; \"\" is the whole document",
            );
            continue;
        };
        match at.node.value.to_json() {
            Some(value) => conditions.push((pointer, value)),
            None => at.fault(
                "JSON has no such value",
                "a string, number, boolean, list or table",
            ),
        }
    }
    conditions
}

/// Reads `capture`.
pub(super) fn captures(at: &At<'_>) -> Vec<Capture> {
    let list = at.one_or_many();
    list.iter().filter_map(|at| at.table(capture)?).collect()
}

fn capture(keys: &Keys<'_>) -> Option<Capture> {
    const HINT: &str = "answer = { access_token = { json = \"/access_token\" } }";
    let target = matched(keys);
    let request = keys
        .at("request")
        .map(|at| fields(&at, spot))
        .unwrap_or_default();
    let coalesce = keys.or("coalesce", false);
    if coalesce && !request.iter().any(|(field, _)| field == "refresh_token") {
        keys.fault(
            "coalesce",
            "nothing says where clients put their refresh token",
            "add request = { refresh_token = { form = \"refresh_token\" } }",
        );
    }
    let answer = keys.need("answer", HINT)?;
    if matches!(&answer.node.value, Value::Table(table) if table.0.is_empty()) {
        answer.fault("nothing is captured", HINT);
    }
    Some(Capture {
        request,
        answer: fields(&answer, source),
        mask: keys.or("mask", false),
        coalesce,
        target: target?,
    })
}

/// Reads `block`.
pub(super) fn blocks(at: &At<'_>) -> Vec<Target> {
    let list = at.one_or_many();
    list.iter().filter_map(|at| at.table(matched)?).collect()
}

fn matched(keys: &Keys<'_>) -> Option<Target> {
    let hint = "match = { host = \"auth.example.com\", path = \"/oauth/token\" }";
    keys.need("match", hint)?.table(target)?
}
