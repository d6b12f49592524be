//! The steps of `kind = "http"`: requests, what their answers must be, what is taken from them.

use http::Method;

use super::{
    refresh::{headers, texts},
    target::{path, status},
    values::{fields, source},
};
use crate::{
    config::{
        read::{At, Keys},
        tree::{Node, Value},
    },
    rule::{Expect, Step, StepBody, pointer::Pointer, template::Template},
};

pub(super) fn steps(at: &At<'_>) -> Vec<Step> {
    if at.is_empty_list() {
        at.fault("no step at all", "[[session.NAME.refresh.steps]]");
    }
    let list = at.one_or_many();
    list.iter().filter_map(|at| at.table(step)?).collect()
}

fn step(keys: &Keys<'_>) -> Option<Step> {
    const HINT: &str =
        "request = { method = \"POST\", url = \"https://…\", form = { name = \"{{ name }}\" } }";
    let request = keys.need("request", HINT).and_then(|at| at.table(request)?);
    let expect = keys.at("expect").and_then(|at| at.table(expect));
    let capture = keys.at("capture").map(|at| fields(&at, source));
    Some(Step {
        expect: expect.unwrap_or_default(),
        capture: capture.unwrap_or_default(),
        ..request?
    })
}

fn request(keys: &Keys<'_>) -> Option<Step> {
    let url = keys.need("url", "url = \"https://www.example.com/login\"");
    let form = keys.at("form").map(|at| StepBody::Form(texts(&at)));
    let json = keys.at("json").and_then(|at| json(&at));
    if keys.has("form") && keys.has("json") {
        keys.fault(
            "json",
            "`form` and `json` together",
            "a request has one body",
        );
    }
    let body = form.or(json).unwrap_or(StepBody::Empty);
    let method = keys.get("method").unwrap_or(match body {
        StepBody::Empty => Method::GET,
        StepBody::Form(_) | StepBody::Json(..) => Method::POST,
    });
    Some(Step {
        method,
        headers: keys
            .at("headers")
            .map(|at| headers(&at))
            .unwrap_or_default(),
        body,
        url: url?.get()?,
        expect: Expect::default(),
        capture: Vec::new(),
    })
}

pub(super) fn expect(keys: &Keys<'_>) -> Expect {
    Expect {
        status: status(keys, "status"),
        location: keys.at("location").and_then(|at| path(&at)),
        location_not: keys.at("location_not").and_then(|at| path(&at)),
    }
}

fn json(at: &At<'_>) -> Option<StepBody> {
    let Some(value) = at.node.value.to_json() else {
        at.fault(
            "JSON has no such value",
            "a string, number, boolean, list or table",
        );
        return None;
    };
    let mut templates = Vec::new();
    find(at, at.node, &mut String::new(), &mut templates);
    Some(StepBody::Json(value, templates))
}

/// Finds the strings that are templates.
fn find(at: &At<'_>, node: &Node, pointer: &mut String, found: &mut Vec<(Pointer, Template)>) {
    let length = pointer.len();
    match &node.value {
        Value::Text(text) if text.contains("{{") => {
            let here = At { node, ..at.clone() };
            let template = here.get::<Template>();
            if let (Some(template), Ok(pointer)) = (template, pointer.parse()) {
                found.push((pointer, template));
            }
        }
        Value::Table(table) => {
            for entry in &table.0 {
                pointer.push('/');
                pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                find(at, &entry.node, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{n}"));
                find(at, item, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
